//! Calls of the operator as the fake AWS has counted them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use keyferry_testkit::aws::{Call, Service};

use super::plan::BATCH as BATCH_SIZE;

/// The operation that reads up to 20 entries.
pub(crate) const BATCH: &str = "BatchGetSecretValue";

/// Calls to Secrets Manager and STS: those that cost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) by_operation: BTreeMap<String, u64>,
    /// Receives and deletes at the events queue.
    pub(crate) queue: u64,
    /// Batches by the number of entries that each asked for.
    pub(crate) batches: BTreeMap<usize, u64>,
    /// The fewest batches that hold what they asked for more than once: sweeps that became due meanwhile, also where
    /// a batch has room for some of it.
    pub(crate) again: u64,
    /// Without those for credentials: one for the life of a session.
    times: Vec<Instant>,
}

impl Calls {
    pub(crate) fn of(calls: &[Call]) -> Self {
        let mut counted = Self::default();
        for call in calls {
            if call.service == Service::Sqs {
                counted.queue += 1;
                continue;
            }
            let count = counted.by_operation.entry(call.operation.clone());
            *count.or_default() += 1;
            if call.operation == BATCH {
                *counted.batches.entry(call.ids.len()).or_default() += 1;
            }
            if call.service != Service::Sts {
                counted.times.push(call.at);
            }
        }
        let batches = calls.iter().filter(|call| call.operation == BATCH);
        counted.again = repeated(batches.map(|call| &call.ids)).div_ceil(BATCH_SIZE) as u64;
        counted
    }

    /// Without those to the queue.
    pub(crate) fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }

    pub(crate) fn of_operation(&self, operation: &str) -> u64 {
        self.by_operation
            .get(operation)
            .copied()
            .unwrap_or_default()
    }

    /// How full the batches were, such as `9x20, 1x7`; empty without any.
    pub(crate) fn fullness(&self) -> String {
        let sizes = self.batches.iter().rev();
        let sizes: Vec<String> = sizes.map(|(size, n)| format!("{n}x{size}")).collect();
        sizes.join(", ")
    }

    /// The most calls in any window of this length, those for credentials aside.
    pub(crate) fn busiest(&self, window: Duration) -> u64 {
        busiest(&self.times, window)
    }
}

/// How often something was asked for that had been asked for before.
fn repeated<'a>(batches: impl Iterator<Item = &'a Vec<String>>) -> usize {
    let mut asked = HashSet::new();
    batches.flatten().filter(|id| !asked.insert(*id)).count()
}

/// The most of an ascending sequence in any window, its end not included.
fn busiest(times: &[Instant], window: Duration) -> u64 {
    let within = |first: usize| {
        let inside = |at: &&Instant| at.duration_since(times[first]) < window;
        times[first..].iter().take_while(inside).count()
    };
    (0..times.len()).map(within).max().unwrap_or_default() as u64
}

/// `10 BatchGetSecretValue, 1 AssumeRoleWithWebIdentity`, or `none`.
pub(crate) fn listed(counts: &BTreeMap<String, u64>) -> String {
    let listed: Vec<String> = counts
        .iter()
        .map(|(what, n)| format!("{n} {what}"))
        .collect();
    match listed.is_empty() {
        true => "none".to_owned(),
        false => listed.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window_may_begin_anywhere() {
        let start = Instant::now();
        let times: Vec<Instant> = [0, 4, 6, 7, 9, 20]
            .map(|s| start + Duration::from_secs(s))
            .into();
        assert_eq!(
            busiest(&times, Duration::from_secs(5)),
            3,
            "6, 7 and 9 or 4, 6 and 7"
        );
        assert_eq!(busiest(&times, Duration::from_secs(1)), 1);
        assert_eq!(busiest(&[], Duration::from_secs(5)), 0);
    }

    #[test]
    fn what_is_asked_for_again_is_counted_wherever_it_stands() {
        let batches = [vec!["a", "b"], vec!["c", "a"], vec!["a", "b"]];
        let batches = batches.map(|ids| ids.into_iter().map(str::to_owned).collect());
        assert_eq!(repeated(batches.iter()), 3);
        assert_eq!(repeated(batches[..1].iter()), 0);
    }

    #[test]
    fn counts_are_listed() {
        assert_eq!(listed(&BTreeMap::new()), "none");
        let counts = [("B".to_owned(), 2), ("A".to_owned(), 1)].into();
        assert_eq!(listed(&counts), "1 A, 2 B");
    }
}
