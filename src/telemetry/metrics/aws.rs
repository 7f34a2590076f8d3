//! What is counted about AWS: requests, reads, sweeps and the events queue.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::registrar::Registrar;
use super::seconds;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FollowedLabels {
    what: &'static str,
}

/// Histogram of an AWS call: 5 ms to 40 s.
#[derive(Clone)]
struct AwsSeconds;

impl MetricConstructor<Histogram> for AwsSeconds {
    fn new_metric(&self) -> Histogram {
        seconds()
    }
}

/// Histogram of a wait in a queue: 0.1 s to an hour.
fn lag_seconds() -> Histogram {
    Histogram::new([0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0])
}

/// Histogram of the entries of one sweep: one batch, one page of a listing, an install of the largest kind.
fn entries() -> Histogram {
    Histogram::new([1.0, 20.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0])
}

/// What is followed at AWS now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Bindings that are told of changes.
    pub bindings: usize,
    /// Entries that are looked at for them; one that two identities read counts twice.
    pub entries: usize,
    /// Prefixes that are listed for them, counted likewise.
    pub prefixes: usize,
}

/// What is counted about AWS. Cheap to clone; clones count into the same numbers.
#[derive(Clone)]
pub struct AwsMetrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<OperationLabels, Histogram, AwsSeconds>,
    throttles: Counter,
    retries: Family<OperationLabels, Counter>,
    waits: Family<OperationLabels, Histogram, AwsSeconds>,
    decrypts: Family<OperationLabels, Counter>,
    fallbacks: Family<OperationLabels, Counter>,
    credentials_rebuilt: Counter,
    failovers: Family<OutcomeLabels, Counter>,
    reads_asked: Counter,
    reads_reused: Counter,
    reads_made: Counter,
    sweep_entries: Histogram,
    sweep_told: Counter,
    oldest_look: Gauge<f64, AtomicU64>,
    followed: Family<FollowedLabels, Gauge>,
    events: Family<EventLabels, Counter>,
    event_lag_seconds: Histogram,
    event_receive_errors: Counter,
}

impl AwsMetrics {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(AwsSeconds),
            throttles: Counter::default(),
            retries: Family::default(),
            waits: Family::new_with_constructor(AwsSeconds),
            decrypts: Family::default(),
            fallbacks: Family::default(),
            credentials_rebuilt: Counter::default(),
            failovers: Family::default(),
            reads_asked: Counter::default(),
            reads_reused: Counter::default(),
            reads_made: Counter::default(),
            sweep_entries: entries(),
            sweep_told: Counter::default(),
            oldest_look: Gauge::default(),
            followed: Family::default(),
            events: Family::default(),
            event_lag_seconds: lag_seconds(),
            event_receive_errors: Counter::default(),
        }
    }

    pub(super) fn register(&self, r: &mut Registrar) {
        self.register_requests(r);
        self.register_reads(r);
        self.register_events(r);
    }

    fn register_requests(&self, r: &mut Registrar) {
        r.add(
            "aws_requests",
            "Requests to AWS by outcome, further attempts not counted",
            self.requests.clone(),
        );
        r.add(
            "aws_request_duration_seconds",
            "Duration of a request to AWS with all its attempts",
            self.request_seconds.clone(),
        );
        r.add(
            "aws_throttles",
            "Answers of AWS that asked to slow down",
            self.throttles.clone(),
        );
        r.add(
            "aws_retries",
            "Further attempts of requests to AWS",
            self.retries.clone(),
        );
        r.add(
            "aws_budget_wait_seconds",
            "Wait of an attempt for the share of the AWS quota",
            self.waits.clone(),
        );
        r.add(
            "aws_decrypts",
            "Values that AWS decrypted and returned",
            self.decrypts.clone(),
        );
        r.add(
            "aws_fallbacks",
            "Times an operation was found denied and is done without for a while",
            self.fallbacks.clone(),
        );
        r.add(
            "failovers",
            "Passes whose region did not answer, by what the failover regions brought",
            self.failovers.clone(),
        );
        r.add(
            "aws_credentials_rebuilt",
            "Times credentials were got anew because AWS no longer accepted them",
            self.credentials_rebuilt.clone(),
        );
    }

    fn register_reads(&self, r: &mut Registrar) {
        r.add(
            "reads_asked",
            "Values that passes over bindings asked for",
            self.reads_asked.clone(),
        );
        r.add(
            "reads_reused",
            "Values asked for that needed no read of their own",
            self.reads_reused.clone(),
        );
        r.add(
            "reads_made",
            "Values that were asked of AWS, for passes, sweeps and events",
            self.reads_made.clone(),
        );
        r.add(
            "sweep_entries",
            "Entries that one sweep of one identity and region looked at",
            self.sweep_entries.clone(),
        );
        r.add(
            "sweep_bindings_told",
            "Bindings that sweeps found a change for",
            self.sweep_told.clone(),
        );
        r.add(
            "oldest_look_seconds",
            "Time since AWS was last asked about the followed entry that waits longest",
            self.oldest_look.clone(),
        );
        r.add(
            "followed",
            "Bindings, and the entries and prefixes that are looked at for them",
            self.followed.clone(),
        );
    }

    fn register_events(&self, r: &mut Registrar) {
        r.add(
            "events",
            "Messages of the events queue, by what they were and what became of them",
            self.events.clone(),
        );
        r.add(
            "event_lag_seconds",
            "Time a message was in the events queue until it was received",
            self.event_lag_seconds.clone(),
        );
        r.add(
            "event_receive_errors",
            "Receives from the events queue that failed",
            self.event_receive_errors.clone(),
        );
    }

    /// AWS answered, or did not; `operation` as AWS writes it, `outcome` is `ok` or an error class.
    pub fn request(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        self.requests
            .get_or_create(&RequestLabels { operation, outcome })
            .inc();
        self.request_seconds
            .get_or_create(&OperationLabels { operation })
            .observe(duration.as_secs_f64());
    }

    /// AWS asked to slow down.
    pub fn throttled(&self) {
        self.throttles.inc();
    }

    /// A further attempt was sent to AWS.
    pub fn retried(&self, operation: &'static str) {
        self.retries
            .get_or_create(&OperationLabels { operation })
            .inc();
    }

    /// An attempt waited for its share of the quota.
    pub fn waited(&self, operation: &'static str, duration: Duration) {
        self.waits
            .get_or_create(&OperationLabels { operation })
            .observe(duration.as_secs_f64());
    }

    /// A reply brought so many values.
    pub fn decrypted(&self, operation: &'static str, values: usize) {
        self.decrypts
            .get_or_create(&OperationLabels { operation })
            .inc_by(count(values));
    }

    /// An operation is denied: it is done without from now on, for a while.
    pub fn fell_back(&self, operation: &'static str) {
        self.fallbacks
            .get_or_create(&OperationLabels { operation })
            .inc();
    }

    /// The region of a pass did not answer; `outcome`: a failover region `served`, its versions were `refused`, or it
    /// went `unserved`.
    pub fn failed_over(&self, outcome: &'static str) {
        self.failovers
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// AWS no longer accepted credentials: others are got.
    pub fn credentials_rebuilt(&self) {
        self.credentials_rebuilt.inc();
    }

    /// A pass asked for a value.
    pub fn read_asked(&self) {
        self.reads_asked.inc();
    }

    /// It needed no read of its own.
    pub fn read_reused(&self) {
        self.reads_reused.inc();
    }

    /// AWS was asked for a value.
    pub fn read_made(&self) {
        self.reads_made.inc();
    }

    /// A sweep looked at `entries` and found a change for `told` bindings.
    pub fn swept(&self, entries: usize, told: usize) {
        #[allow(clippy::cast_precision_loss)]
        self.sweep_entries.observe(entries as f64);
        self.sweep_told.inc_by(count(told));
    }

    /// How long ago AWS was asked about the entry that waits longest; None: nothing is followed.
    pub fn oldest_look(&self, age: Option<Duration>) {
        self.oldest_look.set(age.unwrap_or_default().as_secs_f64());
    }

    /// What is followed now.
    pub fn followed(&self, followed: Followed) {
        for (what, number) in [
            ("bindings", followed.bindings),
            ("entries", followed.entries),
            ("prefixes", followed.prefixes),
        ] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.followed
                .get_or_create(&FollowedLabels { what })
                .set(number);
        }
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
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
