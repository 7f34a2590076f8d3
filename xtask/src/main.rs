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
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the generated files: crds/, the chart's copies, its RBAC rules
    Generate(generate::Arguments),
    /// Format, lints, generated files, documentation
    Check,
    /// Run a real control plane with a simulated node until stopped (Ctrl-C)
    ControlPlane(control_plane::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome: workspace::Ended = match Arguments::parse().command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Check => check::run(),
        Command::ControlPlane(arguments) => control_plane::run(arguments).await.map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
