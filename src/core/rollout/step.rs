//! The workload loop's decision: what to set on one workload's template, and what to record.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    back,
    cause::failing,
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
            .map(|c| (c.entry.uid == workload.uid).then(|| c.entry.clone()))
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
            if let Some(text) = back::fresh_text(claim, entry, self.workload, pods, suspected) {
                entry.wanted = text;
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
        let failing = self
            .look
            .pods
            .map(|pods| failing(pods, &self.workload.markers));
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
                caution: &claim.caution,
                now: self.now,
            };
            // Before the verdict: whether a rollout was complete decides what the bare template
            // stands for.
            rebase(entry, marker);
            self.needs_pods |= verdict.pass(entry);
            if entry.state == RolloutState::RollingBack && !back::waits_for_bytes(entry) {
                match self.look.pods {
                    Some(pods) => self.delete = back::stuck(self.workload, pods).cloned(),
                    None => self.needs_pods |= back::can_be_stuck(self.workload),
                }
            }
            if matches!(
                entry.state,
                RolloutState::Progressing | RolloutState::RollingBack
            ) {
                self.requeue = sooner(self.requeue, left);
            }
        }
    }

    /// Entries whose marker is due.
    fn send(&mut self) {
        if self.needs_pods || self.reworded {
            return;
        }
        let due: Vec<usize> = (0..self.claims.len()).filter(|&i| self.is_due(i)).collect();
        if due.is_empty() {
            return;
        }
        if let Health::Skipped(reason) = &self.health {
            let reason = reason.clone();
            self.set_all(&due, RolloutState::Skipped, &reason);
            return;
        }
        let (back, on): (Vec<usize>, Vec<usize>) = due
            .into_iter()
            .partition(|&i| self.claims[i].turn == Turn::Back);
        // The Secret must hold the bytes before pods are told to read them.
        let back = self.with_bytes(&back);
        if !back.is_empty() {
            self.set(&back, RolloutState::Progressing);
            return;
        }
        let on = self.whose_turn_it_is(on);
        let ready = self.with_bytes(&on);
        let Some(oldest) = ready.iter().map(|&i| self.claims[i].seen_at).min() else {
            return;
        };
        if let Some(wait) = self.coalescing_left(&on, oldest) {
            self.requeue = sooner(self.requeue, Some(wait));
            return;
        }
        if let Some((wait, message)) = self.held_off(&ready) {
            self.put_off(&ready, &message);
            self.requeue = sooner(self.requeue, Some(wait));
            return;
        }
        match self.state_before(&ready, oldest) {
            Before::SomebodyElses(wait) => self.wait(&ready, wait),
            Before::Well => self.set(&ready, RolloutState::Progressing),
            Before::Unwell => self.set(&ready, RolloutState::AlreadyUnhealthy),
        }
    }

    fn with_bytes(&self, which: &[usize]) -> Vec<usize> {
        let holds = |i: &usize| self.claims[*i].secret_holds_wanted;
        which.iter().copied().filter(holds).collect()
    }

    /// Those that may be restarted as far as their binding's other workloads go; the others say what they wait for.
    fn whose_turn_it_is(&mut self, due: Vec<usize>) -> Vec<usize> {
        let mut now = Vec::new();
        let label = self.workload.label();
        for i in due {
            let message = match &self.claims[i].turn {
                Turn::Now | Turn::Back => {
                    now.push(i);
                    continue;
                }
                Turn::After(other) => {
                    format!("{label} is restarted when {other} is healthy.")
                }
                Turn::Stopped(other) => format!(
                    "{label} is not restarted: {other} did not become healthy with this value."
                ),
            };
            self.put_off(&[i], &message);
        }
        now
    }

    /// What waits for its marker says why. In the middle of our own rollout it stays in the middle of it.
    fn put_off(&mut self, which: &[usize], message: &str) {
        for &i in which {
            if let Some(entry) = self.entries[i].as_mut() {
                let own = matches!(
                    entry.state,
                    RolloutState::Progressing | RolloutState::Held | RolloutState::AlreadyUnhealthy
                );
                let state = if own {
                    entry.state
                } else {
                    RolloutState::Pending
                };
                set(entry, state, message.to_owned());
            }
        }
    }

    /// Back to pods that still run, in the middle of our own rollout: nothing is restarted by that.
    fn turns_back(&self, i: usize) -> bool {
        self.entries[i].as_ref().is_some_and(|entry| {
            entry.state == RolloutState::Progressing
                && marker::expected(&entry.baseline, &entry.wanted).is_none()
        })
    }

    /// How long the markers of `ready` must wait for a pause between restarts, or for the window of another
    /// binding that rolls this workload; and what to say meanwhile. A binding's own window was open when its bytes
    /// were written: what has begun is brought to its end.
    fn held_off(&self, ready: &[usize]) -> Option<(Duration, String)> {
        let others = (0..self.claims.len()).filter(|i| !ready.contains(i));
        let closed = others.filter_map(|i| Some((self.claims[i].opens?, self.claims[i].binding)));
        let label = self.workload.label();
        if let Some((opens, binding)) = closed.max() {
            let wait = Duration::try_from(opens.duration_since(self.now)).unwrap_or_default();
            let message = format!(
                "{label} is restarted when the window of binding \"{binding}\" opens, at {opens}."
            );
            return Some((wait.max(Duration::from_secs(1)), message));
        }
        if ready.iter().all(|&i| self.turns_back(i)) {
            return None;
        }
        let started = self.entries.iter().flatten();
        let last = started
            .filter_map(|e| e.started_at.as_ref())
            .map(|t| t.0)
            .max()?;
        let pause = self.claims.iter().map(|c| c.min_interval).max()?;
        // A clock that was put back must not make it wait longer than once.
        let passed = Duration::try_from(self.now.duration_since(last)).unwrap_or(pause);
        let wait = pause.checked_sub(passed).filter(|left| !left.is_zero())?;
        let message = format!(
            "{label} was restarted less than {} ago (minInterval); it is restarted again after that.",
            duration::human(pause)
        );
        Some((wait, message))
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
        let message = match &state {
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
            entry.started_at = Some(whole_seconds(self.now));
            entry.template_hash.clone_from(&self.workload.template_hash);
            // One that failed says so until its pods are back.
            if entry.state != RolloutState::RollingBack {
                set(entry, state, message.clone());
            }
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
            delete: self.delete,
            needs_pods: self.needs_pods,
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
