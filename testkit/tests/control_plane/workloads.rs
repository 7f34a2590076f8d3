//! Workloads of the real controllers on simulated nodes.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use keyferry_testkit::node::{Rule, Target, When};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Place, container, deployment, living, names, place, until};

async fn counts(place: &Place, name: &str) -> [i32; 4] {
    let api: Api<Deployment> = place.api();
    let deployment = api.get(name).await.unwrap();
    let status = deployment.status.unwrap_or_default();
    if status.observed_generation != deployment.metadata.generation {
        return [-1; 4];
    }
    [
        status.replicas,
        status.updated_replicas,
        status.ready_replicas,
        status.available_replicas,
    ]
    .map(Option::unwrap_or_default)
}

async fn restart(place: &Place, name: &str) {
    let args = [
        "rollout",
        "restart",
        &format!("deployment/{name}"),
        "-n",
        &place.namespace,
    ];
    assert!(
        place
            .bed
            .plane
            .kubectl(&args, None)
            .await
            .unwrap()
            .status
            .success()
    );
}

#[tokio::test]
async fn a_deployment_becomes_available_and_a_rollout_captures_the_new_value() {
    let place = place("rollout").await;
    place.secret("creds", json!({"password": "first"})).await;
    place.apply(deployment("ai", 3, container())).await;
    until("it is available", || async {
        counts(&place, "ai").await == [3; 4]
    })
    .await;
    place.secret("creds", json!({"password": "second"})).await;
    let before = names(&living(&place.pods()).await);
    restart(&place, "ai").await;
    until("it is rolled out", || async {
        counts(&place, "ai").await == [3; 4] && living(&place.pods()).await.len() == 3
    })
    .await;
    let after = names(&living(&place.pods()).await);
    assert!(
        after.iter().all(|name| !before.contains(name)),
        "{before:?} {after:?}"
    );
    let starts = place.bed.nodes.starts(&place.namespace);
    let values: Vec<_> = starts
        .iter()
        .map(|s| s.environment.get("PASSWORD").unwrap())
        .collect();
    assert_eq!(
        values,
        ["first", "first", "first", "second", "second", "second"]
    );
    assert!(
        starts
            .iter()
            .all(|s| s.workload == Some(("Deployment".into(), "ai".into())))
    );
}

#[tokio::test]
async fn the_last_new_pod_can_be_held_unready() {
    let place = place("last").await;
    place.secret("creds", json!({"password": "first"})).await;
    place.apply(deployment("ai", 3, container())).await;
    until("it is available", || async {
        counts(&place, "ai").await == [3; 4]
    })
    .await;
    place.bed.nodes.set_rule(
        &place.namespace,
        Target::deployment("ai"),
        Rule::not_ready(When::NewPod(3)),
    );
    restart(&place, "ai").await;
    until("the last new pod hangs", || async {
        let [replicas, updated, ready, _] = counts(&place, "ai").await;
        updated == 3 && ready == replicas - 1
    })
    .await;
    place
        .bed
        .nodes
        .clear_rules(&place.namespace, Target::deployment("ai"));
    until("it is rolled out", || async {
        counts(&place, "ai").await == [3; 4]
    })
    .await;
}

#[tokio::test]
async fn a_value_that_is_refused_holds_the_rollout_until_it_is_put_right() {
    let place = place("refused").await;
    place.secret("creds", json!({"password": "good"})).await;
    let rule = Rule::crash(When::differs("PASSWORD", "good"), 1);
    place
        .bed
        .nodes
        .set_rule(&place.namespace, Target::deployment("etl"), rule);
    place.apply(deployment("etl", 1, container())).await;
    until("it is available", || async {
        counts(&place, "etl").await == [1; 4]
    })
    .await;
    place.secret("creds", json!({"password": "bad"})).await;
    restart(&place, "etl").await;
    until("the new pod crashes beside the old one", || async {
        let pods = place.bed.nodes.pods(&place.namespace, &[("app", "etl")]);
        pods.iter().any(|p| p.containers[0].restarts >= 2)
            && counts(&place, "etl").await == [2, 1, 1, 1]
    })
    .await;
    place.secret("creds", json!({"password": "good"})).await;
    // The crash loop's next restart captures it: no new pod is needed.
    until("it is rolled out", || async {
        counts(&place, "etl").await == [1; 4]
    })
    .await;
}

#[tokio::test]
async fn jobs_complete_or_fail_by_their_exit_code() {
    let place = place("jobs").await;
    let rule = Rule::crash(When::Always, 4);
    place
        .bed
        .nodes
        .set_rule(&place.namespace, Target::workload("Job", "bad"), rule);
    let api: Api<Job> = place.api();
    for (name, end) in [("good", "Complete"), ("bad", "Failed")] {
        place
            .apply(json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                "spec": {"backoffLimit": 0, "template": {"spec": {
                    "restartPolicy": "Never", "containers": [{"name": "run", "image": "i"}],
                }}},
            }))
            .await;
        until(end, || async {
            let job: Value = json!(api.get(name).await.unwrap().status);
            let conditions = job["conditions"].as_array().cloned().unwrap_or_default();
            conditions
                .iter()
                .any(|c| c["type"] == end && c["status"] == "True")
        })
        .await;
    }
    let starts = place.bed.nodes.starts(&place.namespace);
    let workloads: Vec<_> = starts
        .iter()
        .filter_map(|s| s.workload.clone())
        .map(|w| w.1)
        .collect();
    assert_eq!(workloads, ["good", "bad"]);
}

#[tokio::test]
async fn stateful_and_daemon_sets_roll_out() {
    let place = place("sets").await;
    let template = |name: &str| {
        json!({"metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
    };
    let selector = |name: &str| json!({"matchLabels": {"app": name}});
    place
        .apply(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
            "spec": {"replicas": 2, "serviceName": "db", "selector": selector("db"), "template": template("db")}}))
        .await;
    place
        .apply(
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
            "spec": {"selector": selector("agent"), "template": template("agent")}}),
        )
        .await;
    let stateful: Api<StatefulSet> = place.api();
    let daemon: Api<DaemonSet> = place.api();
    let settled = async || {
        let set = stateful.get("db").await.unwrap();
        let status = set.status.unwrap_or_default();
        let sets = status.observed_generation == set.metadata.generation
            && status.updated_replicas == Some(2)
            && status.available_replicas == Some(2);
        let set = daemon.get("agent").await.unwrap();
        let status = set.status.unwrap_or_default();
        sets && status.observed_generation == set.metadata.generation
            && status.desired_number_scheduled >= 1
            && status.updated_number_scheduled == Some(status.desired_number_scheduled)
            && status.number_available == Some(status.desired_number_scheduled)
    };
    until("both are available", &settled).await;
    let before = place.bed.nodes.starts(&place.namespace).len();
    let marker = json!({"spec": {"template": {"metadata": {"annotations": {"marker": "1"}}}}});
    stateful
        .patch("db", &PatchParams::default(), &Patch::Merge(&marker))
        .await
        .unwrap();
    until("it is rolled out", &settled).await;
    let starts = place.bed.nodes.starts(&place.namespace);
    let order: Vec<_> = starts[before..]
        .iter()
        .map(|s| s.pod.as_str())
        .filter(|p| p.starts_with("db"))
        .collect();
    assert_eq!(order, ["db-1", "db-0"]);
}
