//! Builds what is run: the control plane, once, and the operator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};

use super::screen::Screen;
use crate::group::Group;
use crate::workspace::{Ended, cargo};

/// How often a long build says that it goes on.
const EVERY: Duration = Duration::from_secs(20);

/// How the operator is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As this program was.
    Ours,
    /// With the compiler's optimisations, and this program with it.
    Release,
}

impl Profile {
    /// Where cargo puts it: beside us, or in the folder of the other profile beside ours.
    pub(crate) fn binary(self) -> Ended<PathBuf> {
        let ours = std::env::current_exe()?;
        let target = ours.parent().and_then(Path::parent);
        Ok(match self {
            Self::Ours => ours.with_file_name("keyferry"),
            Self::Release => target
                .ok_or("this program stands outside a target folder")?
                .join("release/keyferry"),
        })
    }
}

/// The operator's binary.
pub(crate) async fn operator(profile: Profile, screen: &Screen) -> Ended<PathBuf> {
    let mut build = cargo(&["build", "--bin", "keyferry"])?;
    if profile == Profile::Release {
        // Who measures must not be slower than what is measured.
        build.args(["--bin", "xtask", "--release"]);
    }
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
    profile.binary()
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
