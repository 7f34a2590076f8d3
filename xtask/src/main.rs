//! The project's own commands: `cargo xtask <verb>`, one file per verb.

mod check;
mod generate;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write the generated files: crds/, the chart's copies, its RBAC rules
    Generate(generate::Args),
    /// Format, lints, generated files, documentation
    Check,
}

fn main() -> ExitCode {
    let ended = match Cli::parse().verb {
        Verb::Generate(args) => generate::run(args),
        Verb::Check => check::run(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
