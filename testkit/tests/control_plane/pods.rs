//! Single pods on simulated nodes.

use k8s_openapi::api::core::v1::{Node, Pod};
use keyferry_testkit::node::{Outcome, Rule, SIMULATED_LABEL, Target, When};
use keyferry_testkit::{ControlPlane, NodeSimulator, control_plane, node};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use crate::support::{condition, container, names, place, pod, status, until};

#[tokio::test]
async fn environment_is_captured_at_the_start_and_again_only_by_a_restart() {
    let place = place("capture").await;
    place.secret("creds", json!({"password": "first"})).await;
    place
        .apply(pod("app", json!({"containers": [container()]})))
        .await;
    until("it captured", || async {
        place.captured("PASSWORD").is_some()
    })
    .await;
    assert_eq!(place.captured("PASSWORD").as_deref(), Some("first"));

    place.secret("creds", json!({"password": "second"})).await;
    // Something else of the same pod happens after the change, so that it would
    // be seen if it were to show.
    let target = || Target::Pod("app".into());
    place
        .bed
        .nodes
        .set_rule(&place.namespace, target(), Rule::not_ready(When::Always));
    let pods = place.pods();
    until("it is unready", || async {
        condition(&status(&pods, "app").await, "Ready") == "False"
    })
    .await;
    assert_eq!(place.captured("PASSWORD").as_deref(), Some("first"));

    let crash = Rule::crash(When::equals("PASSWORD", "first"), 3);
    place.bed.nodes.set_rule(&place.namespace, target(), crash);
    until("it is ready again", || async {
        let status = status(&pods, "app").await;
        condition(&status, "Ready") == "True" && status["containerStatuses"][0]["restartCount"] == 1
    })
    .await;
    assert_eq!(place.captured("PASSWORD").as_deref(), Some("second"));
    let starts = place.bed.nodes.starts(&place.namespace);
    let values: Vec<_> = starts
        .iter()
        .map(|s| s.environment.get("PASSWORD").unwrap())
        .collect();
    assert_eq!(values, ["first", "second"]);
    let status = status(&pods, "app").await;
    let last = &status["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 3);
    assert_eq!(condition(&status, "PodScheduled"), "True");
}

#[tokio::test]
async fn init_containers_run_in_order_before_the_container() {
    let place = place("init").await;
    place.secret("creds", json!({"password": "p"})).await;
    place
        .apply(pod(
            "app",
            json!({
                "initContainers": [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}],
                "containers": [container()],
            }),
        ))
        .await;
    let pods = place.pods();
    until("it is ready", || async {
        condition(&status(&pods, "app").await, "Ready") == "True"
    })
    .await;
    let starts = place.bed.nodes.starts(&place.namespace);
    let order: Vec<_> = starts
        .iter()
        .map(|start| start.container.as_str())
        .collect();
    assert_eq!(order, ["one", "two", "app"]);
    let status = status(&pods, "app").await;
    for init in status["initContainerStatuses"].as_array().unwrap() {
        assert_eq!(init["state"]["terminated"]["exitCode"], 0);
    }
    assert_eq!(condition(&status, "Initialized"), "True");
}

#[tokio::test]
async fn a_crash_loop_counts_its_restarts_and_ends_when_the_rule_does() {
    let place = place("crash").await;
    place.secret("creds", json!({"password": "p"})).await;
    let target = || Target::Labels([("app".to_owned(), "app".to_owned())].into());
    place
        .bed
        .nodes
        .set_rule(&place.namespace, target(), Rule::crash(When::Always, 7));
    place
        .apply(pod("app", json!({"containers": [container()]})))
        .await;
    let pods = place.pods();
    until("it waits in a crash loop", || async {
        let container = status(&pods, "app").await["containerStatuses"][0].clone();
        container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            && container["restartCount"].as_i64() >= Some(2)
            && container["lastState"]["terminated"]["exitCode"] == 7
            && container["ready"] == false
    })
    .await;
    place.bed.nodes.clear_rules(&place.namespace, target());
    until("it is ready", || async {
        condition(&status(&pods, "app").await, "Ready") == "True"
    })
    .await;
    let restarts = status(&pods, "app").await["containerStatuses"][0]["restartCount"].as_u64();
    let starts = place.bed.nodes.starts(&place.namespace).len();
    assert_eq!(restarts, Some(starts as u64 - 1));
}

#[tokio::test]
async fn a_missing_secret_or_key_is_a_config_error_until_it_exists() {
    let place = place("missing").await;
    place
        .apply(pod("app", json!({"containers": [container()]})))
        .await;
    let pods = place.pods();
    let waiting = async |message: String| {
        until(&message, || async {
            let state =
                status(&pods, "app").await["containerStatuses"][0]["state"]["waiting"].clone();
            state["reason"] == "CreateContainerConfigError" && state["message"] == *message
        })
        .await;
    };
    waiting("secret \"creds\" not found".into()).await;
    place.secret("creds", json!({"other": "x"})).await;
    waiting(format!(
        "couldn't find key password in Secret {}/creds",
        place.namespace
    ))
    .await;
    assert_eq!(status(&pods, "app").await["phase"], "Pending");
    place.secret("creds", json!({"password": "now"})).await;
    until("it runs", || async {
        status(&pods, "app").await["phase"] == "Running"
    })
    .await;
    assert_eq!(place.captured("PASSWORD").as_deref(), Some("now"));
    let status = status(&pods, "app").await;
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
}

#[tokio::test]
async fn volumes_follow_their_secret_without_a_restart() {
    let place = place("volumes").await;
    place
        .apply(pod("app", json!({
            "containers": [{"name": "app", "image": "app:1"}],
            "volumes": [{"name": "creds", "projected": {"sources": [{"secret": {"name": "creds"}}]}}],
        })))
        .await;
    let pods = place.pods();
    until("it waits for its volume", || async {
        let status = status(&pods, "app").await;
        status["containerStatuses"][0]["state"]["waiting"]["message"]
            == "secret \"creds\" not found"
    })
    .await;
    let content = || {
        let pods = place.bed.nodes.pods(&place.namespace, &[("app", "app")]);
        let file = pods.first()?.volume("creds")?.get("password")?.clone();
        String::from_utf8(file).ok()
    };
    for value in ["first", "second"] {
        place.secret("creds", json!({"password": value})).await;
        until("the file follows", || async {
            content().as_deref() == Some(value)
        })
        .await;
    }
    until("it runs", || async {
        status(&pods, "app").await["phase"] == "Running"
    })
    .await;
    assert_eq!(place.bed.nodes.starts(&place.namespace).len(), 1);
}

#[tokio::test]
async fn pods_of_other_nodes_are_not_touched() {
    let place = place("foreign").await;
    let nodes: Api<Node> = Api::all(place.client.clone());
    // A node that never takes part in scheduling, as real as one can be here.
    let name = format!("foreign-{}", std::process::id());
    place
        .apply(
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"unschedulable": true}}),
        )
        .await;
    let containers = json!([{"name": "app", "image": "app:1"}]);
    place
        .apply(pod(
            "theirs",
            json!({"nodeName": name, "containers": containers}),
        ))
        .await;
    place
        .apply(pod("ours", json!({"containers": containers})))
        .await;
    let pods = place.pods();
    until("ours runs", || async {
        status(&pods, "ours").await["phase"] == "Running"
    })
    .await;
    let theirs: Pod = pods.get("theirs").await.unwrap();
    assert_eq!(theirs.status.unwrap().container_statuses, None);
    let ours: Vec<_> = place
        .bed
        .nodes
        .pods(&place.namespace, &[])
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(ours, ["ours"]);
    nodes.delete(&name, &DeleteParams::default()).await.unwrap();
}

/// On a control plane of its own: its nodes would draw other tests' pods.
#[tokio::test]
async fn nodes_go_with_their_simulator_and_abandoned_ones_with_the_next() {
    let plane = ControlPlane::built(control_plane::Options::default())
        .await
        .unwrap();
    let client = plane.client().await.unwrap();
    let start = async |nodes| {
        let options = node::Options {
            nodes,
            ..Default::default()
        };
        NodeSimulator::start(client.clone(), options).await.unwrap()
    };
    let api: Api<Node> = Api::all(client.clone());
    let left = async || {
        let simulated = ListParams::default().labels(SIMULATED_LABEL);
        names(&api.list(&simulated).await.unwrap().items)
    };
    let living = start(2).await;
    assert_eq!(left().await, living.nodes());
    let abandoned = start(1).await;
    assert_eq!(left().await.len(), 3);
    drop(abandoned);
    assert_eq!(left().await.len(), 3);
    let next = start(1).await;
    let mut expected = [living.nodes(), next.nodes()].concat();
    expected.sort();
    assert_eq!(left().await, expected);
    next.stop().await.unwrap();
    assert_eq!(left().await, living.nodes());
    living.stop().await.unwrap();
    assert!(left().await.is_empty());
}

#[tokio::test]
async fn a_deleted_pod_is_gone_and_its_end_reported_first() {
    let place = place("delete").await;
    place
        .apply(pod(
            "app",
            json!({"containers": [{"name": "app", "image": "app:1"}]}),
        ))
        .await;
    let pods = place.pods();
    until("it runs", || async {
        status(&pods, "app").await["phase"] == "Running"
    })
    .await;
    let watch = pods.watch(&Default::default(), "0").await.unwrap();
    pods.delete("app", &DeleteParams::default()).await.unwrap();
    let mut phases = Vec::new();
    futures::pin_mut!(watch);
    while let Some(event) = futures::StreamExt::next(&mut watch).await {
        match event.unwrap() {
            kube::api::WatchEvent::Deleted(pod) => {
                phases.push(pod.status.unwrap().phase.unwrap());
                break;
            }
            _ => continue,
        }
    }
    assert_eq!(phases, ["Failed"]);
    until("the simulator forgot it", || async {
        place.bed.nodes.pods(&place.namespace, &[]).is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_init_container_named_by_a_rule_holds_the_pod() {
    let place = place("held").await;
    let rule = Rule::new(When::Always, Outcome::exit(9)).container("one");
    place
        .bed
        .nodes
        .set_rule(&place.namespace, Target::Pod("app".into()), rule);
    place
        .apply(pod(
            "app",
            json!({
                "initContainers": [{"name": "one", "image": "i"}],
                "containers": [{"name": "app", "image": "app:1"}],
                "restartPolicy": "Never",
            }),
        ))
        .await;
    let pods = place.pods();
    until("it failed", || async {
        status(&pods, "app").await["phase"] == "Failed"
    })
    .await;
    let starts = place.bed.nodes.starts(&place.namespace);
    assert_eq!(
        starts
            .iter()
            .map(|s| s.container.as_str())
            .collect::<Vec<_>>(),
        ["one"]
    );
}

#[tokio::test]
async fn a_program_says_what_it_captured_and_one_without_image_never_starts() {
    let place = place("says").await;
    place.secret("creds", json!({"password": "first"})).await;
    let nodes = &place.bed.nodes;
    let says = Rule::crash(When::Always, 2).saying("not $(PASSWORD)");
    let of = |name: &str| Target::Pod(name.into());
    nodes.set_rule(&place.namespace, of("says"), says);
    let no_image = Rule::new(When::Always, Outcome::NoImage);
    nodes.set_rule(&place.namespace, of("none"), no_image);
    let once = json!({"restartPolicy": "Never", "containers": [container()]});
    place.apply(pod("says", once.clone())).await;
    place.apply(pod("none", once)).await;
    let pods = place.pods();
    until("it has said it", || async {
        let status = status(&pods, "says").await;
        let end = &status["containerStatuses"][0]["state"]["terminated"];
        end["message"] == "not first" && end["exitCode"] == 2 && status["phase"] == "Failed"
    })
    .await;
    until("it waits for its image", || async {
        let status = status(&pods, "none").await;
        status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull"
    })
    .await;
    let starts = nodes.starts(&place.namespace);
    assert!(starts.iter().all(|start| start.pod == "says"));
}

#[tokio::test]
async fn a_pod_that_finds_no_room_is_unschedulable_until_there_is_some() {
    let place = place("room").await;
    let nodes = &place.bed.nodes;
    let room = format!("example.com/{}", place.namespace);
    nodes.set_room(&room, 0).await.unwrap();
    let limits = json!({"limits": {&room: "1"}});
    let wants = json!({"name": "app", "image": "app:1", "resources": limits});
    place
        .apply(pod("wants", json!({"containers": [wants]})))
        .await;
    let pods = place.pods();
    until("no node takes it", || async {
        let status = status(&pods, "wants").await;
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.any(|c| c["type"] == "PodScheduled" && c["reason"] == "Unschedulable")
    })
    .await;
    nodes.set_room(&room, 1).await.unwrap();
    until("it runs", || async {
        status(&pods, "wants").await["phase"] == "Running"
    })
    .await;
}
