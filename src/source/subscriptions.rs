//! Who uses which entries, from which versions, and when AWS is to be asked again. Pure: times come in.
//!
//! An item is due once for all its subscribers, at the shortest of their intervals. Due times lie on a grid
//! of each interval, so that items read at different times come together into full batches by themselves.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::core::{EntryAsk, PrefixAsk, VersionSelector};

/// A read younger than this part of the interval is not repeated at the next tick but at the one after it:
/// an item is at most interval + 10 % old when it is read again.
const TOO_YOUNG: f64 = 0.1;
/// Everything due counts as waiting this much longer than it does. Without it what is due at ten seconds would
/// stand behind thousands of a minute that wait for some seconds; with it only behind those that wait for
/// nearly a minute.
const HEAD_START: Duration = Duration::from_secs(10);

/// Who is told of changes: a binding. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscriber(Arc<str>);

impl Subscriber {
    /// A binding by namespace and name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// Namespace and name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }
}

/// What the sweep looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Item {
    /// An entry.
    Entry(EntryAsk),
    /// Every entry under a prefix.
    Prefix(PrefixAsk),
}

/// What a subscriber's Secret was made from, or what a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// There is no such entry or version.
    Missing,
    /// This version.
    Version(Box<str>),
    /// The members of a prefix by name, with their versions.
    Members(Arc<BTreeMap<String, String>>),
    /// Reads fail; why is the reader's to tell.
    Failed,
}

/// What a subscriber uses.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// Entries, with what is known of each.
    pub entries: Vec<(EntryAsk, Known)>,
    /// Prefixes, with what is known of each.
    pub prefixes: Vec<(PrefixAsk, Known)>,
    /// How often AWS is asked.
    pub interval: Duration,
    /// What is known comes from a record, not from a read: it is looked at in the next sweep.
    pub recorded: bool,
}

impl Interest {
    /// What there is to look at. A version id stands for the same bytes for ever: once read it is left alone.
    fn items(self) -> impl Iterator<Item = (Item, Known)> {
        let entries = self.entries.into_iter().filter(|(ask, known)| {
            !matches!(
                (&ask.version, known),
                (VersionSelector::Id(_), Known::Version(_))
            )
        });
        let prefixes = self.prefixes.into_iter();
        entries
            .map(|(ask, known)| (Item::Entry(ask), known))
            .chain(prefixes.map(|(ask, known)| (Item::Prefix(ask), known)))
    }
}

#[derive(Debug)]
struct Tracked {
    subscribers: Vec<(Subscriber, Duration, Known)>,
    due: Instant,
    /// When the last look had an answer.
    seen: Instant,
}

impl Tracked {
    fn interval(&self) -> Duration {
        let intervals = self.subscribers.iter().map(|(_, interval, _)| *interval);
        intervals.min().unwrap_or(Duration::MAX)
    }
}

/// The subscriptions of one hub.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Origin of the grid.
    origin: Instant,
    /// Where in an interval the ticks lie, 0..1: hubs of many clusters do not ask at the same moment.
    phase: f64,
    tracked: HashMap<Item, Tracked>,
    by_subscriber: HashMap<Subscriber, Vec<Item>>,
}

impl Subscriptions {
    pub fn new(origin: Instant, phase: f64) -> Self {
        Self {
            origin,
            phase: phase.clamp(0.0, 1.0),
            tracked: HashMap::new(),
            by_subscriber: HashMap::new(),
        }
    }

    /// Replaces what a subscriber uses.
    pub fn subscribe(&mut self, who: &Subscriber, interest: Interest, now: Instant) {
        let (interval, recorded) = (interest.interval, interest.recorded);
        let items: Vec<(Item, Known)> = interest.items().collect();
        let kept: HashSet<&Item> = items.iter().map(|(item, _)| item).collect();
        for item in self.by_subscriber.remove(who).unwrap_or_default() {
            if !kept.contains(&item) {
                self.leave(who, &item);
            }
        }
        let tick = self.tick_after(now, interval);
        let due = if recorded { now } else { tick };
        for (item, known) in &items {
            let tracked = self.tracked.entry(item.clone()).or_insert_with(|| Tracked {
                subscribers: Vec::new(),
                due,
                seen: now,
            });
            tracked.subscribers.retain(|(other, _, _)| other != who);
            tracked
                .subscribers
                .push((who.clone(), interval, known.clone()));
            tracked.due = tracked.due.min(due);
        }
        let items = items.into_iter().map(|(item, _)| item).collect();
        self.by_subscriber.insert(who.clone(), items);
    }

    /// Forgets a subscriber.
    pub fn unsubscribe(&mut self, who: &Subscriber) {
        for item in self.by_subscriber.remove(who).unwrap_or_default() {
            self.leave(who, &item);
        }
    }

    fn leave(&mut self, who: &Subscriber, item: &Item) {
        let Some(tracked) = self.tracked.get_mut(item) else {
            return;
        };
        tracked.subscribers.retain(|(other, _, _)| other != who);
        if tracked.subscribers.is_empty() {
            self.tracked.remove(item);
        }
    }

    /// True when nobody uses anything.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    /// When the next item is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.tracked.values().map(|tracked| tracked.due).min()
    }

    /// What is due, with its interval: what waits longest, measured in its own intervals, first.
    pub fn due(&self, now: Instant) -> Vec<(Item, Duration)> {
        let due = self
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.due <= now);
        let mut due: Vec<(f64, &Item, Duration)> = due
            .map(|(item, tracked)| {
                let interval = tracked.interval();
                let waited = now.duration_since(tracked.due) + HEAD_START;
                (waited.div_duration_f64(interval), item, interval)
            })
            .collect();
        due.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        due.into_iter()
            .map(|(_, item, interval)| (item.clone(), interval))
            .collect()
    }

    /// Current values that are not due, but so nearly that a look now counts for their tick: a batch with room
    /// takes them along and costs no call more. The soonest due first.
    pub fn nearly_due(&self, now: Instant) -> Vec<&EntryAsk> {
        let mut nearly: Vec<(Instant, &EntryAsk)> = self
            .tracked
            .iter()
            .filter(|(_, tracked)| {
                let early = tracked.interval().mul_f64(TOO_YOUNG);
                tracked.due > now && tracked.due < now + early
            })
            .filter_map(|(item, tracked)| match item {
                Item::Entry(ask) if ask.version == VersionSelector::Current => {
                    Some((tracked.due, ask))
                }
                _ => None,
            })
            .collect();
        nearly.sort();
        nearly.into_iter().map(|(_, ask)| ask).collect()
    }

    /// Whether an item is followed and due.
    pub fn is_due(&self, item: &Item, now: Instant) -> bool {
        let tracked = self.tracked.get(item);
        tracked.is_some_and(|tracked| tracked.due <= now)
    }

    /// The shortest interval of an item's subscribers.
    pub fn interval(&self, item: &Item) -> Option<Duration> {
        self.tracked.get(item).map(Tracked::interval)
    }

    /// Takes in what a look found: who is to be told. The item is due again at a tick.
    pub fn found(&mut self, item: &Item, found: &Known, now: Instant) -> Vec<Subscriber> {
        let Some(interval) = self.interval(item) else {
            return Vec::new();
        };
        let due = self.tick_after(now, interval);
        let Some(tracked) = self.tracked.get_mut(item) else {
            return Vec::new();
        };
        tracked.due = due;
        tracked.seen = now;
        let differs = tracked
            .subscribers
            .iter()
            .filter(|(_, _, known)| known != found);
        differs.map(|(who, _, _)| who.clone()).collect()
    }

    /// A look that was put off, not answered: it is due again at `at`. True when the last answer is older
    /// than two intervals: then it is time to tell.
    pub fn put_off(&mut self, item: &Item, at: Instant, now: Instant) -> bool {
        let Some(tracked) = self.tracked.get_mut(item) else {
            return false;
        };
        tracked.due = at;
        now.duration_since(tracked.seen) > tracked.interval() * 2
    }

    /// The items that `chosen` picks.
    pub fn pick(&self, chosen: impl Fn(&Item) -> bool) -> Vec<Item> {
        let picked = self.tracked.keys().filter(|item| chosen(item));
        picked.cloned().collect()
    }

    /// Everybody who uses an item.
    pub fn everybody(&self, item: &Item) -> Vec<Subscriber> {
        let subscribers = self.tracked.get(item).into_iter();
        subscribers
            .flat_map(|tracked| &tracked.subscribers)
            .map(|(who, _, _)| who.clone())
            .collect()
    }

    /// How many would be told that an item is at this version.
    pub fn waiting_for(&self, item: &Item, found: &Known) -> usize {
        let subscribers = self.tracked.get(item).into_iter();
        subscribers
            .flat_map(|tracked| &tracked.subscribers)
            .filter(|(_, _, known)| known != found)
            .count()
    }

    /// How long ago the item that waits longest was answered: the freshness of this hub.
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        let seen = self.tracked.values().map(|tracked| tracked.seen).min()?;
        Some(now.duration_since(seen))
    }

    /// How many entries and how many prefixes are followed.
    pub fn counts(&self) -> (usize, usize) {
        let is_entry = |item: &&Item| matches!(item, Item::Entry(_));
        let entries = self.tracked.keys().filter(is_entry).count();
        (entries, self.tracked.len() - entries)
    }

    /// The first tick of an interval's grid that is not too soon after `now`.
    fn tick_after(&self, now: Instant, interval: Duration) -> Instant {
        let step = interval.as_secs_f64().max(0.001);
        let earliest = now.duration_since(self.origin).as_secs_f64() + TOO_YOUNG * step;
        let offset = self.phase * step;
        let ticks = ((earliest - offset) / step).ceil().max(0.0);
        self.origin + Duration::from_secs_f64(offset + ticks * step)
    }
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;
