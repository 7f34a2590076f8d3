//! Recording what a step came to, in a status that may have moved meanwhile.

use crate::api::status::{RolloutState, RolloutStatus};

/// Puts a step's outcome into `status.rollouts` as it is by now; true when that changed it.
///
/// `before` is the entry the step was asked with. Another intent may have been recorded while the
/// markers were applied: then only what was delivered counts, and the new intent stays.
pub fn record(
    rollouts: &mut Vec<RolloutStatus>,
    before: &RolloutStatus,
    outcome: Option<&RolloutStatus>,
) -> bool {
    let same =
        |e: &RolloutStatus| e.kind == before.kind && e.name == before.name && e.uid == before.uid;
    let Some(index) = rollouts.iter().position(same) else {
        return false;
    };
    match outcome {
        None => {
            rollouts.remove(index);
            true
        }
        Some(outcome) => {
            let merged = merge(&rollouts[index], before, outcome);
            let changed = merged != rollouts[index];
            rollouts[index] = merged;
            changed
        }
    }
}

/// True when a step has brought a workload's rollout to its end, well or not.
pub fn has_ended(before: &RolloutStatus, after: &RolloutStatus) -> bool {
    let open = matches!(
        before.state,
        RolloutState::Pending
            | RolloutState::Progressing
            | RolloutState::RollingBack
            | RolloutState::AlreadyUnhealthy
    );
    let over = matches!(
        after.state,
        RolloutState::Healthy
            | RolloutState::Held
            | RolloutState::RolledBack
            | RolloutState::RollbackFailed
            | RolloutState::Superseded
    );
    open && over
}

fn merge(
    current: &RolloutStatus,
    before: &RolloutStatus,
    outcome: &RolloutStatus,
) -> RolloutStatus {
    if current.wanted == before.wanted {
        return outcome.clone();
    }
    let mut merged = RolloutStatus {
        wanted: current.wanted.clone(),
        ..outcome.clone()
    };
    // A verdict on the old intent says nothing of the new one.
    let verdict = matches!(
        outcome.state,
        RolloutState::Healthy
            | RolloutState::Superseded
            | RolloutState::RollingBack
            | RolloutState::RolledBack
            | RolloutState::RollbackFailed
    );
    if verdict {
        merged.state = current.state;
        merged.message.clone_from(&current.message);
        merged.failed_revision.clone_from(&current.failed_revision);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{super::testing::entry, *};
    use RolloutState as S;

    #[test]
    fn a_rollout_ends_once() {
        for (before, after, expected) in [
            (S::Progressing, S::Healthy, true),
            (S::Progressing, S::Held, true),
            (S::Progressing, S::RollingBack, false),
            (S::RollingBack, S::RolledBack, true),
            (S::RollingBack, S::RollbackFailed, true),
            (S::Pending, S::Superseded, true),
            (S::Pending, S::Progressing, false),
            (S::Pending, S::Skipped, false),
            (S::AlreadyUnhealthy, S::Healthy, true),
            (S::Held, S::Healthy, false),
            (S::Healthy, S::Healthy, false),
        ] {
            let entry = |state| entry("a", "b", "b", state);
            let ended = has_ended(&entry(before), &entry(after));
            assert_eq!(ended, expected, "{before:?} {after:?}");
        }
    }
}
