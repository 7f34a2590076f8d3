#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    super::{record::record, testing::*},
    *,
};
use crate::core::rollout::workload::{Kind, Strategy};

use RolloutState::{
    AlreadyUnhealthy, Healthy, Held, NotFound, Pending, Progressing, Skipped, Superseded,
};

const TIMEOUT: Duration = Duration::from_secs(600);

/// Nothing was looked at but the workload.
fn nothing() -> Look<'static> {
    Look::default()
}

fn one(
    workload: &Workload,
    entry: &RolloutStatus,
    now: i64,
) -> (Option<Markers>, RolloutStatus, Option<Duration>) {
    let look = Look {
        pods: Some(&[]),
        ..nothing()
    };
    let step = step(Some(workload), &[claim(entry)], look, at(now));
    let entry = step.entries.into_iter().next().unwrap().1.unwrap();
    (step.apply, entry, step.requeue_after)
}

fn markers(pairs: &[(&str, &str)]) -> Option<Markers> {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    Some(pairs.iter().map(own).collect())
}

/// The entry after the marker went out, as [`step`] records it.
fn sent(baseline: &str, revision: &str, state: RolloutState) -> RolloutStatus {
    RolloutStatus {
        template_hash: "t1".into(),
        started_at: Some(Time(at(3))),
        ..entry(baseline, revision, revision, state)
    }
}

#[test]
fn a_due_restart_sets_the_marker_and_records_it() {
    let due = entry("a", "a", "b", Pending);
    let (apply, after, requeue) = one(&deployment(), &due, 3);
    assert_eq!(apply, markers(&[(KEY, "b")]));
    assert_eq!(after, sent("a", "b", Progressing));
    assert_eq!(requeue, Some(TIMEOUT));
}

#[test]
fn nothing_due_nothing_done() {
    for w in [deployment(), rolling(deployment()), exceeded(deployment())] {
        let settled = entry("a", "a", "a", Healthy);
        assert_eq!(one(&w, &settled, 999), (None, settled, None));
    }
}

#[test]
fn the_marker_must_not_go_out_before_the_secret_holds_the_wanted_bytes() {
    let due = entry("a", "a", "b", Pending);
    let early = Claim {
        secret_holds_wanted: false,
        ..claim(&due)
    };
    let step = step(Some(&deployment()), &[early], nothing(), at(999));
    assert_eq!(step.apply, None);
    assert_eq!(step.entries, [("ai".to_owned(), Some(due))]);
}

#[test]
fn a_crash_after_the_marker_records_delivered_and_sends_no_second() {
    let due = entry("a", "a", "b", Pending);
    let (apply, after, _) = one(&rolling(marked("b")), &due, 3);
    assert_eq!(apply, None);
    assert_eq!(after, sent("a", "b", Progressing));
    // The same for the removal of a marker.
    let back = entry("a", "b", "a", Progressing);
    let (apply, after, _) = one(&rolling(deployment()), &back, 3);
    assert_eq!(apply, None);
    assert_eq!(after.delivered, "a");
    // And for a first-seen workload with an older pod: once.
    let late = entry("", "", "b", Pending);
    assert_eq!(one(&deployment(), &late, 3).0, markers(&[(KEY, "b")]));
    assert_eq!(one(&marked("b"), &late, 3).0, None);
}

#[test]
fn a_marker_that_is_missing_before_the_secret_is_written_was_not_removed_by_us() {
    let back = entry("a", "b", "a", Progressing);
    let early = Claim {
        secret_holds_wanted: false,
        ..claim(&back)
    };
    let step = step(Some(&deployment()), &[early], nothing(), at(9));
    assert_eq!(step.entries, [("ai".to_owned(), Some(back))]);
}

#[test]
fn an_intent_taken_back_whose_marker_never_went_out_restarts_nothing() {
    let taken_back = entry("a", "", "a", Pending);
    let (apply, after, _) = one(&deployment(), &taken_back, 3);
    assert_eq!(apply, None);
    assert_eq!((after.delivered.as_str(), after.state), ("a", Healthy));
    let (apply, ..) = one(&marked("b"), &taken_back, 3);
    assert_eq!(apply, markers(&[]), "it had gone out: back to the baseline");
}

#[test]
fn back_to_the_baseline_removes_the_marker_at_once_in_the_middle_of_our_rollout() {
    let back = entry("a", "b", "a", Progressing);
    let (apply, after, _) = one(&rolling(marked("b")), &back, 3);
    assert_eq!(apply, markers(&[]));
    assert_eq!(after, sent("a", "a", Progressing));
}

#[test]
fn a_new_intent_in_the_middle_moves_on() {
    for state in [Progressing, Held] {
        let next = entry("a", "b", "c", state);
        let (apply, after, _) = one(&rolling(marked("b")), &next, 3);
        assert_eq!(apply, markers(&[(KEY, "c")]), "{state:?}");
        assert_eq!(after, sent("a", "c", Progressing), "{state:?}");
    }
}

#[test]
fn several_bindings_changing_together_cause_one_restart() {
    let other = "rollout.keyferry.dev/db";
    let due = entry("a", "a", "b", Pending);
    let both = |second_seen: i64, holds: bool| {
        [
            claim(&due),
            Claim {
                binding: "db",
                key: other,
                seen_at: at(second_seen),
                secret_holds_wanted: holds,
                ..claim(&due)
            },
        ]
    };
    let w = deployment();
    // 3 s since the newest intent, written or not.
    for (seen, holds, now, left) in [(2, true, 4, 1), (2, false, 4, 1), (14, true, 14, 1)] {
        let step = step(Some(&w), &both(seen, holds), nothing(), at(now));
        assert_eq!(step.apply, None, "{seen} {now}");
        assert_eq!(step.requeue_after, Some(Duration::from_secs(left)));
    }
    let together = step(Some(&w), &both(2, true), nothing(), at(5));
    assert_eq!(together.apply, markers(&[(other, "b"), (KEY, "b")]));
    assert!(
        together
            .entries
            .iter()
            .all(|(_, e)| e.as_ref().unwrap().delivered == "b")
    );
    // A Secret that is not written does not hold the other back, and its marker stays away.
    let alone = step(Some(&w), &both(2, false), nothing(), at(5));
    assert_eq!(alone.apply, markers(&[(KEY, "b")]));
    assert_eq!(alone.entries[1].1.as_ref().unwrap(), &due);
    // Intents that keep coming wait 15 s at most.
    assert!(
        step(Some(&w), &both(15, true), nothing(), at(15))
            .apply
            .is_some()
    );
}

#[test]
fn the_set_is_complete_also_with_markers_of_bindings_that_are_gone() {
    let mut w = marked("a");
    w.markers
        .insert("rollout.keyferry.dev/gone".into(), "x".into());
    let due = entry("z", "a", "b", Pending);
    let (apply, ..) = one(&w, &due, 3);
    assert_eq!(
        apply,
        markers(&[("rollout.keyferry.dev/gone", "x"), (KEY, "b")])
    );
}

#[test]
fn unhealthy_before_the_change_is_restarted_like_any_other_as_already_unhealthy() {
    let mut failing = deployment();
    failing.numbers.available = 2;
    for w in [failing, exceeded(deployment())] {
        let due = entry("a", "a", "b", Pending);
        let (apply, after, _) = one(&w, &due, 3);
        assert!(apply.is_some());
        assert_eq!(after.state, AlreadyUnhealthy);
        assert!(
            after
                .message
                .contains("Deployment/ai was unhealthy before the change")
        );
    }
    // A second change while it still is: at once, and unhealthy as before.
    let again = entry("a", "b", "c", AlreadyUnhealthy);
    let (apply, after, _) = one(&rolling(marked("b")), &again, 3);
    assert!(apply.is_some());
    assert_eq!(after.state, AlreadyUnhealthy);
    // It never turns into Held, and recovers.
    let known = sent("a", "b", AlreadyUnhealthy);
    assert_eq!(one(&exceeded(marked("b")), &known, 9999).1, known);
    assert_eq!(one(&marked("b"), &known, 9999).1.state, Healthy);
}

#[test]
fn somebody_elses_rollout_is_waited_for_at_most_timeout() {
    let due = entry("a", "a", "b", Pending);
    let w = rolling(deployment());
    let (apply, waiting, requeue) = one(&w, &due, 60);
    assert_eq!((apply, requeue), (None, Some(Duration::from_secs(540))));
    assert_eq!(waiting.state, Pending);
    assert_eq!(
        waiting.message,
        "Deployment/ai is in the middle of another rollout; it is restarted after that, at the latest 10m after the change."
    );
    assert_eq!(one(&w, &waiting, 120).1, waiting, "no write while it waits");
    let (apply, after, _) = one(&deployment(), &waiting, 120);
    assert!(apply.is_some());
    assert_eq!(after, sent_at(120, "b", Progressing));
    let (apply, after, _) = one(&w, &waiting, 600);
    assert!(apply.is_some());
    assert_eq!(after.state, AlreadyUnhealthy);
}

fn sent_at(second: i64, revision: &str, state: RolloutState) -> RolloutStatus {
    RolloutStatus {
        started_at: Some(Time(at(second))),
        ..sent("a", revision, state)
    }
}

#[test]
fn progressing_ends_healthy() {
    let known = sent("a", "b", Progressing);
    assert_eq!(one(&rolling(marked("b")), &known, 9).1, known);
    let (apply, after, requeue) = one(&marked("b"), &known, 9);
    assert_eq!((apply, requeue), (None, None));
    assert_eq!(after, sent("a", "b", Healthy));
}

#[test]
fn three_replicas_with_the_last_new_pod_unready_while_an_old_one_is_available_are_progressing() {
    let mut w = rolling(marked("b"));
    w.numbers.updated = 3;
    w.numbers.available = 3;
    w.numbers.replicas = 4;
    let known = sent("a", "b", Progressing);
    assert_eq!(one(&w, &known, 9).1.state, Progressing);
}

#[test]
fn held_on_progress_deadline_exceeded_or_timeout_and_healthy_when_it_recovers() {
    let known = sent("a", "b", Progressing);
    let held = one(&exceeded(marked("b")), &known, 9).1;
    assert_eq!(held.state, Held);
    assert!(held.message.contains("Deployment/ai did not become healthy (ProgressDeadlineExceeded; no new pod could be made: a quota or an admission rule): 1 of 3 pods updated, 3 available. Nothing was undone."));

    let slow = rolling(marked("b"));
    let progress = Progress::observe(None, &slow, at(100));
    let look = |entry: &RolloutStatus, now| {
        step(
            Some(&slow),
            &[claim(entry)],
            Look {
                progress: Some(&progress),
                pods: Some(&[]),
                ..Look::default()
            },
            at(now),
        )
    };
    let before = look(&known, 699);
    assert_eq!(before.entries[0].1.as_ref().unwrap().state, Progressing);
    assert_eq!(before.requeue_after, Some(Duration::from_secs(1)));
    let after = look(&known, 700).entries.remove(0).1.unwrap();
    assert_eq!(after.state, Held);
    assert!(after.message.contains("no progress in 10m"));
    assert_eq!(
        look(&after, 800).entries[0].1.as_ref(),
        Some(&after),
        "held, not written again"
    );

    for entry in [held, after] {
        assert_eq!(one(&marked("b"), &entry, 900).1, sent("a", "b", Healthy));
    }
}

#[test]
fn one_workload_has_one_budget_the_strictest_binding_wins() {
    let (one, two) = (sent("a", "b", Progressing), entry("a", "a", "a", Healthy));
    let strict = Claim {
        timeout: Duration::from_secs(30),
        key: "rollout.keyferry.dev/db",
        ..claim(&two)
    };
    let w = rolling(marked("b"));
    let progress = Progress::observe(None, &w, at(0));
    let step = step(
        Some(&w),
        &[claim(&one), strict],
        Look {
            progress: Some(&progress),
            pods: Some(&[]),
            ..Look::default()
        },
        at(30),
    );
    assert_eq!(step.entries[0].1.as_ref().unwrap().state, Held);
}

#[test]
fn template_changed_during_ours_is_superseded_until_all_pods_are_healthy() {
    for state in [Progressing, Held] {
        let known = sent("a", "b", state);
        let mut w = rolling(marked("b"));
        w.template_hash = "t2".into();
        let superseded = one(&w, &known, 9).1;
        assert_eq!(superseded.state, Superseded);
        assert!(
            superseded
                .message
                .contains("pod template of Deployment/ai was changed")
        );
        let mut failed = exceeded(marked("b"));
        failed.template_hash = "t2".into();
        assert_eq!(
            one(&failed, &superseded, 99).1,
            superseded,
            "not our failure"
        );
        let mut done = marked("b");
        done.template_hash = "t2".into();
        assert_eq!(one(&done, &superseded, 99).1.state, Healthy);
    }
}

#[test]
fn a_replace_that_drops_the_marker_during_ours_is_superseded_and_sends_no_second() {
    let known = sent("a", "b", Progressing);
    let mut w = rolling(deployment());
    w.template_hash = "t2".into();
    let (apply, after, _) = one(&w, &known, 9);
    assert_eq!((apply, after.state), (None, Superseded));
    let mut done = deployment();
    done.template_hash = "t2".into();
    let (apply, after, _) = one(&done, &after, 99);
    assert_eq!((apply, after.state), (None, Healthy));
    let (apply, after, _) = one(&done, &after, 100);
    assert_eq!((apply, after.baseline.as_str()), (None, "b"));
    assert_eq!(one(&done, &after, 101).1, after, "settled");
}

#[test]
fn an_undo_in_the_middle_is_told_and_not_fought() {
    for state in [Progressing, Held] {
        let known = sent("a", "b", state);
        let (apply, after, _) = one(&rolling(deployment()), &known, 9);
        assert_eq!((apply, after.state), (None, Superseded));
        assert!(
            after
                .message
                .contains("kubectl rollout restart deployment/ai -n estate")
        );
        assert_eq!(after.baseline, "");
        // The old pods are all back and healthy: that proves nothing.
        let (apply, later, _) = one(&deployment(), &after, 99);
        assert_eq!((apply, &later), (None, &after));
        // The advice was followed: the template differs and all pods are new.
        let mut restarted = deployment();
        restarted.template_hash = "t2".into();
        assert_eq!(one(&restarted, &later, 199).1.state, Healthy);
    }
}

#[test]
fn an_undo_after_a_complete_rollout_stays_healthy_and_sends_no_second() {
    let known = sent("a", "b", Healthy);
    let (apply, after, _) = one(&rolling(deployment()), &known, 9);
    assert_eq!(
        (apply, after.state, after.baseline.as_str()),
        (None, Healthy, "b")
    );
    assert_eq!(one(&deployment(), &after, 10), (None, after, None));
    let older = sent("z", "b", Healthy);
    assert_eq!(one(&rolling(marked("a")), &older, 9), (None, older, None));
}

#[test]
fn paused_and_on_delete_are_skipped_with_the_reason_and_restarted_later() {
    let due = entry("a", "a", "b", Pending);
    let mut paused = deployment();
    paused.paused = true;
    let mut on_delete = deployment();
    on_delete.strategy = Strategy::OnDelete;
    for w in [paused, on_delete] {
        let (apply, skipped, requeue) = one(&w, &due, 99);
        assert_eq!((apply, requeue, skipped.state), (None, None, Skipped));
        assert_eq!(skipped.message, w.skip_reason().unwrap());
        assert_eq!(one(&w, &skipped, 100).1, skipped);
        assert_eq!(one(&deployment(), &skipped, 101).0, markers(&[(KEY, "b")]));
    }
}

#[test]
fn paused_in_the_middle_is_skipped_and_goes_on_when_resumed() {
    let known = sent("a", "b", Progressing);
    let mut w = rolling(marked("b"));
    w.paused = true;
    let skipped = one(&w, &known, 9).1;
    assert_eq!(skipped.state, Skipped);
    w.paused = false;
    assert_eq!(one(&w, &skipped, 10).1, known);
    assert_eq!(one(&marked("b"), &skipped, 11).1, sent("a", "b", Healthy));
}

#[test]
fn opted_out_is_skipped_also_when_nothing_is_due() {
    let mut w = deployment();
    w.opted_out = true;
    for known in [entry("a", "a", "a", Healthy), entry("a", "a", "b", Pending)] {
        let (apply, after, _) = one(&w, &known, 99);
        assert_eq!((apply, after.state), (None, Skipped));
        assert_eq!(after.wanted, known.wanted);
    }
    let settled = one(&w, &entry("a", "a", "a", Healthy), 99).1;
    assert_eq!(
        one(&deployment(), &settled, 100).1,
        entry("a", "a", "a", Healthy)
    );
}

#[test]
fn partition_and_recreate_are_said() {
    let mut recreate = deployment();
    recreate.strategy = Strategy::Recreate;
    let due = entry("a", "a", "b", Pending);
    assert!(
        one(&recreate, &due, 3)
            .1
            .message
            .contains("all its pods stop before new ones start")
    );
    let mut partitioned = workload(Kind::StatefulSet, "ai");
    partitioned.partition = 2;
    partitioned.numbers.updated = 1;
    partitioned.markers.insert(KEY.into(), "b".into());
    let known = RolloutStatus {
        kind: "StatefulSet".into(),
        ..sent("a", "b", Progressing)
    };
    let done = one(&partitioned, &known, 9).1;
    assert_eq!(done.state, Healthy);
    assert!(done.message.contains("partition 2"));
}

#[test]
fn a_scaled_to_zero_workload_takes_the_marker_and_is_healthy() {
    let mut w = deployment();
    w.wanted = 0;
    w.numbers.replicas = 0;
    w.numbers.updated = 0;
    w.numbers.available = 0;
    let due = entry("a", "a", "b", Pending);
    assert_eq!(one(&w, &due, 3).0, markers(&[(KEY, "b")]));
    w.markers.insert(KEY.into(), "b".into());
    assert_eq!(one(&w, &sent("a", "b", Progressing), 4).1.state, Healthy);
}

#[test]
fn a_deleted_workloads_entry_is_dropped_a_missing_targets_stays() {
    let known = sent("a", "b", Progressing);
    let missing = entry("", "", "", NotFound);
    let claims = [claim(&known), claim(&missing)];
    let step_gone = step(None, &claims, nothing(), at(9));
    assert_eq!(step_gone.apply, None);
    assert_eq!(step_gone.entries[0].1, None);
    assert_eq!(step_gone.entries[1].1.as_ref(), Some(&missing));
    let mut recreated = deployment();
    recreated.uid = "uid-new".into();
    let due = entry("a", "a", "b", Pending);
    let step_new = step(Some(&recreated), &[claim(&due)], nothing(), at(9));
    assert_eq!((step_new.apply, &step_new.entries[0].1), (None, &None));
}

#[test]
fn an_outcome_meets_an_intent_that_has_moved_on() {
    let outcome = sent("a", "b", Progressing);
    let recorded = |current: RolloutStatus, outcome: &RolloutStatus| {
        let mut list = vec![entry("x", "x", "x", NotFound), current];
        list[0].name = "another".into();
        let changed = record(&mut list, outcome, Some(outcome));
        (changed, list.remove(1))
    };
    assert_eq!(
        recorded(entry("a", "a", "b", Pending), &outcome),
        (true, outcome.clone())
    );
    assert_eq!(
        recorded(outcome.clone(), &outcome),
        (false, outcome.clone())
    );
    // Taken back while the marker went out: the next step takes it off again.
    let (_, merged) = recorded(entry("a", "", "a", Pending), &outcome);
    assert_eq!(
        (
            merged.delivered.as_str(),
            merged.wanted.as_str(),
            merged.state
        ),
        ("b", "a", Progressing)
    );
    assert_eq!(one(&rolling(marked("b")), &merged, 9).0, markers(&[]));
    // Healthy with the old one says nothing of the new one.
    let (_, merged) = recorded(entry("a", "b", "c", Pending), &sent("a", "b", Healthy));
    assert_eq!((merged.delivered.as_str(), merged.state), ("b", Pending));
}

#[test]
fn an_outcome_about_another_object_is_not_recorded_and_one_that_went_goes() {
    let mut other = entry("a", "a", "b", Pending);
    other.uid = "uid-new".into();
    let outcome = sent("a", "b", Progressing);
    let mut list = vec![other.clone()];
    assert!(!record(&mut list, &outcome, Some(&outcome)));
    assert!(!record(&mut list, &outcome, None));
    assert_eq!(list, [other.clone()]);
    assert!(record(&mut list, &other, None));
    assert!(list.is_empty());
}

#[test]
fn a_step_is_idle_when_nothing_is_to_be_applied_or_recorded() {
    let idle = |w: Option<&Workload>, e: &RolloutStatus| {
        let claims = [claim(e)];
        step(w, &claims, nothing(), at(99)).is_idle(&claims)
    };
    let settled = sent("a", "b", Healthy);
    assert!(idle(Some(&marked("b")), &settled));
    assert!(!idle(Some(&marked("b")), &sent("a", "b", Progressing)));
    assert!(!idle(Some(&deployment()), &entry("a", "a", "b", Pending)));
    assert!(!idle(None, &settled));
}
