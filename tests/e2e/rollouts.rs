//! What restarts workloads, what does not, and how it is told.

use keyferry_testkit::{
    admission::Door,
    node::{Rule, Target, When},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, data, revision},
    workload::{Uses, deployment},
};

crate::tests![tests:
    the_first_creation_restarts_nothing,
    a_spec_edit_that_renders_the_same_bytes_restarts_nothing,
    a_secret_recreated_with_equal_bytes_restarts_nothing,
    without_rollout_the_secret_changes_and_nothing_restarts,
    users_by_env_env_from_and_volume_are_found_and_restarted,
    named_targets_are_restarted_and_no_other,
    the_last_new_pod_unready_is_progressing_and_not_healthy,
    a_deployment_created_between_the_listing_and_the_write_ends_with_the_new_bytes,
    a_workload_that_opts_out_is_left_alone,
];

async fn the_first_creation_restarts_nothing(case: Case) {
    let value = case.value();
    case.put("db", &value);
    // The pods are there first and wait for their Secret.
    case.apply(deployment("web", 2, &[Uses::EnvFrom("app")]))
        .await;
    case.rolling("app", "PASSWORD", "db").await;
    let status = case.rolled_out("app", "True", "Synced").await;
    let after = case.settled("web").await;
    assert_eq!(after.generation, 1, "the template was never touched");
    assert_eq!(after.replica_sets.len(), 1);
    assert!(case.all_captured("web", "PASSWORD", &value));
    assert_eq!(status["rollouts"][0]["name"], "web");
}

async fn a_spec_edit_that_renders_the_same_bytes_restarts_nothing(case: Case) {
    let value = case.value();
    case.put("db", &json!({"a": value}).to_string());
    let from = json!({"secret": case.entry("db"), "property": "a"});
    let item = json!({"key": "a", "from": from});
    case.binding("app", json!({"data": [item], "rollout": {}}))
        .await;
    case.synced("app").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let old = revision(&case.secret("app").await);
    let edited = json!({"data": [], "dataFrom": [{"secret": case.entry("db"), "include": ["a"]}], "rollout": {},
        "target": {"labels": {"team": "estate"}}});
    case.binding("app", edited).await;
    case.synced("app").await;
    case.refresh("app").await;
    case.rolled_out("app", "True", "Synced").await;
    assert_eq!(revision(&case.secret("app").await), old);
    assert_eq!(case.settled("web").await, before);
}

async fn a_secret_recreated_with_equal_bytes_restarts_nothing(case: Case) {
    case.put("db", &case.value());
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let old = case.secret("app").await;
    case.delete_secret("app").await;
    let back = |s: Option<&k8s_openapi::api::core::v1::Secret>| {
        s.is_some_and(|s| s.metadata.uid != old.metadata.uid)
    };
    let new = case
        .until_secret("app", "is recreated", back)
        .await
        .unwrap();
    assert!(data(&new) == data(&old), "the same bytes");
    assert_eq!(revision(&new), revision(&old));
    case.refresh("app").await;
    case.rolled_out("app", "True", "Synced").await;
    assert_eq!(case.settled("web").await, before);
}

async fn without_rollout_the_secret_changes_and_nothing_restarts(case: Case) {
    case.put("db", &case.value());
    case.bind_one("app", "PASSWORD", "db").await;
    case.synced("app").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    let new = case.value();
    case.put("db", &new);
    let status = case.refresh("app").await;
    case.until_secret("app", "holds the new bytes", |s| {
        data(s.unwrap())["PASSWORD"] == new.as_bytes()
    })
    .await;
    assert_eq!(status["rolloutSummary"], "Off");
    assert!(
        status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["type"] != "RolledOut")
    );
    assert_eq!(case.settled("web").await, before);
}

async fn users_by_env_env_from_and_volume_are_found_and_restarted(case: Case) {
    case.put("db", &case.value());
    case.rolling("app", "PASSWORD", "db").await;
    let uses = [
        ("by-env", Uses::Env("app", "PASSWORD")),
        ("by-env-from", Uses::EnvFrom("app")),
        ("by-volume", Uses::Volume("app")),
    ];
    for (name, how) in uses {
        case.deploy(name, 1, &[how]).await;
    }
    let names = ["by-env", "by-env-from", "by-volume"];
    case.until("app", "three users are known", |o| {
        o["status"]["rollouts"]
            .as_array()
            .is_some_and(|r| r.len() == 3)
    })
    .await;
    let version = case.put("db", &case.value());
    case.refresh("app").await;
    let status = case.rolled_out_at("app", &version).await;
    for name in names {
        assert_eq!(
            case.settled(name).await.generation,
            2,
            "{name} was restarted once"
        );
    }
    assert_eq!(status["rolloutSummary"], "Healthy 3/3");
}

async fn named_targets_are_restarted_and_no_other(case: Case) {
    case.put("db", &case.value());
    let mut spec = case.one("PASSWORD", "db");
    spec["rollout"] = json!({"targets": [{"kind": "Deployment", "name": "named"}]});
    case.binding("app", spec).await;
    case.synced("app").await;
    let uses = || [Uses::EnvFrom("app")];
    case.deploy("named", 1, &uses()).await;
    let unnamed = case.deploy("unnamed", 1, &uses()).await;
    case.rolled_out("app", "True", "Synced").await;
    let version = case.put("db", &case.value());
    case.refresh("app").await;
    let status = case.rolled_out_at("app", &version).await;
    assert_eq!(case.settled("named").await.generation, 2);
    assert_eq!(case.settled("unnamed").await, unnamed);
    assert_eq!(status["rollouts"].as_array().unwrap().len(), 1);
}

async fn the_last_new_pod_unready_is_progressing_and_not_healthy(case: Case) {
    case.put("db", &case.value());
    case.rolling("app", "PASSWORD", "db").await;
    case.deploy("web", 3, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let target = || Target::deployment("web");
    case.world
        .nodes
        .set_rule(&case.namespace, target(), Rule::not_ready(When::NewPod(3)));
    let version = case.put("db", &case.value());
    case.refresh("app").await;
    case.until_trap("web").await;
    // A whole pass while three pods are updated and three, one of them old, are available.
    case.refresh("app").await;
    let trapped = case.rolled_out("app", "Unknown", "Progressing").await;
    assert_eq!(trapped["rollouts"][0]["state"], "Progressing");
    case.world.nodes.clear_rules(&case.namespace, target());
    case.rolled_out_at("app", &version).await;
    case.settled("web").await;
    let wanted = &trapped["secret"]["revision"];
    let early = case
        .statuses("app")
        .into_iter()
        .take_while(|s| *s != trapped);
    let healthy =
        |s: &Value| &s["rollouts"][0]["wanted"] == wanted && s["rollouts"][0]["state"] == "Healthy";
    assert!(
        !early.into_iter().any(|s| healthy(&s)),
        "it never was Healthy before the last pod was ready"
    );
}

async fn a_deployment_created_between_the_listing_and_the_write_ends_with_the_new_bytes(
    case: Case,
) {
    let (one, two) = (case.value(), case.value());
    case.put("db", &one);
    case.rolling("app", "PASSWORD", "db").await;
    case.deploy("anchor", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let client = case.world.client.clone();
    let door = Door::before(client, &case.namespace, "app").await.unwrap();
    door.close();
    let version = case.put("db", &two);
    let late = async {
        door.until_held().await.unwrap();
        // The consumers are listed and their intent is recorded; the bytes are not written yet.
        case.apply(deployment("late", 1, &[Uses::EnvFrom("app")]))
            .await;
        let old = case
            .poll(|| async { case.all_captured("late", "PASSWORD", &one).then_some(()) })
            .await;
        assert!(
            old.is_some(),
            "the late Deployment starts with the old bytes"
        );
        door.open();
    };
    tokio::join!(late, case.refresh("app"));
    case.rolled_out_at("app", &version).await;
    let new = case
        .poll(|| async { case.all_captured("late", "PASSWORD", &two).then_some(()) })
        .await;
    assert!(
        new.is_some(),
        "the late Deployment does not run with the new bytes"
    );
    door.remove().await.unwrap();
}

async fn a_workload_that_opts_out_is_left_alone(case: Case) {
    case.put("db", &case.value());
    case.rolling("app", "PASSWORD", "db").await;
    let mut manifest = deployment("web", 1, &[Uses::EnvFrom("app")]);
    manifest["metadata"]["annotations"] = json!({"keyferry.dev/rollout": "ignore"});
    case.apply(manifest).await;
    let before = case.settled("web").await;
    case.deploy("follows", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let version = case.put("db", &case.value());
    case.refresh("app").await;
    case.rolled_out_at("app", &version).await;
    assert_eq!(case.settled("follows").await.generation, 2);
    assert_eq!(case.settled("web").await, before);
}
