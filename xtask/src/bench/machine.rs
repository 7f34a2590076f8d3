//! Where and of what the figures are.

use std::process::Command;

use serde::Serialize;

use crate::workspace::{Ended, root};

/// A machine and the state of the sources, when the run began.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Commit of the sources; `-dirty` when something was changed since.
    pub(crate) commit: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// MiB.
    pub(crate) memory: u64,
    pub(crate) kernel: String,
    /// Processes that wanted to run, on average over the last minute: what else the machine did.
    pub(crate) load: f64,
}

impl Machine {
    /// # Errors
    /// When this is not Linux.
    pub(crate) fn look() -> Ended<Self> {
        let read =
            |path: &str| std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"));
        let memory = read("/proc/meminfo")?;
        let memory = word(&memory, "MemTotal:").and_then(|word| word.parse::<u64>().ok());
        let processor = read("/proc/cpuinfo")?;
        let processor = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned());
        Ok(Self {
            commit: commit()?,
            processor,
            cores: std::thread::available_parallelism()?.get(),
            memory: memory.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: load()?,
        })
    }
}

/// The load of the last minute.
///
/// # Errors
/// When this is not Linux.
pub(crate) fn load() -> Ended<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    Ok(first.parse()?)
}

fn word<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)
}

fn commit() -> Ended<String> {
    let arguments = [
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root()?)
        .output();
    // An unpacked archive has no commit.
    Ok(match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    })
}
