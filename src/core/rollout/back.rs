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
        restarted
            && marker::revision_of(&e.wanted) == serving
            && needs_previous(std::slice::from_ref(e))
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

/// What the binding's loop has to do after a step: restore the bytes; or, once the pods are back, follow its entries
/// again, which an operator that began in the middle does not yet.
pub fn concerns_binding(before: &RolloutStatus, after: &[RolloutStatus]) -> bool {
    is_rolling_back(before) || after.iter().any(is_rolling_back)
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

/// The pods of the template of before that started with the bytes that failed. `suspected`: the pod was there when
/// the Secret still held them.
pub(super) fn stale<'p>(
    claim: &Claim<'_>,
    entry: &RolloutStatus,
    pods: &'p [PodInfo],
    suspected: impl Fn(&PodInfo) -> bool,
) -> Vec<&'p PodInfo> {
    let expected = marker::expected(&entry.baseline, &entry.wanted);
    let is = |pod: &&PodInfo| {
        pod.markers.get(claim.key).map(String::as_str) == expected
            && !pod.leaving
            && suspected(pod)
            && started_with(pod, claim.bad)
    };
    pods.iter().filter(is).collect()
}

/// Another text for the same revision: all pods are replaced.
pub(super) fn fresh_text(
    claim: &Claim<'_>,
    entry: &RolloutStatus,
    workload: &Workload,
    pods: &[PodInfo],
) -> String {
    let on_pods = pods.iter().filter_map(|pod| pod.markers.get(claim.key));
    let taken = [
        Some(entry.wanted.as_str()),
        workload.marker(claim.key),
        Some(&entry.delivered),
    ]
    .into_iter()
    .flatten()
    .chain(on_pods.map(String::as_str));
    marker::fresh_text(marker::revision_of(&entry.wanted), taken)
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

/// A StatefulSet waits for ever for a pod of another template that cannot become ready (Kubernetes: StatefulSet,
/// "Forced rollback"): on the way back one with the bytes that failed, also of a workload that never failed itself.
pub(super) fn can_be_stuck(workload: &Workload, claim: &Claim<'_>, entry: &RolloutStatus) -> bool {
    workload.kind == Kind::StatefulSet
        && workload.numbers.available < workload.wanted
        && claim.turn == Turn::Back
        && matches!(
            entry.state,
            RolloutState::Progressing | RolloutState::RollingBack
        )
}

/// Single pods can be replaced by deleting them: the controller makes them anew, and promises no more than one less
/// meanwhile. A Deployment promises all of them.
pub(super) fn replaces_single_pods(workload: &Workload) -> bool {
    matches!(workload.kind, Kind::StatefulSet | Kind::DaemonSet) && workload.skip_reason().is_none()
}

/// The next pod to delete, if none is leaving yet: one at a time. First those that are not ready: `stale` ones, and
/// those of another template where the StatefulSet may be `stuck`. A ready one only while all are.
pub(super) fn next_to_delete<'p>(
    workload: &Workload,
    pods: &'p [PodInfo],
    stale: &[&'p PodInfo],
    stuck: bool,
) -> Option<&'p PodInfo> {
    if pods.iter().any(|pod| pod.leaving) {
        return None;
    }
    let is_stale = |pod: &PodInfo| stale.iter().any(|stale| stale.uid == pod.uid);
    let must_go = |pod: &PodInfo| is_stale(pod) || stuck && pod.markers != workload.markers;
    let by_name = |a: &&PodInfo, b: &&PodInfo| a.name.cmp(&b.name);
    let (ready, unready): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.ready);
    let unready = unready.into_iter().filter(|pod| must_go(pod));
    let all_ready = i64::try_from(ready.len()).is_ok_and(|ready| ready >= workload.wanted);
    let spare = ready.into_iter().filter(|pod| all_ready && is_stale(pod));
    unready.max_by(by_name).or_else(|| spare.max_by(by_name))
}
