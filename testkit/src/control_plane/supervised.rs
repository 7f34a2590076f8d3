//! The Go program as a child: it supervises the components and ends when our
//! end of its standard input goes, however this process ends.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::{ControlPlane, Running, blocking, kubectl};
use crate::{Error, Result};

/// The one line that the program prints when everything is ready. It also holds
/// the server's URL, issuer and version, which are asked of the server instead.
#[derive(Deserialize)]
struct Report {
    kubeconfig: PathBuf,
}

/// The supervising process.
#[derive(Debug)]
pub(super) struct Supervisor(Child);

impl Supervisor {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends standard input, which is how the program is told, and waits.
    pub(super) fn stop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub(super) async fn start(binary: PathBuf, dir: PathBuf, remove_dir: bool) -> Result<ControlPlane> {
    blocking(move || start_blocking(binary, dir, remove_dir)).await
}

fn start_blocking(binary: PathBuf, dir: PathBuf, remove_dir: bool) -> Result<ControlPlane> {
    let mut command = Command::new(&binary);
    command
        .args(["up", "--dir"])
        .arg(&dir)
        .args(remove_dir.then_some("--remove"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C must reach us only: we decide when the control plane ends.
        .process_group(0);
    let mut child = command
        .spawn()
        .map_err(Error::io("start the control plane"))?;
    let line = read_line(&mut child);
    let said = drain_stderr(&mut child);
    match serde_json::from_str::<Report>(&line) {
        Ok(report) => Ok(ControlPlane {
            kubeconfig: report.kubeconfig,
            kubectl: kubectl::Program::multi_call(binary),
            running: Running::Supervised(Supervisor(child)),
        }),
        Err(_) => {
            Supervisor(child).stop();
            let said = said.join().unwrap_or_default();
            Err(Error::other(format!(
                "the control plane did not start (logs in {}): {}",
                dir.display(),
                said.trim()
            )))
        }
    }
}

fn read_line(child: &mut Child) -> String {
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        let _ = BufReader::new(pipe).read_line(&mut line);
    }
    line
}

/// Keeps reading, so that the program never blocks on a full pipe.
fn drain_stderr(child: &mut Child) -> std::thread::JoinHandle<String> {
    let pipe = child.stderr.take();
    std::thread::spawn(move || {
        let mut said = String::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_string(&mut said);
        }
        said
    })
}
