//! How long a new value of a secret takes until the last Secret that holds it is written.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::bed::Bed;
use super::follow::{All, Key};
use super::plan::{Plan, value};
use crate::workspace::Ended;

/// Longest that a single change may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times, of which half, 99 of 100, and all are shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Spread {
    /// Of at least one time.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let rank = |hundredths: usize| {
            let rank = (times.len() * hundredths).div_ceil(100).max(1);
            times.get(rank - 1).copied()
        };
        Some(Self {
            count: times.len(),
            p50: rank(50)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

/// One change: its Secrets with their revisions before, and when it was made.
struct Change {
    secrets: Vec<(Key, String)>,
    made: Instant,
}

/// Changes this many secrets, `apart` from each other, and waits for all Secrets. The fake puts the
/// message into the queue as the value changes, so that is when it is visible.
pub(crate) async fn run(
    bed: &Bed,
    plan: Plan,
    changes: usize,
    apart: Duration,
    version: &str,
) -> Ended<Spread> {
    let region = bed.region();
    let mut made = Vec::with_capacity(changes);
    let mut tick = tokio::time::interval(apart);
    for secret in 0..changes {
        tick.tick().await;
        let keys = plan.places().filter(|place| place.secret == secret);
        let keys = keys.map(|place| (place.namespace("bench"), place.name()));
        let secrets = bed.secrets.look(|all| {
            let marked = |key: Key| all.get(&key).map(|seen| (key, seen.mark.clone()));
            keys.filter_map(marked).collect()
        });
        region.put(&plan.entry(secret), &value(secret, version))?;
        let made_at = Instant::now();
        made.push(Change {
            secrets,
            made: made_at,
        });
    }
    let limit = PATIENCE + 2 * plan.interval();
    let times = bed
        .secrets
        .until("every Secret holds its new value", limit, |all| {
            made.iter().map(|change| change.took(all)).collect()
        })
        .await?;
    Spread::of(times).ok_or_else(|| "nothing was changed".into())
}

impl Change {
    /// Until the last of its Secrets was seen with another revision.
    fn took(&self, all: &All) -> Option<Duration> {
        let seen = self.secrets.iter().map(|(key, before)| {
            let seen = all.get(key).filter(|seen| seen.mark != *before)?;
            Some(seen.at.saturating_duration_since(self.made))
        });
        seen.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_99_of_100_are_not_longer() {
        let ms = Duration::from_millis;
        assert_eq!(Spread::of(Vec::new()), None);
        let one = Spread::of(vec![ms(7)]);
        assert_eq!(
            one.map(|s| (s.p50, s.p99, s.max)),
            Some((ms(7), ms(7), ms(7)))
        );
        let many = Spread::of((1..=200).rev().map(ms).collect());
        assert_eq!(
            many.map(|s| (s.p50, s.p99, s.max)),
            Some((ms(100), ms(198), ms(200)))
        );
    }
}
