//! Whose turn it is: the order of a binding's workloads, and the way back.

use super::marker;
use crate::api::{
    binding::RolloutOrder,
    status::{RolloutState, RolloutStatus},
};

/// Whether a workload may be restarted, as far as the binding's other workloads go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Now,
    /// After this one, by its label, has become healthy.
    After(String),
    /// Not with these bytes: this one did not become healthy with them.
    Stopped(String),
    /// It goes back to the previous bytes: nothing is waited for.
    Back,
}

/// The turn of entry `at` among a binding's entries.
pub fn turn(entries: &[RolloutStatus], at: usize, order: RolloutOrder) -> Turn {
    let Some(entry) = entries.get(at) else {
        return Turn::Now;
    };
    if let Some(failed) = entries.iter().find(|e| is_going_back(e)) {
        return match marker::revision_of(&entry.wanted) == failed.failed_revision {
            true => Turn::Stopped(label(failed)),
            false => Turn::Back,
        };
    }
    if order == RolloutOrder::Parallel {
        return Turn::Now;
    }
    let before = entries[..at].iter();
    before
        .filter_map(|earlier| match stand(earlier) {
            Stand::Passed => None,
            Stand::Open => Some(Turn::After(label(earlier))),
            Stand::Failed => Some(Turn::Stopped(label(earlier))),
        })
        .next()
        .unwrap_or(Turn::Now)
}

/// The previous bytes are being restored, or have been and nothing newer came.
fn is_going_back(entry: &RolloutStatus) -> bool {
    matches!(
        entry.state,
        RolloutState::RollingBack | RolloutState::RolledBack | RolloutState::RollbackFailed
    )
}

enum Stand {
    Passed,
    Open,
    Failed,
}

/// What an earlier workload means to those after it. One that was unhealthy before the change, or that is not
/// restarted at all, tells nothing of the value and holds nobody back.
fn stand(entry: &RolloutStatus) -> Stand {
    let delivered = entry.delivered == entry.wanted;
    match entry.state {
        RolloutState::Skipped | RolloutState::NextRun | RolloutState::NotFound => Stand::Passed,
        RolloutState::Healthy | RolloutState::AlreadyUnhealthy if delivered => Stand::Passed,
        RolloutState::Held
        | RolloutState::RollingBack
        | RolloutState::RolledBack
        | RolloutState::RollbackFailed => Stand::Failed,
        RolloutState::Healthy
        | RolloutState::AlreadyUnhealthy
        | RolloutState::Pending
        | RolloutState::Progressing
        | RolloutState::Superseded => Stand::Open,
    }
}

fn label(entry: &RolloutStatus) -> String {
    format!("{}/{}", entry.kind, entry.name)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::entry, *};
    use RolloutOrder::{Parallel, Sequential};
    use RolloutState as S;

    fn named(name: &str, state: S, delivered: &str, wanted: &str) -> RolloutStatus {
        RolloutStatus {
            name: name.into(),
            ..entry("a", delivered, wanted, state)
        }
    }

    fn second(first: RolloutStatus, order: RolloutOrder) -> Turn {
        turn(&[first, named("two", S::Pending, "a", "b")], 1, order)
    }

    #[test]
    fn the_next_one_waits_for_a_healthy_one_and_stops_at_a_failed_one() {
        let after = || Turn::After("Deployment/one".into());
        let stopped = || Turn::Stopped("Deployment/one".into());
        for (state, delivered, expected) in [
            (S::Healthy, "b", Turn::Now),
            (S::Healthy, "a", after()),
            (S::Pending, "a", after()),
            (S::Progressing, "b", after()),
            (S::Superseded, "b", after()),
            (S::Held, "b", stopped()),
            (S::AlreadyUnhealthy, "b", Turn::Now),
            (S::AlreadyUnhealthy, "a", after()),
            (S::Skipped, "a", Turn::Now),
            (S::NextRun, "", Turn::Now),
            (S::NotFound, "", Turn::Now),
        ] {
            let first = named("one", state, delivered, "b");
            assert_eq!(second(first.clone(), Sequential), expected, "{state:?}");
            assert_eq!(second(first, Parallel), Turn::Now, "{state:?}");
        }
        let alone = [named("one", S::Pending, "a", "b")];
        assert_eq!(turn(&alone, 0, Sequential), Turn::Now);
    }

    #[test]
    fn once_one_goes_back_none_goes_on_and_all_go_back_at_once() {
        for order in [Parallel, Sequential] {
            for state in [S::RollingBack, S::RolledBack, S::RollbackFailed] {
                let mut first = named("one", state, "b", "b");
                first.failed_revision = "b".into();
                let stopped = Turn::Stopped("Deployment/one".into());
                assert_eq!(second(first.clone(), order), stopped);
                first.wanted = "a".into();
                let back = [first, named("two", S::Pending, "", "a.2")];
                assert_eq!(turn(&back, 1, order), Turn::Back);
                assert_eq!(turn(&back, 0, order), Turn::Back);
            }
        }
    }
}
