//! The binary: allocator, crypto provider, arguments, exit code.

// As in the library, whose futures this crate lays out.
#![recursion_limit = "256"]

use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use keyferry::api::crds::crds_yaml;
use keyferry::app;
use keyferry::cli::run::{RunArgs, Settings};
use keyferry::cli::{Cli, Verb, process, validate};
use keyferry::cluster::rights;

/// Overwrites memory when it is freed: serde, hyper and the AWS SDK copy values into buffers of
/// their own, which no wrapper type of ours can reach.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let ended = match Cli::read(std::env::args_os()).verb {
        Verb::Run(args) => run(*args),
        Verb::Validate(args) => validate::run(&args, &mut std::io::stdout()).map_err(Into::into),
        Verb::Crds => crds_yaml().map(print).map_err(Into::into),
        Verb::Rights => rights::rules_yaml().map(print).map_err(Into::into),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

type Ended = Result<ExitCode, Box<dyn std::error::Error>>;

fn run(args: RunArgs) -> Ended {
    let settings = args
        .settings(std::env::var("RUST_LOG").ok())
        .unwrap_or_else(|text| {
            Cli::command()
                .error(ErrorKind::ValueValidation, text)
                .exit()
        });
    process::begin(settings.log_format, &settings.log_filter)?;
    operate(settings)
}

#[tokio::main]
async fn operate(settings: Settings) -> Ended {
    Ok(app::run(settings).await?)
}

fn print(text: String) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
