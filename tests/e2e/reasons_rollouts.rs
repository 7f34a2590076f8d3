//! Reasons that a rollout gives.

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use keyferry::api::Reason;
use keyferry_testkit::node::{Rule, Target, When};
use kube::{ResourceExt, api::PostParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, holds, is},
    reasons::assert_says,
    workload::{Uses, deployment},
};

crate::tests![tests:
    a_named_workload_that_does_not_exist_is_told,
    more_workloads_than_one_binding_may_roll_are_told_and_none_is_restarted,
    a_rollout_that_does_not_become_healthy_is_held,
];

async fn a_named_workload_that_does_not_exist_is_told(case: Case) {
    case.put("e", &case.value());
    let named = |names: &[&str]| -> Value {
        let one = |name: &&str| json!({"kind": "Deployment", "name": name});
        names.iter().map(one).collect()
    };
    let mut spec = case.one("K", "e");
    spec["rollout"] = json!({"targets": named(&["web"])});
    let web = case.deploy("web", 1, &[]).await;
    case.binding("app", spec.clone()).await;
    case.rolled_out("app", "True", "Synced").await;
    let good = case.secret("app").await;
    spec["rollout"]["targets"] = named(&["web", "absent"]);
    case.binding("app", spec).await;
    let status = case.rolled_out("app", "False", "TargetNotFound").await;
    assert_says(
        &case,
        &condition(&status, "RolledOut"),
        &["Deployment", "absent", "rollout.targets"],
    );
    assert!(
        is(&status, "Synced", "True", "Synced"),
        "the Secret is good"
    );
    case.assert_kept(&good).await;
    case.assert_told(Reason::TargetNotFound).await;
    case.deploy("absent", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    case.cleared().await;
    case.assert_kept(&good).await;
    let new = case.settled("absent").await;
    assert_eq!(new.generation, 1, "nobody restarted it");
    assert_eq!(case.settled("web").await, web, "nor the other");
}

async fn more_workloads_than_one_binding_may_roll_are_told_and_none_is_restarted(case: Case) {
    case.put("e", &case.value());
    case.rolling("app", "K", "e").await;
    let good = case.secret("app").await;
    // Paused and without pods: they cost the controllers nothing.
    let make = |n: usize| {
        let mut manifest = deployment(&format!("d-{n:03}"), 0, &[Uses::EnvFrom("app")]);
        manifest["spec"]["paused"] = json!(true);
        let object: Deployment = serde_json::from_value(manifest).unwrap();
        let api = case.api::<Deployment>();
        async move {
            api.create(&PostParams::default(), &object)
                .await
                .map(drop)
                .unwrap()
        }
    };
    stream::iter((0..501).map(make))
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
    let new = case.value();
    case.put("e", &new);
    case.refresh("app").await;
    let status = case.rolled_out("app", "False", "TooManyTargets").await;
    assert_says(
        &case,
        &condition(&status, "RolledOut"),
        &["501", "500", "app", "targets"],
    );
    let current = case.until_secret("app", "is current", |s| holds(s, "K", &new));
    let current = current.await.unwrap();
    assert_eq!(current.uid(), good.uid(), "the same Secret");
    case.assert_told(Reason::TooManyTargets).await;
    let untouched = || async {
        let all = case.api::<Deployment>().list(&Default::default()).await;
        let all = all.unwrap().items;
        all.iter().all(|d| d.metadata.generation == Some(1))
    };
    assert!(untouched().await, "none was restarted");
    case.api::<Deployment>()
        .delete("d-500", &Default::default())
        .await
        .unwrap();
    let listed = |o: &Value| {
        let count = o["status"]["rollouts"].as_array().map_or(0, Vec::len);
        condition(o, "RolledOut")["reason"] != "TooManyTargets" && count == 500
    };
    case.until("app", "clears by itself once one is gone", listed)
        .await;
    case.assert_kept(&current).await;
    assert!(untouched().await, "they run with what they were made with");
}

async fn a_rollout_that_does_not_become_healthy_is_held(case: Case) {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["rollout"] = json!({"timeout": "10s"});
    case.binding("app", spec).await;
    case.synced("app").await;
    let before = case.deploy("web", 2, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let target = || Target::deployment("web");
    let crash = || Rule::crash(When::NewPod(1), 1);
    case.world
        .nodes
        .set_rule(&case.namespace, target(), crash());
    let new = case.value();
    case.put("e", &new);
    case.refresh("app").await;
    let status = case.rolled_out("app", "False", "Held").await;
    assert_says(
        &case,
        &condition(&status, "RolledOut"),
        &[
            "web",
            "kubectl describe deployment/web",
            "Put a corrected value",
        ],
    );
    let failed = |o: &Value| is(o, "Ready", "True", "RolloutFailed");
    case.until("app", "Ready sums it up", failed).await;
    assert_holds(&case.secret("app").await, &[("K", &new)]);
    let kept = case.pod_uids("web").intersection(&before.pods).count();
    assert!(kept >= 1, "old pods serve on");
    // A corrected value cures it.
    let version = case.put("e", &case.value());
    case.world.nodes.clear_rules(&case.namespace, target());
    case.refresh("app").await;
    case.rolled_out_at("app", &version).await;
    case.until("app", "Ready again", |o| is(o, "Ready", "True", "Synced"))
        .await;
}
