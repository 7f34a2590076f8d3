//! Metrics: one registry; every name and label of ours stands here and in `metrics/aws.rs`, and is explained in
//! `docs/metrics.md`.
//!
//! Labels are closed enums or words from the code, never names of entries, so that their number is
//! bounded; only `binding_condition` has names of bindings and forgets deleted ones. Names follow
//! the Prometheus conventions; `_total` and `_info` are added by the encoder.

mod aws;
mod registrar;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use aws::{AwsMetrics, Followed};
pub use registrar::Registered;

use self::registrar::Registrar;
use super::conditions::BindingConditions;
use crate::api::Reason;
use crate::api::binding::WorkloadKind;

/// Prefix of every metric.
pub const PREFIX: &str = "keyferry";

/// Media type of [`Metrics::encode`]'s text (source: OpenMetrics 1.0, section "Overall Structure").
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SyncLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OpLabels {
    op: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RolloutLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    resource: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueLabels {
    queue: &'static str,
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 40.0])
}

/// Pods take minutes rather than seconds.
fn minutes() -> Histogram {
    Histogram::new([
        1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    ])
}

/// Every metric of the process. Cheap to clone; clones count into the same numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    registered: Arc<[Registered]>,
    conditions: Arc<BindingConditions>,
    syncs: Family<SyncLabels, Counter>,
    sync_seconds: Histogram,
    secret_writes: Family<OpLabels, Counter>,
    rollouts: Family<RolloutLabels, Counter>,
    rollout_seconds: Family<RolloutLabels, Histogram>,
    aws: AwsMetrics,
    kubernetes_writes: Family<WriteLabels, Counter>,
    queue_depth: Family<QueueLabels, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, registered, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            registered: Arc::default(),
            conditions: Arc::default(),
            syncs: Family::default(),
            sync_seconds: seconds(),
            secret_writes: Family::default(),
            rollouts: Family::default(),
            rollout_seconds: Family::new_with_constructor(minutes),
            aws: AwsMetrics::new(),
            kubernetes_writes: Family::default(),
            queue_depth: Family::default(),
        };
        let registrar = metrics.register();
        metrics.registry = Arc::new(registrar.registry);
        metrics.registered = registrar.registered.into();
        metrics
    }

    fn register(&self) -> Registrar {
        let mut r = Registrar::new();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        r.add("build", "Version of the binary", Info::new(version));
        r.add(
            "syncs",
            "Passes over bindings, by the reason they ended with",
            self.syncs.clone(),
        );
        r.add(
            "sync_duration_seconds",
            "Duration of a pass over a binding",
            self.sync_seconds.clone(),
        );
        r.add(
            "secret_writes",
            "Writes to Secrets that hold data",
            self.secret_writes.clone(),
        );
        r.add(
            "rollouts",
            "Rollouts that ended, by outcome",
            self.rollouts.clone(),
        );
        r.add(
            "rollout_duration_seconds",
            "Time from the marker to the end of a rollout, by outcome",
            self.rollout_seconds.clone(),
        );
        self.aws.register(&mut r);
        r.add(
            "kubernetes_writes",
            "Writing requests to the API server",
            self.kubernetes_writes.clone(),
        );
        r.add(
            "queue_depth",
            "Keys that wait for a pass",
            self.queue_depth.clone(),
        );
        r.note("binding_condition", MetricType::Gauge);
        let conditions = Box::new(Arc::clone(&self.conditions));
        r.registry.register_collector(conditions);
        r
    }

    /// A pass over a binding ended with `reason` and left the Secret in step with its sources, or not.
    pub fn sync_ended(&self, in_step: bool, reason: Reason, duration: Duration) {
        let result = if in_step { "success" } else { "failure" };
        let labels = SyncLabels {
            result,
            reason: reason.as_str(),
        };
        self.syncs.get_or_create(&labels).inc();
        self.sync_seconds.observe(duration.as_secs_f64());
    }

    /// A Secret was written; `op` is `create`, `update`, `patch` or `delete`.
    pub fn secret_written(&self, op: &'static str) {
        self.secret_writes.get_or_create(&OpLabels { op }).inc();
    }

    /// A rollout ended; `outcome` is the word of a `RolloutState`.
    pub fn rollout_ended(&self, kind: WorkloadKind, outcome: &'static str, took: Duration) {
        let kind = match kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
        };
        let labels = RolloutLabels { kind, outcome };
        self.rollouts.get_or_create(&labels).inc();
        let seconds = self.rollout_seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }

    /// A writing request went to the API server; `resource` in the plural, for example `secrets`
    /// or `externalsecretbindings/status`.
    pub fn kubernetes_write(&self, resource: &'static str, verb: &'static str) {
        self.kubernetes_writes
            .get_or_create(&WriteLabels { resource, verb })
            .inc();
    }

    /// Length of a work queue, `bindings` or `workloads`.
    pub fn queue_depth(&self, queue: &'static str, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth
            .get_or_create(&QueueLabels { queue })
            .set(depth);
    }

    /// What is counted about AWS.
    pub fn aws(&self) -> &AwsMetrics {
        &self.aws
    }

    /// Every metric there is, whether it has series yet or not.
    pub fn registered(&self) -> &[Registered] {
        &self.registered
    }

    /// What the conditions of the bindings say.
    pub fn conditions(&self) -> &BindingConditions {
        &self.conditions
    }

    /// Everything as OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
