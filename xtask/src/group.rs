//! A child with everything that it starts: a process group of its own, which ends as one.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, Command};

/// How long a group has to end by itself. An operator finishes the write it is in.
const GRACE: Duration = Duration::from_secs(10);

/// A running process group. Dropping it kills what is left.
///
/// Ctrl-C at a terminal does not reach it: whoever holds it decides when it ends.
pub(crate) struct Group {
    leader: Child,
    id: Option<Pid>,
}

impl Group {
    /// Starts a command without standard input: a group in the background must not read a terminal.
    pub(crate) fn start(command: std::process::Command) -> std::io::Result<Self> {
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).process_group(0);
        let leader = command.spawn()?;
        let id = leader
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(Self { leader, id })
    }

    /// What it says on standard error, if that was asked for; once.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.leader.stderr.take()
    }

    /// Waits for the end of the command itself.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.leader.wait().await
    }

    /// Asks the whole group to end, and waits for it as long as is reasonable.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::TERM);
        // Whatever it answers, what is left is killed on drop.
        let _ = tokio::time::timeout(GRACE, self.leader.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // An error says that nobody is left.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
