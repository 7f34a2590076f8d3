//! `keyferry exec`: a program with the variables that a binding gives its pod.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::{Command, ExitCode},
};

use clap::Args;

use super::{
    Problems,
    given::{self, GivenArgs},
    process::CoreLimit,
};
use crate::core::local::variables;

/// What shells answer for a program that does not exist, and for one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Arguments of `keyferry exec`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyferry exec -f binding.yaml -- npm start\n  keyferry exec -f deploy/ backend --fallback-env-file .env -- ./server --port 8080\n\nThe program takes the place of keyferry: signals and exit code are its own. It gets your environment without your\nAWS credentials, and the binding's keys over it, as envFrom gives them to a container."
)]
pub struct ExecArgs {
    #[command(flatten)]
    given: GivenArgs,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,

    /// Set a key that programs obey, such as PATH or NODE_OPTIONS; may be repeated
    #[arg(long, value_name = "KEY")]
    allow_key: Vec<String>,

    /// Leave your AWS credentials in the program's environment
    #[arg(long)]
    keep_aws_variables: bool,
}

/// The program, ready to run.
///
/// # Errors
/// One line for each problem.
pub async fn prepare(args: &ExecArgs) -> Result<Command, Problems> {
    let mut warn = |line: String| eprintln!("warning: {line}");
    let (_, rendered) = given::give(&args.given, &mut warn).await?;
    let data = rendered.data;
    let problems = variables::problems(&data, &args.allow_key);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let (program, rest) = args
        .command
        .split_first()
        .ok_or_else(|| Problems::one("no program is named"))?;
    let mut command = Command::new(program);
    command.args(rest);
    for (name, _) in std::env::vars_os().filter(|_| !args.keep_aws_variables) {
        if name.to_str().is_some_and(variables::is_credential) {
            command.env_remove(name);
        }
    }
    for (key, value) in &data {
        command.env(key, OsStr::from_bytes(value.expose()));
    }
    Ok(command)
}

/// Puts the program in this one's place; comes back only if it cannot be run.
pub fn replace(mut command: Command, core: CoreLimit) -> ExitCode {
    // The program may leave what it was allowed to before us.
    let _ = core.restore();
    let error = command.exec();
    eprintln!(
        "error: {}: {}",
        command.get_program().display(),
        match error.kind() {
            io::ErrorKind::NotFound => "there is no such program".to_owned(),
            _ => format!("cannot be run: {error}"),
        }
    );
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUN,
    })
}
