//! The workload loop's decision: what to set on one workload's template, and what to record.

mod send;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    back,
    cause::failing,
    forbidden::granted,
    health::{Health, Progress, health, is_rolling},
    intent::{PodInfo, absorb, rebase},
    marker,
    order::Turn,
    verdict::{Verdict, set},
    workload::{Markers, Workload},
};
use crate::{
    api::{
        binding::OnFailure,
        status::{RolloutState, RolloutStatus},
    },
    core::duration,
};

/// How long the newest intent waits for others about the same workload.
pub const COALESCING: Duration = Duration::from_secs(3);
/// How long the oldest one waits while others keep coming.
pub const LONGEST_COALESCING: Duration = Duration::from_secs(15);

/// What one binding says about the workload.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Name of the binding.
    pub binding: &'a str,
    /// Its marker key.
    pub key: &'a str,
    /// Its entry, as the API server acknowledged it.
    pub entry: &'a RolloutStatus,
    /// The Secret holds the bytes of [`marker::revision_of`]`(entry.wanted)` now, acknowledged.
    pub secret_holds_wanted: bool,
    /// When the loop first saw this `wanted` (in memory; after a restart of the operator: anew).
    pub seen_at: Timestamp,
    /// `rollout.timeout`.
    pub timeout: Duration,
    /// `rollout.minInterval`.
    pub min_interval: Duration,
    /// `rollout.onFailure`.
    pub on_failure: OnFailure,
    /// Whether it is this workload's turn among those of the binding.
    pub turn: Turn,
    /// When the binding's windows open; None: they are, or it has none.
    pub opens: Option<Timestamp>,
    /// See [`Workload::caution`].
    pub caution: String,
    /// When the Secret held the bytes that failed: from, until. None: it never did, or it still does.
    pub bad: Option<(Timestamp, Timestamp)>,
}

/// What was looked at beside the workload itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look<'a> {
    /// When it last moved.
    pub progress: Option<&'a Progress>,
    /// Its pods; None: they were not listed. A step that cannot do without them says so.
    pub pods: Option<&'a [PodInfo]>,
    /// By binding, the pods (by uid) there were when its Secret first held the bytes of before again: a later one
    /// started with these. None: not known, all may have been.
    pub suspects: Option<&'a BTreeMap<String, BTreeSet<String>>>,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The complete set of our markers to apply; None: leave the template alone.
    pub apply: Option<Markers>,
    /// By binding, in the order of the claims; None: the entry goes. With `apply` they hold only once
    /// that was accepted: after a refusal record nothing, read the workload again, ask again.
    pub entries: Vec<(String, Option<RolloutStatus>)>,
    /// Ask again after this long at the latest, also when nothing is heard of the workload.
    pub requeue_after: Option<Duration>,
    /// A pod to delete: one that cannot become ready and that its controller waits for.
    pub delete: Option<PodInfo>,
    /// Ask again with the pods: nothing else of this step counts.
    pub needs_pods: bool,
}

/// Decides for one workload, over all bindings that have an entry about it.
///
/// `workload`: None means that it is gone. A row of a watch will do to learn that nothing is to be
/// done ([`Step::is_idle`]); anything else must be decided again on an object read for it, because a
/// row may be older than our own last apply and then looks as if somebody had taken the marker off.
pub fn step(
    workload: Option<&Workload>,
    claims: &[Claim<'_>],
    look: Look<'_>,
    now: Timestamp,
) -> Step {
    let Some(workload) = workload else {
        return gone(claims);
    };
    let mut scene = Scene::new(workload, claims, look, now);
    scene.record_what_went_out();
    scene.replace_stale();
    scene.judge();
    scene.send();
    scene.finish()
}

/// A deleted workload's entries go, but for those that say just that, and those that bytes are restored for.
fn gone(claims: &[Claim<'_>]) -> Step {
    let keep = |c: &Claim<'_>| match c.entry.state {
        RolloutState::NotFound => Some(c.entry.clone()),
        _ => back::left_over(c),
    };
    Step {
        entries: claims
            .iter()
            .map(|c| (c.binding.to_owned(), keep(c)))
            .collect(),
        ..Step::default()
    }
}

impl Step {
    /// True when nothing is to be applied or recorded.
    pub fn is_idle(&self, claims: &[Claim<'_>]) -> bool {
        let same = |((_, after), claim): (&(String, Option<RolloutStatus>), &Claim<'_>)| {
            after.as_ref() == Some(claim.entry)
        };
        self.apply.is_none()
            && self.delete.is_none()
            && !self.needs_pods
            && self.entries.iter().zip(claims).all(same)
    }
}

struct Scene<'a> {
    workload: &'a Workload,
    claims: &'a [Claim<'a>],
    /// One for each claim; None: about an object of that name that is gone.
    entries: Vec<Option<RolloutStatus>>,
    health: Health,
    look: Look<'a>,
    now: Timestamp,
    apply: Option<Markers>,
    requeue: Option<Duration>,
    delete: Option<PodInfo>,
    needs_pods: bool,
    /// Another text is wanted now: that is recorded before it is sent.
    reworded: bool,
    /// Pods that started with the bytes that failed, where they are replaced one by one.
    stale: Vec<&'a PodInfo>,
}

impl<'a> Scene<'a> {
    fn new(
        workload: &'a Workload,
        claims: &'a [Claim<'a>],
        look: Look<'a>,
        now: Timestamp,
    ) -> Self {
        let entries = claims
            .iter()
            .map(|c| (c.entry.uid == workload.uid).then(|| granted(c.entry)))
            .collect();
        Self {
            workload,
            claims,
            entries,
            health: health(workload),
            look,
            now,
            apply: None,
            requeue: None,
            delete: None,
            needs_pods: false,
            reworded: false,
            stale: Vec::new(),
        }
    }

    /// A marker that went out before we came to an end is recorded, never sent twice; one that
    /// somebody took off is noted.
    fn record_what_went_out(&mut self) {
        let now = whole_seconds(self.now);
        for (claim, entry) in pairs(self.claims, &mut self.entries) {
            let marker = self.workload.marker(claim.key);
            if absorb(entry, marker, claim.secret_holds_wanted) {
                entry.started_at = Some(now.clone());
                entry.template_hash.clone_from(&self.workload.template_hash);
            }
        }
    }

    /// On the way back: pods that started while the Secret held the bytes that failed are not the ones of before.
    fn replace_stale(&mut self) {
        for (claim, entry) in pairs(self.claims, &mut self.entries) {
            if !back::may_be_stale(claim, entry) {
                continue;
            }
            let Some(pods) = self.look.pods else {
                self.needs_pods = true;
                return;
            };
            let suspects = self.look.suspects.and_then(|all| all.get(claim.binding));
            let suspected = |pod: &PodInfo| suspects.is_none_or(|uids| uids.contains(&pod.uid));
            let stale = back::stale(claim, entry, pods, suspected);
            if back::replaces_single_pods(self.workload) {
                // Made anew from another template they would be replaced once more.
                let back = entry.delivered == entry.wanted;
                self.stale.extend(stale.into_iter().filter(|_| back));
            } else if !stale.is_empty() {
                entry.wanted = back::fresh_text(claim, entry, self.workload, pods);
                self.reworded = true;
            }
        }
    }

    /// Entries whose marker is out: how far is it, and is it still ours?
    fn judge(&mut self) {
        let timeout = self.timeout();
        let left = match self.look.progress {
            Some(progress) => progress.left(timeout, self.now),
            None => Some(timeout),
        };
        let may_go_back = self
            .claims
            .iter()
            .all(|claim| claim.on_failure == OnFailure::Rollback);
        let failing = self.look.pods.map(|pods| failing(pods, self.workload));
        for (claim, entry) in pairs(self.claims, &mut self.entries) {
            if entry.delivered != entry.wanted || back::waits_for_bytes(entry) {
                continue;
            }
            let marker = self.workload.marker(claim.key);
            let verdict = Verdict {
                workload: self.workload,
                health: &self.health,
                marker_lost: marker != marker::expected(&entry.baseline, &entry.delivered),
                timeout,
                expired: left.is_none(),
                failing: failing.as_ref(),
                on_failure: claim.on_failure,
                may_go_back,
                has_gone_back: claim.turn == Turn::Back,
                caution: &claim.caution,
                now: self.now,
            };
            // Before the verdict: whether a rollout was complete decides what the bare template
            // stands for.
            rebase(entry, marker);
            let stuck = back::can_be_stuck(self.workload, claim, entry);
            self.needs_pods |= stuck && self.look.pods.is_none();
            let next = |pods| back::next_to_delete(self.workload, pods, &self.stale, stuck);
            let next = self.look.pods.and_then(next);
            // With a pod that must go it is neither well nor given up.
            if next.is_none() && (self.stale.is_empty() || self.health != Health::Healthy) {
                self.needs_pods |= verdict.pass(entry);
            }
            self.delete = self.delete.take().or_else(|| next.cloned());
            if matches!(
                entry.state,
                RolloutState::Progressing | RolloutState::RollingBack
            ) {
                self.requeue = sooner(self.requeue, left);
            }
            if verdict.may_still_go_back(entry) {
                // Of a pod that fails where none was ready nothing is heard.
                self.requeue = sooner(self.requeue, left.or(Some(timeout)));
            }
        }
    }

    /// The strictest of all bindings: the shortest.
    fn timeout(&self) -> Duration {
        self.claims
            .iter()
            .map(|c| c.timeout)
            .min()
            .unwrap_or_default()
    }

    fn finish(self) -> Step {
        let entries = self.claims.iter().zip(self.entries);
        let entries = entries.map(|(claim, entry)| {
            let entry = entry.or_else(|| back::left_over(claim));
            (claim.binding.to_owned(), entry)
        });
        Step {
            apply: self.apply,
            entries: entries.collect(),
            requeue_after: self.requeue,
            delete: self.delete,
            needs_pods: self.needs_pods,
        }
    }
}

fn pairs<'s>(
    claims: &'s [Claim<'s>],
    entries: &'s mut [Option<RolloutStatus>],
) -> impl Iterator<Item = (&'s Claim<'s>, &'s mut RolloutStatus)> {
    claims
        .iter()
        .zip(entries)
        .filter_map(|(claim, entry)| entry.as_mut().map(|entry| (claim, entry)))
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Status times are whole seconds: others would be a write each time.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
#[path = "step_test.rs"]
mod tests;
