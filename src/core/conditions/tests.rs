//! The table of states, row by row.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::core::rollout::RolledOut;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn finding(reason: Reason) -> Finding {
    Finding::new(reason, "Fact.", "Cure.")
}

fn pass(generation: i64, seconds: i64, outcome: Outcome<'_>) -> Pass<'_> {
    Pass {
        generation,
        outcome,
        now: at(seconds),
        stale_after: HOUR,
        next_try: Some(Duration::from_secs(40)),
        refresh: None,
        rollback: None,
    }
}

fn in_sync_at(revision: &str) -> Outcome<'static> {
    Outcome::InSync(InSync {
        identity: "arn:aws:sts::111122223333:assumed-role/r/s".to_owned(),
        secret: SecretStatus {
            name: "backend".to_owned(),
            revision: revision.to_owned(),
            key_count: 2,
            resource_version: "7".to_owned(),
        },
        sources: vec![SourceStatus::default()],
        note: String::new(),
        failover: None,
    })
}

fn served_by(region: &str) -> Outcome<'static> {
    match in_sync_at("r1") {
        Outcome::InSync(facts) => Outcome::InSync(InSync {
            failover: Some(region.to_owned()),
            ..facts
        }),
        other => other,
    }
}

#[test]
fn a_region_that_stands_in_is_told_with_the_time_it_began_and_forgotten_when_it_ends() {
    let first = after_pass(&synced(), &pass(1, 60, served_by("eu-west-1")));
    let failover = first.failover.clone().unwrap();
    assert_eq!(failover.region, "eu-west-1");
    let ready = |status: &Status| {
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
        ready.unwrap().message.clone()
    };
    let words = format!("Served by eu-west-1 since {}.", failover.since.0);
    assert!(ready(&first).ends_with(&words), "{}", ready(&first));
    let later = after_pass(&first, &pass(1, 600, served_by("eu-west-1")));
    assert_eq!(later, first, "no write for a clock");
    let other = after_pass(&first, &pass(1, 600, served_by("eu-west-2")));
    assert_ne!(other.failover.unwrap().since, failover.since);
    let back = after_pass(&first, &pass(1, 600, in_sync_at("r1")));
    assert_eq!(back.failover, None);
    assert!(!ready(&back).contains("Served by"));
}

fn synced() -> Status {
    after_pass(&Status::default(), &pass(1, 0, in_sync_at("r1")))
}

/// `Ready=True/Synced Synced=True/Synced`, in the order in which they are written.
fn shown(status: &Status) -> String {
    let one = |c: &Condition| format!("{}={}/{}", c.type_, c.status, c.reason);
    status
        .conditions
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

fn message(status: &Status, kind: &str) -> String {
    status
        .conditions
        .iter()
        .find(|c| c.type_ == kind)
        .unwrap()
        .message
        .clone()
}

#[test]
fn in_sync() {
    let status = synced();
    assert_eq!(shown(&status), "Ready=True/Synced Synced=True/Synced");
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.last_change_time, Some(Time(at(0))));
    assert_eq!(status.failing_since, None);
}

#[test]
fn a_second_success_changes_nothing_at_all() {
    let first = synced();
    assert_eq!(after_pass(&first, &pass(1, 300, in_sync_at("r1"))), first);
}

#[test]
fn first_sync_with_a_transient_error_is_reconciling_for_as_long_as_it_lasts() {
    let finding = finding(Reason::AwsUnavailable);
    let first = after_pass(&Status::default(), &pass(1, 0, Outcome::Failed(&finding)));
    let expected =
        "Ready=False/AwsUnavailable Synced=False/AwsUnavailable Reconciling=True/AwsUnavailable";
    assert_eq!(shown(&first), expected);
    let later = after_pass(&first, &pass(1, 9000, Outcome::Failed(&finding)));
    assert_eq!(shown(&later), expected);
    assert_eq!(message(&later, "Ready"), "Fact. Cure. Next try in 40s.");
}

#[test]
fn first_sync_with_an_error_for_a_person_stalls_after_the_grace() {
    let finding = finding(Reason::SecretNotFound);
    let first = after_pass(&Status::default(), &pass(1, 0, Outcome::Failed(&finding)));
    assert!(
        shown(&first).ends_with("Reconciling=True/SecretNotFound"),
        "{}",
        shown(&first)
    );
    let before = after_pass(&first, &pass(1, 119, Outcome::Failed(&finding)));
    assert!(shown(&before).ends_with("Reconciling=True/SecretNotFound"));
    let after = after_pass(&before, &pass(1, 120, Outcome::Failed(&finding)));
    assert_eq!(
        shown(&after),
        "Ready=False/SecretNotFound Synced=False/SecretNotFound Stalled=True/SecretNotFound"
    );
}

#[test]
fn a_new_generation_that_fails_leaves_ready_as_it_was() {
    let finding = finding(Reason::AccessNotAllowed);
    let first = after_pass(&synced(), &pass(2, 10, Outcome::Failed(&finding)));
    assert_eq!(
        shown(&first),
        "Ready=True/AccessNotAllowed Synced=False/AccessNotAllowed Reconciling=True/AccessNotAllowed"
    );
    assert_eq!(first.observed_generation, Some(2));
    let later = after_pass(&first, &pass(2, 130, Outcome::Failed(&finding)));
    assert!(
        shown(&later).ends_with("Stalled=True/AccessNotAllowed"),
        "{}",
        shown(&later)
    );
    let cured = after_pass(&later, &pass(2, 140, in_sync_at("r1")));
    assert_eq!(shown(&cured), "Ready=True/Synced Synced=True/Synced");
}

#[test]
fn failing_reads_keep_ready_until_stale_after_and_then_not() {
    let finding = finding(Reason::AwsUnavailable);
    let young = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&finding)));
    assert_eq!(
        shown(&young),
        "Ready=True/AwsUnavailable Synced=False/AwsUnavailable"
    );
    assert_eq!(young.failing_since, Some(Time(at(60))));
    assert_eq!(
        message(&young, "Ready"),
        "Fact. Cure. Last good value kept. Next try in 40s."
    );
    let still = after_pass(&young, &pass(1, 60 + 3599, Outcome::Failed(&finding)));
    assert_eq!(shown(&still), shown(&young));
    let stale = after_pass(&still, &pass(1, 60 + 3600, Outcome::Failed(&finding)));
    assert_eq!(
        shown(&stale),
        "Ready=False/Stale Synced=False/AwsUnavailable Stalled=True/Stale"
    );
    let longer = after_pass(&stale, &pass(1, 90_000, Outcome::Failed(&finding)));
    assert_eq!(shown(&longer), shown(&stale));
    let back = after_pass(&longer, &pass(1, 90_001, in_sync_at("r1")));
    assert_eq!(shown(&back), "Ready=True/Synced Synced=True/Synced");
    assert_eq!(back.failing_since, None);
}

#[test]
fn a_clock_that_jumps_back_makes_nothing_stale() {
    let finding = finding(Reason::AwsUnavailable);
    let young = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&finding)));
    let back = after_pass(&young, &pass(1, -90_000, Outcome::Failed(&finding)));
    assert_eq!(shown(&back), shown(&young));
}

#[test]
fn a_refused_candidate_never_grows_stale() {
    let finding = finding(Reason::PlaceholderFound);
    let status = after_pass(&synced(), &pass(1, 60, Outcome::Rejected(&finding)));
    assert_eq!(
        shown(&status),
        "Ready=True/CandidateRejected Synced=False/PlaceholderFound"
    );
    let later = after_pass(&status, &pass(1, 90_000, Outcome::Rejected(&finding)));
    assert_eq!(later, status);
}

#[test]
fn a_refused_candidate_after_an_outage_serves_the_last_good_value_again() {
    let outage = finding(Reason::AwsUnavailable);
    let failing = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&outage)));
    let stale = after_pass(&failing, &pass(1, 60 + 3600, Outcome::Failed(&outage)));
    let refused = finding(Reason::RuleBroken);
    let status = after_pass(&stale, &pass(1, 5000, Outcome::Rejected(&refused)));
    assert_eq!(
        shown(&status),
        "Ready=True/CandidateRejected Synced=False/RuleBroken"
    );
}

#[test]
fn before_a_first_sync_ready_carries_the_specific_word() {
    let finding = finding(Reason::RequiredMissing);
    let status = after_pass(&Status::default(), &pass(1, 0, Outcome::Rejected(&finding)));
    assert_eq!(
        shown(&status),
        "Ready=False/RequiredMissing Synced=False/RequiredMissing Reconciling=True/RequiredMissing"
    );
}

#[test]
fn suspended_keeps_what_was_and_takes_the_pressure_off() {
    let none = after_pass(&Status::default(), &pass(1, 0, Outcome::Suspended));
    assert_eq!(shown(&none), "");
    assert_eq!(none.observed_generation, Some(1));
    let status = after_pass(&synced(), &pass(2, 10, Outcome::Suspended));
    assert_eq!(shown(&status), "Ready=True/Suspended Synced=True/Synced");
    let finding = finding(Reason::SecretNotFound);
    let failing = after_pass(&Status::default(), &pass(1, 0, Outcome::Failed(&finding)));
    let status = after_pass(&failing, &pass(2, 500, Outcome::Suspended));
    assert_eq!(
        shown(&status),
        "Ready=False/Suspended Synced=False/SecretNotFound"
    );
}

fn rolled_out(status: Option<bool>, reason: Reason, text: &str) -> Summary {
    let rolled_out = RolledOut {
        status,
        reason,
        message: "About the workloads.".to_owned(),
    };
    Summary {
        text: text.to_owned(),
        rolled_out: Some(rolled_out),
    }
}

#[test]
fn rollouts_show_in_ready_and_go_again() {
    let held = rolled_out(Some(false), Reason::Held, "Held 1/2");
    let healthy = rolled_out(Some(true), Reason::Synced, "Healthy 2/2");
    let good = with_rollouts(&synced(), &healthy, at(5));
    assert_eq!(
        shown(&good),
        "Ready=True/Synced Synced=True/Synced RolledOut=True/Synced"
    );
    let bad = with_rollouts(&good, &held, at(6));
    assert_eq!(
        shown(&bad),
        "Ready=True/RolloutFailed Synced=True/Synced RolledOut=False/Held"
    );
    assert_eq!(bad.rollout_summary.as_deref(), Some("Held 1/2"));
    assert_eq!(after_pass(&bad, &pass(1, 300, in_sync_at("r1"))), bad);
    assert_eq!(
        with_rollouts(&bad, &healthy, at(7)).conditions[0],
        good.conditions[0]
    );
    assert_eq!(taken_out(&synced(), at(8)), synced(), "it never rolled");
    let off = taken_out(&bad, at(8));
    assert_eq!(off.conditions, synced().conditions);
    assert_eq!((off.rollouts.len(), &off), (0, &taken_out(&off, at(9))));
    let off = with_rollouts(&good, &Summary::off(), at(8));
    assert_eq!(shown(&off), "Ready=True/Synced Synced=True/Synced");
    assert_eq!(off.rollout_summary.as_deref(), Some("Off"));
}

#[test]
fn a_held_rollout_does_not_hide_a_failing_read() {
    let held = rolled_out(Some(false), Reason::Held, "Held 0/1");
    let finding = finding(Reason::AccessDenied);
    let failing = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&finding)));
    let status = with_rollouts(&failing, &held, at(61));
    assert_eq!(
        shown(&status),
        "Ready=True/AccessDenied Synced=False/AccessDenied RolledOut=False/Held"
    );
}

#[test]
fn the_handled_refresh_is_echoed_whatever_came_of_it() {
    let finding = finding(Reason::AccessDenied);
    let mut asked = pass(1, 60, Outcome::Failed(&finding));
    asked.refresh = Some("token-1".to_owned());
    let status = after_pass(&synced(), &asked);
    assert_eq!(status.last_handled_refresh.as_deref(), Some("token-1"));
}

#[test]
fn transition_times_move_only_when_the_status_flips() {
    let denied = finding(Reason::AccessDenied);
    let missing = finding(Reason::SecretNotFound);
    let one = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&denied)));
    let two = after_pass(&one, &pass(1, 120, Outcome::Failed(&missing)));
    let time = |s: &Status| s.conditions[1].last_transition_time.clone();
    assert_eq!(time(&one), Time(at(60)));
    assert_eq!(time(&two), Time(at(60)));
}

#[test]
fn ready_stays_true_through_every_reason_while_the_last_good_value_is_young() {
    for reason in Reason::ALL.iter().filter(|r| schedule::needs_a_person(**r)) {
        let finding = finding(*reason);
        let status = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&finding)));
        assert!(
            shown(&status).starts_with("Ready=True/"),
            "{reason}: {}",
            shown(&status)
        );
    }
}

fn preflight(outcome: PreflightOutcome) -> PreflightStatus {
    PreflightStatus {
        outcome,
        ..PreflightStatus::default()
    }
}

#[test]
fn a_preflight_shows_in_synced_while_it_is_open_and_leaves_ready_alone() {
    use PreflightOutcome as O;
    let with = |status: &Status, outcome| {
        let record = preflight(outcome);
        let next = with_preflight(status, &record, "Preflight runs.", 2, at(60));
        assert_eq!(next.preflight, Some(record));
        assert_eq!(next.observed_generation, status.observed_generation);
        next
    };
    let open = "Ready=True/Synced Synced=False/Progressing";
    for outcome in [O::Pending, O::Running] {
        let next = with(&synced(), outcome);
        assert_eq!(shown(&next), open);
        assert_eq!(message(&next, "Synced"), "Preflight runs.");
        assert_eq!(
            shown(&with(&Status::default(), outcome)),
            "Synced=False/Progressing"
        );
    }
    for outcome in [O::Passed, O::Failed, O::Unavailable] {
        assert_eq!(shown(&with(&synced(), outcome)), shown(&synced()));
    }
    let unavailable = finding(Reason::PreflightUnavailable);
    let tried = after_pass(&synced(), &pass(1, 60, Outcome::Failed(&unavailable)));
    assert_eq!(
        shown(&with(&tried, O::Pending)),
        shown(&tried),
        "trying again is no news"
    );
    let running = with(&tried, O::Running);
    assert_eq!(
        shown(&running),
        "Ready=True/PreflightUnavailable Synced=False/Progressing"
    );
}

#[test]
fn a_preflight_that_was_ended_is_not_said_to_run() {
    let record = preflight(PreflightOutcome::Running);
    let open = with_preflight(&synced(), &record, "Preflight runs.", 1, at(60));
    let ended = without_preflight(&open);
    assert_eq!(ended.preflight, None);
    assert!(!message(&ended, "Synced").contains("runs"));
    assert_eq!(without_preflight(&synced()), synced());
}
