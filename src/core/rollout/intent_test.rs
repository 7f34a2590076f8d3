#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{super::testing::*, *};

use RolloutState::{
    AlreadyUnhealthy, Healthy, Held, NotFound, Pending, Progressing, Skipped, Superseded,
};

fn plan(
    previous: &[RolloutStatus],
    workload: &Workload,
    change: &Change<'_>,
    pods: Vec<PodInfo>,
) -> RolloutStatus {
    let pods = Pods::from([((workload.kind, workload.name.clone()), pods)]);
    let mut planned = plan_intent(previous, &[Consumer::Rolled(workload)], KEY, change, &pods);
    assert_eq!(planned.len(), 1);
    planned.remove(0)
}

/// The bytes go from `live` to `next`; the live ones were written at second 100.
fn to<'a>(live: &'a str, next: &'a str) -> Change<'a> {
    Change {
        live: Some(live),
        next,
        replaced_at: Some(at(100)),
        next_left_at: None,
    }
}

fn texts(entry: &RolloutStatus) -> (&str, &str, &str) {
    (&entry.baseline, &entry.delivered, &entry.wanted)
}

#[test]
fn no_restart_at_first_creation() {
    let first = Change {
        next: "a",
        ..Change::default()
    };
    // Pods that wait for the Secret are older than it, of course.
    let entry = plan(&[], &deployment(), &first, vec![pod(0, 0, None)]);
    assert_eq!(texts(&entry), ("a", "a", "a"));
    assert_eq!(entry.state, Healthy);
    assert!(pods_needed(&[], &[Consumer::Rolled(&deployment())], &first).is_empty());
}

#[test]
fn the_baseline_is_the_revision_of_the_live_bytes() {
    let entry = plan(&[], &deployment(), &to("a", "b"), vec![pod(200, 201, None)]);
    assert_eq!(texts(&entry), ("a", "a", "b"));
    assert_eq!(entry.state, Pending);
    assert_eq!(entry.uid, "uid-ai");
}

#[test]
fn restart_if_and_only_if_delivered_is_not_wanted() {
    let known = entry("a", "a", "a", Healthy);
    let unchanged = plan(
        std::slice::from_ref(&known),
        &deployment(),
        &to("a", "a"),
        vec![],
    );
    assert_eq!(unchanged, known, "equal bytes are no write");
    let changed = plan(&[known], &deployment(), &to("a", "b"), vec![]);
    assert_eq!(texts(&changed), ("a", "a", "b"));
    assert_eq!(changed.state, Pending);
}

#[test]
fn a_deleted_and_recreated_secret_with_equal_bytes_restarts_nothing_with_others_it_does() {
    let known = [entry("a", "b", "b", Healthy)];
    let again = |next| Change {
        next,
        ..Change::default()
    };
    assert_eq!(plan(&known, &marked("b"), &again("b"), vec![]), known[0]);
    let other = plan(&known, &marked("b"), &again("c"), vec![]);
    assert_eq!(texts(&other), ("a", "b", "c"));
}

#[test]
fn planning_the_same_intent_twice_changes_nothing() {
    let once = plan(
        &[entry("a", "a", "a", Healthy)],
        &deployment(),
        &to("a", "b"),
        vec![],
    );
    let twice = plan(
        std::slice::from_ref(&once),
        &deployment(),
        &to("a", "b"),
        vec![],
    );
    assert_eq!(once, twice);
    let after_the_write = plan(
        std::slice::from_ref(&once),
        &deployment(),
        &to("b", "b"),
        vec![],
    );
    assert_eq!(once, after_the_write);
}

#[test]
fn a_workload_first_seen_after_a_write_with_an_older_pod_is_restarted_once() {
    let change = to("b", "b");
    let w = deployment();
    assert_eq!(pods_needed(&[], &[Consumer::Rolled(&w)], &change), [&w]);
    for (created, restarted) in [(50, true), (104, true), (105, false), (300, false)] {
        let entry = plan(
            &[],
            &w,
            &change,
            vec![pod(400, 400, None), pod(created, 400, None)],
        );
        let expected = if restarted {
            ("", "", "b")
        } else {
            ("b", "b", "b")
        };
        assert_eq!(texts(&entry), expected, "pod created at {created}");
        assert_eq!(entry.state, if restarted { Pending } else { Healthy });
    }
    let never_replaced = Change {
        replaced_at: None,
        ..change
    };
    let entry = plan(&[], &w, &never_replaced, vec![pod(0, 0, None)]);
    assert_eq!(texts(&entry), ("b", "b", "b"));
}

#[test]
fn a_recreated_workload_starts_anew() {
    let mut old = entry("x", "b", "c", Progressing);
    old.uid = "uid-of-the-old-one".into();
    let old = [old];
    let entry = plan(
        &old,
        &deployment(),
        &to("c", "c"),
        vec![pod(200, 200, None)],
    );
    assert_eq!(texts(&entry), ("c", "c", "c"));
    assert_eq!(entry.state, Healthy);
    let entry = plan(
        &old,
        &deployment(),
        &to("c", "d"),
        vec![pod(200, 200, None)],
    );
    assert_eq!(texts(&entry), ("c", "c", "d"));
}

#[test]
fn back_to_the_baseline_wants_the_baseline() {
    for state in [Healthy, Progressing, Held] {
        let known = [entry("a", "b", "b", state)];
        // In the middle: one old pod that started before the change, one new pod.
        let pods = vec![pod(0, 1, None), pod(110, 111, Some("b"))];
        let entry = plan(&known, &marked("b"), &to("b", "a"), pods);
        assert_eq!(texts(&entry), ("a", "b", "a"), "{state:?}");
        assert_eq!(marker::expected(&entry.baseline, &entry.wanted), None);
    }
}

#[test]
fn a_pod_that_started_between_the_two_writes_is_stale_then_the_marker_gets_a_suffix() {
    let known = [entry("a", "b", "b", Progressing)];
    let change = to("b", "a");
    let w = marked("b");
    assert_eq!(pods_needed(&known, &[Consumer::Rolled(&w)], &change), [&w]);
    // Scaled up on the original ReplicaSet, or its container restarted, while the Secret held b.
    let entry = plan(
        &known,
        &w,
        &change,
        vec![pod(0, 100, None), pod(110, 111, Some("b"))],
    );
    assert_eq!(texts(&entry), ("a", "b", "a.2"));
    // The Secret's history tells better than the last write when `a` was left.
    let left_earlier = Change {
        next_left_at: Some(at(50)),
        ..change
    };
    let entry = plan(&known, &w, &left_earlier, vec![pod(0, 60, None)]);
    assert_eq!(entry.wanted, "a.2");
    let entry = plan(&known, &w, &left_earlier, vec![pod(0, 49, None)]);
    assert_eq!(entry.wanted, "a");
}

#[test]
fn a_new_intent_in_the_middle_moves_on_with_the_new_wanted() {
    for state in [Progressing, Held, AlreadyUnhealthy] {
        let entry = plan(
            &[entry("a", "b", "b", state)],
            &marked("b"),
            &to("b", "c"),
            vec![],
        );
        assert_eq!(texts(&entry), ("a", "b", "c"));
        assert_eq!(
            entry.state, state,
            "the workload loop must know what is under way"
        );
    }
    let entry = plan(
        &[entry("a", "b", "b", Superseded)],
        &marked("b"),
        &to("b", "c"),
        vec![],
    );
    assert_eq!(entry.state, Pending);
}

#[test]
fn a_marker_that_went_out_unrecorded_is_recorded_by_the_next_intent() {
    // The intent a -> b, Secret and marker written, then a crash; meanwhile AWS says a again.
    let known = [entry("a", "a", "b", Pending)];
    let entry = plan(&known, &marked("b"), &to("b", "a"), vec![pod(0, 1, None)]);
    assert_eq!(texts(&entry), ("a", "b", "a"));
    assert_eq!(entry.state, Progressing);
}

#[test]
fn an_intent_taken_back_leaves_open_what_the_template_stands_for() {
    // The marker b may be on its way while we plan.
    let known = [entry("a", "a", "b", Pending)];
    let entry = plan(&known, &deployment(), &to("b", "a"), vec![pod(0, 1, None)]);
    assert_eq!(texts(&entry), ("a", "", "a"));
    // Pods that started meanwhile run with b: a restart after all.
    let stale = plan(
        &known,
        &deployment(),
        &to("b", "a"),
        vec![pod(0, 120, None)],
    );
    assert_eq!(texts(&stale), ("a", "", "a.2"));
}

#[test]
fn an_intent_whose_secret_was_never_written_is_replaced_without_a_restart_for_it() {
    let known = [entry("a", "a", "b", Pending)];
    let entry = plan(&known, &deployment(), &to("a", "c"), vec![]);
    assert_eq!(texts(&entry), ("a", "a", "c"));
}

#[test]
fn an_undo_after_a_complete_rollout_makes_the_bare_template_stand_for_what_was_delivered() {
    // kubectl rollout undo took the marker b off; the pods it made run with b.
    let known = [entry("a", "b", "b", Healthy)];
    let back = plan(&known, &deployment(), &to("b", "a"), vec![]);
    assert_eq!(
        texts(&back),
        ("b", "b", "a"),
        "so going back to a is a restart"
    );
    assert_eq!(marker::expected(&back.baseline, &back.wanted), Some("a"));
}

#[test]
fn an_undo_in_the_middle_makes_the_bare_template_stand_for_nothing() {
    let known = [entry("a", "b", "b", Progressing)];
    let back = plan(&known, &deployment(), &to("b", "a"), vec![]);
    assert_eq!(texts(&back), ("", "b", "a"));
    assert_eq!(marker::expected(&back.baseline, &back.wanted), Some("a"));
}

#[test]
fn an_undo_to_an_older_marker_never_swallows_a_later_restart() {
    // baseline z, then a, then b; undo brought the marker a back though the pods run with b.
    let known = [entry("z", "b", "b", Healthy)];
    let again = plan(&known, &marked("a"), &to("b", "a"), vec![]);
    assert_eq!(texts(&again), ("z", "b", "a.2"));
    let next = plan(
        &[entry("z", "a.2", "a.2", Healthy)],
        &marked("a.2"),
        &to("a", "b"),
        vec![],
    );
    assert_eq!(next.wanted, "b");
    let same = entry("z", "a.2", "a.2", Healthy);
    assert_eq!(
        plan(
            std::slice::from_ref(&same),
            &marked("a.2"),
            &to("a", "a"),
            vec![]
        ),
        same
    );
}

#[test]
fn a_lost_status_is_rebuilt_from_the_marker() {
    let entry = plan(&[], &marked("b"), &to("b", "b"), vec![pod(0, 0, None)]);
    assert_eq!(texts(&entry), ("", "b", "b"));
    assert_eq!(entry.state, Progressing);
    // A template copied from elsewhere carries a marker that is not ours.
    let copied = plan(
        &[],
        &marked("q"),
        &to("b", "q"),
        vec![pod(200, 200, Some("q"))],
    );
    assert_eq!(texts(&copied), ("", "b", "q.2"));
}

#[test]
fn paused_on_delete_and_opted_out_are_skipped_but_remembered() {
    let mut paused = deployment();
    paused.paused = true;
    let known = [entry("a", "a", "a", Healthy)];
    assert_eq!(plan(&known, &paused, &to("a", "a"), vec![]), known[0]);
    let due = plan(&known, &paused, &to("a", "b"), vec![]);
    assert_eq!(texts(&due), ("a", "a", "b"));
    assert_eq!(due.state, Skipped);
    let mut opted_out = deployment();
    opted_out.opted_out = true;
    let entry = plan(&[], &opted_out, &to("a", "a"), vec![]);
    assert_eq!(entry.state, Skipped);
    assert!(entry.message.contains("keyferry.dev/rollout"));
}

#[test]
fn missing_targets_and_next_runs_are_entries_with_a_sentence() {
    let mut suspended = workload(Kind::CronJob, "nightly");
    suspended.paused = true;
    let (cron, job) = (
        workload(Kind::CronJob, "etl"),
        workload(Kind::Job, "migrate"),
    );
    let consumers = [
        Consumer::Missing(Kind::Deployment, "gone"),
        Consumer::NextRun(&cron),
        Consumer::NextRun(&suspended),
        Consumer::NextRun(&job),
    ];
    let planned = plan_intent(&[], &consumers, KEY, &to("a", "b"), &Pods::new());
    let seen: Vec<_> = planned
        .iter()
        .map(|e| (e.state, e.message.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (
                NotFound,
                "Deployment/gone does not exist. Create it, or take it out of rollout.targets; we notice at once."
            ),
            (
                RolloutState::NextRun,
                "CronJob/etl takes the value at its next run."
            ),
            (
                RolloutState::NextRun,
                "CronJob/nightly takes the value at its next run, after somebody resumes it."
            ),
            (
                RolloutState::NextRun,
                "Job/migrate takes the value with its next pod."
            ),
        ]
    );
    let again = plan_intent(&planned, &consumers, KEY, &to("b", "c"), &Pods::new());
    assert_eq!(planned, again, "a new revision is no write for them");
}

#[test]
fn entries_of_workloads_that_no_longer_use_the_secret_go() {
    let known = [entry("a", "b", "b", Progressing)];
    assert!(plan_intent(&known, &[], KEY, &to("b", "b"), &Pods::new()).is_empty());
}
