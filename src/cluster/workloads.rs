//! Workloads of a namespace: listing, reading, watching, and the one write, of our markers.
//!
//! Objects are projected while they are decoded (`projection`); whole pod specs are never kept.
//! Nothing is decided here: what to restart and when is `core::rollout`.

mod error;
mod pods;
mod projection;
mod secret_references;
mod shapes;
mod watch;

use std::{future::Future, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    core::{ApiResource, DynamicResourceScope},
};
use serde::de::DeserializeOwned;
use serde_json::json;

pub use error::WorkloadError;
pub use watch::{WorkloadEvent, watch};

use crate::{
    api::names::FIELD_MANAGER,
    core::rollout::{Kind, PodInfo, Workload, workload::Markers},
};
use pods::PodObject;
use projection::WorkloadObject;

/// Objects for each page of a listing: what one page holds is what a listing costs in memory.
const PAGE_SIZE: u32 = 100;
/// The resource of pods, as RBAC names it.
const PODS: &str = "pods";
/// The longest one request may take, kube's own retries included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest a listing of all its pages may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads and marks workloads.
#[derive(Clone)]
pub struct Workloads {
    client: Client,
}

impl Workloads {
    /// With a client whose rights cover get, list, watch and patch of Deployments, StatefulSets and
    /// DaemonSets, list of CronJobs, Jobs and Pods.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Every workload of the namespace, of all five kinds, as the API server has it now.
    ///
    /// # Errors
    /// What the API server answers instead, or [`WorkloadError::Timeout`] after 30 s.
    pub async fn list_consumers(&self, namespace: &str) -> Result<Vec<Workload>, WorkloadError> {
        let listing = async {
            let mut all = Vec::new();
            for kind in Kind::ALL {
                let objects = pages(&self.api(kind, namespace), kind.plural(), "").await?;
                all.extend(objects.into_iter().filter_map(|o| o.into_workload(kind)));
            }
            Ok(all)
        };
        bounded(LIST_TIMEOUT, listing).await
    }

    /// One workload, read fresh: what [`Self::apply_markers`] wants.
    ///
    /// # Errors
    /// [`WorkloadError::NotFound`], or what else the API server answers.
    pub async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Workload, WorkloadError> {
        let api = self.api(kind, namespace);
        let object = bounded(REQUEST_TIMEOUT, async {
            let found = api.get(name).await;
            found.map_err(|error| WorkloadError::of("get", kind.plural(), error))
        })
        .await?;
        object.into_workload(kind).ok_or(WorkloadError::Invalid)
    }

    /// The pods of a workload (by its label selector) that have not ended.
    ///
    /// # Errors
    /// What the API server answers instead, or [`WorkloadError::Timeout`].
    pub async fn pods_of(&self, workload: &Workload) -> Result<Vec<PodInfo>, WorkloadError> {
        // An empty selector means every pod in the API, and none here.
        if workload.selector.is_empty() {
            return Ok(Vec::new());
        }
        let api: Api<PodObject> =
            Api::namespaced_with(self.client.clone(), &workload.namespace, &pods::resource());
        let objects = bounded(LIST_TIMEOUT, pages(&api, PODS, &workload.selector)).await?;
        Ok(objects
            .into_iter()
            .filter_map(PodObject::into_info)
            .collect())
    }

    /// Deletes this very pod.
    ///
    /// # Errors
    /// What the API server answers instead, or [`WorkloadError::Timeout`]. A pod that is gone is none.
    pub async fn delete_pod(&self, namespace: &str, pod: &PodInfo) -> Result<(), WorkloadError> {
        let api: Api<PodObject> =
            Api::namespaced_with(self.client.clone(), namespace, &pods::resource());
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = bounded(REQUEST_TIMEOUT, async {
            let deleted = api.delete(&pod.name, &params).await;
            deleted.map_err(|error| WorkloadError::of("delete", PODS, error))
        });
        match deleted.await {
            Ok(_) | Err(WorkloadError::NotFound | WorkloadError::Stale) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// True when a pod of the namespace that has not ended uses the Secret, whoever made the pod.
    ///
    /// # Errors
    /// What the API server answers instead, or [`WorkloadError::Timeout`].
    pub async fn pods_use(&self, namespace: &str, secret: &str) -> Result<bool, WorkloadError> {
        let api: Api<PodObject> =
            Api::namespaced_with(self.client.clone(), namespace, &pods::resource());
        let objects = bounded(LIST_TIMEOUT, pages(&api, PODS, "")).await?;
        Ok(objects.iter().any(|pod| pod.uses(secret)))
    }

    /// Makes our markers on the pod template exactly `markers`, by one server-side apply of nothing
    /// but these annotations. A marker of ours that is not in the set is taken off.
    ///
    /// `workload` must have been read by [`Self::get`] for this call: its uid and resourceVersion are
    /// sent, so the API server refuses the write when the object has changed since.
    ///
    /// # Errors
    /// [`WorkloadError::WrongUid`] for another object of that name, [`WorkloadError::Stale`] when it
    /// has changed or is gone: read it again and decide anew. After [`WorkloadError::Timeout`] the
    /// write may have happened: likewise.
    pub async fn apply_markers(
        &self,
        workload: &Workload,
        markers: &Markers,
    ) -> Result<(), WorkloadError> {
        let resource = resource(workload.kind);
        let patch = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": workload.name,
                "namespace": workload.namespace,
                "uid": workload.uid,
                "resourceVersion": workload.resource_version,
            },
            "spec": {"template": {"metadata": {"annotations": markers}}},
        });
        let api = self.api(workload.kind, &workload.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        // The reply shows the numbers of before; what comes of it the watch tells.
        bounded(REQUEST_TIMEOUT, async {
            let patch = Patch::Apply(&patch);
            let applied = api.patch(&workload.name, &params, &patch).await;
            applied.map_err(|error| WorkloadError::of("patch", workload.kind.plural(), error))
        })
        .await
        .map(drop)
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<WorkloadObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }
}

/// Group, version and plural of a kind.
fn resource(kind: Kind) -> ApiResource {
    let group = match kind {
        Kind::CronJob | Kind::Job => "batch",
        Kind::DaemonSet | Kind::Deployment | Kind::StatefulSet => "apps",
    };
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: format!("{group}/v1"),
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// All pages of a listing. The API server keeps one snapshot over them; one that has expired is a
/// 410, and the caller lists again.
async fn pages<K>(
    api: &Api<K>,
    resource: &'static str,
    selector: &str,
) -> Result<Vec<K>, WorkloadError>
where
    K: kube::Resource<Scope = DynamicResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = ListParams::default().limit(PAGE_SIZE).labels(selector);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(|error| WorkloadError::of("list", resource, error))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

async fn bounded<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, WorkloadError>>,
) -> Result<T, WorkloadError> {
    tokio::time::timeout(limit, request)
        .await
        .unwrap_or(Err(WorkloadError::Timeout))
}
