//! The share of AWS's request quotas that one account leaves to us: who waits, for how long, and in which
//! order. The answers of AWS that slow it down are judged in `slowing`.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as GovernorClock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, Notify};

use super::{
    metrics::Operation,
    slowing::{Slowing, most_halvings, slowed},
};

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for it: first syncs, changed specs, events.
    Urgent,
    /// Sweeps and retries: waits while an urgent call waits.
    Routine,
}

/// The operations that have a quota here, with AWS's calls a second for one account and region.
///
/// Sources: GetSecretValue and DescribeSecret: "AWS Secrets Manager increases API requests per second",
/// What's New, March 2025; BatchGetSecretValue and ListSecrets: "AWS Secrets Manager quotas", user guide.
/// A call into another account counts in the caller's (source: the same page).
const QUOTAS: [(Operation, f64); 4] = [
    (Operation::GetSecretValue, 10_000.0),
    (Operation::BatchGetSecretValue, 100.0),
    (Operation::ListSecrets, 100.0),
    (Operation::DescribeSecret, 40_000.0),
];

/// A budget that nobody used for so long, and that is not slowed, can be made anew.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Time since some fixed moment; never goes back.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    pub fn monotonic() -> Self {
        let start = Instant::now();
        Self(Arc::new(move || start.elapsed()))
    }
}

impl GovernorClock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

/// All budgets, by caller account and region.
pub(super) struct Budgets {
    share: f64,
    clock: Clock,
    made: Mutex<HashMap<(String, String), Arc<Budget>>>,
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

    /// The budget of an account in a region: the same one for equal asks.
    pub fn of(&self, account: &str, region: &str) -> Arc<Budget> {
        let key = (account.to_owned(), region.to_owned());
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

/// The calls of one operation.
struct Bucket {
    full: f64,
    urgent: Queue,
    routine: Queue,
    no_urgent: Notify,
    tokens: Mutex<Tokens>,
}

/// Those who wait, in the order in which they came.
#[derive(Default)]
struct Queue {
    turn: Turn<()>,
    length: AtomicUsize,
}

struct Tokens {
    halvings: u32,
    limiter: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>,
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
        let Some(bucket) = self.buckets.get(&operation) else {
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
        state.slowing = state
            .slowing
            .throttled(now, retry_after, self.most_halvings);
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
            Lane::Routine => bucket.urgent.length.load(Relaxed),
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

impl Bucket {
    fn new(full: f64, clock: &Clock) -> Self {
        Self {
            full,
            urgent: Queue::default(),
            routine: Queue::default(),
            no_urgent: Notify::new(),
            tokens: Mutex::new(Tokens::new(full, 0, 1, clock)),
        }
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Urgent => &self.urgent,
            Lane::Routine => &self.routine,
        }
    }

    fn enter(&self, lane: Lane) -> Waiting<'_> {
        let ahead = self.queue(lane).length.fetch_add(1, Relaxed);
        Waiting {
            bucket: self,
            lane,
            ahead,
        }
    }

    async fn until_no_urgent(&self) {
        while self.urgent.length.load(Relaxed) > 0 {
            self.no_urgent.notified().await;
        }
    }

    fn take(&self, halvings: u32, clock: &Clock) -> Result<(), Duration> {
        let mut tokens = self.tokens.lock();
        if tokens.halvings != halvings {
            // Empty: what was saved up at one rate must not be a burst at another.
            *tokens = Tokens::new(self.full, halvings, 0, clock);
        }
        let taken = tokens.limiter.check();
        taken.map_err(|until| until.wait_time_from(clock.now()))
    }

    /// Time between two calls.
    fn interval(&self, halvings: u32) -> Duration {
        shape(slowed(self.full, halvings)).1
    }
}

impl Tokens {
    /// With `left` calls at hand.
    fn new(full: f64, halvings: u32, left: u32, clock: &Clock) -> Self {
        let (burst, interval) = shape(slowed(full, halvings));
        let quota = Quota::with_period(interval)
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        if let Some(drained) = NonZeroU32::new(burst.get().saturating_sub(left)) {
            // Of a limiter nobody has used, any number up to its burst can be taken.
            let _ = limiter.check_n(drained);
        }
        Self { halvings, limiter }
    }
}

/// Calls that may come at once, and the time between others, so that no second holds more than `rate`:
/// a tenth of it may be saved up, and what is saved is not refilled in the same second.
fn shape(rate: f64) -> (NonZeroU32, Duration) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let burst = NonZeroU32::new((rate / 10.0) as u32).unwrap_or(NonZeroU32::MIN);
    let refill = rate - f64::from(burst.get() - 1);
    (burst, Duration::from_secs_f64((1.0 / refill).min(3600.0)))
}

/// One who waits; leaves the queue when dropped.
struct Waiting<'a> {
    bucket: &'a Bucket,
    lane: Lane,
    ahead: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let before = self.bucket.queue(self.lane).length.fetch_sub(1, Relaxed);
        if self.lane == Lane::Urgent && before == 1 {
            self.bucket.no_urgent.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
