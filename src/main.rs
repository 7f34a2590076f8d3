//! The binary: allocator, crypto provider, arguments, exit code.

// As in the library, whose futures this crate lays out.
#![recursion_limit = "256"]

use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use keyferry::api::crds::crds_yaml;
use keyferry::cli::run::{RunArgs, Settings};
use keyferry::cli::{Cli, Verb, validate};
use keyferry::cluster::rights;
use keyferry::{app, telemetry};

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
    telemetry::panics::install(settings.log_format);
    telemetry::logs::init(settings.log_format, &settings.log_filter)?;
    // A core file would hold every value in memory. Only the limit is lowered: a process marked
    // undumpable could not be examined by its own user.
    rlimit::Resource::CORE.set(0, 0)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "another TLS provider is installed already")?;
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
