//! One container: its state, its end and the wait before its restart. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container as Spec;
use tokio::time::Instant;

use super::Now;
use crate::node::rules::{ContainerStart, Outcome};

/// Waits between a container's end and its restart.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    /// After the second end; doubles with each further one. The first restart
    /// follows at once, as a kubelet does it.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl BackOff {
    fn after(self, restarts: u32) -> Duration {
        let doublings = restarts.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

/// How a run of a container ended.
#[derive(Clone, Debug)]
pub(in crate::node) struct Exit {
    pub(in crate::node) id: String,
    pub(in crate::node) code: i32,
    pub(in crate::node) started: Timestamp,
    pub(in crate::node) finished: Timestamp,
    pub(in crate::node) message: String,
}

#[derive(Clone, Debug)]
pub(in crate::node) enum State {
    /// Not running; starts at the given time when its turn has come.
    Waiting {
        reason: &'static str,
        message: String,
        retry: Instant,
    },
    Running {
        began: Instant,
        start: Arc<ContainerStart>,
        outcome: Outcome,
    },
    /// Ended; for good without a time to restart at.
    Ended {
        exit: Exit,
        restart: Option<Instant>,
    },
}

#[derive(Clone, Debug)]
pub(in crate::node) struct Container {
    pub(in crate::node) spec: Spec,
    pub(in crate::node) init: bool,
    /// Restarted whatever its exit code; for an init container this makes it a
    /// sidecar, which later containers do not wait for.
    pub(in crate::node) endless: bool,
    pub(in crate::node) on_failure: bool,
    pub(in crate::node) state: State,
    pub(in crate::node) starts: u32,
    pub(in crate::node) last: Option<Exit>,
    /// What it says at the end of its run.
    pub(in crate::node) message: String,
    /// The latest start, kept after the run has ended.
    pub(in crate::node) start: Option<Arc<ContainerStart>>,
}

impl Container {
    pub(in crate::node) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// As the status reports it: an init container is ready once it is done.
    pub(in crate::node) fn ready(&self) -> bool {
        match &self.state {
            State::Running { outcome, .. } => {
                *outcome == Outcome::Ready && (!self.init || self.endless)
            }
            State::Ended { exit, restart } => {
                self.init && !self.endless && exit.code == 0 && restart.is_none()
            }
            State::Waiting { .. } => false,
        }
    }

    /// Whether the containers after this init container may start.
    pub(in crate::node) fn passed(&self) -> bool {
        if self.endless {
            self.starts > 0
        } else {
            self.ready()
        }
    }

    pub(in crate::node) fn startable(&self, now: Instant) -> bool {
        self.next_start().is_some_and(|at| at <= now)
    }

    pub(in crate::node) fn next_start(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { retry, .. } => Some(*retry),
            State::Ended { restart, .. } => *restart,
            State::Running { .. } => None,
        }
    }

    pub(in crate::node) fn exit_at(&self) -> Option<Instant> {
        match &self.state {
            State::Running {
                began,
                outcome: Outcome::Exit { after, .. },
                ..
            } => Some(*began + *after),
            _ => None,
        }
    }

    pub(in crate::node) fn done(&self) -> bool {
        matches!(&self.state, State::Ended { restart: None, .. })
    }

    /// The id of the current or latest run.
    pub(in crate::node) fn id(&self) -> Option<String> {
        let start = self.start.as_ref()?;
        Some(format!(
            "simulated://{}/{}/{}",
            start.pod_uid, start.container, start.restarts
        ))
    }

    pub(in crate::node) fn end(&mut self, code: i32, now: Now, back_off: BackOff) {
        let State::Running { start, .. } = &self.state else {
            return;
        };
        let exit = Exit {
            id: self.id().unwrap_or_default(),
            code,
            started: start.started_at,
            finished: now.timestamp,
            message: self.message.clone(),
        };
        let restarts = self.endless || (self.on_failure && code != 0);
        self.last = Some(exit.clone());
        self.state = match (restarts, self.starts) {
            (false, _) => State::Ended {
                exit,
                restart: None,
            },
            (true, 1) => State::Ended {
                exit,
                restart: Some(now.instant + Duration::from_millis(20)),
            },
            (true, starts) => State::Waiting {
                reason: "CrashLoopBackOff",
                message: format!("back-off restarting failed container {}", self.spec.name),
                retry: now.instant + back_off.after(starts - 1),
            },
        };
    }
}
