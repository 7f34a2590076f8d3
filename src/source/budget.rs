//! The share of AWS's request quotas that one account leaves to us: who waits, for how long, and in which
//! order. The answers of AWS that slow it down are judged in `slowing`.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use governor::clock::Clock as _;
use parking_lot::Mutex;

use super::{
    bucket::{Bucket, Clock, Lane},
    metrics::Operation,
    slowing::{Slowing, most_halvings},
};
use crate::core::Store;

/// The operations that have a quota here, with AWS's calls a second for one account and region.
///
/// Sources: GetSecretValue and DescribeSecret: "AWS Secrets Manager increases API requests per second",
/// What's New, March 2025; BatchGetSecretValue and ListSecrets: "AWS Secrets Manager quotas", user guide.
/// A call into another account counts in the caller's (source: the same page). GetParameters has its 40 together with
/// GetParameter and GetParametersByPath, where the account has not switched to higher throughput ("AWS Systems Manager
/// endpoints and quotas", AWS General Reference).
const QUOTAS: [(Operation, f64); 5] = [
    (Operation::GetSecretValue, 10_000.0),
    (Operation::BatchGetSecretValue, 100.0),
    (Operation::ListSecrets, 100.0),
    (Operation::DescribeSecret, 40_000.0),
    (Operation::GetParameters, 40.0),
];

/// A budget that nobody used for so long, and that is not slowed, can be made anew.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// All budgets, by service, caller account and region: when one service asks to slow down, the other goes on.
pub(super) struct Budgets {
    share: f64,
    clock: Clock,
    made: Mutex<HashMap<(Store, String, String), Arc<Budget>>>,
}

impl Budgets {
    /// `share` of the published quotas, above 0 and at most 1.
    pub fn new(share: f64, clock: Clock) -> Self {
        Self {
            share,
            clock,
            made: Mutex::default(),
        }
    }

    /// The budget of an account with a service in a region: the same one for equal asks.
    pub fn of(&self, store: Store, account: &str, region: &str) -> Arc<Budget> {
        let key = (store, account.to_owned(), region.to_owned());
        let mut made = self.made.lock();
        made.entry(key)
            .or_insert_with(|| Arc::new(self.apart()))
            .clone()
    }

    /// A budget of its own, for a caller whose account is not known.
    pub fn apart(&self) -> Budget {
        Budget::new(self.share, self.clock.clone())
    }

    /// Drops what nobody uses and what has nothing to remember.
    pub fn tidy(&self) {
        self.made
            .lock()
            .retain(|_, budget| Arc::strong_count(budget) > 1 || !budget.is_forgettable());
    }
}

/// What one account and region may still be asked.
pub(super) struct Budget {
    clock: Clock,
    most_halvings: u32,
    state: Mutex<State>,
    buckets: HashMap<Operation, Bucket>,
}

struct State {
    slowing: Slowing,
    used: Duration,
}

impl Budget {
    fn new(share: f64, clock: Clock) -> Self {
        let bucket = |(operation, quota)| (operation, Bucket::new(quota * share, &clock));
        let buckets: HashMap<_, _> = QUOTAS.into_iter().map(bucket).collect();
        let fastest = buckets.values().map(|b| b.full).fold(0.0, f64::max);
        let state = State {
            slowing: Slowing::default(),
            used: clock.now(),
        };
        Self {
            most_halvings: most_halvings(fastest),
            state: Mutex::new(state),
            buckets,
            clock,
        }
    }

    /// Waits for a turn, at most `patience`. An operation without a quota here (STS) has it at once.
    ///
    /// # Errors
    /// The wait that is left, as far as it can be told: at once if it is longer than `patience`.
    pub async fn acquire(
        &self,
        operation: Operation,
        lane: Lane,
        patience: Duration,
    ) -> Result<(), Duration> {
        let Some(bucket) = self.buckets.get(&operation.counted_as()) else {
            return Ok(());
        };
        let waiting = bucket.enter(lane);
        let expected = self.expected(bucket, lane, waiting.ahead);
        if expected > patience {
            return Err(expected);
        }
        let deadline = self.clock.now() + patience;
        let turn = tokio::time::timeout(patience, self.turn(bucket, lane, deadline));
        turn.await.unwrap_or_else(|_| {
            let left = self.expected(bucket, lane, 0);
            Err(left.max(bucket.interval(self.halvings())))
        })
    }

    /// AWS asked to slow down: everything of this account and region does.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let before = state.slowing.halvings(now);
        state.slowing = state
            .slowing
            .throttled(now, retry_after, self.most_halvings);
        let halvings = state.slowing.halvings(now);
        if halvings != before {
            tracing::warn!(target: "keyferry::source", halvings, "AWS asks to slow down: every call with this account waits longer");
        }
    }

    async fn turn(&self, bucket: &Bucket, lane: Lane, deadline: Duration) -> Result<(), Duration> {
        let _turn = bucket.queue(lane).turn.lock().await;
        loop {
            if lane == Lane::Routine {
                bucket.until_no_urgent().await;
            }
            let Err(wait) = self.take(bucket) else {
                return Ok(());
            };
            if self.clock.now() + wait > deadline {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a call, or says when to look again.
    fn take(&self, bucket: &Bucket) -> Result<(), Duration> {
        let now = self.clock.now();
        let halvings = {
            let mut state = self.state.lock();
            state.used = now;
            let pause = state.slowing.pause(now);
            if !pause.is_zero() {
                return Err(pause);
            }
            state.slowing.halvings(now)
        };
        bucket.take(halvings, &self.clock)
    }

    /// How long those ahead need, and a pause.
    fn expected(&self, bucket: &Bucket, lane: Lane, ahead: usize) -> Duration {
        let urgent = match lane {
            Lane::Urgent => 0,
            Lane::Routine => bucket.queue(Lane::Urgent).length.load(Relaxed),
        };
        let calls = u32::try_from(ahead + urgent).unwrap_or(u32::MAX);
        let pause = self.state.lock().slowing.pause(self.clock.now());
        pause.saturating_add(bucket.interval(self.halvings()).saturating_mul(calls))
    }

    fn halvings(&self) -> u32 {
        self.state.lock().slowing.halvings(self.clock.now())
    }

    fn is_forgettable(&self) -> bool {
        let now = self.clock.now();
        let state = self.state.lock();
        now.saturating_sub(state.used) >= FORGET_AFTER
            && state.slowing.halvings(now) == 0
            && state.slowing.pause(now).is_zero()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
