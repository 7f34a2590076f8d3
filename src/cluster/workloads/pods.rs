//! What is kept of a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::ApiResource;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::pod_shapes::{Condition, Waiting, holds},
    projection::by_hand,
    secret_references,
};
use crate::core::rollout::{ContainerReport, PodInfo, marker};

/// A pod, reduced while it is decoded.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape")]
pub(super) struct PodObject {
    meta: ObjectMeta,
    info: Option<PodInfo>,
    secrets: BTreeSet<String>,
}

by_hand!(PodObject);

impl PodObject {
    /// True when a pod that has not ended uses the Secret.
    pub(super) fn uses(&self, secret: &str) -> bool {
        self.info.is_some() && self.secrets.contains(secret)
    }

    /// None for pods that have ended.
    pub(super) fn into_info(self) -> Option<PodInfo> {
        self.info
    }
}

pub(super) fn resource() -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        plural: "pods".to_owned(),
    }
}

#[derive(Deserialize)]
struct Shape {
    metadata: Meta,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    uid: String,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    ready: bool,
    restart_count: i32,
    state: State,
    last_state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Started>,
    terminated: Option<Started>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    started_at: Option<Time>,
    exit_code: Option<i32>,
}

impl State {
    fn started(&self) -> Option<&Time> {
        let one = self.running.as_ref().or(self.terminated.as_ref());
        one.and_then(|s| s.started_at.as_ref())
    }
}

impl From<Shape> for PodObject {
    fn from(shape: Shape) -> Self {
        let meta = ObjectMeta {
            name: Some(shape.metadata.name.clone()),
            ..ObjectMeta::default()
        };
        let ended = matches!(shape.status.phase.as_str(), "Succeeded" | "Failed");
        let spec = shape.spec.as_deref();
        Self {
            meta,
            secrets: spec
                .and_then(|spec| secret_references::used(spec).ok())
                .unwrap_or_default(),
            info: if ended { None } else { info(shape) },
        }
    }
}

fn info(shape: Shape) -> Option<PodInfo> {
    let started = |c: &ContainerStatus| {
        let time = c.state.started().or_else(|| c.last_state.started());
        time.map(|t| t.0)
    };
    let Shape {
        metadata, status, ..
    } = shape;
    let markers = metadata.annotations.into_iter();
    Some(PodInfo {
        created: metadata.creation_timestamp?.0,
        started: status.container_statuses.iter().filter_map(started).max(),
        markers: markers.filter(|(key, _)| marker::is_key(key)).collect(),
        name: metadata.name,
        uid: metadata.uid,
        ready: holds(&status.conditions, &["Ready"]).is_some(),
        leaving: metadata.deletion_timestamp.is_some(),
        unscheduled: status.unscheduled(),
        containers: status.containers(),
    })
}

impl PodStatus {
    fn unscheduled(&self) -> String {
        let found = self.conditions.iter().find(|c| c.type_ == "PodScheduled");
        found
            .filter(|c| c.status == "False")
            .map_or(String::new(), |c| c.reason.clone())
    }

    fn containers(&self) -> Vec<ContainerReport> {
        let init = self.init_container_statuses.iter();
        init.chain(&self.container_statuses)
            .map(ContainerStatus::report)
            .collect()
    }
}

impl ContainerStatus {
    fn report(&self) -> ContainerReport {
        let ended = self.state.terminated.as_ref();
        let ended = ended.or(self.last_state.terminated.as_ref());
        let waiting = self.state.waiting.as_ref();
        ContainerReport {
            name: self.name.clone(),
            waiting: waiting.map_or(String::new(), |w| w.reason.clone()),
            exit_code: ended.and_then(|e| e.exit_code),
            restarts: self.restart_count,
            running: self.state.running.is_some(),
            ready: self.ready,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Option<PodInfo> {
        let object: PodObject = serde_json::from_value(json!({
            "metadata": {"name": "ai-1", "creationTimestamp": "2026-11-22T10:00:00Z",
                "annotations": {"rollout.keyferry.dev/ai": "r1", "other": "x"}},
            "spec": {"containers": []},
            "status": status,
        }))
        .unwrap();
        object.into_info()
    }

    #[test]
    fn the_youngest_start_counts_also_of_a_container_that_waits_to_be_restarted() {
        let info = pod(json!({"phase": "Running", "containerStatuses": [
            {"state": {"running": {"startedAt": "2026-11-22T10:00:05Z"}}, "lastState": {}},
            {"state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"startedAt": "2026-11-22T10:00:09Z", "exitCode": 1}}},
        ]}))
        .unwrap();
        assert_eq!(info.created.to_string(), "2026-11-22T10:00:00Z");
        assert_eq!(info.started.unwrap().to_string(), "2026-11-22T10:00:09Z");
        assert_eq!(info.markers.len(), 1);
    }

    #[test]
    fn a_pod_that_waits_has_not_started_and_one_that_ended_does_not_count() {
        assert_eq!(pod(json!({"phase": "Pending"})).unwrap().started, None);
        assert_eq!(pod(json!({"phase": "Succeeded"})), None);
    }
}
