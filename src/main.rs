//! The binary: allocator, crypto provider, arguments, exit code.

// As in the library, whose futures this crate lays out.
#![recursion_limit = "256"]

use std::num::NonZero;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use keyferry::api::crds::crds_yaml;
use keyferry::app;
use keyferry::cli::exec::ExecArgs;
use keyferry::cli::run::{RunArgs, Settings};
use keyferry::cli::{
    Cli, Verb, convert, diff, exec, iam_policy, import, process, render, validate,
};
use keyferry::cluster::rights;

/// Overwrites memory when it is freed: serde, hyper and the AWS SDK copy values into buffers of
/// their own, which no wrapper type of ours can reach.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Threads that passes, watches and calls share.
const MOST_THREADS: usize = 4;

fn main() -> ExitCode {
    let ended = match Cli::read(std::env::args_os()).verb {
        Verb::Run(args) => run(*args),
        Verb::Validate(args) => validate::run(&args, &mut std::io::stdout()).map_err(Into::into),
        Verb::IamPolicy(args) => asking(async move {
            iam_policy::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await
        }),
        Verb::Diff(args) => asking(async move {
            Ok(diff::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await?)
        }),
        Verb::Convert(args) => asking(async move {
            convert::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await
        }),
        Verb::Render(args) => asking(async move { Ok(render::run(&args).await?) }),
        Verb::Exec(args) => run_program(&args),
        Verb::Import(args) => asking(async move {
            import::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await
        }),
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

fn operate(settings: Settings) -> Ended {
    runtime()?.block_on(async { Ok(app::run(settings).await?) })
}

/// As many threads as there are processors, and no more than there is work for: a thousand bindings keep one busy
/// for a second, while each thread costs memory of its own, and machines have a hundred processors.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(MOST_THREADS))
        .enable_all()
        .build()
}

/// Runs a verb that asks a cluster or AWS.
fn asking(verb: impl Future<Output = Ended>) -> Ended {
    process::begin_verb()?;
    waited(verb)
}

/// Asks AWS, and puts the program in our place.
fn run_program(args: &ExecArgs) -> Ended {
    let core = process::begin_verb()?;
    let program = waited(async { Ok(exec::prepare(args).await?) })?;
    Ok(exec::replace(program, core))
}

/// Waits for a verb. What hangs in the background, such as a kubeconfig's program for credentials, is not waited for.
fn waited<T>(
    verb: impl Future<Output = Result<T, Box<dyn std::error::Error>>>,
) -> Result<T, Box<dyn std::error::Error>> {
    let runtime = runtime()?;
    let ended = runtime.block_on(verb);
    runtime.shutdown_background();
    ended
}

fn print(text: String) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
