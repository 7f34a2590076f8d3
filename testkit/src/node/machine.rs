//! One pod's containers as a state machine: which one starts next, when it
//! ends, what its restart policy makes of that. Pure: the clock, the rules and
//! the outcome of every start come from outside.

mod container;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use tokio::time::Instant;

use super::rules::{ContainerStart, Outcome};

pub use container::BackOff;
pub(super) use container::{Container, Exit, State};

/// The time twice: to count with, and to report.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) timestamp: Timestamp,
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
            message: String::new(),
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

    /// What the container says at its end.
    pub(super) fn says(&mut self, index: usize, message: String) {
        self.containers[index].message = message;
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
