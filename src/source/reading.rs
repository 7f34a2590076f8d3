//! Reading: how fresh a read is to be, and how urgent it is.

use std::time::{Duration, Instant};

use super::bucket::Lane;

/// Whether what was learned a moment ago will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A value at most `ReadSettings::reuse` old, a failure that is not worth repeating yet, or a read
    /// already under way.
    Reuse,
    /// The same, but no value whose read began before that: a refresh that failed is not answered by what
    /// was read before somebody asked for it.
    ReuseSince(Instant),
    /// As `Reuse`, but a failure is looked at again: its cause may have been mended.
    Anew,
    /// Only a read that is sent after this ask.
    Fresh,
    /// Only a read that began then or later: whoever waits since then shares it.
    Since(Instant),
}

impl Freshness {
    /// Whether a failure that is not worth repeating yet will do.
    pub(super) fn takes_failures(self) -> bool {
        matches!(self, Self::Reuse | Self::ReuseSince(_))
    }

    /// The time before which what was learned does not count; None: a moment ago will do.
    pub(super) fn since(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Reuse | Self::Anew => None,
            Self::Fresh => Some(now),
            Self::Since(then) | Self::ReuseSince(then) => Some(then),
        }
    }
}

/// How an entry is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What is good enough.
    pub freshness: Freshness,
    /// Who goes first where calls are short.
    pub lane: Lane,
    /// The reader's refresh interval: a failure that a person can mend is repeated at least so often.
    pub interval: Duration,
    /// One of so many that one reader asks for at once that they fill batches by themselves: those do not wait
    /// for readers to come.
    pub of_many: bool,
}

impl From<Freshness> for Reading {
    /// Somebody waits, with the default interval of a binding.
    fn from(freshness: Freshness) -> Self {
        Self {
            freshness,
            lane: Lane::Urgent,
            interval: Duration::from_secs(300),
            of_many: false,
        }
    }
}

impl Reading {
    /// As a sweep reads.
    pub(super) fn sweep(interval: Duration) -> Self {
        Self {
            freshness: Freshness::Fresh,
            lane: Lane::Routine,
            interval,
            of_many: false,
        }
    }
}
