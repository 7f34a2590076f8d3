//! The gauge `keyferry_binding_condition`: what the conditions of every binding say.
//!
//! A map of its own, read at each scrape, because a family of gauges would keep a label set and an
//! atomic for every binding, type and status: several times the memory at 10,000 bindings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::api::status::condition;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

impl ConditionStatus {
    /// Reads the word of a Kubernetes condition; anything unexpected is Unknown.
    pub fn from_word(word: &str) -> Self {
        match word {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One place per type of [`condition::ORDER`].
type Row = [Option<ConditionStatus>; condition::ORDER.len()];

/// Namespace and name.
type Key = (Box<str>, Box<str>);

/// Conditions of all bindings, by namespace and name.
#[derive(Default)]
pub struct BindingConditions(RwLock<BTreeMap<Key, Row>>);

impl BindingConditions {
    /// Replaces what is known of a binding. Types that are no condition of ours are left out.
    pub fn set<'c>(
        &self,
        namespace: &str,
        name: &str,
        conditions: impl IntoIterator<Item = (&'c str, ConditionStatus)>,
    ) {
        let mut row = Row::default();
        for (kind, status) in conditions {
            let place = condition::ORDER.iter().position(|known| *known == kind);
            if let Some(place) = place.and_then(|place| row.get_mut(place)) {
                *place = Some(status);
            }
        }
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.insert((namespace.into(), name.into()), row);
    }

    /// Forgets a binding that was deleted: its series end.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.remove(&(namespace.into(), name.into()));
    }
}

impl fmt::Debug for BindingConditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingConditions")
    }
}

impl Collector for BindingConditions {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut metric = encoder.encode_descriptor(
            "binding_condition",
            "Conditions of a binding: 1 for the status each of them has now",
            None,
            MetricType::Gauge,
        )?;
        for ((namespace, name), row) in rows.iter() {
            for (kind, status) in condition::ORDER.iter().zip(row) {
                let Some(status) = status else { continue };
                let labels = [
                    ("namespace", &**namespace),
                    ("name", &**name),
                    ("type", *kind),
                    ("status", status.as_str()),
                ];
                metric.encode_family(&labels)?.encode_gauge(&1_i64)?;
            }
        }
        Ok(())
    }
}
