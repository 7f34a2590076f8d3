//! Builds what the demo runs: the control plane, once, and the operator.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};

use super::screen::Screen;
use crate::group::Group;
use crate::workspace::{Ended, cargo};

/// How often a long build says that it goes on.
const EVERY: Duration = Duration::from_secs(20);

/// The operator's binary, in the profile that this program was built in.
pub(crate) async fn operator(screen: &Screen) -> Ended<PathBuf> {
    let mut build = cargo(&["build", "--bin", "keyferry"])?;
    build.stderr(Stdio::piped());
    let mut group = Group::start(build)?;
    let mut said = Vec::new();
    if let Some(pipe) = group.stderr() {
        let mut lines = BufReader::new(pipe).lines();
        let mut told = Instant::now();
        while let Some(line) = lines.next_line().await? {
            said.push(line);
            if told.elapsed() > EVERY {
                let crates = said.iter().filter(|l| l.contains(" Compiling ")).count();
                screen.detail(format!("building the operator, at crate {crates}"));
                told = Instant::now();
            }
        }
    }
    if !group.ended().await?.success() {
        return Err(format!("the operator does not build:\n{}", said.join("\n")).into());
    }
    Ok(std::env::current_exe()?.with_file_name("keyferry"))
}

/// The control plane, in a process of its own, so that it ends with us.
pub(crate) async fn control_plane() -> Ended {
    let mut build = Command::new(std::env::current_exe()?);
    build.args(["control-plane", "--build"]);
    match Group::start(build)?.ended().await?.success() {
        true => Ok(()),
        false => Err("the control plane does not build".into()),
    }
}
