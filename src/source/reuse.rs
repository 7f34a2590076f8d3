//! Values read a moment ago, kept for seconds and within a bound so that near-simultaneous asks share a read.
//! One that somebody is known to come for is kept until they came, for two minutes at most. Nothing outlives
//! that: there is no stale cache.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::core::{Entry, EntryAsk};

/// How long a value waits for those who are known to come for it.
const LONGEST: Duration = Duration::from_secs(120);

/// The values of one hub. The bound is shared by all hubs.
#[derive(Debug)]
pub(super) struct Reuse {
    ttl: Duration,
    capacity: usize,
    /// Bytes kept by all hubs together.
    total: Arc<AtomicUsize>,
    kept: HashMap<EntryAsk, Kept>,
    /// Oldest first; an item whose number is no longer the kept one's was replaced.
    order: VecDeque<(Instant, u64, EntryAsk)>,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    /// When its read began.
    began: Instant,
    /// When it came.
    at: Instant,
    /// How many are known to come for it.
    wanted: usize,
    /// Number of the read: a later read's value is never replaced by an earlier one's.
    number: u64,
}

impl Reuse {
    pub fn new(ttl: Duration, capacity: usize, total: Arc<AtomicUsize>) -> Self {
        Self {
            ttl,
            capacity,
            total,
            kept: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// A value no older than the time to live, whose read began at `since` or later.
    pub fn get(
        &mut self,
        ask: &EntryAsk,
        since: Option<Instant>,
        now: Instant,
    ) -> Option<Arc<Entry>> {
        self.expire(now);
        let recent = |kept: &&mut Kept| since.is_none_or(|since| kept.began >= since);
        let kept = self.kept.get_mut(ask).filter(recent)?;
        kept.wanted = kept.wanted.saturating_sub(1);
        Some(kept.entry.clone())
    }

    /// Whether there is a value, without taking it.
    pub fn holds(&self, ask: &EntryAsk) -> bool {
        self.kept.contains_key(ask)
    }

    /// Whether there is a value whose read began at `since` or later, without taking it.
    pub fn holds_since(&self, ask: &EntryAsk, since: Instant) -> bool {
        self.kept.get(ask).is_some_and(|kept| kept.began >= since)
    }

    /// Keeps what a read brought (its number, and when it began), if it fits and nothing later is there; `wanted`: how many are known
    /// to come for it.
    pub fn put(
        &mut self,
        ask: &EntryAsk,
        entry: &Arc<Entry>,
        (number, began): (u64, Instant),
        wanted: usize,
        now: Instant,
    ) {
        self.expire(now);
        if self.ttl.is_zero() || self.kept.get(ask).is_some_and(|kept| kept.number > number) {
            return;
        }
        self.remove(ask);
        let bytes = entry.value.bytes().len();
        while self.total.load(Relaxed) + bytes > self.capacity {
            let Some((_, number, oldest)) = self.order.pop_front() else {
                return;
            };
            self.remove_read(&oldest, number);
        }
        self.total.fetch_add(bytes, Relaxed);
        self.kept.insert(
            ask.clone(),
            Kept {
                entry: entry.clone(),
                began,
                at: now,
                wanted,
                number,
            },
        );
        self.order.push_back((now, number, ask.clone()));
    }

    /// Read `number` was refused: an earlier one's value no longer answers anybody.
    pub fn refused(&mut self, ask: &EntryAsk, number: u64) {
        if self.kept.get(ask).is_some_and(|kept| kept.number < number) {
            self.remove(ask);
        }
    }

    /// Drops what is too old.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, _, _)) = self.order.front() {
            if now.duration_since(*at) < self.ttl {
                return;
            }
            let Some((_, number, ask)) = self.order.pop_front() else {
                return;
            };
            if self.is_wanted(&ask, number, now) {
                self.order.push_back((now, number, ask));
            } else {
                self.remove_read(&ask, number);
            }
        }
    }

    fn is_wanted(&self, ask: &EntryAsk, number: u64, now: Instant) -> bool {
        self.kept.get(ask).is_some_and(|kept| {
            kept.number == number && kept.wanted > 0 && now.duration_since(kept.at) < LONGEST
        })
    }

    fn remove_read(&mut self, ask: &EntryAsk, number: u64) {
        if self.kept.get(ask).is_some_and(|kept| kept.number == number) {
            self.remove(ask);
        }
    }

    fn remove(&mut self, ask: &EntryAsk) {
        if let Some(kept) = self.kept.remove(ask) {
            self.total
                .fetch_sub(kept.entry.value.bytes().len(), Relaxed);
        }
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        let bytes: usize = self
            .kept
            .values()
            .map(|kept| kept.entry.value.bytes().len())
            .sum();
        self.total.fetch_sub(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::core::{EntryValue, SecretId, SecretValue, VersionSelector};

    fn ask(name: &str) -> EntryAsk {
        EntryAsk {
            id: SecretId::Name(name.into()),
            version: VersionSelector::Current,
        }
    }

    fn entry(bytes: usize) -> Arc<Entry> {
        Arc::new(Entry {
            arn: String::new(),
            name: String::new(),
            version_id: String::new(),
            created: None,
            value: EntryValue::Binary(SecretValue::new(vec![1; bytes])),
        })
    }

    fn reuse(capacity: usize, total: &Arc<AtomicUsize>) -> Reuse {
        Reuse::new(Duration::from_secs(5), capacity, total.clone())
    }

    #[test]
    fn a_value_is_reused_for_its_seconds_and_then_gone() {
        let (start, total) = (Instant::now(), Arc::default());
        let mut kept = reuse(100, &total);
        kept.put(&ask("a"), &entry(10), (1, start), 0, start);
        assert!(
            kept.get(&ask("a"), None, start + Duration::from_millis(4_999))
                .is_some()
        );
        let pinned = EntryAsk {
            version: VersionSelector::Id("x".into()),
            ..ask("a")
        };
        assert!(
            kept.get(&pinned, None, start).is_none(),
            "another version is another ask"
        );
        assert!(
            kept.get(&ask("a"), None, start + Duration::from_secs(5))
                .is_none()
        );
        assert_eq!(total.load(Relaxed), 0);
    }

    #[test]
    fn a_value_waits_for_those_who_will_come_but_not_for_ever() {
        let (start, total) = (Instant::now(), Arc::default());
        let mut kept = reuse(100, &total);
        let late = start + Duration::from_secs(60);
        kept.put(&ask("a"), &entry(10), (1, start), 2, start);
        kept.put(&ask("b"), &entry(10), (2, start), 1, start);
        assert!(kept.get(&ask("a"), None, late).is_some());
        assert!(kept.get(&ask("a"), None, late).is_some());
        let next = late + Duration::from_secs(6);
        assert!(kept.get(&ask("a"), None, next).is_none(), "both have come");
        assert!(kept.holds(&ask("b")));
        kept.expire(start + LONGEST + Duration::from_secs(5));
        assert!(!kept.holds(&ask("b")), "nobody came");
        assert_eq!(total.load(Relaxed), 0);
    }

    #[test]
    fn the_bound_holds_over_all_hubs_and_the_oldest_go_first() {
        let (start, total) = (Instant::now(), Arc::default());
        let (mut one, mut other) = (reuse(100, &total), reuse(100, &total));
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            one.put(&ask(name), &entry(30), (at as u64, start), 0, start);
        }
        one.put(&ask("d"), &entry(30), (9, start), 0, start);
        assert!(
            one.get(&ask("a"), None, start).is_none() && one.get(&ask("d"), None, start).is_some()
        );
        other.put(&ask("a"), &entry(30), (1, start), 0, start);
        assert!(
            other.get(&ask("a"), None, start).is_none(),
            "a hub makes room only among its own"
        );
        one.put(&ask("huge"), &entry(101), (10, start), 0, start);
        assert!(one.get(&ask("huge"), None, start).is_none());
        assert!(total.load(Relaxed) <= 100);
        drop(one);
        assert_eq!(total.load(Relaxed), 0);
    }

    #[test]
    fn a_later_refusal_ends_an_earlier_value_and_not_the_other_way_round() {
        let (start, total) = (Instant::now(), Arc::default());
        let mut kept = reuse(100, &total);
        kept.put(&ask("a"), &entry(10), (2, start), 0, start);
        kept.refused(&ask("a"), 1);
        assert!(kept.holds(&ask("a")), "refused before it was read");
        kept.refused(&ask("a"), 3);
        assert!(kept.get(&ask("a"), None, start).is_none());
        assert_eq!(total.load(Relaxed), 0);
    }

    #[test]
    fn a_later_reads_value_is_not_replaced_by_an_earlier_ones() {
        let (start, total) = (Instant::now(), Arc::default());
        let mut kept = reuse(100, &total);
        kept.put(&ask("a"), &entry(2), (2, start), 0, start);
        kept.put(&ask("a"), &entry(1), (1, start), 0, start);
        assert_eq!(
            kept.get(&ask("a"), None, start)
                .unwrap()
                .value
                .bytes()
                .len(),
            2
        );
        kept.put(
            &ask("a"),
            &entry(3),
            (3, start),
            0,
            start + Duration::from_secs(1),
        );
        // The first one's time runs out; the third's does not.
        assert!(
            kept.get(&ask("a"), None, start + Duration::from_secs(5))
                .is_some()
        );
        assert_eq!(total.load(Relaxed), 3);
    }
}
