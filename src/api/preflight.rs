//! `spec.validate.preflight`: a program that tries a candidate before it is written.
//!
//! Closed on purpose: whoever may write a binding must not gain more of a pod by it than these fields.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program that is run once with each candidate in its environment; only exit code 0 lets the
/// candidate be written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// Image of the container, pulled as ServiceAccount `default` of the namespace may pull.
    pub image: String,
    /// Command instead of the image's entrypoint. `$(KEY)` stands for a key of the candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments. `$(KEY)` stands for a key of the candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Literal variables beside the keys of the candidate; of two with one name these win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<PreflightVariable>,
    /// Requests and limits of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<PreflightResources>,
    /// How long the program may take, with the pull of its image, 10s to 1h. Default: 2m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// True shows the end of what a failed program printed (or its termination message) in the status, unless
    /// that holds a value of the candidate. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_message: Option<bool>,
}

/// One literal variable.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightVariable {
    /// Its name.
    pub name: String,
    /// Its value, in plain sight: nothing secret belongs here. `$(KEY)` stands for a key of the candidate.
    pub value: String,
}

/// Requests and limits.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightResources {
    /// What the scheduler sets aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<PreflightAmounts>,
    /// What the container may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<PreflightAmounts>,
}

/// Amounts of what a container can ask for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightAmounts {
    /// Processor time, for example `100m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory, for example `64Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// The last preflight of a binding.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightStatus {
    /// The revision word of the candidate.
    pub candidate: String,
    /// Name of the Job: it stands for candidate and program. The Job goes when it has ended.
    pub job: String,
    /// What came of it.
    pub outcome: PreflightOutcome,
    /// Exit code of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why, in a word of Kubernetes: Completed, Error, OOMKilled, DeadlineExceeded, ErrImagePull, Evicted...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the program said, with `showMessage`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The value of the annotation `keyferry.dev/refresh` that asked for this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// What came of a preflight.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreflightOutcome {
    /// The program has not been started yet.
    #[default]
    Pending,
    /// The program runs.
    Running,
    /// Exit code 0: the candidate may be written.
    Passed,
    /// The program refused the candidate, or did not end in time.
    Failed,
    /// The program could not run; no verdict on the candidate.
    Unavailable,
}
