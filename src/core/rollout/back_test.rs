//! The way back, and what leads to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{super::Finding, cause::ContainerReport, step::*, testing::*, workload::Markers, *};
use crate::api::{
    Reason,
    binding::OnFailure::{self, Hold, Rollback},
    status::{
        RolloutState::{
            self, AlreadyUnhealthy, Healthy, Held, Pending, Progressing, RollbackFailed,
            RolledBack, RollingBack,
        },
        RolloutStatus,
    },
};

const OTHER: &str = "rollout.keyferry.dev/db";

fn claim(entry: &RolloutStatus, on_failure: OnFailure, turn: Turn) -> Claim<'_> {
    Claim {
        min_interval: Duration::from_secs(30),
        on_failure,
        turn,
        bad: Some((at(100), at(200))),
        ..testing::claim(entry)
    }
}

fn look(pods: &[PodInfo]) -> Look<'_> {
    Look {
        progress: None,
        pods: Some(pods),
        ..Look::default()
    }
}

/// The marker `b` went out at second 3.
fn sent(state: RolloutState) -> RolloutStatus {
    RolloutStatus {
        started_at: Some(Time(at(3))),
        template_hash: "t1".into(),
        ..entry("a", "b", "b", state)
    }
}

/// On the way back from `b` to `wanted`.
fn going_back(delivered: &str, wanted: &str) -> RolloutStatus {
    RolloutStatus {
        delivered: delivered.into(),
        wanted: wanted.into(),
        failed_revision: "b".into(),
        message: "It failed; the previous value is being restored.".into(),
        ..sent(RollingBack)
    }
}

fn crashing(name: &str, marker: Option<&str>) -> PodInfo {
    PodInfo {
        name: name.into(),
        uid: format!("uid-{name}"),
        containers: vec![ContainerReport {
            name: "app".into(),
            waiting: "CrashLoopBackOff".into(),
            exit_code: Some(1),
            restarts: 3,
            ..ContainerReport::default()
        }],
        ..pod(110, 120, marker)
    }
}

fn after(step: &Step) -> &RolloutStatus {
    step.entries[0].1.as_ref().unwrap()
}

#[test]
fn a_failure_needs_the_pods_and_goes_back_only_if_the_value_is_to_blame() {
    let known = sent(Progressing);
    let failed = exceeded(marked("b"));
    let step_with = |pods: Option<&[PodInfo]>, on_failure| {
        let look = Look {
            progress: None,
            pods,
            ..Look::default()
        };
        step(
            Some(&failed),
            &[claim(&known, on_failure, Turn::Now)],
            look,
            at(51),
        )
    };
    let blind = step_with(None, Rollback);
    assert!(blind.needs_pods && after(&blind) == &known);

    let pods = [crashing("new", Some("b"))];
    let back = step_with(Some(&pods), Rollback);
    assert_eq!(after(&back).state, RollingBack);
    assert_eq!(after(&back).failed_revision, "b");
    assert_eq!(
        after(&back).message,
        "Deployment/ai did not become healthy in 48s (container app CrashLoopBackOff, exit code 1, 3 restarts); the previous value is being restored."
    );
    assert_eq!(back.apply, None, "the bytes come first");

    let held = step_with(Some(&pods), Hold);
    assert_eq!(after(&held).state, Held);
    assert!(after(&held).message.contains("Nothing was undone."));

    let full = PodInfo {
        unscheduled: "Unschedulable".into(),
        ..pod(110, 120, Some("b"))
    };
    for pods in [vec![], vec![full]] {
        let held = step_with(Some(&pods), Rollback);
        assert_eq!(
            (after(&held).state, after(&held).failed_revision.as_str()),
            (Held, "")
        );
        assert!(
            after(&held)
                .message
                .contains("Not rolled back: the value is not the cause.")
        );
    }
}

#[test]
fn bindings_that_share_a_workload_go_back_together_or_not_at_all() {
    let mut failed = exceeded(marked("b"));
    failed.markers.insert(OTHER.into(), "y".into());
    let mut new = crashing("new", Some("b"));
    new.markers.insert(OTHER.into(), "y".into());
    let (one, two) = (
        sent(Progressing),
        RolloutStatus {
            delivered: "y".into(),
            wanted: "y".into(),
            ..sent(Progressing)
        },
    );
    for (second, expected) in [(Rollback, RollingBack), (Hold, Held)] {
        let other = Claim {
            key: OTHER,
            binding: "db",
            ..claim(&two, second, Turn::Now)
        };
        let both = [claim(&one, Rollback, Turn::Now), other];
        let step = step(
            Some(&failed),
            &both,
            look(std::slice::from_ref(&new)),
            at(51),
        );
        let states: Vec<_> = step
            .entries
            .iter()
            .map(|(_, e)| e.as_ref().unwrap().state)
            .collect();
        assert_eq!(states, [expected, expected], "{second:?}");
    }
}

#[test]
fn until_the_bytes_are_back_nothing_is_done() {
    let waits = going_back("b", "b");
    let claims = [claim(
        &waits,
        Rollback,
        Turn::Stopped("Deployment/ai".into()),
    )];
    let w = exceeded(marked("b"));
    assert!(step(Some(&w), &claims, Look::default(), at(60)).is_idle(&claims));
    // The intent is recorded, the Secret is not written yet.
    let early = going_back("b", "a");
    let claims = [Claim {
        secret_holds_wanted: false,
        bad: None,
        ..claim(&early, Rollback, Turn::Back)
    }];
    assert!(step(Some(&w), &claims, Look::default(), at(60)).is_idle(&claims));
}

#[test]
fn the_marker_goes_at_once_and_the_original_pods_are_waited_for() {
    let back = going_back("b", "a");
    let claims = [claim(&back, Rollback, Turn::Back)];
    let w = exceeded(marked("b"));
    let old = pod(0, 1, None);
    // Neither coalescing nor minInterval is waited for.
    let step_now = step(
        Some(&w),
        &claims,
        look(&[old.clone(), crashing("new", Some("b"))]),
        at(4),
    );
    assert_eq!(step_now.apply, Some(Markers::new()));
    let sent = after(&step_now).clone();
    assert_eq!((sent.state, sent.delivered.as_str()), (RollingBack, "a"));
    assert_eq!(sent.message, back.message);

    let gone = rolling(deployment());
    let claims = [claim(&sent, Rollback, Turn::Back)];
    let waiting = step(
        Some(&gone),
        &claims,
        look(std::slice::from_ref(&old)),
        at(9),
    );
    assert_eq!(after(&waiting).state, RollingBack);
    let done = step(Some(&deployment()), &claims, look(&[old]), at(9));
    assert_eq!(after(&done).state, RolledBack);
    assert_eq!(
        after(&done).message,
        "It failed; the previous value was restored."
    );
}

#[test]
fn a_pod_of_before_that_started_with_the_bad_bytes_has_all_replaced() {
    let back = going_back("b", "a");
    let claims = [claim(&back, Rollback, Turn::Back)];
    let w = exceeded(marked("b"));
    let scaled_up = pod(150, 151, None);
    let reworded = step(
        Some(&w),
        &claims,
        look(std::slice::from_ref(&scaled_up)),
        at(210),
    );
    assert_eq!(after(&reworded).wanted, "a.2");
    assert_eq!(reworded.apply, None, "recorded before it is sent");
    let recorded = after(&reworded).clone();
    let claims = [claim(&recorded, Rollback, Turn::Back)];
    let sent = step(Some(&w), &claims, look(&[scaled_up]), at(211));
    assert_eq!(
        sent.apply,
        Some([(KEY.to_owned(), "a.2".to_owned())].into())
    );

    // One that was never sent the bad marker: its template stands for the old bytes as it is.
    let second = RolloutStatus {
        state: Pending,
        ..entry("a", "", "a", Pending)
    };
    let claims = [claim(&second, Rollback, Turn::Back)];
    let restarted = pod(0, 130, None);
    let step_two = step(Some(&deployment()), &claims, look(&[restarted]), at(210));
    assert_eq!(after(&step_two).wanted, "a.2");
    let fine = step(
        Some(&deployment()),
        &claims,
        look(&[pod(0, 1, None)]),
        at(210),
    );
    assert_eq!(
        (after(&fine).state, after(&fine).wanted.as_str()),
        (Healthy, "a")
    );
    assert!(step(Some(&deployment()), &claims, Look::default(), at(210)).needs_pods);
}

#[test]
fn a_pod_made_after_the_bytes_were_back_is_not_replaced_though_clocks_cannot_tell() {
    let back = going_back("b", "a");
    let claims = [claim(&back, Rollback, Turn::Back)];
    let replaced = PodInfo {
        uid: "replaced".into(),
        ..pod(200, 201, None)
    };
    let wanted = |uids: &[&str]| {
        let uids = uids.iter().map(|uid| (*uid).to_owned()).collect();
        let suspects = [("ai".to_owned(), uids)].into();
        let look = Look {
            suspects: Some(&suspects),
            ..look(std::slice::from_ref(&replaced))
        };
        let step = step(Some(&exceeded(marked("b"))), &claims, look, at(202));
        after(&step).wanted.clone()
    };
    assert_eq!(wanted(&["earlier"]), "a");
    assert_eq!(wanted(&["earlier", "replaced"]), "a.2");
}

#[test]
fn a_stateful_sets_stuck_pods_are_deleted_one_at_a_time() {
    let mut w = rolling(workload(Kind::StatefulSet, "ai"));
    w.numbers.updated = 0;
    w.numbers.available = 1;
    let back = RolloutStatus {
        kind: "StatefulSet".into(),
        ..going_back("a", "a")
    };
    let claims = [claim(&back, Rollback, Turn::Back)];
    let ready = PodInfo {
        name: "ai-0".into(),
        ready: true,
        ..pod(0, 1, None)
    };
    let (one, two) = (crashing("ai-1", Some("b")), crashing("ai-2", Some("b")));
    let deleted = |pods: &[PodInfo]| {
        let step = step(Some(&w), &claims, look(pods), at(300));
        step.delete.map(|pod| pod.name)
    };
    assert_eq!(
        deleted(&[ready.clone(), one.clone(), two.clone()]).as_deref(),
        Some("ai-2")
    );
    let leaving = PodInfo {
        leaving: true,
        ..two
    };
    assert_eq!(deleted(&[ready.clone(), one, leaving]), None);
    assert_eq!(deleted(&[ready]), None);
    assert!(step(Some(&w), &claims, Look::default(), at(300)).needs_pods);
}

#[test]
fn a_stateful_set_that_never_failed_is_unstuck_on_the_way_back_too() {
    let mut w = rolling(workload(Kind::StatefulSet, "ai"));
    w.markers.insert(KEY.into(), "a.2".into());
    w.numbers.available = 2;
    let known = entry("a", "a.2", "a.2", Progressing);
    let pods = [
        single("ai-0", 1, true),
        single("ai-1", 1, true),
        single("ai-2", 150, false),
    ];
    // On the way forth a pod that takes its time is its controller's affair.
    for (turn, deleted) in [(Turn::Back, true), (Turn::Now, false)] {
        let claims = [claim(&known, Rollback, turn)];
        let blind = step(Some(&w), &claims, Look::default(), at(300));
        assert_eq!(blind.needs_pods, deleted);
        let step = step(Some(&w), &claims, look(&pods), at(300));
        assert_eq!(step.delete.as_ref(), deleted.then_some(&pods[2]));
        assert_eq!(after(&step).state, Progressing);
    }
}

/// A pod of a kind whose pods are replaced one by one.
fn single(name: &str, started: i64, ready: bool) -> PodInfo {
    PodInfo {
        name: name.into(),
        uid: format!("uid-{name}"),
        ready,
        ..pod(started, started, None)
    }
}

#[test]
fn where_single_pods_can_be_replaced_just_those_go_that_started_with_the_bad_bytes() {
    // Never sent the bad marker.
    let second = entry("a", "", "a", Pending);
    let claims = [claim(&second, Rollback, Turn::Back)];
    let (old, stale) = (single("ai-0", 1, true), single("ai-1", 150, true));
    let other = single("ai-2", 2, true);
    let unready = |pod: &PodInfo| PodInfo {
        ready: false,
        ..pod.clone()
    };
    let leaving = |pod: &PodInfo| PodInfo {
        leaving: true,
        ..pod.clone()
    };
    for kind in [Kind::StatefulSet, Kind::DaemonSet] {
        let w = workload(kind, "ai");
        for (pods, deleted) in [
            ([&old, &stale, &other].map(Clone::clone), Some("ai-1")),
            ([old.clone(), unready(&stale), other.clone()], Some("ai-1")),
            // Two less would be too few.
            ([old.clone(), stale.clone(), unready(&other)], None),
            ([old.clone(), stale.clone(), leaving(&other)], None),
            // The one that serves nobody first.
            (
                [single("ai-0", 150, false), stale.clone(), other.clone()],
                Some("ai-0"),
            ),
        ] {
            let step = step(Some(&w), &claims, look(&pods), at(210));
            let found = step.delete.as_ref().map(|pod| pod.name.as_str());
            assert_eq!(found, deleted, "{kind} {pods:?}");
            assert_eq!((after(&step).wanted.as_str(), &step.apply), ("a", &None));
            assert_ne!(after(&step).state, Healthy, "{kind} {pods:?}");
        }
        let fine = [old.clone(), single("ai-1", 3, true), other.clone()];
        let done = step(Some(&w), &claims, look(&fine), at(210));
        assert_eq!((after(&done).state, done.delete), (Healthy, None));
    }
}

#[test]
fn an_operator_that_cannot_know_when_a_pod_was_made_replaces_just_that_one() {
    let w = workload(Kind::DaemonSet, "ai");
    // The marker went, the one pod that had it was replaced, and the operator ended.
    let back = going_back("b", "a");
    let claims = [claim(&back, Rollback, Turn::Back)];
    let pods = [
        single("ai-0", 1, true),
        single("ai-1", 201, true),
        single("ai-2", 2, true),
    ];
    let doubts = step(Some(&w), &claims, look(&pods), at(202));
    assert_eq!(doubts.delete.as_ref(), Some(&pods[1]));
    assert_eq!(
        (after(&doubts).state, after(&doubts).wanted.as_str()),
        (RollingBack, "a")
    );
    // One that saw the bytes come back knows.
    let suspects = [("ai".to_owned(), ["uid-ai-0".to_owned()].into())].into();
    let knows = Look {
        suspects: Some(&suspects),
        ..look(&pods)
    };
    let done = step(Some(&w), &claims, knows, at(202));
    assert_eq!((after(&done).state, done.delete), (RolledBack, None));
}

#[test]
fn where_only_a_person_deletes_pods_none_is_deleted() {
    let mut w = workload(Kind::StatefulSet, "ai");
    w.strategy = super::workload::Strategy::OnDelete;
    let second = entry("a", "", "a", Pending);
    let claims = [claim(&second, Rollback, Turn::Back)];
    let step = step(
        Some(&w),
        &claims,
        look(&[single("ai-0", 150, true)]),
        at(210),
    );
    assert_eq!(
        (step.delete.as_ref(), after(&step).wanted.as_str()),
        (None, "a.2")
    );
}

#[test]
fn the_binding_is_woken_while_something_goes_back_and_once_more_when_it_is_there() {
    let (well, back) = (entry("a", "b", "b", Healthy), going_back("b", "b"));
    let there = sent(RolledBack);
    for (before, after, woken) in [
        (&well, [&well, &well], false),
        (&sent(Progressing), [&back, &well], true),
        (&well, [&back, &well], true),
        (&back, [&there, &well], true),
        (&there, [&there, &well], false),
    ] {
        let after = after.map(Clone::clone);
        assert_eq!(
            concerns_binding(before, &after),
            woken,
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn the_old_bytes_may_fail_too_and_recover_later() {
    let back = going_back("a", "a");
    let claims = [claim(&back, Rollback, Turn::Back)];
    let failed = exceeded(deployment());
    let pods = [PodInfo {
        started: Some(at(300)),
        ..crashing("old", None)
    }];
    let step_failed = step(Some(&failed), &claims, look(&pods), at(400));
    assert_eq!(after(&step_failed).state, RollbackFailed);
    assert!(
        after(&step_failed)
            .message
            .contains("with the previous value either")
    );
    let known = after(&step_failed).clone();
    let claims = [claim(&known, Rollback, Turn::Back)];
    let recovered = step(Some(&deployment()), &claims, look(&[]), at(500));
    assert_eq!(after(&recovered).state, RolledBack);
}

#[test]
fn one_that_was_unhealthy_before_goes_back_with_the_others_and_is_not_judged() {
    let known = entry("a", "b", "a", AlreadyUnhealthy);
    let claims = [claim(&known, Rollback, Turn::Back)];
    let mut failing = marked("b");
    failing.numbers.available = 0;
    let pods = [crashing("new", Some("b"))];
    let sent = step(Some(&failing), &claims, look(&pods), at(210));
    assert_eq!(sent.apply, Some(Markers::new()));
    assert_eq!(after(&sent).state, AlreadyUnhealthy);
    assert!(after(&sent).message.contains("unhealthy before the change"));

    let known = after(&sent).clone();
    let claims = [claim(&known, Rollback, Turn::Back)];
    let pods = [PodInfo {
        started: Some(at(300)),
        ..crashing("old", None)
    }];
    let w = exceeded(deployment());
    assert!(step(Some(&w), &claims, look(&pods), at(900)).is_idle(&claims));
    let done = step(Some(&deployment()), &claims, look(&[]), at(900));
    assert_eq!(after(&done).state, Healthy);

    // Well by now: what becomes of it is its way back's.
    let known = entry("a", "b", "a", AlreadyUnhealthy);
    let claims = [claim(&known, Rollback, Turn::Back)];
    let well = step(Some(&marked("b")), &claims, look(&[]), at(210));
    assert_eq!(after(&well).state, Progressing);
}

#[test]
fn one_that_went_back_with_another_and_fails_then_goes_no_further_back() {
    let known = RolloutStatus {
        delivered: "a".into(),
        wanted: "a".into(),
        ..sent(Progressing)
    };
    let claims = [claim(&known, Rollback, Turn::Back)];
    let pods = [PodInfo {
        started: Some(at(300)),
        ..crashing("old", None)
    }];
    let failed = step(Some(&exceeded(deployment())), &claims, look(&pods), at(400));
    assert_eq!(
        (
            after(&failed).state,
            after(&failed).failed_revision.as_str()
        ),
        (RollbackFailed, "")
    );
}

#[test]
fn one_held_for_another_cause_goes_back_when_the_value_turns_out_to_be_bad() {
    let known = sent(Held);
    let w = exceeded(marked("b"));
    let next = |known: &RolloutStatus, on_failure, pods: &[PodInfo]| {
        let claims = [claim(known, on_failure, Turn::Now)];
        step(Some(&w), &claims, look(pods), at(700))
    };
    let full = PodInfo {
        unscheduled: "Unschedulable".into(),
        ..pod(110, 120, Some("b"))
    };
    let held = next(&known, Rollback, &[full]);
    assert_eq!(after(&held).state, Held);
    assert_eq!(held.requeue_after, Some(Duration::from_secs(600)));
    let bad = [crashing("new", Some("b"))];
    let back = next(&known, Rollback, &bad);
    assert_eq!(
        (after(&back).state, after(&back).failed_revision.as_str()),
        (RollingBack, "b")
    );
    // Where nothing is to go back it stays as it is, and is not looked at again.
    let claims = [claim(&known, Hold, Turn::Now)];
    let idle = step(Some(&w), &claims, Look::default(), at(700));
    assert!(idle.is_idle(&claims) && idle.requeue_after.is_none());
    // Nor where the bytes of before are not kept any more: that was tried.
    let tried = RolloutStatus {
        failed_revision: "b".into(),
        ..known
    };
    let claims = [claim(&tried, Rollback, Turn::Now)];
    let idle = step(Some(&w), &claims, Look::default(), at(700));
    assert!(idle.is_idle(&claims) && idle.requeue_after.is_none());
    let well = step(Some(&marked("b")), &claims, look(&[]), at(700));
    assert_eq!(
        (after(&well).state, after(&well).failed_revision.as_str()),
        (Healthy, "")
    );
}

#[test]
fn whose_turn_it_is_not_says_what_it_waits_for() {
    let due = entry("a", "a", "b", Pending);
    for (turn, said) in [
        (
            Turn::After("Deployment/one".into()),
            "Deployment/ai is restarted when Deployment/one is healthy.",
        ),
        (
            Turn::Stopped("Deployment/one".into()),
            "Deployment/ai is not restarted: Deployment/one did not become healthy with this value.",
        ),
    ] {
        let step = step(
            Some(&deployment()),
            &[claim(&due, Hold, turn)],
            Look::default(),
            at(50),
        );
        assert_eq!(
            (step.apply.as_ref(), after(&step).message.as_str()),
            (None, said)
        );
        assert_eq!(after(&step).state, Pending);
    }
}

#[test]
fn restarts_keep_their_distance_and_the_windows_of_others() {
    let due = RolloutStatus {
        started_at: Some(Time(at(0))),
        ..entry("a", "a", "b", Pending)
    };
    let apply =
        |claims: &[Claim<'_>], now| step(Some(&deployment()), claims, Look::default(), at(now));
    let own = claim(&due, Hold, Turn::Now);
    let early = apply(std::slice::from_ref(&own), 29);
    assert_eq!(
        (early.apply.as_ref(), early.requeue_after),
        (None, Some(Duration::from_secs(1)))
    );
    assert!(apply(std::slice::from_ref(&own), 30).apply.is_some());

    // The longest of all bindings counts, and the window of one that does not change now.
    let quiet = entry("x", "x", "x", Healthy);
    let other = |min_interval: u64, opens: Option<Timestamp>| Claim {
        key: OTHER,
        binding: "db",
        min_interval: Duration::from_secs(min_interval),
        opens,
        ..claim(&quiet, Hold, Turn::Now)
    };
    let slow = apply(&[own.clone(), other(300, None)], 200);
    assert_eq!(slow.requeue_after, Some(Duration::from_secs(100)));
    let closed = apply(&[own.clone(), other(0, Some(at(500)))], 200);
    assert_eq!(
        (closed.apply.as_ref(), closed.requeue_after),
        (None, Some(Duration::from_secs(300)))
    );
    assert!(
        after(&closed)
            .message
            .contains("the window of binding \"db\" opens")
    );
    // In the middle of our own rollout it stays in the middle of it, and what turns back does not wait.
    let middle = RolloutStatus {
        started_at: Some(Time(at(0))),
        wanted: "c".into(),
        ..sent(Progressing)
    };
    let waits = apply(&[claim(&middle, Hold, Turn::Now)], 10);
    assert_eq!(
        (waits.apply.as_ref(), after(&waits).state),
        (None, Progressing)
    );
    let turned = RolloutStatus {
        wanted: "a".into(),
        ..middle
    };
    let w = rolling(marked("b"));
    let claims = [claim(&turned, Hold, Turn::Now)];
    assert!(
        step(Some(&w), &claims, Look::default(), at(10))
            .apply
            .is_some()
    );
    // Its own was open when its bytes were written.
    let begun = Claim {
        opens: Some(at(500)),
        ..own
    };
    assert!(apply(&[begun], 200).apply.is_some());
}

#[test]
fn pods_that_mount_the_secret_are_not_protected_by_order_or_rollback() {
    let mut w = deployment();
    w.mounted = ["ai".to_owned()].into();
    let rollout = |order, on_failure| crate::core::recipe::RolloutRecipe {
        targets: vec![],
        timeout: Duration::from_secs(600),
        order,
        on_failure,
        min_interval: Duration::ZERO,
        windows: vec![],
    };
    use crate::api::binding::RolloutOrder::{Parallel, Sequential};
    for (order, on_failure, secret, cautious) in [
        (Parallel, Hold, "ai", false),
        (Sequential, Hold, "ai", true),
        (Parallel, Rollback, "ai", true),
        (Sequential, Rollback, "other", false),
    ] {
        let recipe = rollout(order, on_failure);
        assert_eq!(
            !w.caution(secret, &recipe).is_empty(),
            cautious,
            "{order:?} {on_failure:?}"
        );
        if secret == "ai" {
            let mut entries = [entry("a", "a", "a", Healthy)];
            add_cautions(&mut entries, &[Consumer::Rolled(&w)], secret, &recipe);
            assert_eq!(!entries[0].message.is_empty(), cautious);
        }
    }
    // It is still said when the next rollout is over.
    let known = sent(Progressing);
    let cautious = Claim {
        caution: "Careful.".into(),
        ..claim(&known, Hold, Turn::Now)
    };
    let mut done = marked("b");
    done.mounted = ["ai".to_owned()].into();
    let step = step(Some(&done), &[cautious], Look::default(), at(60));
    assert_eq!(
        (after(&step).state, after(&step).message.as_str()),
        (Healthy, "Careful.")
    );
}

#[test]
fn what_is_kept_and_what_the_history_says_follow_from_the_entries() {
    use crate::core::annotations::RevisionOutcome::{Failed, Healthy as Well, Written};
    use RolloutState::{NextRun, NotFound, Skipped, Superseded};
    for (state, keeps, outcome_then) in [
        (Healthy, false, Well),
        (Pending, true, Written),
        (Progressing, true, Written),
        (Held, true, Failed),
        (RollingBack, true, Written),
        (RolledBack, false, Written),
        (RollbackFailed, true, Failed),
        (Superseded, true, Written),
        (AlreadyUnhealthy, false, Written),
        (Skipped, false, Written),
        (NextRun, false, Written),
        (NotFound, false, Written),
    ] {
        let one = [entry("a", "b", "b", state)];
        assert_eq!(
            (needs_previous(&one), outcome(&one)),
            (keeps, outcome_then),
            "{state:?}"
        );
    }
    let unsent = [entry("a", "a", "b", Healthy)];
    assert!(needs_previous(&unsent) && !needs_previous(&[]));
}

#[test]
fn what_bytes_are_restored_for_outlives_its_workload_until_they_are() {
    let mut anew = deployment();
    anew.uid = "uid-new".into();
    for (entry, holds_wanted, stays) in [
        (going_back("b", "b"), true, true),
        (going_back("b", "b"), false, false),
        (going_back("b", "a"), false, true),
        (going_back("b", "a"), true, false),
        (going_back("a", "a"), true, false),
        (sent(Progressing), true, false),
        (sent(RolledBack), true, false),
    ] {
        let said = Claim {
            secret_holds_wanted: holds_wanted,
            ..claim(&entry, Rollback, Turn::Back)
        };
        for workload in [None, Some(&anew)] {
            let step = step(
                workload,
                std::slice::from_ref(&said),
                Look::default(),
                at(60),
            );
            let expected = stays.then(|| entry.clone());
            assert_eq!(step.entries[0].1, expected, "{entry:?} {holds_wanted}");
            assert_eq!(
                (step.apply, step.delete, step.needs_pods),
                (None, None, false)
            );
        }
    }
}

#[test]
fn a_workload_that_goes_before_the_bytes_are_back_does_not_end_the_way_back() {
    let failed = going_back("b", "b");
    let plan = |consumers: &[Consumer<'_>], live: &'static str| {
        let change = Change {
            live: Some(live),
            next: "a",
            ..Change::default()
        };
        let previous = std::slice::from_ref(&failed);
        plan_intent(previous, consumers, KEY, &change, &Pods::new())
    };
    let stays = std::slice::from_ref(&failed);
    assert_eq!(plan(&[], "b"), stays);
    assert_eq!(plan(&[], "a"), []);
    let missing = [Consumer::Missing(Kind::Deployment, "ai")];
    assert_eq!(plan(&missing, "b"), stays);
    assert_eq!(plan(&missing, "a")[0].state, RolloutState::NotFound);
    // Its pods started with the bad bytes.
    let mut anew = deployment();
    anew.uid = "uid-new".into();
    let planned = plan(&[Consumer::Rolled(&anew)], "b");
    let [entry] = planned.as_slice() else {
        panic!("{planned:?}")
    };
    let words = (
        entry.uid.as_str(),
        entry.delivered.as_str(),
        entry.wanted.as_str(),
    );
    assert_eq!(words, ("uid-new", "b", "a"));
    assert_eq!(
        (entry.state, entry.failed_revision.as_str()),
        (RollingBack, "b")
    );
    assert_eq!(entry.message, failed.message);
    let claims = [claim(entry, Rollback, Turn::Back)];
    let pods = [crashing("new", None)];
    let sent = step(Some(&anew), &claims, look(&pods), at(60));
    assert_eq!(sent.apply, Some([(KEY.to_owned(), "a".to_owned())].into()));
    let planned = plan(&[Consumer::Rolled(&anew)], "a");
    assert_eq!((planned[0].state, planned.len()), (Healthy, 1));
}

#[test]
fn what_was_refused_is_said_no_longer_once_the_step_was_taken() {
    let finding = Finding::new(
        Reason::OperatorForbidden,
        "The operator may not patch it.",
        "",
    );
    let back = going_back("b", "a");
    let waits = forbidden::refused(&back, &finding).unwrap();
    let claims = [claim(&waits, Rollback, Turn::Back)];
    let taken = step(Some(&exceeded(marked("b"))), &claims, look(&[]), at(60));
    assert_eq!(taken.apply, Some(Markers::new()));
    assert_eq!(after(&taken).message, back.message);
}
