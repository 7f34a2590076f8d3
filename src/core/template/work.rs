//! What one rendering may cost and what it ran into.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use minijinja::{Error, ErrorKind};

/// Bytes that lookups and filters of one rendering may read and make together. A single filter result
/// is capped too; this bounds their number.
const MAX_WORK: usize = 32 * 1024 * 1024;
/// Names kept for a message.
const MAX_MISSED: usize = 5;

/// Shared by the filters and objects of one rendering.
#[derive(Debug)]
pub(super) struct Work {
    left: AtomicUsize,
    fault: Mutex<Option<&'static str>>,
    missed: Mutex<BTreeSet<Missed>>,
}

/// A name that was looked up in vain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missed {
    /// An identifier of the source.
    Plain(String),
    /// A subscript of `values`, which can also be computed from a value.
    Quoted(String),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) | Self::Quoted(name) => f.write_str(name),
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(MAX_WORK),
            fault: Mutex::new(None),
            missed: Mutex::new(BTreeSet::new()),
        }
    }
}

impl Work {
    /// Takes `bytes` off what is left.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), Error> {
        let take = |left: usize| left.checked_sub(bytes);
        match self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(self.fail("handles more than 32 MiB in all")),
        }
    }

    /// An error whose sentence is ours; the first one is kept.
    pub(super) fn fail(&self, fault: &'static str) -> Error {
        let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(fault);
        Error::from(ErrorKind::InvalidOperation)
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn miss(&self, name: Missed) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() < MAX_MISSED {
            missed.insert(name);
        }
    }

    pub(super) fn missed(&self) -> BTreeSet<Missed> {
        self.missed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
