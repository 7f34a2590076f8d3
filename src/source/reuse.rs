//! Values read a moment ago, kept for seconds and within a bound so that near-simultaneous asks share a read.
//! Nothing here outlives its seconds: there is no stale cache.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::core::{Entry, EntryAsk};

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

    /// A value no older than the time to live.
    pub fn get(&mut self, ask: &EntryAsk, now: Instant) -> Option<Arc<Entry>> {
        self.expire(now);
        self.kept.get(ask).map(|kept| kept.entry.clone())
    }

    /// Keeps what read `number` brought, if it fits and nothing later is there.
    pub fn put(&mut self, ask: &EntryAsk, entry: &Arc<Entry>, number: u64, now: Instant) {
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
                number,
            },
        );
        self.order.push_back((now, number, ask.clone()));
    }

    /// Drops what is too old.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, _, _)) = self.order.front() {
            if now.duration_since(*at) < self.ttl {
                return;
            }
            if let Some((_, number, ask)) = self.order.pop_front() {
                self.remove_read(&ask, number);
            }
        }
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
