//! Which workloads a binding restarts.

use std::collections::{BTreeMap, HashSet};

use super::workload::{Kind, Workload};
use crate::{
    api::{Reason, binding::WorkloadKind},
    core::{
        Finding,
        recipe::{RolloutRecipe, WorkloadSelection},
    },
};

/// Most entries of `status.rollouts`.
pub const MAX_CONSUMERS: usize = 500;

/// One entry-to-be of `status.rollouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer<'a> {
    /// Restarted when the bytes change (or skipped, with its reason).
    Rolled(&'a Workload),
    /// A CronJob or Job: takes the value at its next run.
    NextRun(&'a Workload),
    /// Named in `targets`, does not exist.
    Missing(Kind, &'a str),
}

impl Consumer<'_> {
    /// Kind and name: the key of the list.
    pub fn key(&self) -> (Kind, &str) {
        match self {
            Consumer::Rolled(w) | Consumer::NextRun(w) => (w.kind, &w.name),
            Consumer::Missing(kind, name) => (*kind, name),
        }
    }
}

/// More workloads than one binding may restart: none is, the Secret stays current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTargets {
    /// How many there are.
    pub count: usize,
}

impl TooManyTargets {
    /// The same in words.
    pub fn finding(self, secret: &str) -> Finding {
        Finding::new(
            Reason::TooManyTargets,
            format!(
                "{} workloads use Secret \"{secret}\", one binding restarts at most {MAX_CONSUMERS}: none is restarted, the Secret stays current.",
                self.count
            ),
            "Name fewer in rollout.targets, or opt some out with the annotation keyferry.dev/rollout: ignore and a binding of their own.",
        )
    }
}

/// The consumers of `secret` among `workloads` (those of the binding's namespace), in the order of
/// `targets`, then by kind and name.
///
/// Without `targets` these are the workloads that use the Secret; CronJobs and Jobs among them are
/// told, never touched. A Job that a CronJob made, or that has ended, is neither.
///
/// # Errors
/// [`TooManyTargets`] past [`MAX_CONSUMERS`].
pub fn select<'a>(
    recipe: &'a RolloutRecipe,
    secret: &str,
    workloads: &'a [Workload],
) -> Result<Vec<Consumer<'a>>, TooManyTargets> {
    let found = if recipe.targets.is_empty() {
        discover(secret, workloads)
    } else {
        let mut seen = HashSet::new();
        let mut named: Vec<_> = recipe
            .targets
            .iter()
            .flat_map(|target| resolve(target, workloads))
            .collect();
        named.retain(|c| {
            let (kind, name) = c.key();
            seen.insert((kind, name.to_owned()))
        });
        named
    };
    if found.len() > MAX_CONSUMERS {
        return Err(TooManyTargets { count: found.len() });
    }
    Ok(found)
}

fn discover<'a>(secret: &str, workloads: &'a [Workload]) -> Vec<Consumer<'a>> {
    let mut found: Vec<_> = workloads
        .iter()
        .filter(|w| w.secrets.contains(secret))
        .filter_map(|w| match w.kind {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => Some(Consumer::Rolled(w)),
            Kind::CronJob | Kind::Job => {
                (!w.controlled && !w.finished && !w.opted_out).then_some(Consumer::NextRun(w))
            }
        })
        .collect();
    sort(&mut found);
    found
}

fn resolve<'a>(target: &'a WorkloadSelection, workloads: &'a [Workload]) -> Vec<Consumer<'a>> {
    match target {
        WorkloadSelection::Named(kind, name) => {
            let kind = Kind::from(*kind);
            let found = workloads
                .iter()
                .find(|w| w.kind == kind && &w.name == name)
                .map_or(Consumer::Missing(kind, name), Consumer::Rolled);
            vec![found]
        }
        WorkloadSelection::Labelled(kind, labels) => labelled(*kind, labels, workloads),
    }
}

fn labelled<'a>(
    kind: WorkloadKind,
    labels: &BTreeMap<String, String>,
    workloads: &'a [Workload],
) -> Vec<Consumer<'a>> {
    let kind = Kind::from(kind);
    let mut found: Vec<_> = workloads
        .iter()
        .filter(|w| w.kind == kind)
        .filter(|w| labels.iter().all(|(k, v)| w.labels.get(k) == Some(v)))
        .map(Consumer::Rolled)
        .collect();
    sort(&mut found);
    found
}

fn sort(found: &mut [Consumer<'_>]) {
    found.sort_by(|a, b| a.key().cmp(&b.key()));
}

#[cfg(test)]
#[path = "consumers_test.rs"]
mod tests;
