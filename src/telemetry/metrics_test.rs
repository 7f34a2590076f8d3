#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::telemetry::conditions::ConditionStatus;

#[test]
fn every_metric_appears_under_its_name() {
    let metrics = Metrics::new();
    metrics.sync_ended(true, Reason::Synced, Duration::from_millis(30));
    metrics.sync_ended(false, Reason::AccessDenied, Duration::from_millis(30));
    metrics.secret_written("update");
    metrics.rollout_ended(WorkloadKind::Deployment, "Healthy");
    metrics.aws_request("BatchGetSecretValue", "ok", Duration::from_millis(30));
    metrics.aws_throttled();
    metrics.aws_retried("ListSecrets");
    metrics.aws_waited("ListSecrets", Duration::from_millis(30));
    metrics.reads(1_000, 200);
    metrics.failed_over("served");
    metrics.kubernetes_write("secrets", "update");
    metrics.queue_depth("bindings", 7);
    metrics.event("moved", "done");
    metrics.event_lag(Duration::from_secs(2));
    metrics.events_unreceived();
    let text = metrics.encode().unwrap();
    for line in [
        concat!(
            "keyferry_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
        "keyferry_syncs_total{result=\"success\",reason=\"Synced\"} 1",
        "keyferry_syncs_total{result=\"failure\",reason=\"AccessDenied\"} 1",
        "keyferry_sync_duration_seconds_count 2",
        "keyferry_secret_writes_total{op=\"update\"} 1",
        "keyferry_rollouts_total{kind=\"Deployment\",outcome=\"Healthy\"} 1",
        "keyferry_aws_requests_total{operation=\"BatchGetSecretValue\",outcome=\"ok\"} 1",
        "keyferry_aws_request_duration_seconds_count{operation=\"BatchGetSecretValue\"} 1",
        "keyferry_aws_throttles_total 1",
        "keyferry_aws_retries_total{operation=\"ListSecrets\"} 1",
        "keyferry_aws_budget_wait_seconds_count{operation=\"ListSecrets\"} 1",
        "keyferry_reads_asked_total 1000",
        "keyferry_reads_made_total 200",
        "keyferry_failovers_total{outcome=\"served\"} 1",
        "keyferry_kubernetes_writes_total{resource=\"secrets\",verb=\"update\"} 1",
        "keyferry_queue_depth{queue=\"bindings\"} 7",
        "keyferry_events_total{event=\"moved\",outcome=\"done\"} 1",
        "keyferry_event_lag_seconds_count 1",
        "keyferry_event_receive_errors_total 1",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no `{line}` in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn conditions_follow_the_binding_and_go_with_it() {
    let metrics = Metrics::new();
    let lines = |metrics: &Metrics| -> Vec<String> {
        let text = metrics.encode().unwrap();
        text.lines()
            .filter(|line| line.starts_with("keyferry_binding_condition{"))
            .map(str::to_owned)
            .collect()
    };
    let set = |ready| {
        metrics.conditions().set(
            "estate",
            "ai",
            [("Ready", ready), ("NotOurs", ConditionStatus::True)],
        );
    };
    set(ConditionStatus::from_word("False"));
    set(ConditionStatus::from_word("True"));
    let labels = r#"{namespace="estate",name="ai",type="Ready",status="True"}"#;
    assert_eq!(
        lines(&metrics),
        [format!("keyferry_binding_condition{labels} 1")]
    );
    metrics.conditions().remove("estate", "ai");
    assert!(lines(&metrics).is_empty());
}
