//! A minute in which AWS cannot be used, in every way after the other.

use keyferry_testkit::aws::{Fault, Outcome};
use serde_json::{Value, json};

use crate::{
    case::{Case, condition, is, is_current},
    counted::{asked, summary},
};

crate::tests![own:
    an_outage_is_told_keeps_the_last_good_secret_and_ends_by_itself,
];

/// Bounds that let a call fail soon.
const ARGS: [&str; 3] = [
    "--aws-connect-timeout=1s",
    "--aws-read-timeout=1s",
    "--aws-operation-timeout=3s",
];
/// Calls in all: seven tries of at most three attempts, in a batch or for each of two entries.
const MOST_CALLS: usize = 60;

async fn an_outage_is_told_keeps_the_last_good_secret_and_ends_by_itself(case: Case) {
    let values = [case.value(), case.value()];
    for (name, value) in ["e", "f"].iter().zip(&values) {
        case.put(name, value);
    }
    let mut operator = case.operator(&ARGS).await;
    let spec = json!({"refreshInterval": "10s", "staleAfter": "20s", "data": [
        {"key": "E", "from": {"secret": case.entry("e")}},
        {"key": "F", "from": {"secret": case.entry("f")}},
    ]});
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    let begin = case.between_sweeps().await;

    let hang = case.world.aws.hang(|fault| case.only_ours(fault));
    case.tried(begin, "AwsUnavailable").await;
    let since = failing_since(&case);
    drop(hang);
    let error = |status, code| case.only_ours(Fault::error(status, code));
    for (fault, reason) in [
        (case.only_ours(Fault::cut_body()), "AwsUnavailable"),
        (error(500, "InternalServiceError"), "AwsUnavailable"),
        (case.only_ours(Fault::not_json(503)), "AwsUnavailable"),
        (error(400, "ExpiredTokenException"), "NoCredentials"),
        (error(400, "InvalidSignatureException"), "NoCredentials"),
    ] {
        let seq = case.last_call();
        let fault = case.world.aws.fault(fault);
        if reason == "NoCredentials" {
            // The operator is restarted in the middle of it.
            operator.terminate(&case.world.channels).await;
            operator = case.operator(&ARGS).await;
        }
        case.tried(seq, reason).await;
        assert_eq!(failing_since(&case), since, "it fails since then");
        case.assert_kept(&good).await;
        fault.clear();
    }
    // It lasts longer than staleAfter.
    let fault = case.world.aws.fault(error(500, "InternalServiceError"));
    let stale = |o: &Value| is(o, "Ready", "False", "Stale");
    case.until("app", "stale", stale).await;
    assert_eq!(failing_since(&case), since, "it fails since then");
    case.assert_kept(&good).await;
    let calls = case.calls_since(begin);
    println!("outage: {:?}", summary(&calls));
    assert!(asked(&calls) <= MOST_CALLS, "{:?}", summary(&calls));
    fault.clear();
    case.cleared().await;
    case.assert_kept(&good).await;
    let new = case.value();
    case.put("e", &new);
    case.until_secret("app", "follows again", |s| crate::case::holds(s, "E", &new))
        .await;
    operator.terminate(&case.world.channels).await;
}

fn failing_since(case: &Case) -> Value {
    let status = case.statuses("app").pop().unwrap();
    assert!(status["failingSince"].is_string(), "{status}");
    status["failingSince"].clone()
}

impl Case {
    /// Waits until a call after `seq` has failed and the binding tells so.
    async fn tried(&self, seq: u64, reason: &str) {
        let failed = || {
            let calls = self.calls_since(seq);
            let failed = |outcome: &Outcome| !matches!(outcome, Outcome::Ok | Outcome::Pending);
            calls.iter().any(|call| failed(&call.outcome)).then_some(())
        };
        let tried = self.poll(|| async { failed() }).await;
        assert!(tried.is_some(), "no call fails");
        let told = |o: &Value| {
            is_current(o) && {
                let synced = condition(o, "Synced");
                synced["status"] == "False" && synced["reason"] == json!(reason)
            }
        };
        self.until("app", &format!("failing because of {reason}"), told)
            .await;
    }
}
