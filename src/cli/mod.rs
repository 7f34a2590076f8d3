//! The command line: one file per verb.
//!
//! Reads arguments and prints; what a verb does lies in the rooms it calls.

pub mod bindings;
pub mod cluster;
pub mod convert;
pub mod diff;
pub mod duration;
pub mod env_file;
pub mod exec;
pub mod given;
pub mod iam_policy;
pub mod import;
pub mod manifests;
pub mod out_file;
pub mod problems;
pub mod process;
pub mod reading;
pub mod render;
pub mod run;
pub mod validate;

pub use problems::Problems;

use std::{ffi::OsString, path::Path};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

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
    #[command(
        after_help = "Example:\n  keyferry run --events-queue-url https://sqs.ap-northeast-2.amazonaws.com/111122223333/keyferry"
    )]
    Run(Box<run::RunArgs>),
    /// Say what is wrong with manifests, without a cluster
    Validate(validate::ValidateArgs),
    /// Print the least IAM policy with which bindings are read, or who may have it
    IamPolicy(Box<iam_policy::IamPolicyArgs>),
    /// Say what bindings in files would change in the cluster, by key and without values
    Diff(Box<diff::DiffArgs>),
    /// Write what a binding gives into a file
    Render(Box<render::RenderArgs>),
    /// Run a program with the variables that a binding gives
    Exec(Box<exec::ExecArgs>),
    /// Bring a .env file into Secrets Manager, and print the binding that gives it back
    Import(Box<import::ImportArgs>),
    /// Make bindings of External Secrets' objects, SecretProviderClasses and ECS task definitions
    Convert(Box<convert::ConvertArgs>),
    /// Print the CustomResourceDefinitions as YAML
    #[command(after_help = "Example:\n  keyferry crds | kubectl apply -f -")]
    Crds,
    /// Print the operator's rights, as the chart's RBAC uses them
    #[command(hide = true)]
    Rights,
}

impl Cli {
    /// Reads the arguments, the name of the program first; ends the process where clap does (`--help`, bad usage).
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Self {
        let args: Vec<OsString> = args.into_iter().collect();
        let called = args.first().map(Path::new).and_then(Path::file_name);
        let plugin = called.is_some_and(|name| name.to_string_lossy().starts_with("kubectl-"));
        let matches = command(plugin).get_matches_from(args);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The command line; as a plugin of kubectl it speaks of itself as people call it then.
fn command(plugin: bool) -> Command {
    let command = Cli::command();
    if !plugin {
        return command;
    }
    command.bin_name(PLUGIN).mut_subcommands(|verb| {
        let example = verb.get_after_help().map(ToString::to_string);
        match example {
            Some(example) => verb.after_help(example.replace("keyferry ", &format!("{PLUGIN} "))),
            None => verb,
        }
    })
}

/// How kubectl calls a program `kubectl-keyferry`.
const PLUGIN: &str = "kubectl keyferry";

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
    fn as_a_plugin_it_is_called_as_kubectl_calls_it() {
        let mut plugin = command(true);
        plugin.build();
        for verb in plugin
            .get_subcommands_mut()
            .filter(|verb| verb.get_name() != "help")
        {
            let name = verb.get_name().to_owned();
            let help = verb.render_help().to_string();
            let usage = format!("Usage: kubectl keyferry {name}");
            assert!(help.contains(&usage), "{help}");
            let alone = help
                .lines()
                .find(|line| line.trim_start().starts_with("keyferry "));
            assert_eq!(alone, None, "{help}");
        }
    }

    #[test]
    fn every_verb_of_users_shows_an_example() {
        let cli = Cli::command();
        let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set());
        for verb in verbs {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = format!("\n  keyferry {}", verb.get_name());
            assert!(help.contains(&example), "{}: {help}", verb.get_name());
        }
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
