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
    reuse::Reuse,
    settings::ReadSettings,
    subscriptions::{Item, Known, Subscriptions},
    wire::id_text,
};
use crate::{
    api::Reason,
    core::{
        Class, EntryAsk, PrefixAsk, SecretId, VersionSelector, entry::SecretArn, schedule::class,
    },
};

/// Refreshes that people ask for: one read of an entry in that time.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// For how long a second look at a version holds for its other users.
const CONFIRMED: Duration = Duration::from_secs(60);

/// How long listings may lag behind an event, with a margin (source: ListSecrets, API reference: five minutes).
const ANNOUNCED: Duration = Duration::from_secs(360);

/// Everything behind a hub's lock.
pub(super) struct State {
    /// The batch that still takes asks.
    pub gathering: Option<(Arc<Gather>, WeakBatchRun)>,
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

/// First reads that were announced, in the order in which their readers come.
#[derive(Debug, Default)]
pub(super) struct Planned {
    order: VecDeque<EntryAsk>,
    readers: HashMap<EntryAsk, usize>,
}

impl Planned {
    /// One more reader.
    pub fn add(&mut self, ask: EntryAsk) {
        let readers = self.readers.entry(ask.clone()).or_default();
        if *readers == 0 {
            self.order.push_back(ask);
        }
        *readers += 1;
    }

    /// One of the readers is here.
    pub fn came(&mut self, ask: &EntryAsk) {
        if let Some(readers) = self.readers.get_mut(ask) {
            *readers -= 1;
            if *readers == 0 {
                self.readers.remove(ask);
            }
        }
    }

    /// How many readers will come for a value; it is no longer to be read for them.
    fn take(&mut self, ask: &EntryAsk) -> usize {
        self.readers.remove(ask).unwrap_or_default()
    }

    /// Nobody who was announced is still to come.
    fn is_done(&self) -> bool {
        self.readers.is_empty()
    }

    /// The next one that nobody has read yet.
    fn next(&mut self) -> Option<EntryAsk> {
        loop {
            let ask = self.order.pop_front()?;
            if self.readers.contains_key(&ask) {
                return Some(ask);
            }
        }
    }
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
        let before = self.left.len().checked_sub(most);
        let free = before
            .and_then(|at| self.left.get(at))
            .map_or(now, |before| (*before + settings.reuse).max(now));
        self.left.push_back(free);
        let over = |left: &Instant| *left + settings.reuse <= now;
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
        ask.version == VersionSelector::Current
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
    pub fn close(&mut self, gather: &Arc<Gather>) -> Option<WeakBatchRun> {
        let open = self
            .gathering
            .take_if(|(open, _)| Arc::ptr_eq(open, gather));
        open.map(|(_, run)| run)
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use futures::FutureExt;

    use super::*;
    use crate::source::{Interest, Subscriber};

    fn ask(name: &str) -> EntryAsk {
        EntryAsk {
            id: SecretId::Name(name.into()),
            version: VersionSelector::Current,
        }
    }

    fn state(now: Instant) -> State {
        State::new(&ReadSettings::default(), Arc::default(), 0.0, now)
    }

    #[test]
    fn refreshes_of_an_entry_are_one_read_in_ten_seconds_for_all_who_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = state(start);
        let (one, two) = ([ask("a")], [ask("a"), ask("b")]);
        assert_eq!(state.refresh_after(&one, start, start), None);
        // A thousand more, asked for a second later: all wait for the same moment, then share its read.
        for _ in 0..1000 {
            assert_eq!(state.refresh_after(&two, at(1), at(1)), Some(at(10)));
        }
        for _ in 0..1000 {
            assert_eq!(state.refresh_after(&two, at(1), at(10)), None);
        }
        assert_eq!(state.refresh_after(&one, at(11), at(11)), Some(at(20)));
        assert_eq!(state.refresh_after(&[ask("c")], at(11), at(11)), None);
    }

    #[test]
    fn batches_are_filled_up_with_what_was_planned_and_nobody_reads_yet() {
        let now = Instant::now();
        let mut state = state(now);
        for n in 0..30 {
            state.planned.add(ask(&format!("e{n:02}")));
            state.planned.add(ask(&format!("e{n:02}")));
        }
        // The first has both of its readers: it needs nobody.
        state.planned.came(&ask("e00"));
        state.planned.came(&ask("e00"));
        let run = std::future::ready(Arc::default()).boxed().shared();
        let run = run.downgrade().unwrap();
        let mut plan = Plan::default();
        assert!(plan.add(&ask("own").id, "own".into(), None));
        let taken: Vec<EntryAsk> = state
            .fill_up(&mut plan, &run, None, now)
            .into_iter()
            .map(|(ask, _)| ask)
            .collect();
        assert_eq!((taken.len(), plan.wires().len()), (19, 20));
        assert_eq!((&taken[0], &taken[18]), (&ask("e01"), &ask("e19")));
    }

    #[test]
    fn at_most_so_many_batches_leave_within_the_seconds_of_reuse() {
        let settings = ReadSettings::default();
        let start = Instant::now();
        let mut state = state(start);
        let mut turns: Vec<Duration> = (0..35).map(|_| state.turn(&settings, start)).collect();
        // One that comes later finds the others before it.
        let later = start + Duration::from_secs(14);
        turns.push(Duration::from_secs(14) + state.turn(&settings, later));
        let seconds: Vec<u64> = turns.iter().map(Duration::as_secs).collect();
        let expected: Vec<u64> = (0..36).map(|n| n / 10 * 5).collect();
        assert_eq!(seconds, expected);
        let idle = start + Duration::from_secs(60);
        assert_eq!(state.turn(&settings, idle), Duration::ZERO);
        // What is followed may be read once.
        let who = Subscriber::new("estate", "all");
        let entries = (0..400).map(|n| (ask(&format!("e{n}")), Known::Missing));
        let interest = Interest {
            entries: entries.collect(),
            interval: Duration::from_secs(60),
            ..Interest::default()
        };
        state.subscriptions.subscribe(&who, interest, idle);
        let turns = (0..20).map(|_| state.turn(&settings, idle));
        assert_eq!(turns.filter(Duration::is_zero).count(), 19);
        // Announced readers do not wait.
        let mut state = super::tests::state(start);
        state.planned.add(ask("a"));
        assert!((0..100).all(|_| state.turn(&settings, start).is_zero()));
    }

    #[test]
    fn what_events_told_of_is_listed_until_listings_show_it() {
        let now = Instant::now();
        let mut state = state(now);
        let prefix = PrefixAsk {
            prefix: "p/".into(),
            tags: Default::default(),
        };
        let member = |name: &str, version: &str| Listed {
            name: name.into(),
            arn: format!("arn:{name}"),
            current_version_id: Some(version.into()),
        };
        state.announce(&prefix, member("p/new", "1"), now);
        state.announce(&prefix, member("p/b", "2"), now);
        let listing = vec![member("p/a", "1"), member("p/b", "1")];
        let merged = state.with_announced(&prefix, listing.clone(), now);
        assert_eq!(
            merged,
            [member("p/a", "1"), member("p/b", "2"), member("p/new", "1")]
        );
        assert_eq!(
            state.with_announced(&prefix, listing.clone(), now + ANNOUNCED),
            listing
        );
    }
}
