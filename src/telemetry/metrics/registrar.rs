//! Registering: the registry of the client library shows a family only once it has a series, so what there is
//! is written down beside it.

use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

use super::PREFIX;

/// A metric as a scrape names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// Without the prefix and the suffix of its kind.
    name: &'static str,
    suffix: &'static str,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
}

impl Registered {
    /// The name in queries; a histogram's series have `_bucket`, `_sum` and `_count` behind it.
    pub fn name(&self) -> String {
        format!("{PREFIX}_{}{}", self.name, self.suffix)
    }
}

/// A registry and the list of what is in it.
pub(super) struct Registrar {
    pub registry: Registry,
    pub registered: Vec<Registered>,
}

impl Registrar {
    pub fn new() -> Self {
        Self {
            registry: Registry::with_prefix(PREFIX),
            registered: Vec::new(),
        }
    }

    /// Takes a metric in; `name` without prefix and suffix.
    pub fn add<M: Metric + TypedMetric>(&mut self, name: &'static str, help: &str, metric: M) {
        self.note(name, M::TYPE);
        self.registry.register(name, help, metric);
    }

    /// Writes down a metric that a collector shows.
    pub fn note(&mut self, name: &'static str, kind: MetricType) {
        let (kind, suffix) = match kind {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Info => ("info", "_info"),
            MetricType::Unknown => ("unknown", ""),
        };
        self.registered.push(Registered { name, suffix, kind });
    }
}
