//! The workload loop's decision: what to set on one workload's template, and what to record.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    health::{Health, Progress, health, is_rolling},
    intent::{absorb, rebase},
    marker,
    verdict::{Verdict, set},
    workload::{Markers, Workload},
};
use crate::{
    api::status::{RolloutState, RolloutStatus},
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
}

/// Decides for one workload, over all bindings that have an entry about it.
///
/// `workload`: None means that it is gone. A row of a watch will do to learn that nothing is to be
/// done ([`Step::is_idle`]); anything else must be decided again on an object read for it, because a
/// row may be older than our own last apply and then looks as if somebody had taken the marker off.
pub fn step(
    workload: Option<&Workload>,
    claims: &[Claim<'_>],
    progress: Option<&Progress>,
    now: Timestamp,
) -> Step {
    let Some(workload) = workload else {
        return gone(claims);
    };
    let mut scene = Scene::new(workload, claims, progress, now);
    scene.record_what_went_out();
    scene.judge();
    scene.send();
    scene.finish()
}

/// A deleted workload's entries go, those that say just that stay.
fn gone(claims: &[Claim<'_>]) -> Step {
    let keep = |c: &Claim<'_>| (c.entry.state == RolloutState::NotFound).then(|| c.entry.clone());
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
        self.apply.is_none() && self.entries.iter().zip(claims).all(same)
    }
}

struct Scene<'a> {
    workload: &'a Workload,
    claims: &'a [Claim<'a>],
    /// One for each claim; None: about an object of that name that is gone.
    entries: Vec<Option<RolloutStatus>>,
    health: Health,
    progress: Option<&'a Progress>,
    now: Timestamp,
    apply: Option<Markers>,
    requeue: Option<Duration>,
}

impl<'a> Scene<'a> {
    fn new(
        workload: &'a Workload,
        claims: &'a [Claim<'a>],
        progress: Option<&'a Progress>,
        now: Timestamp,
    ) -> Self {
        let entries = claims
            .iter()
            .map(|c| (c.entry.uid == workload.uid).then(|| c.entry.clone()))
            .collect();
        Self {
            workload,
            claims,
            entries,
            health: health(workload),
            progress,
            now,
            apply: None,
            requeue: None,
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

    /// Entries whose marker is out: how far is it, and is it still ours?
    fn judge(&mut self) {
        let timeout = self.timeout();
        let left = match self.progress {
            Some(progress) => progress.left(timeout, self.now),
            None => Some(timeout),
        };
        for (claim, entry) in pairs(self.claims, &mut self.entries) {
            if entry.delivered != entry.wanted {
                continue;
            }
            let marker = self.workload.marker(claim.key);
            let verdict = Verdict {
                workload: self.workload,
                health: &self.health,
                marker_lost: marker != marker::expected(&entry.baseline, &entry.delivered),
                timeout,
                expired: left.is_none(),
            };
            // Before the verdict: whether a rollout was complete decides what the bare template
            // stands for.
            rebase(entry, marker);
            verdict.pass(entry);
            if entry.state == RolloutState::Progressing {
                self.requeue = sooner(self.requeue, left);
            }
        }
    }

    /// Entries whose marker is due.
    fn send(&mut self) {
        let due: Vec<usize> = (0..self.claims.len()).filter(|&i| self.is_due(i)).collect();
        if due.is_empty() {
            return;
        }
        if let Health::Skipped(reason) = &self.health {
            let reason = reason.clone();
            self.set_all(&due, RolloutState::Skipped, &reason);
            return;
        }
        // The Secret must hold the bytes before pods are told to read them.
        let ready: Vec<usize> = due
            .iter()
            .copied()
            .filter(|&i| self.claims[i].secret_holds_wanted)
            .collect();
        let Some(oldest) = ready.iter().map(|&i| self.claims[i].seen_at).min() else {
            return;
        };
        if let Some(wait) = self.coalescing_left(&due, oldest) {
            self.requeue = sooner(self.requeue, Some(wait));
            return;
        }
        match self.state_before(&ready, oldest) {
            Before::SomebodyElses(wait) => self.wait(&ready, wait),
            Before::Well => self.set(&ready, RolloutState::Progressing),
            Before::Unwell => self.set(&ready, RolloutState::AlreadyUnhealthy),
        }
    }

    fn is_due(&self, i: usize) -> bool {
        self.entries[i]
            .as_ref()
            .is_some_and(|e| e.delivered != e.wanted && !e.wanted.is_empty())
    }

    /// The strictest of all bindings: the shortest.
    fn timeout(&self) -> Duration {
        self.claims
            .iter()
            .map(|c| c.timeout)
            .min()
            .unwrap_or_default()
    }

    fn coalescing_left(&self, due: &[usize], oldest: Timestamp) -> Option<Duration> {
        let newest = due
            .iter()
            .map(|&i| self.claims[i].seen_at)
            .max()
            .unwrap_or(oldest);
        let left = COALESCING.checked_sub(since(newest, self.now))?;
        let most = LONGEST_COALESCING.checked_sub(since(oldest, self.now))?;
        Some(left.min(most)).filter(|wait| !wait.is_zero())
    }

    /// Health before the change: a workload in the middle of our own rollout moves on at once.
    fn state_before(&self, ready: &[usize], oldest: Timestamp) -> Before {
        let any = |state| self.entries.iter().flatten().any(|e| e.state == state);
        let unwell = ready
            .iter()
            .filter_map(|&i| self.entries[i].as_ref())
            .any(|e| e.state == RolloutState::AlreadyUnhealthy);
        let timeout = self.timeout();
        match () {
            () if self.health == Health::Healthy => Before::Well,
            () if unwell => Before::Unwell,
            () if any(RolloutState::Progressing) || any(RolloutState::Held) => Before::Well,
            () if !is_rolling(self.workload) => Before::Unwell,
            () => match timeout.checked_sub(since(oldest, self.now)) {
                Some(left) if !left.is_zero() => Before::SomebodyElses(left),
                _ => Before::Unwell,
            },
        }
    }

    fn wait(&mut self, ready: &[usize], left: Duration) {
        let message = format!(
            "{} is in the middle of another rollout; it is restarted after that, at the latest {} after the change.",
            self.workload.label(),
            duration::human(self.timeout())
        );
        self.set_all(ready, RolloutState::Pending, &message);
        self.requeue = sooner(self.requeue, Some(left));
    }

    fn set_all(&mut self, which: &[usize], state: RolloutState, message: &str) {
        for &i in which {
            if let Some(entry) = self.entries[i].as_mut() {
                set(entry, state, message.to_owned());
            }
        }
    }

    /// One apply with the complete set: markers that are not due stay as they are, also those of
    /// bindings that are gone (to take one off would restart the pods).
    fn set(&mut self, ready: &[usize], state: RolloutState) {
        let mut markers = self.workload.markers.clone();
        let message = match state {
            RolloutState::AlreadyUnhealthy => format!(
                "{} was unhealthy before the change; it was restarted all the same.",
                self.workload.label()
            ),
            _ => self.workload.note(),
        };
        for &i in ready {
            let Some(entry) = self.entries[i].as_mut() else {
                continue;
            };
            let key = self.claims[i].key;
            match marker::expected(&entry.baseline, &entry.wanted) {
                Some(text) => markers.insert(key.to_owned(), text.to_owned()),
                None => markers.remove(key),
            };
            entry.delivered.clone_from(&entry.wanted);
            entry.state = state;
            entry.started_at = Some(whole_seconds(self.now));
            entry.template_hash.clone_from(&self.workload.template_hash);
            entry.message.clone_from(&message);
        }
        self.apply = (markers != self.workload.markers).then_some(markers);
        self.requeue = sooner(self.requeue, Some(self.timeout()));
    }

    fn finish(self) -> Step {
        let names = self.claims.iter().map(|c| c.binding.to_owned());
        Step {
            apply: self.apply,
            entries: names.zip(self.entries).collect(),
            requeue_after: self.requeue,
        }
    }
}

enum Before {
    Well,
    Unwell,
    SomebodyElses(Duration),
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

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
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
