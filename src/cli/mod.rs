//! The command line: one file per verb.
//!
//! Reads arguments and prints; what a verb does lies in the rooms it calls.

pub mod duration;
pub mod run;

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
    /// Print the CustomResourceDefinitions as YAML
    Crds,
    /// Print the operator's rights, as the chart's RBAC uses them
    #[command(hide = true)]
    Rights,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
