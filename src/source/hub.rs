//! The hub: shared reads of one identity in one region. Owns who waits for what; asks AWS through `calls`,
//! decides through `batch`, `wire` and `errors`. Values never leave a hub for another.

use std::{
    collections::{HashMap, HashSet},
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
use tokio::sync::Semaphore;

use super::{
    batch::{Answer, Answers},
    calls::Calls,
    errors::{Subject, read_finding},
    failure::Failure,
    gather::Gather,
    identity::Caller,
    listing::{self, Listed},
    metrics::{Operation, SourceEvent, SourceMetrics},
    reuse::Reuse,
    settings::ReadSettings,
    wire::{answers, id_text, looks_complete, parse_arn},
};
use crate::{
    api::Reason,
    core::{Entry, EntryAsk, Finding, PrefixAsk, SecretId, VersionSelector, entry::SecretArn},
};

/// Whether a value read a moment ago will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A value at most `ReadSettings::reuse` old, or a read already under way.
    Reuse,
    /// Only a read that is sent after this ask.
    Fresh,
}

/// Calls at once for ids whose batch brought no answer: apart from the others, so that what hangs does not
/// hold up what works, and many, because what hangs costs nothing.
const SUSPECT_LANES: usize = 64;

type ReadResult = Result<Arc<Entry>, Finding>;
type ListResult = Result<Arc<Vec<Listed>>, Finding>;
type BatchRun = Shared<BoxFuture<'static, Arc<Answers>>>;
type WeakBatchRun = WeakShared<BoxFuture<'static, Arc<Answers>>>;

/// Shared reads of one identity in one region. Callers may be dropped at any time: a read lives as long as
/// one of them waits.
pub struct Hub {
    region: String,
    pub(super) calls: Calls,
    pub(super) settings: ReadSettings,
    patience: Duration,
    pub(super) metrics: SourceMetrics,
    pub(super) permits: Semaphore,
    suspect_permits: Semaphore,
    state: Mutex<State>,
}

pub(super) struct State {
    /// The batch that still takes asks.
    gathering: Option<(Arc<Gather>, WeakBatchRun)>,
    flights: HashMap<EntryAsk, Flight>,
    listings: HashMap<PrefixAsk, WeakShared<BoxFuture<'static, ListResult>>>,
    reuse: Reuse,
    /// Partial ARNs that AWS takes for complete ones: sent as names.
    bare: HashSet<SecretArn>,
    /// Ids whose last batch brought no answer: read singly until one does.
    pub(super) suspects: HashSet<SecretId>,
    pub(super) batch_denied_until: Option<Instant>,
    reads: u64,
}

/// A read under way.
struct Flight {
    number: u64,
    future: WeakShared<BoxFuture<'static, ReadResult>>,
    sent: Arc<AtomicBool>,
}

impl Hub {
    pub(super) fn new(
        region: String,
        calls: Calls,
        settings: ReadSettings,
        patience: Duration,
        metrics: SourceMetrics,
        kept_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let state = State {
            gathering: None,
            flights: HashMap::new(),
            listings: HashMap::new(),
            reuse: Reuse::new(settings.reuse, settings.reuse_bytes, kept_bytes),
            bare: HashSet::new(),
            suspects: HashSet::new(),
            batch_denied_until: None,
            reads: 0,
        };
        Self {
            region,
            calls,
            settings,
            patience,
            metrics,
            permits: Semaphore::new(settings.parallel.max(1)),
            suspect_permits: Semaphore::new(SUSPECT_LANES),
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
        freshness: Freshness,
    ) -> Result<Arc<Entry>, Finding> {
        self.metrics.record(SourceEvent::ReadAsked);
        // Before anything is gathered: who we are decides how ids are matched, and a broken identity is one
        // failure, not one for each entry.
        self.calls.credentials.session().await?;
        if freshness == Freshness::Reuse
            && let Some(entry) = self.lock().reuse.get(ask, Instant::now())
        {
            self.metrics.record(SourceEvent::ReadReused);
            return Ok(entry);
        }
        self.flight(ask, freshness).await
    }

    /// Lists every entry under a prefix, sorted by name: complete or an error; empty only if AWS finished an
    /// empty listing. Entries marked for deletion are left out. Asks at the same time share one listing.
    ///
    /// # Errors
    /// `AccessDenied`, `Throttled`, `AwsUnavailable` and those of [`Self::caller`].
    pub async fn list(self: &Arc<Self>, ask: &PrefixAsk) -> Result<Arc<Vec<Listed>>, Finding> {
        let listing = {
            let mut state = self.lock();
            state
                .listings
                .retain(|_, listing| listing.upgrade().is_some());
            let running = state.listings.get(ask).and_then(WeakShared::upgrade);
            running.unwrap_or_else(|| {
                let new = self.clone().list_all(ask.clone()).boxed().shared();
                if let Some(weak) = new.downgrade() {
                    state.listings.insert(ask.clone(), weak);
                }
                new
            })
        };
        listing.await
    }

    async fn list_all(self: Arc<Self>, ask: PrefixAsk) -> ListResult {
        let permit = self.permits.acquire().await;
        let listed = listing::list(&self.calls, &ask).await;
        drop(permit);
        match listed {
            Ok(listed) => Ok(Arc::new(listed)),
            Err(failure) => Err(self.explain(&failure, Operation::ListSecrets, None).await),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Drops values that are past their seconds and flights nobody waits for.
    pub(super) fn tidy(&self) {
        let mut state = self.lock();
        state.reuse.expire(Instant::now());
        state
            .flights
            .retain(|_, flight| flight.future.upgrade().is_some());
    }

    /// Joins the read of this ask that is under way, or starts one.
    fn flight(
        self: &Arc<Self>,
        ask: &EntryAsk,
        freshness: Freshness,
    ) -> Shared<BoxFuture<'static, ReadResult>> {
        let own_account = self.calls.credentials.known_account();
        let mut state = self.lock();
        let joinable = state
            .flights
            .get(ask)
            .filter(|f| freshness == Freshness::Reuse || !f.sent.load(Relaxed));
        if let Some(running) = joinable.and_then(|flight| flight.future.upgrade()) {
            return running;
        }
        state.reads += 1;
        let number = state.reads;
        let (read, sent) = if state.may_batch(ask) {
            let (run, sent) = self.join_batch(&mut state, &ask.id, own_account.as_deref());
            (self.clone().by_batch(ask.clone(), run).boxed(), sent)
        } else {
            let sent = Arc::new(AtomicBool::new(false));
            (self.clone().singly(ask.clone(), sent.clone()).boxed(), sent)
        };
        let future = self
            .clone()
            .land(ask.clone(), number, read)
            .boxed()
            .shared();
        if let Some(weak) = future.downgrade() {
            state.flights.insert(
                ask.clone(),
                Flight {
                    number,
                    future: weak,
                    sent,
                },
            );
        }
        future
    }

    /// Puts an id into the batch that gathers, or opens one.
    fn join_batch(
        self: &Arc<Self>,
        state: &mut State,
        id: &SecretId,
        own: Option<&str>,
    ) -> (BatchRun, Arc<AtomicBool>) {
        let wire = state.wire(id);
        if let Some((gather, weak)) = &state.gathering
            && let Some(run) = weak.upgrade()
            && gather.add(id, wire.clone(), own)
        {
            return (run, gather.sent());
        }
        let gather = Arc::new(Gather::default());
        gather.add(id, wire, own);
        let sent = gather.sent();
        let run = self.clone().run_batch(gather.clone()).boxed().shared();
        state.gathering = run.downgrade().map(|weak| (gather, weak));
        (run, sent)
    }

    /// The end of every read: remembers the value for a moment and leaves the list of flights.
    async fn land(
        self: Arc<Self>,
        ask: EntryAsk,
        number: u64,
        read: BoxFuture<'static, ReadResult>,
    ) -> ReadResult {
        let result = read.await;
        let mut state = self.lock();
        if let Ok(entry) = &result {
            state.suspects.remove(&ask.id);
            state.reuse.put(&ask, entry, number, Instant::now());
        }
        if state
            .flights
            .get(&ask)
            .is_some_and(|flight| flight.number == number)
        {
            state.flights.remove(&ask);
        }
        result
    }

    async fn by_batch(self: Arc<Self>, ask: EntryAsk, run: BatchRun) -> ReadResult {
        let answer = run.await.get(&ask.id).cloned();
        match answer {
            Some(Answer::Value(entry)) => Ok(entry),
            Some(Answer::Failed(failure, operation)) => {
                Err(self.explain(&failure, operation, Some(&ask)).await)
            }
            Some(Answer::Singly) | None => self.singly(ask, Arc::default()).await,
        }
    }

    /// One entry by GetSecretValue, under each spelling that may be right.
    async fn singly(self: Arc<Self>, ask: EntryAsk, sent: Arc<AtomicBool>) -> ReadResult {
        let lane = if self.lock().suspects.contains(&ask.id) {
            &self.suspect_permits
        } else {
            &self.permits
        };
        let permit = lane.acquire().await;
        sent.store(true, Relaxed);
        let result = self.get(&ask).await;
        drop(permit);
        match result {
            Ok(entry) => Ok(Arc::new(entry)),
            Err(failure) => Err(self
                .explain(&failure, Operation::GetSecretValue, Some(&ask))
                .await),
        }
    }

    async fn get(&self, ask: &EntryAsk) -> Result<Entry, Failure> {
        let first = self.lock().wire(&ask.id);
        let failure = match self.get_as(&first, ask).await {
            Err(failure) if failure.may_be_misspelt() => failure,
            result => return result,
        };
        let SecretId::Arn(arn) = &ask.id else {
            return Err(failure);
        };
        let literal = id_text(&ask.id);
        if first != literal {
            // It was known as a partial ARN; the entry may have been recreated since.
            self.lock().bare.remove(arn);
            return self.get_as(&literal, ask).await;
        }
        // AWS takes a resource that ends in hyphen and six characters for complete. If it is not, the whole
        // of it is the entry's name; a name means the caller's own account.
        let own = self
            .caller()
            .await
            .is_ok_and(|caller| caller.account == arn.account);
        if !own || !looks_complete(&arn.resource) || arn.region != self.region {
            return Err(failure);
        }
        let Ok(entry) = self.get_as(&arn.resource, ask).await else {
            return Err(failure);
        };
        self.lock().bare.insert(arn.clone());
        Ok(entry)
    }

    /// Reads under one spelling; a reply about something else is no answer.
    async fn get_as(&self, wire: &str, ask: &EntryAsk) -> Result<Entry, Failure> {
        self.metrics.record(SourceEvent::ReadMade);
        let entry = self.calls.get(wire, &ask.version).await?;
        let own = self.calls.credentials.known_account();
        let right = parse_arn(&entry.arn)
            .is_some_and(|arn| answers(&ask.id, &arn, &entry.name, own.as_deref()));
        if right {
            Ok(entry)
        } else {
            Err(Failure::Unreadable(200))
        }
    }

    /// Words for a failure. Asks AWS who we are if the words need it and it is not known.
    async fn explain(
        &self,
        failure: &Failure,
        operation: Operation,
        ask: Option<&EntryAsk>,
    ) -> Finding {
        let caller = match failure {
            Failure::Refused(_) => self.caller().await.ok(),
            _ => None,
        };
        let subject = Subject {
            operation,
            region: &self.region,
            caller: caller.as_ref(),
            entry: ask.map(|ask| (&ask.id, &ask.version)),
            patience: self.patience,
        };
        let finding = read_finding(failure, &subject);
        if finding.reason == Reason::AwsUnavailable || finding.reason == Reason::Throttled {
            tracing::warn!(target: "keyferry::source", region = self.region, operation = operation.as_str(), reason = %finding.reason, "call failed");
        }
        finding
    }
}

impl State {
    /// Only current values come in batches.
    fn may_batch(&mut self, ask: &EntryAsk) -> bool {
        if self
            .batch_denied_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.batch_denied_until = None;
        }
        ask.version == VersionSelector::Current
            && self.batch_denied_until.is_none()
            && !self.suspects.contains(&ask.id)
    }

    /// How an id is sent.
    fn wire(&self, id: &SecretId) -> String {
        match id {
            SecretId::Arn(arn) if self.bare.contains(arn) => arn.resource.clone(),
            _ => id_text(id),
        }
    }

    /// Closes a batch to further asks.
    pub(super) fn close(&mut self, gather: &Arc<Gather>) {
        if self
            .gathering
            .as_ref()
            .is_some_and(|(open, _)| Arc::ptr_eq(open, gather))
        {
            self.gathering = None;
        }
    }
}
