//! What stands in the cluster: bindings, Secrets, Deployments and pods, as far as the demo tells of them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;

use crate::workspace::Ended;

/// Namespace of `examples/estate`.
pub(crate) const NAMESPACE: &str = "estate";

/// The deployment controller counts a template's revisions in this annotation.
const TEMPLATE_REVISION: &str = "deployment.kubernetes.io/revision";

/// A binding by what its status says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) last_handled_refresh: String,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) rollout_summary: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rollout {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) delivered: String,
    pub(crate) wanted: String,
    pub(crate) message: String,
}

impl Status {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == "True")
    }

    /// `Ready False, SecretNotFound: No secret ...`, for somebody whom it did not become.
    pub(crate) fn why(&self, kind: &str) -> String {
        match self.condition(kind) {
            Some(c) => format!("{kind} {}, {}: {}", c.status, c.reason, c.message),
            None => format!("no condition {kind} yet"),
        }
    }

    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }
}

/// One target Secret without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) keys: Vec<String>,
    pub(crate) revision: String,
    pub(crate) resource_version: String,
}

impl Written {
    /// As much of the revision as a person compares.
    pub(crate) fn short(&self) -> &str {
        self.revision.get(..6).unwrap_or(&self.revision)
    }
}

/// Pods of Deployments that are not on their way out, by the label `app`.
pub(crate) type Pods = BTreeMap<String, BTreeSet<String>>;

/// One Deployment as its controller sees it.
#[derive(Clone, Debug)]
pub(crate) struct Rolled {
    pub(crate) ready: i32,
    pub(crate) wanted: i32,
    pub(crate) complete: bool,
    /// How many templates it has had, counted by the deployment controller.
    pub(crate) template: String,
}

/// The estate namespace seen by an admin.
#[derive(Clone)]
pub(crate) struct Cluster(Client);

impl Cluster {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) async fn bindings(&self) -> Ended<BTreeMap<String, Status>> {
        let kind = GroupVersionKind::gvk("keyferry.dev", "v1alpha1", "ExternalSecretBinding");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(self.0.clone(), NAMESPACE, &resource);
        let mut all = BTreeMap::new();
        for binding in api.list(&ListParams::default()).await? {
            let status = binding.data.get("status").cloned().unwrap_or_default();
            let status: Option<Status> = serde_json::from_value(status)?;
            all.insert(binding.name_any(), status.unwrap_or_default());
        }
        Ok(all)
    }

    /// The Secrets that keyferry has written.
    pub(crate) async fn written(&self) -> Ended<BTreeMap<String, Written>> {
        let ours = ListParams::default().labels("keyferry.dev/managed=true");
        let mut all = BTreeMap::new();
        for secret in self.secrets().list(&ours).await? {
            let revision = secret.annotations().get("keyferry.dev/revision").cloned();
            let written = Written {
                keys: secret
                    .data
                    .iter()
                    .flatten()
                    .map(|(k, _)| k.clone())
                    .collect(),
                revision: revision.unwrap_or_default(),
                resource_version: secret.resource_version().unwrap_or_default(),
            };
            all.insert(secret.name_any(), written);
        }
        Ok(all)
    }

    pub(crate) async fn secret(&self, name: &str) -> Ended<Secret> {
        Ok(self.secrets().get(name).await?)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.0.clone(), NAMESPACE)
    }

    pub(crate) async fn pods(&self) -> Ended<Pods> {
        let mut all = Pods::new();
        for pod in self.living().await? {
            let app = pod.labels().get("app").cloned().unwrap_or_default();
            all.entry(app)
                .or_default()
                .insert(pod.uid().unwrap_or_default());
        }
        Ok(all)
    }

    /// Restarts of containers in pods that still run.
    pub(crate) async fn container_restarts(&self) -> Ended<i32> {
        let statuses = self
            .living()
            .await?
            .into_iter()
            .filter_map(|pod| pod.status);
        let containers = statuses.flat_map(|s| s.container_statuses.unwrap_or_default());
        Ok(containers.map(|c| c.restart_count).sum())
    }

    async fn living(&self) -> Ended<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.0.clone(), NAMESPACE);
        let mut pods = api.list(&ListParams::default()).await?.items;
        // Those of the nightly CronJob come and go by the clock.
        pods.retain(|pod| {
            let mut owners = pod.owner_references().iter();
            pod.metadata.deletion_timestamp.is_none() && owners.any(|o| o.kind == "ReplicaSet")
        });
        Ok(pods)
    }

    pub(crate) async fn deployments(&self) -> Ended<BTreeMap<String, Rolled>> {
        let api: Api<Deployment> = Api::namespaced(self.0.clone(), NAMESPACE);
        let list = api.list(&ListParams::default()).await?;
        Ok(list
            .into_iter()
            .map(|d| (d.name_any(), rolled(&d)))
            .collect())
    }
}

/// Complete as `kubectl rollout status` has it, and no pod of an older template left.
fn rolled(deployment: &Deployment) -> Rolled {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|s| s.replicas)
        .unwrap_or(1);
    let counts = [
        status.updated_replicas,
        status.replicas,
        status.available_replicas,
    ];
    Rolled {
        ready: status.available_replicas.unwrap_or(0),
        wanted,
        complete: status.observed_generation == deployment.metadata.generation
            && counts.iter().all(|count| count.unwrap_or(0) == wanted),
        template: deployment
            .annotations()
            .get(TEMPLATE_REVISION)
            .cloned()
            .unwrap_or_default(),
    }
}
