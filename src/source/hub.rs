//! The hub: shared reads of one identity in one region. Owns who waits for what; asks AWS through `calls`,
//! decides through `batch`, `wire` and `errors`. Values never leave a hub for another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};

use super::{
    batch::{Answers, Plan},
    bucket::Lane,
    calls::Calls,
    gather::Gather,
    identity::Caller,
    listing::{self, Listed},
    metrics::{SourceEvent, SourceMetrics},
    parameter_calls::ParameterCalls,
    reading::Reading,
    settings::ReadSettings,
    state::{Flight, State},
    subscriptions::{Interest, Subscriber},
};
use crate::core::{Entry, EntryAsk, Finding, PrefixAsk, SecretId, Store};

/// Calls at once for ids whose batch brought no answer: apart from the others, so that what hangs does not
/// hold up what works, and many, because what hangs costs nothing.
const SUSPECT_LANES: usize = 64;

pub(super) type ReadResult = Result<Arc<Entry>, Finding>;
pub(super) type ListResult = Result<Arc<Vec<Listed>>, Finding>;
pub(super) type BatchRun = Shared<BoxFuture<'static, Arc<Answers>>>;
pub(super) type WeakBatchRun = WeakShared<BoxFuture<'static, Arc<Answers>>>;

/// Shared reads of one identity in one region. Callers may be dropped at any time: a read lives as long as
/// one of them waits.
pub struct Hub {
    region: String,
    pub(super) calls: Calls,
    pub(super) parameters: ParameterCalls,
    pub(super) settings: ReadSettings,
    pub(super) patience: Duration,
    pub(super) metrics: SourceMetrics,
    permits: Semaphore,
    /// Calls that nobody waits for have places of their own: they may have to wait for their turn in them.
    routine_permits: Semaphore,
    pub(super) suspect_permits: Semaphore,
    /// Events have half of the places at most.
    pub(super) event_permits: Semaphore,
    /// Tells the sweep that something may be due earlier than it thinks.
    pub(super) changed: Arc<Notify>,
    state: Mutex<State>,
}

/// What a hub has in common with the others.
pub(super) struct Common {
    /// Bytes of values kept by all of them.
    pub kept_bytes: Arc<AtomicUsize>,
    /// Wakes the sweep.
    pub changed: Arc<Notify>,
    /// Where in an interval its sweeps lie, 0..1.
    pub phase: f64,
}

impl Hub {
    pub(super) fn new(
        region: String,
        (calls, parameters): (Calls, ParameterCalls),
        settings: ReadSettings,
        patience: Duration,
        metrics: SourceMetrics,
        common: Common,
    ) -> Self {
        let state = State::new(&settings, common.kept_bytes, common.phase, Instant::now());
        Self {
            region,
            calls,
            parameters,
            settings,
            patience,
            metrics,
            permits: Semaphore::new(settings.parallel.max(1)),
            routine_permits: Semaphore::new(settings.parallel.max(1)),
            suspect_permits: Semaphore::new(SUSPECT_LANES),
            event_permits: Semaphore::new(settings.parallel.div_ceil(2)),
            changed: common.changed,
            state: Mutex::new(state),
        }
    }

    /// The region of every read.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Who reads: for status, messages and the access check of the account. Known from the reply that gave
    /// the credentials; where that did not tell, one GetCallerIdentity per credential lifetime.
    ///
    /// # Errors
    /// `NoCredentials`, `AssumeRoleFailed`, `Throttled`, `AwsUnavailable`.
    pub async fn caller(&self) -> Result<Caller, Finding> {
        self.calls.credentials.caller().await
    }

    /// Reads one entry. Asks for one entry share one read; current values share batches.
    ///
    /// # Errors
    /// The reasons from `SecretNotFound` to `AwsUnavailable`. The cure of a denial holds `{binding}` and
    /// `{namespace}`: see [`super::addressed`].
    pub async fn read(
        self: &Arc<Self>,
        ask: &EntryAsk,
        reading: impl Into<Reading>,
    ) -> Result<Arc<Entry>, Finding> {
        let reading = reading.into();
        self.metrics.record(SourceEvent::ReadAsked);
        // Before anything is gathered: who we are decides how ids are matched, and a broken identity is one
        // failure, not one for each entry.
        self.calls.credentials.session().await?;
        let now = Instant::now();
        let since = reading.freshness.since(now);
        if let Some(entry) = self.lock().reuse.get(ask, since, now) {
            self.metrics.record(SourceEvent::ReadReused);
            return Ok(entry);
        }
        if reading.freshness.takes_failures()
            && let Some(finding) = self.lock().holds.get(ask, Instant::now())
        {
            self.metrics.record(SourceEvent::ReadReused);
            return Err(finding);
        }
        self.flight(ask, reading, Keep::Always).await
    }

    /// Announces the first reads of readers that are about to come, in their order: batches are filled up
    /// with them, and their values wait for them.
    pub fn plan(&self, asks: impl IntoIterator<Item = EntryAsk>) {
        let mut state = self.lock();
        asks.into_iter().for_each(|ask| state.planned.add(ask));
    }

    /// Replaces what a subscriber uses: it is told when any of it changes.
    pub fn subscribe(&self, who: &Subscriber, interest: Interest) {
        self.lock()
            .subscriptions
            .subscribe(who, interest, Instant::now());
        self.changed.notify_one();
    }

    /// Forgets a subscriber.
    pub fn unsubscribe(&self, who: &Subscriber) {
        self.lock().subscriptions.unsubscribe(who);
    }

    /// When a refresh that was asked for at `since` may be read: one such read of an entry in ten seconds, which
    /// serves all who asked before it. None: now.
    pub fn refresh_after(&self, asks: &[EntryAsk], since: Instant) -> Option<Instant> {
        self.lock().refresh_after(asks, since, Instant::now())
    }

    /// Lists every entry under a prefix, sorted by name: complete or an error; empty only if AWS finished an
    /// empty listing. Entries marked for deletion are left out. Asks at the same time share one listing.
    ///
    /// # Errors
    /// `AccessDenied`, `Throttled`, `AwsUnavailable` and those of [`Self::caller`].
    pub async fn list(
        self: &Arc<Self>,
        ask: &PrefixAsk,
        reading: impl Into<Reading>,
    ) -> Result<Arc<Vec<Listed>>, Finding> {
        let reading = reading.into();
        let listing = {
            let mut state = self.lock();
            let now = Instant::now();
            let since = reading.freshness.since(now);
            if let Some(listed) = state.recent_listing(ask, since, now) {
                return Ok(listed);
            }
            state
                .listings
                .retain(|_, listing| listing.upgrade().is_some());
            let running = state.listings.get(ask).and_then(WeakShared::upgrade);
            running.unwrap_or_else(|| {
                let new = self
                    .clone()
                    .list_all(ask.clone(), reading.lane)
                    .boxed()
                    .shared();
                if let Some(weak) = new.downgrade() {
                    state.listings.insert(ask.clone(), weak);
                }
                new
            })
        };
        listing.await
    }

    async fn list_all(self: Arc<Self>, ask: PrefixAsk, lane: Lane) -> ListResult {
        let permit = self.places(lane).acquire().await;
        let listed = match ask.store {
            Store::Secrets => listing::list(&self.calls, &ask, lane).await,
            Store::Parameters => listing::parameters(&self.parameters, &ask.prefix, lane).await,
        };
        drop(permit);
        match listed {
            Ok(listed) => {
                let (mut state, now) = (self.lock(), Instant::now());
                let listed = Arc::new(state.with_announced(&ask, listed, now));
                state.keep_listing(ask, &listed, now);
                Ok(listed)
            }
            Err(failure) => Err(self.explain_listing(&failure, &ask).await),
        }
    }

    /// Where calls of a lane wait for a place.
    pub(super) fn places(&self, lane: Lane) -> &Semaphore {
        match lane {
            Lane::Urgent => &self.permits,
            Lane::Routine => &self.routine_permits,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Drops values that are past their seconds and flights nobody waits for.
    pub(super) fn tidy(&self) {
        self.lock().tidy(Instant::now());
    }

    /// True while somebody is to be told of changes.
    pub(super) fn is_subscribed(&self) -> bool {
        !self.lock().subscriptions.is_empty()
    }

    /// How long ago AWS was asked about what waits longest for a look.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.lock().subscriptions.oldest(now)
    }

    /// How many entries and how many prefixes are followed.
    pub(super) fn followed(&self) -> (usize, usize) {
        self.lock().subscriptions.counts()
    }

    /// Joins the read of this ask that is under way, or starts one.
    pub(super) fn flight(
        self: &Arc<Self>,
        ask: &EntryAsk,
        reading: Reading,
        keep: Keep,
    ) -> Shared<BoxFuture<'static, ReadResult>> {
        self.fly(ask, reading, keep, true)
    }

    /// The same, in no batch: what an event asks for does not wait for others.
    pub(super) fn flight_alone(
        self: &Arc<Self>,
        ask: &EntryAsk,
        reading: Reading,
        keep: Keep,
    ) -> Shared<BoxFuture<'static, ReadResult>> {
        self.fly(ask, reading, keep, false)
    }

    fn fly(
        self: &Arc<Self>,
        ask: &EntryAsk,
        reading: Reading,
        keep: Keep,
        batched: bool,
    ) -> Shared<BoxFuture<'static, ReadResult>> {
        let own_account = self.calls.credentials.known_account();
        let mut state = self.lock();
        if keep == Keep::Always {
            state.planned.came(ask);
        }
        let now = Instant::now();
        let since = reading.freshness.since(now);
        let joinable = state.flights.get(ask).filter(|flight| {
            since.is_none_or(|since| flight.began >= since || !flight.sent.load(Relaxed))
        });
        if let Some(running) = joinable.and_then(|flight| flight.future.upgrade()) {
            self.shared(keep);
            return running;
        }
        let taken_along = state.taken_along(ask).filter(|_| since.is_none());
        let (number, read, sent) = if let Some((number, run)) = taken_along {
            self.shared(keep);
            let read = self.clone().by_batch(ask.clone(), run, reading.lane);
            (number, read.boxed(), Arc::new(AtomicBool::new(true)))
        } else {
            state.reads += 1;
            let number = state.reads;
            let own = own_account.as_deref();
            let (read, sent) = self.read_anew(&mut state, ask, &reading, own, batched);
            (number, read, sent)
        };
        let landing = Landing {
            ask: ask.clone(),
            number,
            began: now,
            keep,
            interval: reading.interval,
        };
        let future = self.clone().land(landing, read).boxed().shared();
        if let Some(weak) = future.downgrade() {
            let flight = Flight {
                number,
                began: now,
                future: weak,
                sent,
            };
            state.flights.insert(ask.clone(), flight);
        }
        future
    }

    /// Counts an ask that needs no read of its own.
    fn shared(&self, keep: Keep) {
        if keep == Keep::Always {
            self.metrics.record(SourceEvent::ReadReused);
        }
    }

    /// A read that begins now, and what tells when it is on its way.
    fn read_anew(
        self: &Arc<Self>,
        state: &mut State,
        ask: &EntryAsk,
        reading: &Reading,
        own: Option<&str>,
        batched: bool,
    ) -> (BoxFuture<'static, ReadResult>, Arc<AtomicBool>) {
        if ask.id.store() == Store::Parameters {
            return self.read_parameter(state, ask, reading);
        }
        if batched && state.may_batch(ask, Instant::now()) {
            let (run, sent) = self.join_batch(state, &ask.id, own, reading);
            let read = self.clone().by_batch(ask.clone(), run, reading.lane);
            return (read.boxed(), sent);
        }
        let sent = Arc::new(AtomicBool::new(false));
        let read = self.clone().singly(ask.clone(), sent.clone(), reading.lane);
        (read.boxed(), sent)
    }

    /// Puts an id into the batch that gathers, or opens one.
    fn join_batch(
        self: &Arc<Self>,
        state: &mut State,
        id: &SecretId,
        own: Option<&str>,
        reading: &Reading,
    ) -> (BatchRun, Arc<AtomicBool>) {
        let wire = state.wire(id);
        let add = |plan: &mut Plan| (plan.add(id, wire.clone(), own), plan.is_full());
        if let Some((gather, weak)) = &state.gathering
            && let Some(run) = weak.upgrade()
            && gather.add(reading, add)
        {
            return (run, gather.sent());
        }
        let gather = Arc::new(Gather::default());
        gather.add(reading, add);
        let sent = gather.sent();
        let run = self.clone().run_batch(gather.clone()).boxed().shared();
        state.gathering = run.downgrade().map(|weak| (gather, weak));
        (run, sent)
    }

    /// The end of every read: what it brought is remembered for a moment, and it leaves the list of flights.
    async fn land(
        self: Arc<Self>,
        landing: Landing,
        read: BoxFuture<'static, ReadResult>,
    ) -> ReadResult {
        let result = read.await;
        let mut state = self.lock();
        state.landed(&landing, &result, Instant::now());
        result
    }
}

/// Whether a value is kept for a moment when nobody is known to come for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Others may ask at about the same time.
    Always,
    /// Only if somebody is to be told of it: a sweep reads many values that nobody needs.
    IfWanted,
}

/// A read that ends.
pub(super) struct Landing {
    pub ask: EntryAsk,
    pub number: u64,
    pub began: Instant,
    pub keep: Keep,
    pub interval: Duration,
}
