//! The way back: pods that must not stay, and pods that stand in the way.

use jiff::{SignedDuration, Timestamp};

use super::{
    intent::{PodInfo, needs_previous},
    marker,
    order::Turn,
    step::Claim,
    verdict::{BEING_RESTORED, set},
    workload::{Kind, Workload},
};
use crate::api::status::{RolloutState, RolloutStatus};

/// Times come from several clocks, which need not agree.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// Its pods did not become healthy, and are not back yet.
pub fn is_rolling_back(entry: &RolloutStatus) -> bool {
    entry.state == RolloutState::RollingBack
}

/// The Secret still holds, or is believed to hold, the bytes it failed with: the binding's loop restores those of
/// before first.
pub fn waits_for_bytes(entry: &RolloutStatus) -> bool {
    is_rolling_back(entry) && marker::revision_of(&entry.wanted) == entry.failed_revision
}

/// The Secret whose bytes are of revision `live` still holds those it failed with. Until it does not, the entry stays,
/// whatever becomes of the workload: it is what the bytes of before are restored for.
pub fn is_owed(entry: &RolloutStatus, live: Option<&str>) -> bool {
    is_rolling_back(entry) && live == Some(&entry.failed_revision)
}

/// The entry about a workload that is gone, or has another uid now; None: it goes, too.
pub(super) fn left_over(claim: &Claim<'_>) -> Option<RolloutStatus> {
    // While it waits for the bytes it speaks of those that failed, and then of those of before.
    let owed =
        is_rolling_back(claim.entry) && waits_for_bytes(claim.entry) == claim.secret_holds_wanted;
    owed.then(|| claim.entry.clone())
}

/// Entries of `previous` whose workload is not among those that were listed, while the Secret still holds the bytes
/// they failed with. One that was made anew takes the verdict over: it started with these bytes.
pub(super) fn carry_over(
    planned: &mut Vec<RolloutStatus>,
    previous: &[RolloutStatus],
    live: Option<&str>,
) {
    for owed in previous.iter().filter(|entry| is_owed(entry, live)) {
        let same = |e: &&mut RolloutStatus| e.kind == owed.kind && e.name == owed.name;
        match planned.iter_mut().find(same) {
            Some(known) if known.uid == owed.uid => {}
            Some(anew) if anew.state != RolloutState::NotFound => {
                anew.state = owed.state;
                anew.failed_revision.clone_from(&owed.failed_revision);
                anew.message.clone_from(&owed.message);
            }
            Some(missing) => missing.clone_from(owed),
            None => planned.push(owed.clone()),
        }
    }
}

/// What a workload says that goes back because a person asked for it.
const ASKED: &str = "keyferry.dev/rollback asked for the previous value";

/// A person wants the bytes of before back, while not every workload has shown that it is well with those of revision
/// `serving`: those that have them, or shall get them, go back. True: there is one.
pub fn send_back(entries: &mut [RolloutStatus], serving: &str) -> bool {
    let open = |e: &&mut RolloutStatus| {
        let restarted = !matches!(
            e.state,
            RolloutState::Skipped | RolloutState::NextRun | RolloutState::NotFound
        );
        restarted && marker::revision_of(&e.wanted) == serving && needs_previous(&[(**e).clone()])
    };
    let mut any = false;
    for entry in entries.iter_mut().filter(open) {
        serving.clone_into(&mut entry.failed_revision);
        let message = format!("{}/{}: {ASKED}; {BEING_RESTORED}.", entry.kind, entry.name);
        set(entry, RolloutState::RollingBack, message);
        any = true;
    }
    any
}

/// It goes back because a person asked for it.
pub fn was_asked(entry: &RolloutStatus) -> bool {
    entry.message.contains(ASKED)
}

/// The text brings back, or leaves as they are, pods of before the failure, and the Secret has its bytes again. A
/// text with a suffix brings back none.
pub(super) fn may_be_stale(claim: &Claim<'_>, entry: &RolloutStatus) -> bool {
    let over = matches!(
        entry.state,
        RolloutState::Healthy | RolloutState::RolledBack | RolloutState::Skipped
    ) && entry.delivered == entry.wanted;
    claim.turn == Turn::Back
        && claim.secret_holds_wanted
        && claim.bad.is_some()
        && !over
        && marker::revision_of(&entry.wanted) == entry.wanted
}

/// Another text for the same revision, where a pod of that template started with the bytes that failed. `suspected`:
/// the pod was there when the Secret still held them.
pub(super) fn fresh_text(
    claim: &Claim<'_>,
    entry: &RolloutStatus,
    workload: &Workload,
    pods: &[PodInfo],
    suspected: impl Fn(&PodInfo) -> bool,
) -> Option<String> {
    let expected = marker::expected(&entry.baseline, &entry.wanted);
    let on = |pod: &PodInfo| pod.markers.get(claim.key).cloned();
    let stale = |pod: &PodInfo| {
        on(pod).as_deref() == expected
            && !pod.leaving
            && suspected(pod)
            && started_with(pod, claim.bad)
    };
    if !pods.iter().any(stale) {
        return None;
    }
    let on_pods: Vec<String> = pods.iter().filter_map(on).collect();
    let taken = [
        Some(entry.wanted.as_str()),
        workload.marker(claim.key),
        Some(&entry.delivered),
    ]
    .into_iter()
    .flatten()
    .chain(on_pods.iter().map(String::as_str));
    Some(marker::fresh_text(
        marker::revision_of(&entry.wanted),
        taken,
    ))
}

/// A pod that has started no container yet takes the bytes there are then.
fn started_with(pod: &PodInfo, bad: Option<(Timestamp, Timestamp)>) -> bool {
    let (Some(started), Some((from, until))) = (pod.started, bad) else {
        return false;
    };
    let from = from.checked_sub(SLACK).unwrap_or(from);
    let until = until.checked_add(SLACK).unwrap_or(until);
    (from..=until).contains(&started)
}

/// A StatefulSet waits for ever for a pod that cannot become ready (Kubernetes: StatefulSet, "Forced rollback").
pub(super) fn can_be_stuck(workload: &Workload) -> bool {
    workload.kind == Kind::StatefulSet
}

/// The next pod of another template that is not ready, if none is leaving yet: one at a time.
pub(super) fn stuck<'p>(workload: &Workload, pods: &'p [PodInfo]) -> Option<&'p PodInfo> {
    if !can_be_stuck(workload) || pods.iter().any(|pod| pod.leaving) {
        return None;
    }
    pods.iter()
        .filter(|pod| !pod.ready && pod.markers != workload.markers)
        .max_by(|a, b| a.name.cmp(&b.name))
}
