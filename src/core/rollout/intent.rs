//! The intent: what every workload runs with and shall run with, recorded before the Secret is
//! written.
//!
//! `status.rollouts` is the truth, markers are triggers. An entry says: the template without a
//! marker of ours stands for `baseline`, the template as it is for `delivered`, the pods shall run
//! with `wanted`. A restart is due if and only if `delivered` is not `wanted`. All three hold marker
//! texts (see [`marker`]): a revision word, sometimes with a suffix.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    back::{carry_over, is_rolling_back, waits_for_bytes},
    cause::ContainerReport,
    consumers::Consumer,
    marker,
    workload::{Kind, MOUNTS, Markers, Workload},
};
use crate::{
    api::status::{RolloutState, RolloutStatus},
    core::{annotations::RevisionOutcome, recipe::RolloutRecipe},
};

/// How much later than a write a pod may have been created and still count as older: the times come
/// from API servers whose clocks need not agree.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// What is about to happen to the Secret's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Revision of the bytes the Secret holds now (Adopt, Merge: of our keys); None: there are none.
    pub live: Option<&'a str>,
    /// Revision it will hold after the write; equal to `live` when nothing will be written.
    pub next: &'a str,
    /// When the live bytes replaced others, API server's time; None: they never did.
    pub replaced_at: Option<Timestamp>,
    /// When bytes of revision `next` were last replaced by others (the Secret's history tells);
    /// None: never, or not known any more.
    pub next_left_at: Option<Timestamp>,
}

impl Change<'_> {
    fn changes_bytes(&self) -> bool {
        self.live.is_some_and(|live| live != self.next)
    }
}

/// What is kept of a pod that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When the youngest of its containers last started; None: none has.
    pub started: Option<Timestamp>,
    /// Our annotations on it, copied from the template it was made from.
    pub markers: Markers,
    /// Its uid, a precondition of its deletion.
    pub uid: String,
    /// Its condition Ready.
    pub ready: bool,
    /// It is being deleted.
    pub leaving: bool,
    /// Why no node takes it; empty: one did.
    pub unscheduled: String,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerReport>,
}

/// Pods by kind and name of their workload. A workload that is not in it has none.
pub type Pods = BTreeMap<(Kind, String), Vec<PodInfo>>;

/// The workloads whose pods [`plan_intent`] must be told: those never seen before, and those whose
/// rollout is open while the bytes change again.
pub fn pods_needed<'a>(
    previous: &[RolloutStatus],
    consumers: &[Consumer<'a>],
    change: &Change<'_>,
) -> Vec<&'a Workload> {
    consumers
        .iter()
        .filter_map(|consumer| match consumer {
            Consumer::Rolled(w) => Some(*w),
            _ => None,
        })
        .filter(|w| match known(previous, w) {
            None => change.live.is_some() && change.replaced_at.is_some(),
            Some(entry) => change.changes_bytes() && is_open(entry),
        })
        .collect()
}

/// The entries to record, in the order of `consumers`, then those that bytes are still to be restored for. Those that
/// change nothing stay as they are, so that an unchanged plan is no write.
///
/// `consumers` come from a listing made for this call when bytes will change (a watch may be
/// behind), `key` is the binding's marker key. Must be called, and its result acknowledged by the API
/// server, before the Secret is written; and again whenever consumers come or go, or an intent is open
/// for other bytes than those of `change.next`. With too many targets there is nothing to plan: record
/// no entries; those that come back later are workloads never seen before.
pub fn plan_intent(
    previous: &[RolloutStatus],
    consumers: &[Consumer<'_>],
    key: &str,
    change: &Change<'_>,
    pods: &Pods,
) -> Vec<RolloutStatus> {
    let none = Vec::new();
    let planned = consumers.iter().map(|consumer| match consumer {
        Consumer::Missing(kind, name) => missing(*kind, name),
        Consumer::NextRun(w) => next_run(w),
        Consumer::Rolled(w) => {
            let pods = pods.get(&(w.kind, w.name.clone())).unwrap_or(&none);
            let entry = match known(previous, w) {
                Some(entry) => carry_on(entry, w, key, change, pods),
                None => first_sight(w, key, change, pods),
            };
            with_skip(entry, w)
        }
    });
    let mut planned: Vec<RolloutStatus> = planned.collect();
    carry_over(&mut planned, previous, change.live);
    planned
}

/// What became of the bytes that the entries speak of, for the Secret's history.
pub fn outcome(entries: &[RolloutStatus]) -> RevisionOutcome {
    let any = |state| entries.iter().any(|entry| entry.state == state);
    if any(RolloutState::Held) || any(RolloutState::RollbackFailed) {
        return RevisionOutcome::Failed;
    }
    let healthy = any(RolloutState::Healthy) && !needs_previous(entries);
    match healthy {
        true => RevisionOutcome::Healthy,
        false => RevisionOutcome::Written,
    }
}

/// Has workloads that are well say what a person should know all the same.
pub fn add_cautions(
    entries: &mut [RolloutStatus],
    consumers: &[Consumer<'_>],
    secret: &str,
    rollout: &RolloutRecipe,
) {
    for (entry, consumer) in entries.iter_mut().zip(consumers) {
        let Consumer::Rolled(workload) = consumer else {
            continue;
        };
        let said = entry.message.is_empty() || entry.message.contains(MOUNTS);
        if entry.state == RolloutState::Healthy && said {
            entry.message = workload.caution(secret, rollout);
        }
    }
}

/// The entry about this very object: same kind, name and uid.
fn known<'a>(previous: &'a [RolloutStatus], workload: &Workload) -> Option<&'a RolloutStatus> {
    previous.iter().find(|e| {
        e.kind == workload.kind.as_str() && e.name == workload.name && e.uid == workload.uid
    })
}

/// Pods of more than one revision may be about.
fn is_open(entry: &RolloutStatus) -> bool {
    entry.delivered != entry.wanted
        || !matches!(
            entry.state,
            RolloutState::Healthy | RolloutState::RolledBack
        )
}

/// True while the bytes of before may be needed again: a workload has not shown yet that it is well with those
/// it was given. One that was unwell before, or that is not restarted, will not show it.
pub fn needs_previous(entries: &[RolloutStatus]) -> bool {
    entries.iter().any(|entry| match entry.state {
        RolloutState::Skipped | RolloutState::NextRun | RolloutState::NotFound => false,
        RolloutState::Healthy | RolloutState::RolledBack | RolloutState::AlreadyUnhealthy => {
            entry.delivered != entry.wanted
        }
        RolloutState::Pending
        | RolloutState::Progressing
        | RolloutState::Held
        | RolloutState::RollingBack
        | RolloutState::RollbackFailed
        | RolloutState::Superseded => true,
    })
}

/// A workload never seen before. Its pods start with the live bytes, unless one of them is older
/// than these.
fn first_sight(
    workload: &Workload,
    key: &str,
    change: &Change<'_>,
    pods: &[PodInfo],
) -> RolloutStatus {
    let marker = workload.marker(key);
    let live = change.live.unwrap_or(change.next);
    let mut entry = RolloutStatus {
        uid: workload.uid.clone(),
        ..blank(workload.kind, &workload.name, RolloutState::Healthy)
    };
    match marker {
        // Our own marker, though the status that spoke of it is gone: the tie-break.
        Some(text) if change.live.is_some() && marker::revision_of(text) == live => {
            entry.delivered = text.to_owned();
            entry.state = RolloutState::Progressing;
        }
        _ if change.live.is_some() && older_than_bytes(pods, change) => {}
        Some(_) => entry.delivered = live.to_owned(),
        None => {
            entry.delivered = live.to_owned();
            entry.baseline = live.to_owned();
        }
    }
    if marker::revision_of(&entry.delivered) == change.next {
        entry.wanted.clone_from(&entry.delivered);
        return entry;
    }
    let restarts_nothing = marker == Some(change.next);
    let scene = Scene {
        marker,
        key,
        change,
        pods,
    };
    entry.wanted = scene.text_for(change.next.to_owned(), restarts_nothing, &entry);
    entry.state = RolloutState::Pending;
    entry
}

fn older_than_bytes(pods: &[PodInfo], change: &Change<'_>) -> bool {
    change
        .replaced_at
        .and_then(|at| at.checked_add(SLACK).ok())
        .is_some_and(|limit| pods.iter().any(|pod| pod.created < limit))
}

/// A workload that is known already.
fn carry_on(
    previous: &RolloutStatus,
    workload: &Workload,
    key: &str,
    change: &Change<'_>,
    pods: &[PodInfo],
) -> RolloutStatus {
    let mut entry = previous.clone();
    if marker::revision_of(&entry.wanted) == change.next {
        return entry;
    }
    let marker = workload.marker(key);
    let wanted_is_live = change.live == Some(marker::revision_of(&entry.wanted));
    absorb(&mut entry, marker, wanted_is_live);
    rebase(&mut entry, marker);

    let unsent = entry.delivered != entry.wanted;
    let taken_back = unsent && marker::revision_of(&entry.delivered) == change.next;
    let text = if taken_back {
        // The marker of the intent we take back may be on its way: what the template stands for is
        // open until the workload loop has looked.
        std::mem::take(&mut entry.delivered)
    } else if marker::revision_of(&entry.baseline) == change.next {
        entry.baseline.clone()
    } else {
        change.next.to_owned()
    };
    let restarts_nothing = !taken_back
        && entry.delivered != text
        && marker == marker::expected(&entry.baseline, &text);
    let scene = Scene {
        marker,
        key,
        change,
        pods,
    };
    entry.wanted = scene.text_for(text, restarts_nothing, &entry);
    if is_rolling_back(&entry) && !waits_for_bytes(&entry) {
        // It says why until its pods are back.
        return entry;
    }
    entry.failed_revision.clear();
    let moves_on = matches!(
        entry.state,
        RolloutState::Progressing | RolloutState::Held | RolloutState::AlreadyUnhealthy
    );
    if !moves_on {
        entry.state = RolloutState::Pending;
        entry.message.clear();
    }
    entry
}

/// The marker went out, but we came to an end before that was recorded. A text that stands on the
/// template is proof (plans never choose one that stands there already); a missing marker is one
/// only when the Secret holds the bytes.
pub(super) fn absorb(
    entry: &mut RolloutStatus,
    marker: Option<&str>,
    wanted_is_live: bool,
) -> bool {
    if entry.delivered == entry.wanted || entry.wanted.is_empty() {
        return false;
    }
    let expected = marker::expected(&entry.baseline, &entry.wanted);
    let out = marker == expected && (marker.is_some() || wanted_is_live);
    if out {
        entry.delivered.clone_from(&entry.wanted);
        match entry.state {
            RolloutState::RollingBack => {}
            RolloutState::AlreadyUnhealthy => entry.message.clear(),
            _ => {
                entry.state = RolloutState::Progressing;
                entry.message.clear();
            }
        }
    }
    out
}

/// Somebody took our marker off the template (`kubectl replace`, `kubectl rollout undo`). After a
/// complete rollout the pods of the bare template are new ones, so it stands for what was delivered;
/// in the middle of one they are a mixture, and it stands for nothing known.
pub(super) fn rebase(entry: &mut RolloutStatus, marker: Option<&str>) {
    let expected = marker::expected(&entry.baseline, &entry.delivered);
    if marker.is_some() || expected.is_none() || entry.delivered.is_empty() {
        return;
    }
    let complete = matches!(
        entry.state,
        RolloutState::Healthy | RolloutState::RolledBack
    ) && entry.delivered == entry.wanted;
    entry.baseline = if complete {
        entry.delivered.clone()
    } else {
        String::new()
    };
}

/// What is seen of one workload while its intent is planned.
struct Scene<'a> {
    marker: Option<&'a str>,
    key: &'a str,
    change: &'a Change<'a>,
    pods: &'a [PodInfo],
}

impl Scene<'_> {
    /// `text` itself, or the same revision with a suffix where `text` would restart nothing though a
    /// restart is due, or would bring back pods that started while the Secret held other bytes.
    fn text_for(&self, text: String, restarts_nothing: bool, entry: &RolloutStatus) -> String {
        let expected = marker::expected(&entry.baseline, &text);
        if !restarts_nothing && !self.is_stale(expected) {
            return text;
        }
        let on_pods = self.pods.iter().filter_map(|pod| pod.markers.get(self.key));
        let taken = [Some(text.as_str()), self.marker, Some(&entry.delivered)]
            .into_iter()
            .flatten()
            .chain(on_pods.map(String::as_str));
        marker::fresh_text(self.change.next, taken)
    }

    /// A pod made from the template that `expected` brings back started while the Secret held other
    /// bytes than those of `next`.
    fn is_stale(&self, expected: Option<&str>) -> bool {
        let left_at = self.change.next_left_at.or(self.change.replaced_at);
        self.change.changes_bytes()
            && self.pods.iter().any(|pod| {
                pod.markers.get(self.key).map(String::as_str) == expected
                    && left_at.is_some_and(|at| pod.started.is_some_and(|started| started >= at))
            })
    }
}

fn with_skip(mut entry: RolloutStatus, workload: &Workload) -> RolloutStatus {
    let due = entry.delivered != entry.wanted;
    if let Some(reason) = workload.skip_reason().filter(|_| due || workload.opted_out) {
        entry.state = RolloutState::Skipped;
        entry.message = reason;
    }
    entry
}

fn blank(kind: Kind, name: &str, state: RolloutState) -> RolloutStatus {
    RolloutStatus {
        kind: kind.as_str().to_owned(),
        name: name.to_owned(),
        state,
        ..RolloutStatus::default()
    }
}

fn missing(kind: Kind, name: &str) -> RolloutStatus {
    RolloutStatus {
        message: format!(
            "{kind}/{name} does not exist. Create it, or take it out of rollout.targets; we notice at once."
        ),
        ..blank(kind, name, RolloutState::NotFound)
    }
}

fn next_run(workload: &Workload) -> RolloutStatus {
    let when = match (workload.kind, workload.paused) {
        (Kind::Job, _) => "with its next pod",
        (_, true) => "at its next run, after somebody resumes it",
        (_, false) => "at its next run",
    };
    RolloutStatus {
        uid: workload.uid.clone(),
        message: format!("{} takes the value {when}.", workload.label()),
        ..blank(workload.kind, &workload.name, RolloutState::NextRun)
    }
}

#[cfg(test)]
#[path = "intent_test.rs"]
mod tests;
