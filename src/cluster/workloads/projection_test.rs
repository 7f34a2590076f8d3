#![allow(clippy::unwrap_used, clippy::expect_used)]

use kube::core::{ObjectList, WatchEvent};
use serde_json::{Value, json};

use super::*;

fn deployment() -> Value {
    json!({
        "metadata": {
            "name": "ai", "namespace": "estate", "uid": "u1", "resourceVersion": "7", "generation": 3,
            "labels": {"tier": "api"},
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "ai"}, "matchExpressions": [
                {"key": "track", "operator": "In", "values": ["a", "b"]},
                {"key": "canary", "operator": "DoesNotExist"}]},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": template(),
        },
        "status": {
            "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 1,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        },
    })
}

fn template() -> Value {
    json!({
        "metadata": {
            "labels": {"app": "ai"},
            "annotations": {"team": "x", "rollout.keyferry.dev/ai": "r1"},
        },
        "spec": {
            "imagePullSecrets": [{"name": "registry"}],
            "initContainers": [{"name": "i", "env": [
                {"name": "A", "value": "with \"quotes\" and \u{e9}"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "by-init", "key": "k"}}}]}],
            "containers": [{"name": "c",
                "env": [
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "by-env", "key": "k"}}},
                    {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "a-map", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "by-env-from"}}, {"configMapRef": {"name": "a-map"}}]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "by-volume"}},
                {"name": "p", "projected": {"sources": [
                    {"secret": {"name": "by-projection"}}, {"serviceAccountToken": {"path": "t"}}]}},
                {"name": "e", "emptyDir": {}}],
        },
    })
}

fn read(object: &Value, kind: Kind) -> Workload {
    let object: WorkloadObject = serde_json::from_str(&object.to_string()).unwrap();
    object.into_workload(kind).unwrap()
}

#[test]
fn a_deployment_keeps_what_decisions_need() {
    let w = read(&deployment(), Kind::Deployment);
    assert_eq!(
        (w.kind, w.name.as_str(), w.namespace.as_str()),
        (Kind::Deployment, "ai", "estate")
    );
    assert_eq!(
        (w.uid.as_str(), w.resource_version.as_str(), w.generation),
        ("u1", "7", 3)
    );
    assert_eq!(w.labels.get("tier").map(String::as_str), Some("api"));
    assert_eq!(w.wanted, 2);
    assert_eq!(
        w.markers.into_iter().collect::<Vec<_>>(),
        [("rollout.keyferry.dev/ai".to_owned(), "r1".to_owned())]
    );
    assert_eq!(w.selector, "app=ai,track in (a,b),!canary");
    let n = w.numbers;
    assert_eq!(
        [
            n.observed_generation,
            n.replicas,
            n.updated,
            n.available,
            n.ready
        ],
        [3, 2, 2, 1, 2]
    );
    assert_eq!(n.progressing_reason, "NewReplicaSetAvailable");
    assert!(!w.opted_out && !w.paused && !w.controlled && !w.finished);
}

#[test]
fn a_quota_that_is_used_up_is_known_by_its_name_and_nothing_else_of_the_text() {
    let quota = |status: &str, message: &str| {
        let mut object = deployment();
        let refused = json!({"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": message});
        let conditions = object["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(refused);
        read(&object, Kind::Deployment).numbers.used_up
    };
    let full = "pods \"ai-6b-\" is forbidden: exceeded quota: small.team-1, requested: pods=1, used: pods=3, limited: pods=3";
    let denied = "admission webhook \"x\" denied the request: no";
    let odd = "exceeded quota: what \"a\" webhook says";
    for (status, message, expected) in [
        ("True", full, "small.team-1"),
        ("False", full, ""),
        ("True", denied, ""),
        ("True", odd, ""),
    ] {
        assert_eq!(quota(status, message), expected, "{message}");
    }
}

#[test]
fn secrets_by_env_env_from_volumes_projected_and_init_containers_not_pull_secrets() {
    let w = read(&deployment(), Kind::Deployment);
    let mounted: Vec<_> = w.mounted.into_iter().collect();
    assert_eq!(mounted, ["by-projection", "by-volume"]);
    let secrets: Vec<_> = w.secrets.into_iter().collect();
    assert_eq!(
        secrets,
        [
            "by-env",
            "by-env-from",
            "by-init",
            "by-projection",
            "by-volume"
        ]
    );
}

#[test]
fn the_template_hash_changes_with_everything_but_our_markers() {
    let hash = |change: &dyn Fn(&mut Value)| {
        let mut object = deployment();
        change(&mut object["spec"]["template"]);
        read(&object, Kind::Deployment).template_hash
    };
    let as_it_is = hash(&|_| {});
    assert_eq!(as_it_is.len(), 16);
    assert_eq!(
        as_it_is,
        hash(&|t| t["metadata"]["annotations"]["rollout.keyferry.dev/ai"] = json!("r2"))
    );
    assert_eq!(
        as_it_is,
        hash(&|t| t["metadata"]["annotations"] = json!({"team": "x"}))
    );
    assert_ne!(
        as_it_is,
        hash(&|t| t["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("now"))
    );
    assert_ne!(
        as_it_is,
        hash(&|t| t["metadata"]["labels"]["app"] = json!("other"))
    );
    assert_ne!(
        as_it_is,
        hash(&|t| t["spec"]["containers"][0]["image"] = json!("app:2"))
    );
}

#[test]
fn stateful_sets_and_daemon_sets_have_their_own_numbers() {
    let mut object = deployment();
    object["spec"]["strategy"].take();
    object["spec"].as_object_mut().unwrap().remove("strategy");
    object["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    let set = read(&object, Kind::StatefulSet);
    assert_eq!((set.partition, set.strategy), (2, Strategy::RollingUpdate));

    object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    object["spec"].as_object_mut().unwrap().remove("replicas");
    object["status"] = json!({"observedGeneration": 3, "currentNumberScheduled": 4, "desiredNumberScheduled": 5,
        "updatedNumberScheduled": 3, "numberAvailable": 2, "numberReady": 1, "numberMisscheduled": 0});
    let daemon = read(&object, Kind::DaemonSet);
    assert_eq!(daemon.strategy, Strategy::OnDelete);
    assert_eq!(daemon.wanted, 5);
    let n = daemon.numbers;
    assert_eq!([n.replicas, n.updated, n.available, n.ready], [4, 3, 2, 1]);
}

#[test]
fn opted_out_paused_controlled_and_finished() {
    let mut object = deployment();
    object["metadata"]["annotations"] = json!({"keyferry.dev/rollout": "ignore"});
    object["spec"]["paused"] = json!(true);
    object["spec"]["strategy"]["type"] = json!("Recreate");
    object["metadata"]["ownerReferences"] =
        json!([{"kind": "CronJob", "name": "etl", "uid": "x", "controller": true}]);
    object["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    let w = read(&object, Kind::Deployment);
    assert!(w.opted_out && w.paused && w.controlled && w.finished);
    assert_eq!(w.strategy, Strategy::Recreate);
    object["metadata"]["annotations"] = json!({"keyferry.dev/rollout": "no"});
    assert!(!read(&object, Kind::Deployment).opted_out);
}

#[test]
fn a_cron_jobs_template_lies_deeper() {
    let object = json!({
        "metadata": {"name": "etl", "namespace": "estate", "uid": "u", "resourceVersion": "1"},
        "spec": {"schedule": "0 2 * * *", "suspend": true, "jobTemplate": {"spec": {"template": template()}}},
        "status": {},
    });
    let cron = read(&object, Kind::CronJob);
    assert!(cron.secrets.contains("by-env"));
    assert!(cron.paused);
    assert_eq!(cron.selector, "");
}

#[test]
fn an_undecodable_object_stalls_nobody_and_its_text_is_not_quoted() {
    let mut broken = deployment();
    broken["spec"]["replicas"] = json!("hunter22-many");
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": [deployment(), broken]});
    let list: ObjectList<WorkloadObject> =
        serde_json::from_slice(list.to_string().as_bytes()).unwrap();
    let understood: Vec<_> = list
        .items
        .into_iter()
        .map(|o| o.into_workload(Kind::Deployment).is_some())
        .collect();
    assert_eq!(understood, [true, false]);
    let nameless = json!({"metadata": {"name": ["hunter22"]}}).to_string();
    let error = serde_json::from_str::<WorkloadObject>(&nameless)
        .unwrap_err()
        .to_string();
    assert!(!error.contains("hunter22"), "{error}");
}

/// The API server writes `type` before `object` (Go: `metav1.WatchEvent`); the other way round a
/// raw value could not be read, because serde would buffer it.
#[test]
fn watch_events_are_projected() {
    let line = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}", deployment());
    let event: Result<WatchEvent<WorkloadObject>, _> = serde_json::from_str(&line);
    let Ok(WatchEvent::Modified(read)) = event else {
        panic!("{:?}", event.err());
    };
    assert_eq!(read.into_workload(Kind::Deployment).unwrap().name, "ai");
}
