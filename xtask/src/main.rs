//! The project's own commands: `cargo xtask <verb>`, one file per verb.

mod check;
mod control_plane;
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
    /// Run a real control plane with a simulated node until stopped (Ctrl-C)
    ControlPlane(control_plane::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().verb {
        Verb::Generate(args) => generate::run(args),
        Verb::Check => check::run(),
        Verb::ControlPlane(args) => control_plane::run(args).await.map_err(Into::into),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
