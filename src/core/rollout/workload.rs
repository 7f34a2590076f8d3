//! What is kept of a Deployment, StatefulSet, DaemonSet, CronJob or Job.
//!
//! Filled by `cluster::workloads`; small on purpose, because one is held for each workload of every
//! watched namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    api::binding::{OnFailure, RolloutOrder, WorkloadKind},
    core::recipe::RolloutRecipe,
};

/// What a caution about mounted Secrets is known by.
pub(super) const MOUNTS: &str = "mounts Secret";

/// Annotations of ours on a pod template: key (with prefix) to text.
pub type Markers = BTreeMap<String, String>;

/// Kinds that use Secrets. The order is the one in which entries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// batch/v1 CronJob: takes a new value at its next run.
    CronJob,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// apps/v1 Deployment.
    Deployment,
    /// batch/v1 Job: takes a new value with its next pod.
    Job,
    /// apps/v1 StatefulSet.
    StatefulSet,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 5] = [
        Kind::CronJob,
        Kind::DaemonSet,
        Kind::Deployment,
        Kind::Job,
        Kind::StatefulSet,
    ];

    /// The kinds that can be restarted.
    pub const ROLLED: [Kind; 3] = [Kind::DaemonSet, Kind::Deployment, Kind::StatefulSet];

    /// The word as Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::CronJob => "CronJob",
            Kind::DaemonSet => "DaemonSet",
            Kind::Deployment => "Deployment",
            Kind::Job => "Job",
            Kind::StatefulSet => "StatefulSet",
        }
    }

    /// The resource, as RBAC and paths name it.
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::CronJob => "cronjobs",
            Kind::DaemonSet => "daemonsets",
            Kind::Deployment => "deployments",
            Kind::Job => "jobs",
            Kind::StatefulSet => "statefulsets",
        }
    }

    /// The kind of that name; None for words that are none.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<WorkloadKind> for Kind {
    fn from(kind: WorkloadKind) -> Self {
        match kind {
            WorkloadKind::Deployment => Kind::Deployment,
            WorkloadKind::StatefulSet => Kind::StatefulSet,
            WorkloadKind::DaemonSet => Kind::DaemonSet,
        }
    }
}

/// How the workload replaces its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// A few at a time (every kind's default).
    #[default]
    RollingUpdate,
    /// A Deployment that stops all pods first.
    Recreate,
    /// A StatefulSet or DaemonSet whose pods are replaced only when somebody deletes them.
    OnDelete,
}

/// What a workload's controller last said of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The generation these numbers speak of.
    pub observed_generation: i64,
    /// Pods of every template. DaemonSet: `currentNumberScheduled`.
    pub replicas: i64,
    /// Pods of the current template. DaemonSet: `updatedNumberScheduled`.
    pub updated: i64,
    /// Available pods of every template. DaemonSet: `numberAvailable`.
    pub available: i64,
    /// Ready pods of every template. DaemonSet: `numberReady`.
    pub ready: i64,
    /// Reason of a Deployment's condition `Progressing`; empty when there is none.
    pub progressing_reason: String,
    /// Name of the ResourceQuota for which a Deployment's controller can make no further pod; empty: none.
    pub used_up: String,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another one is another workload.
    pub uid: String,
    /// As read; a precondition of every write.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Its labels (not the pods').
    pub labels: BTreeMap<String, String>,
    /// Annotation `keyferry.dev/rollout: ignore`.
    pub opted_out: bool,
    /// Another object controls it (a Job of a CronJob).
    pub controlled: bool,
    /// A Job that will start no pod any more.
    pub finished: bool,
    /// Pods it shall have. DaemonSet: `desiredNumberScheduled`.
    pub wanted: i64,
    /// `spec.paused` of a Deployment, `spec.suspend` of a CronJob or Job.
    pub paused: bool,
    /// How pods are replaced.
    pub strategy: Strategy,
    /// StatefulSet: pods with a lower ordinal keep the old template.
    pub partition: i64,
    /// Our annotations on the pod template.
    pub markers: Markers,
    /// Names of Secrets that containers and init containers read by `env` or `envFrom`, or that are
    /// mounted by `volumes` (projected ones too). Not `imagePullSecrets`, nor those of volume
    /// drivers: kubelet reads these at each pull or mount, so no restart is needed.
    pub secrets: BTreeSet<String>,
    /// Those of them that are mounted: running pods see new bytes before they are restarted.
    pub mounted: BTreeSet<String>,
    /// Label selector of its pods, as the API takes it in a query; empty for CronJobs.
    pub selector: String,
    /// Hash of the pod template without our markers.
    pub template_hash: String,
    /// What its controller last said.
    pub numbers: Numbers,
}

impl Workload {
    /// `Deployment/name`, as messages name it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// `deployment/name -n namespace`, as kubectl is told it.
    pub fn for_kubectl(&self) -> String {
        let kind = self.kind.as_str().to_lowercase();
        format!("{kind}/{} -n {}", self.name, self.namespace)
    }

    /// The text of our marker under `key`.
    pub fn marker(&self, key: &str) -> Option<&str> {
        self.markers.get(key).map(String::as_str)
    }

    /// Why this workload is never restarted as it stands, and how that ends; None: it is.
    pub fn skip_reason(&self) -> Option<String> {
        let label = self.label();
        if self.opted_out {
            return Some(format!(
                "{label} is not restarted: its annotation keyferry.dev/rollout says ignore."
            ));
        }
        if self.paused {
            return Some(format!(
                "{label} is paused; it is restarted when somebody resumes it."
            ));
        }
        (self.strategy == Strategy::OnDelete).then(|| {
            format!("{label} is not restarted: with updateStrategy OnDelete its pods take the value when somebody deletes them.")
        })
    }

    /// Why one workload at a time, or a way back, does not protect this one; empty: it does.
    pub fn caution(&self, secret: &str, rollout: &RolloutRecipe) -> String {
        let relies =
            rollout.order == RolloutOrder::Sequential || rollout.on_failure == OnFailure::Rollback;
        if !relies || !self.mounted.contains(secret) {
            return String::new();
        }
        format!(
            "{} {MOUNTS} \"{secret}\": its running pods see new bytes before any restart. Check them with validate.preflight, or read them by env.",
            self.label()
        )
    }

    /// What a person should know while this workload is being restarted; empty: nothing.
    pub fn note(&self) -> String {
        if self.strategy == Strategy::Recreate {
            return format!(
                "{} has strategy Recreate: all its pods stop before new ones start.",
                self.label()
            );
        }
        if self.partition > 0 {
            return format!(
                "{} has partition {}: pods with a lower ordinal keep the previous value.",
                self.label(),
                self.partition
            );
        }
        String::new()
    }
}
