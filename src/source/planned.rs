//! Planned: reads that are known to come, so that batches leave full.

use std::collections::{HashMap, VecDeque};

use crate::core::EntryAsk;

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
    pub fn take(&mut self, ask: &EntryAsk) -> usize {
        self.readers.remove(ask).unwrap_or_default()
    }

    /// Nobody who was announced is still to come.
    pub fn is_done(&self) -> bool {
        self.readers.is_empty()
    }

    /// The next one that nobody has read yet.
    pub fn next(&mut self) -> Option<EntryAsk> {
        loop {
            let ask = self.order.pop_front()?;
            if self.readers.contains_key(&ask) {
                return Some(ask);
            }
        }
    }
}
