//! Whether a workload's pods are all of the current template and all there.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::workload::{Kind, Workload};

/// A Deployment's own verdict that its rollout has failed
/// (Kubernetes: `deploymentutil.TimedOutReason`).
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
/// A Deployment's own verdict that its rollout is complete
/// (Kubernetes: `deploymentutil.NewRSAvailableReason`); it stays when pods fail later.
const COMPLETE: &str = "NewReplicaSetAvailable";

/// Health of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every pod is of the current template and available.
    Healthy,
    /// Not yet, or no more.
    Progressing {
        /// Pods of the current template.
        updated: i64,
        /// Available pods of every template.
        available: i64,
    },
    /// Its controller has given up; the word says why.
    Failed(String),
    /// Its pods are not replaced at all; the sentence says why.
    Skipped(String),
}

/// Health by the numbers of its controller, never by `currentRevision` (which a StatefulSet moves
/// only when a rollout has ended, and not at all with a partition).
///
/// Available pods are counted over every template: 2 of 3 new pods ready reads updated 3,
/// available 3, replicas 4. So a Deployment also needs `replicas = updated`: no old pod left.
pub fn health(workload: &Workload) -> Health {
    if let Some(reason) = workload.skip_reason() {
        return Health::Skipped(reason);
    }
    let n = &workload.numbers;
    let progressing = Health::Progressing {
        updated: n.updated,
        available: n.available,
    };
    if !observed(workload) {
        return progressing;
    }
    let complete = match workload.kind {
        Kind::Deployment => {
            n.updated == workload.wanted
                && n.replicas == workload.wanted
                && n.available == workload.wanted
        }
        _ => n.updated >= wanted_updated(workload) && n.available >= workload.wanted,
    };
    let given_up = workload.kind == Kind::Deployment && n.progressing_reason == DEADLINE_EXCEEDED;
    match (complete, given_up) {
        (true, _) => Health::Healthy,
        (false, true) => Health::Failed(DEADLINE_EXCEEDED.to_owned()),
        (false, false) => progressing,
    }
}

/// True while its controller is replacing pods (or has not looked yet): a rollout is running. False
/// when all pods are of the current template and only some of them fail, or when it has given up.
pub fn is_rolling(workload: &Workload) -> bool {
    let n = &workload.numbers;
    if !observed(workload) {
        return true;
    }
    match workload.kind {
        Kind::Deployment if n.progressing_reason == DEADLINE_EXCEEDED => false,
        Kind::Deployment => {
            let replaced = n.updated >= workload.wanted && n.replicas <= n.updated;
            let available = n.available >= workload.wanted;
            !replaced || (!available && n.progressing_reason != COMPLETE)
        }
        _ => n.updated < wanted_updated(workload),
    }
}

fn observed(workload: &Workload) -> bool {
    workload.numbers.observed_generation >= workload.generation
}

/// Pods that will be of the current template: a partition leaves the lower ordinals alone. The
/// available ones are counted against all pods, since the number cannot be told apart by template.
fn wanted_updated(workload: &Workload) -> i64 {
    (workload.wanted - workload.partition).max(0)
}

/// When a workload last came to where it had not been. Kept by the loop in memory: after a restart
/// the time runs anew.
///
/// A state that was seen before is no progress: a pod that is ready for a moment and crashes again
/// and again gets nowhere, and a watch that is behind shows what was seen already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    uid: String,
    generation: i64,
    /// Updated and available pods, in this generation.
    seen: BTreeSet<(i64, i64)>,
    /// When one of the numbers last moved to a new one.
    pub at: Timestamp,
}

impl Progress {
    /// What is known after looking once more.
    pub fn observe(before: Option<Progress>, workload: &Workload, now: Timestamp) -> Progress {
        let n = &workload.numbers;
        let numbers = (n.updated, n.available);
        let anew = || Progress {
            uid: workload.uid.clone(),
            generation: workload.generation,
            seen: BTreeSet::new(),
            at: now,
        };
        let known = before.filter(|b| b.uid == workload.uid && b.generation >= workload.generation);
        let mut progress = known.unwrap_or_else(anew);
        // A look at an older generation says nothing.
        if progress.generation == workload.generation && progress.seen.insert(numbers) {
            progress.at = now;
        }
        progress
    }

    /// What is left of `timeout`; None: it is over.
    pub fn left(&self, timeout: Duration, now: Timestamp) -> Option<Duration> {
        let passed = Duration::try_from(now.duration_since(self.at)).unwrap_or_default();
        timeout.checked_sub(passed).filter(|d| !d.is_zero())
    }
}

#[cfg(test)]
#[path = "health_test.rs"]
mod tests;
