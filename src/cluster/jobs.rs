//! Jobs of preflights, and what is read of their pods. No decision is made here.
//!
//! A pod's termination message may hold values, so pods come through raw requests and own shapes.

use http::Method;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    ClusterError, Raw,
    error::Asked,
    pod_shapes::{Condition, Waiting, holds},
    raw::{self, Accept, Call, Content, List, MetadataOnly, labelled},
};
use crate::{
    api::names,
    core::{
        SecretValue,
        preflight::{JobSeen, PodSeen, Run, Seen, is_job},
    },
};

/// Label that the job controller puts on a Job's pods (Kubernetes 1.27 and later).
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// Jobs of the API server.
#[derive(Clone)]
pub struct Jobs {
    raw: Raw,
}

impl Jobs {
    /// Requests go through `raw`.
    pub fn new(raw: Raw) -> Self {
        Self { raw }
    }

    /// The Job with its youngest pod; None if there is no such Job.
    ///
    /// # Errors
    /// Any answer but 200, and 404 for the Job.
    pub async fn look(&self, namespace: &str, name: &str) -> Result<Option<Seen>, ClusterError> {
        let uri = jobs(namespace, Some(name));
        let call = call("get", "jobs", Method::GET, uri, Accept::Whole, None);
        let job: JobObject = match self.raw.call(call).await {
            Ok(job) => job,
            Err(ClusterError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let pod = self.youngest_pod(namespace, &job.metadata.uid).await?;
        Ok(Some(Seen {
            job: job.status.into(),
            pod: pod.map(Into::into),
        }))
    }

    async fn youngest_pod(
        &self,
        namespace: &str,
        job_uid: &str,
    ) -> Result<Option<PodObject>, ClusterError> {
        let selector = format!("{CONTROLLER_UID}={job_uid}");
        let uri = labelled(&raw::path("/api/v1", namespace, "pods", None), &selector);
        let call = call("list", "pods", Method::GET, uri, Accept::Whole, None);
        let pods: List<PodObject> = self.raw.call(call).await?;
        Ok(pods.items.into_iter().flatten().max_by_key(PodObject::made))
    }

    /// POST of a Job.
    ///
    /// # Errors
    /// `AlreadyExists` where it was made before, `Forbidden` by quota, admission or RBAC.
    pub async fn create(&self, namespace: &str, job: &Value) -> Result<(), ClusterError> {
        let uri = format!(
            "{}?fieldManager={}",
            jobs(namespace, None),
            names::FIELD_MANAGER
        );
        let body = Zeroizing::new(job.to_string().into_bytes());
        let body = Some((Content::Json, body));
        let call = call("create", "jobs", Method::POST, uri, Accept::Metadata, body);
        self.raw.call::<IgnoredAny>(call).await.map(drop)
    }

    /// Deletes every preflight Job of a binding, with its pods. Returns how many there were.
    ///
    /// # Errors
    /// Any answer but 200, and 404 for a Job that has gone meanwhile.
    pub async fn clear(&self, namespace: &str, binding: &str) -> Result<usize, ClusterError> {
        let selector = format!("{}={binding}", names::LABEL_PART_OF);
        let uri = labelled(&jobs(namespace, None), &selector);
        let call = call("list", "jobs", Method::GET, uri, Accept::MetadataList, None);
        let found: List<MetadataOnly> = self.raw.call(call).await?;
        let all = found.items.into_iter().flatten();
        let ours = all.filter_map(|item| item.metadata.name);
        let mut deleted = 0;
        for name in ours.filter(|name| is_job(name)) {
            self.delete(namespace, &name).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        });
        let body = Zeroizing::new(options.to_string().into_bytes());
        let uri = jobs(namespace, Some(name));
        let body = Some((Content::Json, body));
        let call = call(
            "delete",
            "jobs",
            Method::DELETE,
            uri,
            Accept::Metadata,
            body,
        );
        match self.raw.call::<IgnoredAny>(call).await {
            Ok(_) | Err(ClusterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn jobs(namespace: &str, name: Option<&str>) -> String {
    raw::path("/apis/batch/v1", namespace, "jobs", name)
}

fn call(
    verb: &'static str,
    resource: &'static str,
    method: Method,
    uri: String,
    accept: Accept,
    body: Option<(Content, Zeroizing<Vec<u8>>)>,
) -> Call {
    Call {
        asked: Asked { verb, resource },
        method,
        uri,
        accept,
        body,
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    uid: String,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

#[derive(Deserialize)]
struct JobObject {
    metadata: Meta,
    #[serde(default)]
    status: JobStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobStatus {
    conditions: Vec<Condition>,
}

impl From<JobStatus> for JobSeen {
    /// The second of each pair of conditions comes first, while pods are still on their way out (KEP-3939).
    fn from(status: JobStatus) -> Self {
        let all = &status.conditions;
        Self {
            complete: holds(all, &["Complete", "SuccessCriteriaMet"]).is_some(),
            failed: holds(all, &["Failed", "FailureTarget"]).map(str::to_owned),
        }
    }
}

#[derive(Deserialize)]
struct PodObject {
    metadata: Meta,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    reason: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<IgnoredAny>,
    terminated: Option<Terminated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: i32,
    #[serde(default)]
    reason: String,
    #[serde(default = "nothing", deserialize_with = "secret")]
    message: SecretValue,
}

fn nothing() -> SecretValue {
    SecretValue::new(Vec::new())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretValue, D::Error> {
    String::deserialize(deserializer).map(SecretValue::from)
}

impl PodObject {
    fn made(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }
}

impl From<PodObject> for PodSeen {
    fn from(pod: PodObject) -> Self {
        let status = pod.status;
        let scheduled = status.conditions.iter().find(|c| c.type_ == "PodScheduled");
        let unschedulable =
            scheduled.is_some_and(|c| c.status == "False" && c.reason == "Unschedulable");
        let container = status.container_statuses.into_iter().next();
        let (run, message) = container.unwrap_or_default().state.into_run();
        Self {
            deleting: pod.metadata.deletion_timestamp.is_some(),
            disrupted: holds(&status.conditions, &["DisruptionTarget"]).is_some(),
            reason: status.reason,
            unschedulable,
            run,
            message,
        }
    }
}

impl State {
    fn into_run(self) -> (Run, SecretValue) {
        match self {
            Self {
                terminated: Some(end),
                ..
            } => {
                // An end without a word, as some runtimes report it.
                let reason = match end.reason.is_empty() {
                    true => "Error".to_owned(),
                    false => end.reason,
                };
                let code = end.exit_code;
                (Run::Ended { code, reason }, end.message)
            }
            Self {
                running: Some(_), ..
            } => (Run::Running, nothing()),
            Self { waiting, .. } => {
                let reason = waiting.unwrap_or_default().reason;
                (Run::Waiting(reason), nothing())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn pod(status: Value) -> PodSeen {
        let object = json!({"metadata": {"name": "a", "uid": "u"}, "status": status});
        serde_json::from_value::<PodObject>(object).unwrap().into()
    }

    #[test]
    fn a_pod_is_read_from_its_arrival_to_its_end() {
        let new = pod(json!({}));
        assert_eq!(new.run, Run::Waiting(String::new()));
        assert!(!new.deleting && !new.disrupted && !new.unschedulable);
        let nowhere =
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        assert!(pod(json!({"conditions": nowhere})).unschedulable);
        let state = |state: Value| pod(json!({"containerStatuses": [{"state": state}]}));
        let pulled = state(json!({"waiting": {"reason": "ErrImagePull", "message": "x"}}));
        assert_eq!(pulled.run, Run::Waiting("ErrImagePull".to_owned()));
        assert_eq!(state(json!({"running": {}})).run, Run::Running);
        let ended =
            state(json!({"terminated": {"exitCode": 2, "reason": "Error", "message": "no"}}));
        let (code, reason) = (2, "Error".to_owned());
        assert_eq!(ended.run, Run::Ended { code, reason });
        assert_eq!(ended.message.expose(), b"no");
        assert!(!format!("{ended:?}").contains("no\""));
        let gone = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
        assert!(pod(json!({"conditions": gone})).disrupted);
    }

    #[test]
    fn a_job_says_early_how_it_ends() {
        let seen = |kind: &str, reason: &str| {
            let status = json!({"conditions": [
                {"type": "Suspended", "status": "False"},
                {"type": kind, "status": "True", "reason": reason},
            ]});
            JobSeen::from(serde_json::from_value::<JobStatus>(status).unwrap())
        };
        assert!(seen("Complete", "").complete && seen("SuccessCriteriaMet", "").complete);
        for kind in ["Failed", "FailureTarget"] {
            let failed = seen(kind, "DeadlineExceeded");
            assert_eq!(failed.failed.as_deref(), Some("DeadlineExceeded"));
            assert!(!failed.complete);
        }
        assert_eq!(JobSeen::from(JobStatus::default()), JobSeen::default());
    }
}
