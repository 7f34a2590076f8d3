//! Memory and time of another process, as Linux counts them (proc(5)).

use std::time::Duration;

use serde::Serialize;

use crate::workspace::Ended;

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Most memory it ever had resident, KiB.
    pub(crate) peak_kib: u64,
    /// Memory it has resident, KiB.
    pub(crate) now_kib: u64,
    /// Of that its data; the rest are pages of its program and libraries, KiB.
    pub(crate) data_kib: u64,
    /// Seconds of processor time, its own and the kernel's for it.
    pub(crate) cpu: f64,
}

impl Usage {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When there is none, or this is not Linux.
    pub(crate) fn of(pid: u32) -> Ended<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).map_err(|e| format!("read {path}: {e}"))
        };
        let status = read("status")?;
        let memory = |field: &str| kib(&status, field).ok_or("the process has ended");
        let ticks = ticks(&read("stat")?).ok_or("a line of /proc that cannot be read")?;
        Ok(Self {
            peak_kib: memory("VmHWM:")?,
            now_kib: memory("VmRSS:")?,
            data_kib: memory("RssAnon:")?,
            cpu: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        })
    }

    /// Processor time as a duration.
    pub(crate) fn cpu(self) -> Duration {
        Duration::from_secs_f64(self.cpu)
    }
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// utime + stime: fields 14 and 15, counted behind the name, which may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_found() {
        let status = "Name:\tkeyferry\nVmHWM:\t   40960 kB\nVmRSS:\t   1024 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(40_960));
        assert_eq!(kib(status, "VmPeak:"), None);
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 3 4 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn a_process_that_has_worked_has_used_time_and_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_kib >= usage.now_kib && usage.now_kib > usage.data_kib);
        assert!(usage.data_kib > 0);
        assert!(usage.cpu() < Duration::from_secs(3_600));
    }
}
