//! What a hub remembers: reads under way, values and failures of a moment ago, subscriptions. No IO; the hub
//! holds it in one lock.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, WeakShared};

use super::{
    batch::{BATCH, Plan},
    gather::Gather,
    holds::Holds,
    hub::{BatchRun, Keep, Landing, ListResult, ReadResult, WeakBatchRun},
    listing::Listed,
    metrics::Operation,
    parameter_batch::ParameterPlan,
    parameter_reads::WeakParameterRun,
    planned::Planned,
    reuse::Reuse,
    round::is_batched,
    settings::ReadSettings,
    subscriptions::{Item, Known, Subscriptions},
    wire::id_text,
};
use crate::{
    api::Reason,
    core::{Class, EntryAsk, PrefixAsk, SecretId, Store, entry::SecretArn, schedule::class},
};

/// Refreshes that people ask for: one read of an entry in that time.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// For how long a second look at a version holds for its other users.
const CONFIRMED: Duration = Duration::from_secs(60);

/// How long listings may lag behind an event, with a margin (source: ListSecrets, API reference: five minutes).
const ANNOUNCED: Duration = Duration::from_secs(360);

/// From a batch's turn to its arrival at AWS the first one waits for credentials, and each a little: without this
/// pause more would arrive within the seconds of reuse than have left in them.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// Everything behind a hub's lock.
pub(super) struct State {
    /// The batch that still takes asks.
    pub gathering: Option<(Arc<Gather<Plan>>, WeakBatchRun)>,
    /// The same of parameters.
    pub parameters: Option<(Arc<Gather<ParameterPlan>>, WeakParameterRun)>,
    pub flights: HashMap<EntryAsk, Flight>,
    pub listings: HashMap<PrefixAsk, WeakShared<BoxFuture<'static, ListResult>>>,
    recent: HashMap<PrefixAsk, (Instant, Arc<Vec<Listed>>)>,
    /// Members that events told of, which listings may not show yet.
    announced: HashMap<PrefixAsk, Vec<(Instant, Listed)>>,
    pub reuse: Reuse,
    reuse_time: Duration,
    pub holds: Holds,
    pub planned: Planned,
    /// Announced reads that a batch under way has taken along: whoever comes for one joins that batch.
    taken_along: HashMap<EntryAsk, (u64, WeakBatchRun)>,
    pub subscriptions: Subscriptions,
    /// Partial ARNs that AWS takes for complete ones: sent as names.
    pub bare: HashSet<SecretArn>,
    /// Ids whose last batch brought no answer: read singly until one does.
    pub suspects: HashSet<SecretId>,
    /// Operations that are denied, until when that is believed.
    denied: HashMap<Operation, Instant>,
    /// Pages of the last listing of the whole account.
    pub pages: usize,
    /// When the last batch that was not full left.
    pub last_partial: Option<Instant>,
    /// The same of parameters.
    pub last_partial_parameters: Option<Instant>,
    /// When the last batches for unannounced readers left, or will.
    left: VecDeque<Instant>,
    refreshed: HashMap<EntryAsk, Instant>,
    confirmed: HashMap<(EntryAsk, String), Instant>,
    pub reads: u64,
}

/// A read under way.
pub(super) struct Flight {
    pub number: u64,
    pub began: Instant,
    pub future: WeakShared<BoxFuture<'static, ReadResult>>,
    pub sent: Arc<AtomicBool>,
}

impl State {
    pub fn new(
        settings: &ReadSettings,
        kept_bytes: Arc<AtomicUsize>,
        phase: f64,
        now: Instant,
    ) -> Self {
        Self {
            gathering: None,
            parameters: None,
            last_partial_parameters: None,
            flights: HashMap::new(),
            listings: HashMap::new(),
            recent: HashMap::new(),
            announced: HashMap::new(),
            reuse: Reuse::new(settings.reuse, settings.reuse_bytes, kept_bytes),
            reuse_time: settings.reuse,
            holds: Holds::default(),
            planned: Planned::default(),
            taken_along: HashMap::new(),
            subscriptions: Subscriptions::new(now, phase),
            bare: HashSet::new(),
            suspects: HashSet::new(),
            denied: HashMap::new(),
            pages: 0,
            last_partial: None,
            left: VecDeque::new(),
            refreshed: HashMap::new(),
            confirmed: HashMap::new(),
            reads: 0,
        }
    }

    /// How long the next batch waits for its turn. What was announced is read as fast as it can be: it is known
    /// how few batches that takes.
    pub fn turn(&mut self, settings: &ReadSettings, now: Instant) -> Duration {
        if !self.planned.is_done() || settings.burst == 0 {
            return Duration::ZERO;
        }
        let everything = self.subscriptions.counts().0.div_ceil(BATCH);
        let most = settings.burst.max(everything);
        let apart = settings.reuse + UNDER_WAY;
        let before = self.left.len().checked_sub(most);
        let free = before
            .and_then(|at| self.left.get(at))
            .map_or(now, |before| (*before + apart).max(now));
        self.left.push_back(free);
        let over = |left: &Instant| *left + apart <= now;
        while self.left.front().is_some_and(over) {
            self.left.pop_front();
        }
        free.duration_since(now)
    }

    /// What failed a moment ago is looked at when it may be repeated.
    pub fn stand_off(&mut self, now: Instant) {
        for (ask, until) in self.holds.standing(now) {
            let item = Item::Entry(ask.clone());
            if self.subscriptions.is_due(&item, now) {
                self.subscriptions.put_off(&item, until, now);
            }
        }
    }

    /// Only current values come in batches.
    pub fn may_batch(&mut self, ask: &EntryAsk, now: Instant) -> bool {
        is_batched(ask)
            && self.is_allowed(Operation::BatchGetSecretValue, now)
            && !self.suspects.contains(&ask.id)
    }

    /// Whether an operation is not known to be denied.
    pub fn is_allowed(&mut self, operation: Operation, now: Instant) -> bool {
        self.denied.retain(|_, until| *until > now);
        !self.denied.contains_key(&operation)
    }

    /// An operation is denied; true if that is news.
    pub fn deny(&mut self, operation: Operation, until: Instant) -> bool {
        self.denied.insert(operation, until).is_none()
    }

    /// How an id is sent.
    pub fn wire(&self, id: &SecretId) -> String {
        match id {
            SecretId::Arn(arn) if self.bare.contains(arn) => arn.resource.clone(),
            _ => id_text(id),
        }
    }

    /// Closes a batch to further asks; gives back its run if it was open.
    pub fn close(&mut self, gather: &Arc<Gather<Plan>>) -> Option<WeakBatchRun> {
        let open = self
            .gathering
            .take_if(|(open, _)| Arc::ptr_eq(open, gather));
        open.map(|(_, run)| run)
    }

    /// Closes a batch of parameters to further asks.
    pub fn close_parameters(&mut self, gather: &Arc<Gather<ParameterPlan>>) {
        self.parameters
            .take_if(|(open, _)| Arc::ptr_eq(open, gather));
    }

    /// Fills a batch, which `run` is, with reads that were announced and nobody has under way. Returns them.
    pub fn fill_up(
        &mut self,
        plan: &mut Plan,
        run: &WeakBatchRun,
        own: Option<&str>,
        now: Instant,
    ) -> Vec<(EntryAsk, u64)> {
        let mut taken = Vec::new();
        while !plan.is_full()
            && let Some(ask) = self.planned.next()
        {
            let idle = !self.flights.contains_key(&ask) && !self.reuse.holds(&ask);
            if idle && self.may_batch(&ask, now) && plan.add(&ask.id, self.wire(&ask.id), own) {
                self.reads += 1;
                self.taken_along
                    .insert(ask.clone(), (self.reads, run.clone()));
                taken.push((ask, self.reads));
            }
        }
        taken
    }

    /// The batch under way that has taken a read along, and the number of that read.
    pub fn taken_along(&self, ask: &EntryAsk) -> Option<(u64, BatchRun)> {
        let (number, run) = self.taken_along.get(ask)?;
        Some((*number, run.upgrade()?))
    }

    /// A batch has ended that took this read along. True if somebody has joined it meanwhile, who sees to what
    /// it brought.
    pub fn brought_along(&mut self, ask: &EntryAsk, number: u64) -> bool {
        self.taken_along.remove(ask);
        self.flights
            .get(ask)
            .is_some_and(|flight| flight.number == number && flight.future.upgrade().is_some())
    }

    /// Takes in how a read ended.
    pub fn landed(&mut self, landing: &Landing, result: &ReadResult, now: Instant) {
        let ask = &landing.ask;
        let readers = self.planned.take(ask);
        match result {
            Ok(entry) => {
                self.suspects.remove(&ask.id);
                self.holds.answered(ask);
                let found = Known::Version(entry.version_id.as_str().into());
                let item = Item::Entry(ask.clone());
                let wanted = readers + self.subscriptions.waiting_for(&item, &found);
                if landing.keep == Keep::Always || wanted > 0 {
                    let read = (landing.number, landing.began);
                    self.reuse.put(ask, entry, read, wanted, now);
                }
            }
            Err(finding) => {
                if finding.reason == Reason::SecretNotFound {
                    self.suspects.remove(&ask.id);
                }
                // It would fail every batch that it is in.
                let denied = matches!(
                    finding.reason,
                    Reason::AccessDenied | Reason::KmsAccessDenied
                );
                if denied && ask.id.store() == Store::Parameters {
                    self.suspects.insert(ask.id.clone());
                }
                // An answer about the entry, unlike one that was not had for want of time or network.
                if matches!(class(finding.reason), Class::Missing | Class::Denied) {
                    self.reuse.refused(ask, landing.number);
                }
                self.holds.failed(ask, finding, landing.interval, now);
            }
        }
        if self
            .flights
            .get(ask)
            .is_some_and(|flight| flight.number == landing.number)
        {
            self.flights.remove(ask);
        }
    }

    /// See `Hub::refresh_after`.
    pub fn refresh_after(
        &mut self,
        asks: &[EntryAsk],
        since: Instant,
        now: Instant,
    ) -> Option<Instant> {
        self.refreshed
            .retain(|_, at| now.duration_since(*at) < REFRESH_PAUSE);
        let unread: Vec<&EntryAsk> = asks
            .iter()
            .filter(|ask| !self.reuse.holds_since(ask, since))
            .collect();
        let last = unread
            .iter()
            .filter_map(|ask| self.refreshed.get(*ask))
            .max();
        // A read that began after the refresh was asked for is under way, or has just ended.
        if let Some(last) = last.filter(|last| **last < since) {
            return Some(*last + REFRESH_PAUSE);
        }
        for ask in unread {
            self.refreshed.entry(ask.clone()).or_insert(now);
        }
        None
    }

    /// Whether a version was confirmed a moment ago, for all who use the entry.
    pub fn is_confirmed(&mut self, ask: &EntryAsk, version: &str) -> bool {
        let now = Instant::now();
        self.confirmed
            .retain(|_, at| now.duration_since(*at) < CONFIRMED);
        self.confirmed
            .contains_key(&(ask.clone(), version.to_owned()))
    }

    /// A version was confirmed.
    pub fn confirmed(&mut self, ask: &EntryAsk, version: &str) {
        self.confirmed
            .insert((ask.clone(), version.to_owned()), Instant::now());
    }

    /// A listing of a moment ago.
    pub fn recent_listing(
        &mut self,
        ask: &PrefixAsk,
        since: Option<Instant>,
        now: Instant,
    ) -> Option<Arc<Vec<Listed>>> {
        let time = self.reuse_time;
        self.recent
            .retain(|_, (at, _)| now.duration_since(*at) < time);
        let (at, listed) = self.recent.get(ask)?;
        since
            .is_none_or(|since| *at >= since)
            .then(|| listed.clone())
    }

    /// Keeps a listing for a moment.
    pub fn keep_listing(&mut self, ask: PrefixAsk, listed: &Arc<Vec<Listed>>, now: Instant) {
        if !self.reuse_time.is_zero() {
            self.recent.insert(ask, (now, Arc::clone(listed)));
        }
    }

    /// A member that an event told of.
    pub fn announce(&mut self, ask: &PrefixAsk, member: Listed, now: Instant) {
        let members = self.announced.entry(ask.clone()).or_default();
        members
            .retain(|(at, other)| now.duration_since(*at) < ANNOUNCED && other.arn != member.arn);
        members.push((now, member));
    }

    /// A listing with the members that events told of since.
    pub fn with_announced(
        &mut self,
        ask: &PrefixAsk,
        mut listed: Vec<Listed>,
        now: Instant,
    ) -> Vec<Listed> {
        let members = self.announced.get(ask).into_iter().flatten();
        for (at, member) in members {
            if now.duration_since(*at) < ANNOUNCED {
                match listed.iter_mut().find(|other| other.name == member.name) {
                    Some(other) => *other = member.clone(),
                    None => listed.push(member.clone()),
                }
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    /// Drops what is over.
    pub fn tidy(&mut self, now: Instant) {
        self.reuse.expire(now);
        self.holds.tidy(now);
        let time = self.reuse_time;
        self.recent
            .retain(|_, (at, _)| now.duration_since(*at) < time);
        self.flights
            .retain(|_, flight| flight.future.upgrade().is_some());
        self.taken_along
            .retain(|_, (_, run)| run.upgrade().is_some());
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
