//! `cargo xtask test`: every test of the workspace, against one control plane that all share.
//!
//! Owns the order of things and their end. What a test needs beside the control plane it starts itself.

use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use keyferry_testkit::ControlPlane;
use keyferry_testkit::control_plane::{KUBECONFIG_VARIABLE, Options, builds_on_start};

use crate::group::Group;
use crate::signals::Stop;
use crate::tools;
use crate::workspace::{Ended, cargo};

/// What a shell gives for a program that was ended by Ctrl-C.
const STOPPED: u8 = 130;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For `cargo test`: a part of a test's name, `--test e2e`, or `-- --nocapture` behind another `--`
    #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
    arguments: Vec<String>,
}

/// What runs and must be stopped at the end, in this order.
#[derive(Default)]
struct Running {
    cargo: Option<Group>,
    go: Option<Group>,
    plane: Option<ControlPlane>,
}

/// Builds, starts the control plane, tests. The exit code is that of `cargo test`.
pub(crate) async fn run(arguments: &Arguments) -> Ended<ExitCode> {
    tools::check()?;
    let mut stop = Stop::listen()?;
    let mut running = Running::default();
    let code = tokio::select! {
        code = stages(arguments, &mut running) => code,
        () = stop.asked() => {
            println!("test: stopped");
            Ok(STOPPED.into())
        }
    };
    for group in [running.cargo, running.go].into_iter().flatten() {
        group.stop().await;
    }
    drop(running.plane);
    code
}

async fn stages(arguments: &Arguments, running: &mut Running) -> Ended<ExitCode> {
    let started = Instant::now();
    stage("build", build(arguments, running)).await?;
    let plane = stage("control plane", async {
        Ok(ControlPlane::start(Options::default()).await?)
    })
    .await?;
    let plane = running.plane.insert(plane);
    let tested = stage("tests", async {
        let mut command = cargo_test(&["--no-fail-fast"], arguments)?;
        command.env(KUBECONFIG_VARIABLE, plane.kubeconfig());
        in_group(command, &mut running.cargo).await
    })
    .await?;
    let verdict = if tested.success() { "passed" } else { "FAILED" };
    println!("test: {verdict}, {} in all", minutes(started.elapsed()));
    let code = tested.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Tests and control plane at once: each has stretches in which it keeps only one core busy.
async fn build(arguments: &Arguments, running: &mut Running) -> Ended {
    let cargo = cargo_test(&["--no-run"], arguments)?;
    let tests = must_succeed(cargo, &mut running.cargo, "the tests do not build");
    if !builds_on_start() {
        return tests.await;
    }
    let mut go = Command::new(std::env::current_exe()?);
    go.args(["control-plane", "--build"]);
    let plane = must_succeed(go, &mut running.go, "the control plane does not build");
    tokio::try_join!(tests, plane).map(|_| ())
}

/// `cargo test` over the whole workspace.
fn cargo_test(options: &[&str], arguments: &Arguments) -> Ended<Command> {
    let mut command = cargo(&["test", "--workspace"])?;
    command.args(options).args(&arguments.arguments);
    Ok(command)
}

async fn must_succeed(command: Command, place: &mut Option<Group>, otherwise: &str) -> Ended {
    match in_group(command, place).await?.success() {
        true => Ok(()),
        false => Err(otherwise.into()),
    }
}

/// Runs a command to its end. Until then it stays in `place`, for whoever has to stop it.
async fn in_group(command: Command, place: &mut Option<Group>) -> Ended<ExitStatus> {
    let status = place.insert(Group::start(command)?).ended().await;
    *place = None;
    Ok(status?)
}

/// Says when a stage begins and how long it took, whichever way it ended.
async fn stage<T>(name: &str, work: impl Future<Output = Ended<T>>) -> Ended<T> {
    println!("test: {name} ...");
    let started = Instant::now();
    let ended = work.await;
    println!("test: {name} took {}", minutes(started.elapsed()));
    ended
}

/// `3:07`.
fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn durations_read_as_minutes_and_seconds() {
        for (seconds, text) in [(0, "0:00"), (59, "0:59"), (187, "3:07"), (3600, "60:00")] {
            assert_eq!(minutes(Duration::from_secs(seconds)), text);
        }
    }

    #[tokio::test]
    async fn what_a_stopped_command_has_started_ends_with_it() -> Ended {
        let (mut reader, writer) = std::io::pipe()?;
        let mut shell = Command::new("sh");
        // The grandchild holds the pipe open until it ends.
        shell.args(["-c", "sleep 600 & wait"]);
        shell.stdout(Stdio::from(writer));
        let group = Group::start(shell)?;
        group.stop().await;
        let read = tokio::task::spawn_blocking(move || reader.read(&mut [0])).await??;
        assert_eq!(read, 0);
        Ok(())
    }
}
