#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::telemetry::conditions::ConditionStatus;

#[test]
fn every_metric_appears_under_its_name() {
    let metrics = Metrics::new();
    metrics.sync_ended(true, Reason::Synced, Duration::from_millis(30));
    metrics.sync_ended(false, Reason::AccessDenied, Duration::from_millis(30));
    metrics.secret_written("update");
    metrics.rollout_ended(WorkloadKind::Deployment, "Healthy", Duration::from_secs(7));
    let aws = metrics.aws();
    aws.request("BatchGetSecretValue", "ok", Duration::from_millis(30));
    aws.throttled();
    aws.retried("ListSecrets");
    aws.waited("ListSecrets", Duration::from_millis(30));
    aws.decrypted("BatchGetSecretValue", 19);
    aws.fell_back("ListSecrets");
    aws.credentials_rebuilt();
    aws.failed_over("served");
    (0..5).for_each(|_| aws.read_asked());
    (0..4).for_each(|_| aws.read_reused());
    aws.read_made();
    aws.swept(200, 5);
    aws.oldest_look(Some(Duration::from_millis(61_500)));
    aws.followed(Followed {
        bindings: 1_000,
        entries: 200,
        prefixes: 3,
    });
    metrics.kubernetes_write("secrets", "update");
    metrics.queue_depth("bindings", 7);
    aws.event("moved", "done");
    aws.event_lag(Duration::from_secs(2));
    aws.events_unreceived();
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
        "keyferry_aws_decrypts_total{operation=\"BatchGetSecretValue\"} 19",
        "keyferry_aws_fallbacks_total{operation=\"ListSecrets\"} 1",
        "keyferry_aws_credentials_rebuilt_total 1",
        "keyferry_failovers_total{outcome=\"served\"} 1",
        "keyferry_reads_asked_total 5",
        "keyferry_reads_reused_total 4",
        "keyferry_reads_made_total 1",
        "keyferry_sweep_entries_sum 200.0",
        "keyferry_sweep_entries_count 1",
        "keyferry_sweep_bindings_told_total 5",
        "keyferry_oldest_look_seconds 61.5",
        "keyferry_followed{what=\"bindings\"} 1000",
        "keyferry_followed{what=\"entries\"} 200",
        "keyferry_followed{what=\"prefixes\"} 3",
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
fn what_is_registered_is_named_as_it_is_scraped() {
    let metrics = Metrics::new();
    metrics.secret_written("update");
    metrics.queue_depth("bindings", 7);
    let text = metrics.encode().unwrap();
    let registered = metrics.registered();
    for (name, kind) in [
        ("keyferry_build_info", "info"),
        ("keyferry_secret_writes_total", "counter"),
        ("keyferry_queue_depth", "gauge"),
        ("keyferry_sync_duration_seconds", "histogram"),
        ("keyferry_binding_condition", "gauge"),
    ] {
        assert!(text.contains(name), "no `{name}` in\n{text}");
        let found = registered.iter().find(|metric| metric.name() == name);
        assert_eq!(found.map(|metric| metric.kind), Some(kind), "{name}");
    }
    let shown = text.lines().filter(|line| line.starts_with("# TYPE "));
    assert!(shown.count() <= registered.len());
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
