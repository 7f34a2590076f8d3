//! One pod's containers as a state machine: which one starts next, when it
//! ends, what its restart policy makes of that. Pure: the clock, the rules and
//! the outcome of every start come from outside.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use tokio::time::Instant;

use super::rules::{ContainerStart, Outcome};

/// The time twice: to count with, and to report.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) timestamp: Timestamp,
}

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
pub(super) struct Exit {
    pub(super) id: String,
    pub(super) code: i32,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) enum State {
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
pub(super) struct Container {
    pub(super) spec: Spec,
    pub(super) init: bool,
    /// Restarted whatever its exit code; for an init container this makes it a
    /// sidecar, which later containers do not wait for.
    pub(super) endless: bool,
    on_failure: bool,
    pub(super) state: State,
    pub(super) starts: u32,
    pub(super) last: Option<Exit>,
    /// The latest start, kept after the run has ended.
    pub(super) start: Option<Arc<ContainerStart>>,
}

impl Container {
    pub(super) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// As the status reports it: an init container is ready once it is done.
    pub(super) fn ready(&self) -> bool {
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
    fn passed(&self) -> bool {
        if self.endless {
            self.starts > 0
        } else {
            self.ready()
        }
    }

    fn startable(&self, now: Instant) -> bool {
        self.next_start().is_some_and(|at| at <= now)
    }

    fn next_start(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { retry, .. } => Some(*retry),
            State::Ended { restart, .. } => *restart,
            State::Running { .. } => None,
        }
    }

    fn exit_at(&self) -> Option<Instant> {
        match &self.state {
            State::Running {
                began,
                outcome: Outcome::Exit { after, .. },
                ..
            } => Some(*began + *after),
            _ => None,
        }
    }

    fn done(&self) -> bool {
        matches!(&self.state, State::Ended { restart: None, .. })
    }

    /// The id of the current or latest run.
    pub(super) fn id(&self) -> Option<String> {
        let start = self.start.as_ref()?;
        Some(format!(
            "simulated://{}/{}/{}",
            start.pod_uid, start.container, start.restarts
        ))
    }

    fn end(&mut self, code: i32, now: Now, back_off: BackOff) {
        let State::Running { start, .. } = &self.state else {
            return;
        };
        let exit = Exit {
            id: self.id().unwrap_or_default(),
            code,
            started: start.started_at,
            finished: now.timestamp,
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

/// The pod's containers, init containers first, each group in its order.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) containers: Vec<Container>,
    back_off: BackOff,
}

/// As in `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Machine {
    /// Nothing starts before `first`.
    pub(super) fn new(pod: &Pod, back_off: BackOff, first: Instant) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let policy = spec
            .restart_policy
            .as_deref()
            .unwrap_or("Always")
            .to_owned();
        let init = spec.init_containers.unwrap_or_default();
        let reason = if init.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let container = |init: bool, spec: Spec| Container {
            endless: if init {
                spec.restart_policy.as_deref() == Some("Always")
            } else {
                policy == "Always"
            },
            on_failure: policy != "Never",
            init,
            spec,
            state: State::Waiting {
                reason,
                message: String::new(),
                retry: first,
            },
            starts: 0,
            last: None,
            start: None,
        };
        let containers = init
            .into_iter()
            .map(|spec| container(true, spec))
            .chain(
                spec.containers
                    .into_iter()
                    .map(|spec| container(false, spec)),
            )
            .collect();
        Self {
            containers,
            back_off,
        }
    }

    /// Judges every running container anew and ends those whose time has come.
    pub(super) fn advance(&mut self, now: Now, judge: impl Fn(&ContainerStart) -> Outcome) {
        for container in &mut self.containers {
            if let State::Running { start, outcome, .. } = &mut container.state {
                *outcome = judge(start);
            }
            if let (
                Some(at),
                State::Running {
                    outcome: Outcome::Exit { code, .. },
                    ..
                },
            ) = (container.exit_at(), &container.state)
                && at <= now.instant
            {
                container.end(*code, now, self.back_off);
            }
        }
    }

    /// The container to start now, if there is one.
    pub(super) fn next_start(&self, now: Instant) -> Option<usize> {
        self.turn()
            .find(|index| self.containers[*index].startable(now))
    }

    /// The containers whose turn has come: up to and with the first init
    /// container that is not passed, or all.
    fn turn(&self) -> impl Iterator<Item = usize> {
        let waits = |c: &Container| c.init && !c.passed();
        let end = self.containers.iter().position(waits);
        0..end.map_or(self.containers.len(), |index| index + 1)
    }

    /// The container runs, with what it captured.
    pub(super) fn started(
        &mut self,
        index: usize,
        start: ContainerStart,
        outcome: Outcome,
        now: Instant,
    ) {
        let container = &mut self.containers[index];
        let start = Arc::new(start);
        container.starts += 1;
        container.start = Some(start.clone());
        container.state = State::Running {
            began: now,
            start,
            outcome,
        };
    }

    /// The container could not start; tried again at the given time.
    pub(super) fn refused(
        &mut self,
        index: usize,
        reason: &'static str,
        message: String,
        retry: Instant,
    ) {
        self.containers[index].state = State::Waiting {
            reason,
            message,
            retry,
        };
    }

    /// The pod is deleted: everything that runs ends, nothing starts again.
    pub(super) fn end_all(&mut self, now: Now) {
        for container in &mut self.containers {
            // 128 + SIGTERM, as a program ends that does not handle it.
            container.endless = false;
            container.on_failure = false;
            container.end(143, now, self.back_off);
        }
    }

    /// When to look again even if nothing happens outside.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let starts = self
            .turn()
            .filter_map(|index| self.containers[index].next_start());
        let ends = self.containers.iter().filter_map(Container::exit_at);
        starts.chain(ends).min()
    }

    pub(super) fn initialized(&self) -> bool {
        self.containers
            .iter()
            .filter(|c| c.init)
            .all(Container::passed)
    }

    pub(super) fn ready(&self) -> bool {
        self.initialized()
            && self
                .containers
                .iter()
                .filter(|c| !c.init)
                .all(Container::ready)
    }

    pub(super) fn phase(&self) -> Phase {
        let failed = |c: &Container| matches!(&c.state, State::Ended { exit, restart: None } if exit.code != 0);
        if self
            .containers
            .iter()
            .any(|c| c.init && !c.endless && failed(c))
        {
            return Phase::Failed;
        }
        let mut apps = self.containers.iter().filter(|c| !c.init);
        if apps.clone().all(Container::done) {
            return if apps.any(failed) {
                Phase::Failed
            } else {
                Phase::Succeeded
            };
        }
        if !self.initialized() || apps.any(|c| c.starts == 0) {
            return Phase::Pending;
        }
        Phase::Running
    }
}

#[cfg(test)]
mod tests;
