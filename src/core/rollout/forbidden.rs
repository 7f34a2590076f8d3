//! A right that the operator lacks for the next step of a workload: its entry says so until the step was taken.
//!
//! The word stands behind whatever else the entry says, so that this is not lost.

use crate::{
    api::status::RolloutStatus,
    core::{Finding, rollout::is_rolling_back},
};

/// What it is known by.
const WAITS: &str = " waits: The operator may not ";

/// What the entry says while its next step is refused; None: it waits for none.
pub fn refused(entry: &RolloutStatus, finding: &Finding) -> Option<RolloutStatus> {
    let waits = entry.delivered != entry.wanted || is_rolling_back(entry);
    let mut next = granted(entry);
    let said = format!("{}/{} waits: {finding}", entry.kind, entry.name);
    next.message = match next.message.is_empty() {
        true => said,
        false => format!("{} {said}", next.message),
    };
    waits.then_some(next)
}

/// What it says otherwise.
pub fn granted(entry: &RolloutStatus) -> RolloutStatus {
    let mut next = entry.clone();
    let label = format!("{}/{}{WAITS}", entry.kind, entry.name);
    if let Some(at) = next.message.find(&label) {
        next.message.truncate(at);
        next.message.truncate(next.message.trim_end().len());
    }
    next
}

/// True while the next step is refused.
pub fn is_refused(entry: &RolloutStatus) -> bool {
    entry.message.contains(WAITS)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::entry, *};
    use crate::api::{
        Reason,
        status::RolloutState::{self, Healthy, Pending, RollingBack},
    };

    fn finding(verb: &str) -> Finding {
        let fact = format!("The operator may not {verb} deployments in namespace n: RBAC.");
        Finding::new(Reason::OperatorForbidden, fact, "Grant it.")
    }

    #[test]
    fn what_waits_for_a_right_says_so_beside_what_it_said_and_until_it_was_granted() {
        let rows: [(&str, &str, &str, RolloutState, bool); 4] = [
            ("", "a", "b", Pending, true),
            ("It failed.", "b", "b", RollingBack, true),
            ("It failed.", "b", "a", RollingBack, true),
            ("", "b", "b", Healthy, false),
        ];
        for (said, delivered, wanted, state, waits) in rows {
            let before = RolloutStatus {
                message: said.to_owned(),
                ..entry("a", delivered, wanted, state)
            };
            assert!(!is_refused(&before) && granted(&before) == before);
            let after = refused(&before, &finding("patch"));
            assert_eq!(after.is_some(), waits, "{state:?}");
            let Some(after) = after else { continue };
            assert!(is_refused(&after) && after.message.starts_with(said));
            let says = "Deployment/ai waits: The operator may not patch deployments in namespace n: RBAC. Grant it.";
            assert!(after.message.ends_with(says), "{}", after.message);
            assert_eq!(granted(&after), before);
            let other = refused(&after, &finding("get"));
            assert_eq!(
                other,
                refused(&before, &finding("get")),
                "one right at a time"
            );
        }
    }
}
