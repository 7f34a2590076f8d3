//! The calls of one operation: tokens that come at a rate, and who takes the next.

use std::{
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

use super::slowing::slowed;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for it: first syncs, changed specs, events.
    Urgent,
    /// Sweeps and retries: waits while an urgent call waits.
    Routine,
}

/// Time since some fixed moment; never goes back.
#[derive(Clone)]
pub(super) struct Clock(pub Arc<dyn Fn() -> Duration + Send + Sync>);

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

/// The calls of one operation.
pub(super) struct Bucket {
    pub full: f64,
    urgent: Queue,
    routine: Queue,
    no_urgent: Notify,
    tokens: Mutex<Tokens>,
}

/// Those of one lane who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    /// Held by the first of them.
    pub turn: Turn<()>,
    pub length: AtomicUsize,
}

struct Tokens {
    halvings: u32,
    limiter: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>,
}

impl Bucket {
    pub fn new(full: f64, clock: &Clock) -> Self {
        Self {
            full,
            urgent: Queue::default(),
            routine: Queue::default(),
            no_urgent: Notify::new(),
            tokens: Mutex::new(Tokens::new(full, 0, 1, clock)),
        }
    }

    pub fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Urgent => &self.urgent,
            Lane::Routine => &self.routine,
        }
    }

    pub fn enter(&self, lane: Lane) -> Waiting<'_> {
        let ahead = self.queue(lane).length.fetch_add(1, Relaxed);
        Waiting {
            bucket: self,
            lane,
            ahead,
        }
    }

    pub async fn until_no_urgent(&self) {
        while self.urgent.length.load(Relaxed) > 0 {
            self.no_urgent.notified().await;
        }
    }

    pub fn take(&self, halvings: u32, clock: &Clock) -> Result<(), Duration> {
        let mut tokens = self.tokens.lock();
        if tokens.halvings != halvings {
            // Empty: what was saved up at one rate must not be a burst at another.
            *tokens = Tokens::new(self.full, halvings, 0, clock);
        }
        let taken = tokens.limiter.check();
        taken.map_err(|until| until.wait_time_from(clock.now()))
    }

    /// Time between two calls.
    pub fn interval(&self, halvings: u32) -> Duration {
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
pub(super) struct Waiting<'a> {
    bucket: &'a Bucket,
    lane: Lane,
    /// Those of the same lane who came before.
    pub ahead: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let before = self.bucket.queue(self.lane).length.fetch_sub(1, Relaxed);
        if self.lane == Lane::Urgent && before == 1 {
            self.bucket.no_urgent.notify_one();
        }
    }
}
