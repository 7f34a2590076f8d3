//! `ExternalSecretBinding` status: what a user reads. Never a value, never a digest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::preflight::PreflightStatus;

/// Condition types, in the order in which they are written (another order would be a write).
pub mod condition {
    /// Summary: the Secret holds a good value and may be used.
    pub const READY: &str = "Ready";
    /// The Secret holds what the sources say now.
    pub const SYNCED: &str = "Synced";
    /// Every workload runs with the Secret's bytes.
    pub const ROLLED_OUT: &str = "RolledOut";
    /// Work is under way (kstatus); present only while True.
    pub const RECONCILING: &str = "Reconciling";
    /// A person must act (kstatus); present only while True.
    pub const STALLED: &str = "Stalled";
    /// The order of the list.
    pub const ORDER: [&str; 5] = [READY, SYNCED, ROLLED_OUT, RECONCILING, STALLED];
}

/// What is known of a binding.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretBindingStatus {
    /// The generation this status speaks of; -1 until the operator has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// ARN of the identity that read the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretStatus>,
    /// The entries the Secret was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// The region that was read last instead of the binding's own; absent when its own was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverStatus>,
    /// The last preflight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// The workloads that use the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutStatus>,
    /// One phrase about `rollouts`, for example `Healthy 2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_summary: Option<String>,
    /// When the Secret's bytes last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<Time>,
    /// The last value of the annotation `keyferry.dev/refresh` that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh: Option<String>,
    /// The last value of the annotation `keyferry.dev/rollback` that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_rollback: Option<String>,
    /// Since when reads or writes have failed without a success between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Time>,
    /// Ready, Synced, RolledOut, and Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The Secret as last written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// The revision word of its bytes.
    pub revision: String,
    /// How many keys keyferry wrote.
    pub key_count: i64,
    /// The resourceVersion our last write (or check) left.
    pub resource_version: String,
}

/// One entry the Secret was made from: a secret or a parameter.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Name of the secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// Name of the parameter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameter: String,
    /// Version id (an HMAC if it is not a UUID); of a parameter its version number, a hyphen and eight characters that tell it from one of the same number that was deleted.
    pub version_id: String,
    /// Region it was read from.
    pub region: String,
}

impl SourceStatus {
    /// How messages call it.
    pub fn shown(&self) -> String {
        match self.parameter.is_empty() {
            true => self.secret.clone(),
            false => format!("parameter {}", self.parameter),
        }
    }
}

/// A region that serves while the binding's own does not.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverStatus {
    /// The region.
    pub region: String,
    /// Since when.
    pub since: Time,
}

/// One workload that uses the Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Deployment, StatefulSet, DaemonSet, CronJob or Job.
    pub kind: String,
    /// Name of the workload.
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The revision the pods run with when the template carries no marker of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub baseline: String,
    /// The revision the pod template stands for now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub delivered: String,
    /// The revision the pods shall run with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wanted: String,
    /// The revision with which the pods did not become healthy, while that matters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed_revision: String,
    /// What the workload is doing.
    pub state: RolloutState,
    /// When the marker was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Hash of the pod template without our markers, as it was when the marker was set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_hash: String,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// State of one workload's rollout.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// Runs with the wanted revision.
    #[default]
    Healthy,
    /// A restart is wanted, the marker is not set yet.
    Pending,
    /// The marker is set, pods are being replaced.
    Progressing,
    /// The pods did not become healthy; nothing is undone.
    Held,
    /// The pods did not become healthy; the previous bytes are being restored.
    RollingBack,
    /// Runs with the previous bytes again.
    RolledBack,
    /// The pods did not become healthy with the previous bytes either.
    RollbackFailed,
    /// Was unhealthy before the change.
    AlreadyUnhealthy,
    /// Somebody changed the pod template during the rollout.
    Superseded,
    /// Not restarted, `message` says why (paused, OnDelete, opted out).
    Skipped,
    /// Takes the value at its next run (CronJob, Job).
    NextRun,
    /// A named target does not exist.
    NotFound,
}

impl RolloutState {
    /// The word as users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Pending => "Pending",
            Self::Progressing => "Progressing",
            Self::Held => "Held",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::RollbackFailed => "RollbackFailed",
            Self::AlreadyUnhealthy => "AlreadyUnhealthy",
            Self::Superseded => "Superseded",
            Self::Skipped => "Skipped",
            Self::NextRun => "NextRun",
            Self::NotFound => "NotFound",
        }
    }
}
