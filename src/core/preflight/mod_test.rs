#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::core::revision::INSTALL_KEY_LEN;

fn record(job: &str, outcome: Outcome) -> PreflightStatus {
    PreflightStatus {
        candidate: "k3v9q2aaaaaaaaaa".to_owned(),
        job: job.to_owned(),
        outcome,
        ..PreflightStatus::default()
    }
}

#[test]
fn what_follows_from_the_record() {
    use Outcome as O;
    let asked = Some("token");
    let table = [
        (O::Passed, None, true, Next::Write),
        (O::Passed, asked, true, Next::Write),
        (O::Failed, None, false, Next::Refuse),
        (O::Failed, asked, false, Next::Start),
        (O::Unavailable, None, false, Next::Start),
        (O::Pending, None, true, Next::Wait),
        (O::Running, asked, true, Next::Wait),
        (O::Pending, None, false, Next::Start),
        (O::Running, None, false, Next::Start),
    ];
    for (outcome, refresh, there, wanted) in table {
        let record = record("a", outcome);
        assert_eq!(
            next(Some(&record), "a", refresh, there),
            wanted,
            "{outcome:?}"
        );
        let other = next(Some(&record), "b", refresh, there);
        assert_eq!(other, Next::Start, "{outcome:?} of another candidate");
    }
    assert_eq!(next(None, "a", None, false), Next::Start);
}

#[test]
fn a_refresh_is_answered_by_one_run() {
    let mut answered = record("a", Outcome::Failed);
    answered.refresh = Some("one".to_owned());
    assert_eq!(next(Some(&answered), "a", Some("one"), false), Next::Refuse);
    assert_eq!(next(Some(&answered), "a", Some("two"), false), Next::Start);
    assert_eq!(next(Some(&answered), "a", None, false), Next::Refuse);
}

#[test]
fn a_jobs_name_stands_for_candidate_program_and_binding() {
    let key = InstallKey::new([7; INSTALL_KEY_LEN]);
    let recipe = PreflightRecipe::default();
    let name =
        |binding: &str, uid, candidate, recipe| job_name(&key, binding, uid, candidate, recipe);
    let one = name("ai", "u", "r1", &recipe);
    assert_eq!(one, name("ai", "u", "r1", &recipe));
    assert!(one.starts_with("ai-preflight-") && is_job(&one));
    let other = PreflightRecipe {
        args: vec!["x".to_owned()],
        ..recipe.clone()
    };
    for changed in [
        name("ai", "u", "r2", &recipe),
        name("ai", "v", "r1", &recipe),
        name("ai", "u", "r1", &other),
    ] {
        assert_ne!(changed, one);
    }
}

#[test]
fn the_name_of_any_binding_gives_one_that_a_label_can_hold() {
    let key = InstallKey::new([7; INSTALL_KEY_LEN]);
    let dotted = format!("{}.b", "a".repeat(39));
    for binding in ["a", &"a".repeat(63), &dotted] {
        let name = job_name(&key, binding, "u", "r", &PreflightRecipe::default());
        assert!(name.len() <= 63, "{name}");
        assert!(!name.contains(".-"), "{name}");
    }
}

#[test]
fn messages_say_what_and_why_and_the_cure() {
    let mut failed = record("a", Outcome::Failed);
    (failed.exit_code, failed.reason) = (Some(2), "Error".to_owned());
    let minute = Duration::from_secs(60);
    let finding = refused(&failed, minute);
    assert_eq!(finding.reason, Reason::PreflightFailed);
    assert!(finding.fact.contains("k3v9q2)") && finding.fact.contains("exit code 2 (Error)"));
    assert!(finding.cure.contains("keyferry.dev/refresh"));
    failed.exit_code = None;
    assert!(refused(&failed, minute).fact.contains("no end within 1m"));
    for (reason, cure) in [
        ("ErrImagePull", "postgres:17"),
        (NO_POD, "kubectl get events -n estate"),
        ("Unschedulable", "resources"),
        ("StartError", "command"),
        ("Evicted", "tried again"),
    ] {
        let mut record = record("a", Outcome::Unavailable);
        record.reason = reason.to_owned();
        let finding = unavailable(&record, "estate", "postgres:17");
        assert_eq!(finding.reason, Reason::PreflightUnavailable);
        assert!(finding.fact.contains(reason), "{reason}");
        assert!(finding.cure.contains(cure), "{reason}: {}", finding.cure);
    }
    let mut waits = record("a-job", Outcome::Pending);
    assert!(
        under_way(&waits, "estate", minute)
            .contains("is being started: Job estate/a-job, at most 1m")
    );
    waits.reason = "Unschedulable".to_owned();
    assert!(under_way(&waits, "estate", minute).contains("waits (Unschedulable)"));
    waits.outcome = Outcome::Running;
    assert!(under_way(&waits, "estate", minute).contains(") runs: "));
}
