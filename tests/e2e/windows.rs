//! Windows: when bytes may be replaced, and what does not wait for that.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::api::core::v1::Secret;
use keyferry_testkit::node::{Rule, Target, When};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds},
    secret::holds,
    seen::condition,
    workload::Uses,
};

crate::tests![tests:
    a_closed_window_holds_bytes_and_pods_and_its_opening_lets_both_go_once,
    creation_repair_and_refresh_do_not_wait_for_a_window,
    a_rollback_does_not_wait_for_a_window,
    a_window_that_cannot_be_is_told,
];

/// A window of an hour that opens at that time.
fn opens_at(at: Timestamp, duration: &str) -> Value {
    let at = at.to_zoned(TimeZone::UTC);
    let schedule = format!("{} {} * * *", at.minute(), at.hour());
    json!([{"schedule": schedule, "duration": duration, "timeZone": "UTC"}])
}

fn in_hours(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

/// The next full minute that is far enough away to see what comes before it.
fn soon() -> Timestamp {
    let second = (Timestamp::now() + SignedDuration::from_secs(15)).as_second();
    Timestamp::from_second((second / 60 + 1) * 60).unwrap()
}

impl Case {
    async fn rolling_in(&self, windows: Value, rollout: Value) {
        let mut spec = self.one("PASSWORD", "db");
        spec["rollout"] = rollout;
        spec["rollout"]["windows"] = windows;
        self.binding("app", spec).await;
        self.synced("app").await;
    }
}

async fn a_closed_window_holds_bytes_and_pods_and_its_opening_lets_both_go_once(case: Case) {
    let (one, two) = (case.value(), case.value());
    case.put("db", &one);
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 2, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let old = case.secret("app").await;
    // A value that was read a moment ago serves for five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let version = case.put("db", &two);
    let opens = soon();
    let windows = json!({"spec": {"rollout": {"windows": opens_at(opens, "1h")}}});
    case.patch_binding("app", windows).await;

    let status = case.failing("app", "WaitingForWindow").await;
    let object = json!({"status": status});
    let ready = condition(&object, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("WaitingForWindow"))
    );
    assert_eq!(condition(&object, "RolledOut")["status"], "True");
    let message = condition(&object, "Synced")["message"].clone();
    assert!(
        message.as_str().unwrap().contains(&opens.to_string()),
        "{message}"
    );
    assert_eq!(case.moment("web").await, before);
    let still = case.secret("app").await;
    assert_holds(&still, &[("PASSWORD", &one)]);
    assert_eq!(still.resource_version(), old.resource_version());
    assert!(Timestamp::now() < opens, "seen before it opened");

    case.rolled_out_at("app", &version).await;
    assert!(Timestamp::now() >= opens, "not before it opened");
    assert_holds(&case.secret("app").await, &[("PASSWORD", &two)]);
    let after = case.settled("web").await;
    assert_eq!(after.generation, before.generation + 1, "once");
    assert!(case.all_captured("web", "PASSWORD", &two));
}

async fn creation_repair_and_refresh_do_not_wait_for_a_window(case: Case) {
    let (one, two) = (case.value(), case.value());
    case.put("db", &one);
    case.rolling_in(opens_at(in_hours(6), "1h"), json!({}))
        .await;
    assert_holds(&case.secret("app").await, &[("PASSWORD", &one)]);
    case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;

    let patch = json!({"data": {"PASSWORD": "c3BvaWx0"}}).to_string();
    let output = case
        .kubectl(
            &["patch", "secret", "app", "--type=merge", "-p", &patch],
            None,
        )
        .await;
    assert!(output.status.success());
    let repaired = |secret: Option<&Secret>| holds(secret, "PASSWORD", &one);
    case.until_secret("app", "repaired", repaired).await;

    let version = case.put("db", &two);
    case.refresh("app").await;
    case.rolled_out_at("app", &version).await;
    assert_holds(&case.secret("app").await, &[("PASSWORD", &two)]);
    case.settled("web").await;
    assert!(case.all_captured("web", "PASSWORD", &two));
}

async fn a_rollback_does_not_wait_for_a_window(case: Case) {
    let (one, two) = (case.value(), case.value());
    case.put("db", &one);
    let rollout = json!({"onFailure": "Rollback", "timeout": "10s"});
    case.rolling_in(opens_at(in_hours(6), "1h"), rollout).await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    // Pods that start within five seconds of the bad bytes might have them: clocks differ.
    tokio::time::sleep(Duration::from_secs(6)).await;
    case.world.nodes.set_rule(
        &case.namespace,
        Target::deployment("web"),
        Rule::crash(When::NewPod(1), 1),
    );
    case.put("db", &two);
    // Somebody asks for it in a closed window; it fails, and goes back in the closed window.
    case.refresh("app").await;
    case.rolled_out("app", "False", "RolledBack").await;
    assert_holds(&case.secret("app").await, &[("PASSWORD", &one)]);
    assert_eq!(case.settled("web").await.pods, before.pods);
}

async fn a_window_that_cannot_be_is_told(case: Case) {
    case.put("db", &case.value());
    let mut spec = case.one("PASSWORD", "db");
    for (window, said) in [
        (
            json!({"schedule": "0 2 30 2 *", "duration": "1h"}),
            "windows[0].schedule: never comes",
        ),
        (
            json!({"schedule": "0 99 * * *", "duration": "1h"}),
            "five fields of cron",
        ),
        (
            json!({"schedule": "0 2 * * *", "duration": "1h", "timeZone": "Asia/Soul"}),
            "windows[0].timeZone: must be the IANA name",
        ),
    ] {
        spec["rollout"] = json!({"windows": [window]});
        case.binding("app", spec.clone()).await;
        let told = |object: &Value| {
            let synced = condition(object, "Synced");
            crate::seen::is_current(object)
                && synced["status"] == "False"
                && synced["message"].as_str().is_some_and(|m| m.contains(said))
        };
        case.until("app", said, told).await;
    }
}
