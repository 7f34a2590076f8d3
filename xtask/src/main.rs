//! The project's own commands: `cargo xtask <verb>`, one file per verb.

mod bed;
mod bench;
mod check;
mod control_plane;
mod demo;
mod generate;
mod group;
mod signals;
mod test;
mod tools;
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
    /// From nothing to rolled Deployments: control plane, fake AWS, operator, a new password
    Demo(demo::Arguments),
    /// Every test, against one real control plane
    Test(test::Arguments),
    /// Write the generated files: crds/, the chart's copies, its RBAC rules
    Generate(generate::Arguments),
    /// Format, lints, generated files, documentation
    Check,
    /// Cost, memory and latency of the operator at 1,000 or 10,000 bindings, beside the limits
    Bench(bench::Arguments),
    /// Run a real control plane until stopped (Ctrl-C), with simulated nodes if asked
    ControlPlane(control_plane::Arguments),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(run(command));
    // A build on another thread may go on for minutes after somebody has asked us to stop.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| failed(&*error))
}

async fn run(command: Command) -> workspace::Ended<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Demo(arguments) => demo::run(&arguments).await.map(done),
        Command::Test(arguments) => test::run(&arguments).await,
        Command::Generate(arguments) => generate::run(&arguments).map(done),
        Command::Check => check::run().map(done),
        Command::Bench(arguments) => bench::run(&arguments).await,
        Command::ControlPlane(arguments) => control_plane::run(arguments).await.map(done),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
