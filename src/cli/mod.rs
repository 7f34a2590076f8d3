//! The command line: one file per verb.
//!
//! Reads arguments and prints; what a verb does lies in the rooms it calls.

pub mod cluster;
pub mod duration;
pub mod manifests;
pub mod run;
pub mod validate;

use clap::{Parser, Subcommand};

/// Carries AWS Secrets Manager entries into cluster Secrets and rolls what uses them.
#[derive(Parser, Debug)]
#[command(name = "keyferry", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run the operator
    Run(Box<run::RunArgs>),
    /// Say what is wrong with manifests, without a cluster
    Validate(validate::ValidateArgs),
    /// Print the CustomResourceDefinitions as YAML
    Crds,
    /// Print the operator's rights, as the chart's RBAC uses them
    #[command(hide = true)]
    Rights,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_operator_has_its_variable() {
        let cli = Cli::command();
        let run = cli.find_subcommand("run").expect("the verb run");
        let mut flags = 0;
        for argument in run
            .get_arguments()
            .filter(|argument| argument.get_id() != "help")
        {
            let flag = argument.get_long().expect("a long flag");
            let variable = argument.get_env().expect("a variable").to_string_lossy();
            let expected = match flag {
                // The name that the downward API is given by habit.
                "operator-namespace" => "POD_NAMESPACE".to_owned(),
                flag => format!("KEYFERRY_{}", flag.replace('-', "_").to_uppercase()),
            };
            assert_eq!(variable, expected);
            flags += 1;
        }
        assert!(flags >= 15, "only {flags} flags were looked at");
    }
}
