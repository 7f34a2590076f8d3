#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{super::testing::entry, *};

use RolloutState::{
    AlreadyUnhealthy, Healthy, Held, NextRun, NotFound, Pending, Progressing, RollbackFailed,
    RolledBack, RollingBack, Skipped, Superseded,
};

fn entries(states: &[RolloutState]) -> Vec<RolloutStatus> {
    states
        .iter()
        .enumerate()
        .map(|(i, state)| {
            let mut entry = entry("a", "b", "b", *state);
            entry.name = format!("w{i}");
            if !matches!(state, Healthy | Progressing | Pending) {
                entry.message = format!("w{i} says why.");
            }
            entry
        })
        .collect()
}

#[test]
fn one_phrase_and_one_condition_with_the_most_important_fact() {
    let rows: [(&[RolloutState], &str, &str, Reason); 16] = [
        (
            &[RollingBack, Held],
            "RollingBack 0/2",
            "Unknown",
            Reason::Progressing,
        ),
        (
            &[RolledBack, Healthy],
            "RolledBack 1/2",
            "False",
            Reason::RolledBack,
        ),
        (
            &[RolledBack, RollbackFailed],
            "RollbackFailed 0/2",
            "False",
            Reason::RollbackFailed,
        ),
        (&[Healthy, Healthy], "Healthy 2/2", "True", Reason::Synced),
        (&[], "Healthy 0/0", "True", Reason::Synced),
        (
            &[Healthy, NextRun, Skipped],
            "Healthy 1/1",
            "True",
            Reason::Synced,
        ),
        (
            &[Healthy, Progressing],
            "Progressing 1/2",
            "Unknown",
            Reason::Progressing,
        ),
        (
            &[Pending, Progressing],
            "Progressing 0/2",
            "Unknown",
            Reason::Progressing,
        ),
        (
            &[Pending, Healthy],
            "Pending 1/2",
            "Unknown",
            Reason::Progressing,
        ),
        (&[Healthy, Held], "Held 1/2", "False", Reason::Held),
        (&[Progressing, Held], "Held 0/2", "False", Reason::Held),
        (
            &[Healthy, NotFound],
            "NotFound 1/2",
            "False",
            Reason::TargetNotFound,
        ),
        (
            &[Healthy, AlreadyUnhealthy],
            "AlreadyUnhealthy 1/2",
            "Unknown",
            Reason::AlreadyUnhealthy,
        ),
        (
            &[Healthy, Superseded],
            "Superseded 1/2",
            "Unknown",
            Reason::Superseded,
        ),
        (
            &[Superseded, Pending],
            "Superseded 0/2",
            "Unknown",
            Reason::Superseded,
        ),
        (&[Skipped], "Healthy 0/0", "True", Reason::Synced),
    ];
    for (states, text, status, reason) in rows {
        let summary = summarize("ai", &entries(states), None);
        let rolled_out = summary.rolled_out.unwrap();
        assert_eq!(summary.text, text);
        assert_eq!(rolled_out.status_word(), status, "{text}");
        assert_eq!(rolled_out.reason, reason, "{text}");
        assert!(!rolled_out.message.is_empty(), "{text}");
    }
}

#[test]
fn a_right_that_is_missing_is_more_important_than_how_far_a_workload_is() {
    let mut waits = entries(&[Healthy, RollingBack, Held]);
    waits[1].message = "Deployment/w1 waits: The operator may not patch deployments.".to_owned();
    let summary = summarize("ai", &waits, None);
    assert_eq!(summary.text, "RollingBack 1/3");
    let rolled_out = summary.rolled_out.unwrap();
    assert_eq!(
        (rolled_out.status_word(), rolled_out.reason),
        ("False", Reason::OperatorForbidden)
    );
    assert_eq!(
        rolled_out.message,
        "Deployment/w1 waits: The operator may not patch deployments. 1 of 3 workloads run with the current value."
    );
}

#[test]
fn without_rollout_the_column_says_off_and_the_condition_is_absent() {
    assert_eq!(Summary::off().text, "Off");
    assert_eq!(Summary::off().rolled_out, None);
}

#[test]
fn too_many_targets_roll_none_and_say_so() {
    let summary = summarize("ai", &[], Some(TooManyTargets { count: 612 }));
    assert_eq!(summary.text, "TooManyTargets 612");
    let rolled_out = summary.rolled_out.unwrap();
    assert_eq!(rolled_out.status, Some(false));
    assert_eq!(rolled_out.reason, Reason::TooManyTargets);
    assert!(
        rolled_out
            .message
            .contains("612 workloads use Secret \"ai\"")
    );
}

#[test]
fn messages_name_the_object_and_how_many_others() {
    let message = |states: &[RolloutState]| {
        summarize("ai", &entries(states), None)
            .rolled_out
            .unwrap()
            .message
    };
    assert_eq!(
        message(&[Healthy, Held, Held, Held]),
        "w1 says why. So with 2 more. 1 of 4 workloads run with the current value."
    );
    assert_eq!(
        message(&[Progressing]),
        "Deployment/w0 is replacing its pods. 0 of 1 workloads run with the current value."
    );
    assert_eq!(
        message(&[Healthy, Healthy, NextRun, Skipped]),
        "2 workloads run with the bytes of Secret \"ai\". 1 CronJob or Job takes them at the next run. 1 skipped, see status.rollouts."
    );
    assert_eq!(message(&[]), "No workload is restarted for Secret \"ai\".");
}
