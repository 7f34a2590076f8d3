//! What is kept of a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::ApiResource;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{projection::by_hand, secret_references};
use crate::core::rollout::{PodInfo, marker};

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
    creation_timestamp: Option<Time>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    state: State,
    last_state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    running: Option<Started>,
    terminated: Option<Started>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    started_at: Option<Time>,
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
    Some(PodInfo {
        created: shape.metadata.creation_timestamp?.0,
        started: shape
            .status
            .container_statuses
            .iter()
            .filter_map(started)
            .max(),
        markers: shape
            .metadata
            .annotations
            .into_iter()
            .filter(|(key, _)| marker::is_key(key))
            .collect(),
        name: shape.metadata.name,
    })
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
