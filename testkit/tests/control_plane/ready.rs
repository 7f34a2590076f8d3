//! The count of ready pods over a rollout, and a control that it can fail.

use keyferry_testkit::node::{Rule, Target, When};
use keyferry_testkit::ready::ReadyWatch;
use serde_json::{Value, json};

use crate::support::{Place, container, deployment, place, until};

/// Rolls a Deployment of three to a value with which no pod becomes ready; the fewest ready pods.
async fn least_ready(place: &Place, name: &str, strategy: Value) -> usize {
    place.secret("creds", json!({"password": "good"})).await;
    let rule = Rule::not_ready(When::differs("PASSWORD", "good"));
    let nodes = &place.bed.nodes;
    nodes.set_rule(&place.namespace, Target::deployment(name), rule);
    let mut manifest = deployment(name, 3, container());
    manifest["spec"]["strategy"] = strategy;
    place.apply(manifest.clone()).await;
    let ready = || {
        let pods = nodes.pods(&place.namespace, &[("app", name)]);
        pods.iter().filter(|pod| pod.ready).count()
    };
    until("three are ready", || async { ready() == 3 }).await;
    let (client, selector) = (place.client.clone(), format!("app={name}"));
    let watch = ReadyWatch::start(client, &place.namespace, &selector);
    let watch = watch.await.unwrap();
    assert_eq!(watch.minimum().await.unwrap(), 3);
    place.secret("creds", json!({"password": "bad"})).await;
    manifest["spec"]["template"]["metadata"]["annotations"] = json!({"restarted": "1"});
    place.apply(manifest).await;
    until("a new pod has started", || async {
        let pods = nodes.pods(&place.namespace, &[("app", name)]);
        let mut started = pods.iter().flat_map(|pod| &pod.containers);
        started.any(|c| c.environment.as_ref().and_then(|e| e.get("PASSWORD")) == Some("bad"))
    })
    .await;
    // The value is put right and the old pods are made anew: afterwards all is as before.
    place.secret("creds", json!({"password": "good"})).await;
    nodes.clear_rules(&place.namespace, Target::deployment(name));
    until("all are ready again", || async { ready() == 3 }).await;
    let least = watch.minimum().await.unwrap();
    println!("{name}: ready {:?}", watch.steps());
    least
}

#[tokio::test]
async fn the_default_strategy_never_has_fewer_ready_pods_than_replicas() {
    let place = place("ready").await;
    assert_eq!(least_ready(&place, "web", Value::Null).await, 3);
}

#[tokio::test]
async fn two_unavailable_pods_are_counted_though_all_are_ready_before_and_after() {
    let place = place("ready").await;
    let two = json!({"rollingUpdate": {"maxUnavailable": 2, "maxSurge": 0}});
    assert!(least_ready(&place, "web", two).await < 3);
}
