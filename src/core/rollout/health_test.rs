#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    super::{testing::*, workload::Strategy},
    *,
};

/// Kind, wanted, partition, replicas, updated, available, reason, healthy, rolling.
type Row = (Kind, i64, i64, i64, i64, i64, &'static str, bool, bool);

#[test]
fn health_counts_pods_of_the_current_template() {
    use Kind::{DaemonSet, Deployment, StatefulSet};
    let done = "NewReplicaSetAvailable";
    let busy = "ReplicaSetUpdated";
    let rows: [Row; 14] = [
        (Deployment, 3, 0, 3, 3, 3, done, true, false),
        // The last new pod is unready while an old one is still available.
        (Deployment, 3, 0, 4, 3, 3, busy, false, true),
        (Deployment, 3, 0, 3, 3, 2, busy, false, true),
        // A pod fails long after the rollout: unhealthy, nobody is rolling.
        (Deployment, 3, 0, 3, 3, 2, done, false, false),
        (Deployment, 3, 0, 3, 1, 3, busy, false, true),
        (Deployment, 0, 0, 0, 0, 0, done, true, false),
        (Deployment, 0, 0, 1, 0, 0, busy, false, true),
        (StatefulSet, 3, 0, 3, 3, 3, "", true, false),
        (StatefulSet, 3, 0, 3, 2, 3, "", false, true),
        (StatefulSet, 3, 0, 3, 3, 2, "", false, false),
        // A partition lowers the wanted count; the others must be available all the same.
        (StatefulSet, 3, 2, 3, 1, 3, "", true, false),
        (StatefulSet, 3, 2, 3, 1, 2, "", false, false),
        (DaemonSet, 2, 0, 2, 2, 2, "", true, false),
        (DaemonSet, 2, 0, 2, 1, 2, "", false, true),
    ];
    for (kind, wanted, partition, replicas, updated, available, reason, healthy, rolling) in rows {
        let mut w = workload(kind, "w");
        w.wanted = wanted;
        w.partition = partition;
        w.numbers.replicas = replicas;
        w.numbers.updated = updated;
        w.numbers.available = available;
        w.numbers.progressing_reason = reason.to_owned();
        let expected = if healthy {
            Health::Healthy
        } else {
            Health::Progressing { updated, available }
        };
        let row = format!("{kind} {wanted} {partition} {replicas} {updated} {available} {reason}");
        assert_eq!(health(&w), expected, "{row}");
        assert_eq!(is_rolling(&w), rolling, "{row}");
    }
}

#[test]
fn numbers_of_an_older_generation_prove_nothing() {
    for kind in Kind::ROLLED {
        let mut w = workload(kind, "w");
        w.generation = 2;
        assert!(matches!(health(&w), Health::Progressing { .. }), "{kind}");
        assert!(is_rolling(&w), "{kind}");
    }
}

#[test]
fn progress_deadline_exceeded_ends_it_at_the_current_generation_only() {
    let mut w = exceeded(deployment());
    assert_eq!(
        health(&w),
        Health::Failed("ProgressDeadlineExceeded".into())
    );
    assert!(!is_rolling(&w));
    w.generation += 1;
    assert!(matches!(health(&w), Health::Progressing { .. }));
    assert!(is_rolling(&w));
}

#[test]
fn on_delete_paused_and_opted_out_are_skipped_with_the_reason() {
    let mut on_delete = workload(Kind::DaemonSet, "log");
    on_delete.strategy = Strategy::OnDelete;
    let mut paused = deployment();
    paused.paused = true;
    let mut opted_out = deployment();
    opted_out.opted_out = true;
    for (w, word) in [
        (on_delete, "OnDelete"),
        (paused, "paused"),
        (opted_out, "keyferry.dev/rollout"),
    ] {
        let Health::Skipped(message) = health(&w) else {
            panic!("{word}: not skipped");
        };
        assert!(
            message.contains(word) && message.contains(&w.label()),
            "{message}"
        );
    }
}

#[test]
fn timeout_counts_from_the_last_progress() {
    let w = rolling(deployment());
    let minute = Duration::from_secs(60);
    let first = Progress::observe(None, &w, at(0));
    let same = Progress::observe(Some(first), &w, at(50));
    assert_eq!(same.left(minute, at(50)), Some(Duration::from_secs(10)));
    assert_eq!(same.left(minute, at(60)), None);
    let mut moved = w;
    moved.numbers.available -= 1;
    let moved = Progress::observe(Some(same), &moved, at(50));
    assert_eq!(moved.left(minute, at(60)), Some(Duration::from_secs(50)));
}

/// Generation, updated and available pods of each look, and when the last progress was after it.
#[test]
fn what_was_seen_before_is_no_progress() {
    let cases: [(&str, &[_]); 4] = [
        (
            "a pod that is ready for a moment, again and again",
            &[(2, 1, 3, 0), (2, 1, 4, 10), (2, 1, 3, 10), (2, 1, 4, 10)],
        ),
        (
            "a watch that is behind, and fresh looks between",
            &[(2, 3, 3, 0), (2, 1, 3, 10), (2, 3, 3, 10), (2, 1, 3, 10)],
        ),
        (
            "a watch that still shows the template of before",
            &[(1, 3, 3, 0), (2, 1, 3, 10), (1, 3, 3, 10), (2, 1, 3, 10)],
        ),
        (
            "pods of which one after the other comes back",
            &[(2, 3, 0, 0), (2, 3, 1, 10), (2, 3, 2, 20), (3, 3, 2, 30)],
        ),
    ];
    for (what, looks) in cases {
        let mut progress = None;
        for (i, (generation, updated, available, last)) in (0..).zip(looks) {
            let mut w = rolling(deployment());
            w.generation = *generation;
            w.numbers.updated = *updated;
            w.numbers.available = *available;
            let seen = Progress::observe(progress, &w, at(i * 10));
            assert_eq!(seen.at, at(*last), "{what}: look {i}");
            progress = Some(seen);
        }
        let mut another = rolling(deployment());
        another.uid = "another".into();
        another.generation = 1;
        let anew = Progress::observe(progress, &another, at(90));
        assert_eq!(anew.at, at(90), "{what}: another object of the name");
    }
}
