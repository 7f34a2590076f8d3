//! Metrics: one registry, every name and label of ours in one file.
//!
//! Labels are closed enums or words from the code, never names of entries, so that their number is
//! bounded; only `binding_condition` has names of bindings and forgets deleted ones. Names follow
//! the Prometheus conventions; `_total` and `_info` are added by the encoder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

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
struct AwsLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Histogram of an AWS call: 5 ms to 40 s.
#[derive(Clone)]
struct AwsSeconds;

impl MetricConstructor<Histogram> for AwsSeconds {
    fn new_metric(&self) -> Histogram {
        seconds()
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 40.0])
}

/// Histogram of a wait in a queue: 0.1 s to an hour.
fn lag_seconds() -> Histogram {
    Histogram::new([0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0])
}

/// Every metric of the process. Cheap to clone; clones count into the same numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    conditions: Arc<BindingConditions>,
    syncs: Family<SyncLabels, Counter>,
    sync_seconds: Histogram,
    secret_writes: Family<OpLabels, Counter>,
    rollouts: Family<RolloutLabels, Counter>,
    aws_requests: Family<AwsLabels, Counter>,
    aws_seconds: Family<OperationLabels, Histogram, AwsSeconds>,
    aws_throttles: Counter,
    aws_retries: Family<OperationLabels, Counter>,
    aws_waits: Family<OperationLabels, Histogram, AwsSeconds>,
    reads_asked: Counter,
    reads_made: Counter,
    failovers: Family<OutcomeLabels, Counter>,
    kubernetes_writes: Family<WriteLabels, Counter>,
    queue_depth: Family<QueueLabels, Gauge>,
    events: Family<EventLabels, Counter>,
    event_lag_seconds: Histogram,
    event_receive_errors: Counter,
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
            conditions: Arc::default(),
            syncs: Family::default(),
            sync_seconds: seconds(),
            secret_writes: Family::default(),
            rollouts: Family::default(),
            aws_requests: Family::default(),
            aws_seconds: Family::new_with_constructor(AwsSeconds),
            aws_throttles: Counter::default(),
            aws_retries: Family::default(),
            aws_waits: Family::new_with_constructor(AwsSeconds),
            reads_asked: Counter::default(),
            reads_made: Counter::default(),
            failovers: Family::default(),
            kubernetes_writes: Family::default(),
            queue_depth: Family::default(),
            events: Family::default(),
            event_lag_seconds: lag_seconds(),
            event_receive_errors: Counter::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }

    fn registered(&self) -> Registry {
        let mut r = Registry::with_prefix(PREFIX);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        r.register("build", "Version of the binary", Info::new(version));
        r.register(
            "syncs",
            "Passes over bindings, by the reason they ended with",
            self.syncs.clone(),
        );
        r.register(
            "sync_duration_seconds",
            "Duration of a pass over a binding",
            self.sync_seconds.clone(),
        );
        r.register(
            "secret_writes",
            "Writes to Secrets that hold data",
            self.secret_writes.clone(),
        );
        r.register(
            "rollouts",
            "Rollouts that ended, by outcome",
            self.rollouts.clone(),
        );
        r.register(
            "aws_requests",
            "Requests to AWS by outcome, further attempts not counted",
            self.aws_requests.clone(),
        );
        r.register(
            "aws_request_duration_seconds",
            "Duration of a request to AWS with all its attempts",
            self.aws_seconds.clone(),
        );
        r.register(
            "aws_throttles",
            "Answers of AWS that asked to slow down",
            self.aws_throttles.clone(),
        );
        r.register(
            "aws_retries",
            "Further attempts of requests to AWS",
            self.aws_retries.clone(),
        );
        r.register(
            "aws_budget_wait_seconds",
            "Wait of an attempt for the share of the AWS quota",
            self.aws_waits.clone(),
        );
        r.register(
            "reads_asked",
            "Values that bindings asked for",
            self.reads_asked.clone(),
        );
        r.register(
            "reads_made",
            "Values that were asked of AWS for them",
            self.reads_made.clone(),
        );
        r.register(
            "failovers",
            "Passes whose region did not answer, by what the failover regions brought",
            self.failovers.clone(),
        );
        r.register(
            "kubernetes_writes",
            "Writing requests to the API server",
            self.kubernetes_writes.clone(),
        );
        r.register(
            "queue_depth",
            "Keys that wait for a pass",
            self.queue_depth.clone(),
        );
        r.register(
            "events",
            "Messages of the events queue, by what they were and what became of them",
            self.events.clone(),
        );
        r.register(
            "event_lag_seconds",
            "Time a message was in the events queue until it was received",
            self.event_lag_seconds.clone(),
        );
        r.register(
            "event_receive_errors",
            "Receives from the events queue that failed",
            self.event_receive_errors.clone(),
        );
        r.register_collector(Box::new(Arc::clone(&self.conditions)));
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

    /// A rollout ended; `outcome` is `Healthy` or the word of a [`Reason`].
    pub fn rollout_ended(&self, kind: WorkloadKind, outcome: &'static str) {
        let kind = match kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
        };
        self.rollouts
            .get_or_create(&RolloutLabels { kind, outcome })
            .inc();
    }

    /// AWS answered, or did not; `operation` as AWS writes it, `outcome` is `ok` or an error class.
    pub fn aws_request(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        self.aws_requests
            .get_or_create(&AwsLabels { operation, outcome })
            .inc();
        self.aws_seconds
            .get_or_create(&OperationLabels { operation })
            .observe(duration.as_secs_f64());
    }

    /// AWS asked to slow down.
    pub fn aws_throttled(&self) {
        self.aws_throttles.inc();
    }

    /// A further attempt was sent to AWS.
    pub fn aws_retried(&self, operation: &'static str) {
        self.aws_retries
            .get_or_create(&OperationLabels { operation })
            .inc();
    }

    /// An attempt waited for its share of the quota.
    pub fn aws_waited(&self, operation: &'static str, duration: Duration) {
        self.aws_waits
            .get_or_create(&OperationLabels { operation })
            .observe(duration.as_secs_f64());
    }

    /// Bindings asked for `asked` values, of which `made` were asked of AWS.
    pub fn reads(&self, asked: u64, made: u64) {
        self.reads_asked.inc_by(asked);
        self.reads_made.inc_by(made);
    }

    /// The region of a pass did not answer; `outcome`: a failover region `served`, its versions were `refused`, or it
    /// went `unserved`.
    pub fn failed_over(&self, outcome: &'static str) {
        self.failovers
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
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

    /// A message of the events queue ended: `event` is `moved`, `deleted`, `appeared` or `ignored`, `outcome` what
    /// became of it.
    pub fn event(&self, event: &'static str, outcome: &'static str) {
        self.events
            .get_or_create(&EventLabels { event, outcome })
            .inc();
    }

    /// A message was in the events queue for so long.
    pub fn event_lag(&self, lag: Duration) {
        self.event_lag_seconds.observe(lag.as_secs_f64());
    }

    /// The events queue could not be asked.
    pub fn events_unreceived(&self) {
        self.event_receive_errors.inc();
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
