//! A keyed work queue: each key at most once at a time, earliest due time wins, urgent work first.
//!
//! Pure state; the driver in `controllers::drive` owns time and futures.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Instant,
};

/// How urgent a piece of work is. First syncs and spec edits overtake refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody waits for it.
    Now,
    /// A refresh or a retry.
    Routine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    urgency: Urgency,
}

/// The queue.
#[derive(Debug)]
pub struct WorkQueue<K> {
    waiting: HashMap<K, Due>,
    by_time: BTreeSet<(Instant, K)>,
    ready: BTreeSet<(Urgency, Instant, K)>,
    running: HashMap<K, Option<Due>>,
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            by_time: BTreeSet::new(),
            ready: BTreeSet::new(),
            running: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// Asks for work on `key` at `at`. Of several asks the earliest time and the highest urgency win.
    pub fn add(&mut self, key: K, at: Instant, urgency: Urgency) {
        let due = Due { at, urgency };
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(again.map_or(due, |other| merge(other, due)));
            return;
        }
        let due = match self.waiting.get(&key) {
            Some(other) => {
                let other = *other;
                self.unlink(&key, other);
                merge(other, due)
            }
            None => due,
        };
        self.by_time.insert((due.at, key.clone()));
        self.waiting.insert(key, due);
    }

    /// Takes the most urgent key that is due at `now` and marks it as running.
    pub fn take(&mut self, now: Instant) -> Option<K> {
        while let Some((at, key)) = self.by_time.first().cloned() {
            if at > now {
                break;
            }
            self.by_time.pop_first();
            if let Some(due) = self.waiting.get(&key) {
                self.ready.insert((due.urgency, due.at, key));
            }
        }
        let (_, _, key) = self.ready.pop_first()?;
        self.waiting.remove(&key);
        self.running.insert(key.clone(), None);
        Some(key)
    }

    /// Ends the work on `key`; asks that came meanwhile count from now on.
    pub fn done(&mut self, key: &K) {
        if let Some(Some(due)) = self.running.remove(key) {
            self.add(key.clone(), due.at, due.urgency);
        }
    }

    /// Forgets whatever is still asked of `key`.
    pub fn forget(&mut self, key: &K) {
        if let Some(due) = self.waiting.remove(key) {
            self.unlink(key, due);
        }
        if let Some(again) = self.running.get_mut(key) {
            *again = None;
        }
    }

    /// When the next key becomes due; `None` when nothing waits.
    pub fn next_due(&self) -> Option<Instant> {
        let ready = self.ready.first().map(|(_, at, _)| *at);
        let later = self.by_time.first().map(|(at, _)| *at);
        ready.into_iter().chain(later).min()
    }

    /// Keys that wait or run.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// True when nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn unlink(&mut self, key: &K, due: Due) {
        self.by_time.remove(&(due.at, key.clone()));
        self.ready.remove(&(due.urgency, due.at, key.clone()));
    }
}

fn merge(a: Due, b: Due) -> Due {
    Due {
        at: a.at.min(b.at),
        urgency: a.urgency.min(b.urgency),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn urgent_work_overtakes_refreshes_that_are_due() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("refresh", now, Urgency::Routine);
        queue.add("edit", now + Duration::from_millis(1), Urgency::Now);
        let later = now + Duration::from_secs(1);
        assert_eq!(queue.take(later), Some("edit"));
        assert_eq!(queue.take(later), Some("refresh"));
        assert_eq!(queue.take(later), None);
    }

    #[test]
    fn nothing_is_taken_before_it_is_due() {
        let now = Instant::now();
        let due = now + Duration::from_secs(5);
        let mut queue = WorkQueue::default();
        queue.add(1, due, Urgency::Routine);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.next_due(), Some(due));
        assert_eq!(queue.take(due), Some(1));
    }

    #[test]
    fn a_key_never_runs_twice_at_once_and_asks_meanwhile_are_kept() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(1, now, Urgency::Routine);
        assert_eq!(queue.take(now), Some(1));
        queue.add(1, now + Duration::from_secs(9), Urgency::Routine);
        queue.add(1, now, Urgency::Now);
        assert_eq!(queue.take(now), None);
        queue.done(&1);
        assert_eq!(queue.take(now), Some(1));
        queue.done(&1);
        assert!(queue.is_empty());
    }

    #[test]
    fn of_several_asks_the_earliest_time_and_highest_urgency_win() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(1, now + Duration::from_secs(60), Urgency::Now);
        queue.add(1, now, Urgency::Routine);
        queue.add(2, now, Urgency::Routine);
        assert_eq!(queue.take(now), Some(1));
        assert_eq!(queue.take(now), Some(2));
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn an_ask_that_became_ready_can_still_be_forgotten() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(1, now, Urgency::Routine);
        queue.add(2, now, Urgency::Now);
        assert_eq!(queue.take(now), Some(2));
        queue.forget(&1);
        assert_eq!(queue.take(now), None);
        queue.forget(&2);
        queue.done(&2);
        assert!(queue.is_empty());
    }
}
