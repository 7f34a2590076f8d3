//! Events: what Secrets Manager says about changes, received from a queue of this cluster.
//!
//! Owns the forms of messages, which asks a message is about, and the consumer of the queue. A message is a hint
//! and never the truth: of all it says only "which entry, where, maybe which version" is believed, and all that
//! follows from it is a read. Must not log or keep bodies: whoever may send to the queue wrote them.

mod address;
mod deletes;
mod flights;
mod handling;
mod hint;
mod matching;
mod message;
mod queue;
mod sqs;
mod trouble;

pub use address::QueueAddress;
pub use hint::{Hint, HintId, HintKind, Ignored};
pub use matching::{matches, matches_prefix};
pub use message::parse;
pub use queue::EventsQueue;

use super::Sources;
use crate::core::Finding;

/// What became of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handled {
    /// Nobody asks for the entry.
    Unknown,
    /// The read it caused had an outcome.
    Done,
    /// The read it caused had none: the message is worth another try.
    Failed,
}

/// What became of one message, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// It meant nothing to us.
    Ignored(Ignored),
    /// Its hint was handled.
    Handled(HintKind, Handled),
    /// Its hint was being handled already.
    Joined(HintKind),
    /// Its hint failed so often that the message was deleted.
    GivenUp(HintKind),
}

impl EventOutcome {
    /// The words used as labels: what the message was, and what became of it.
    pub const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Ignored(why) => ("ignored", why.as_str()),
            Self::Handled(kind, Handled::Unknown) => (kind.as_str(), "unknown"),
            Self::Handled(kind, Handled::Done) => (kind.as_str(), "done"),
            Self::Handled(kind, Handled::Failed) => (kind.as_str(), "failed"),
            Self::Joined(kind) => (kind.as_str(), "joined"),
            Self::GivenUp(kind) => (kind.as_str(), "given_up"),
        }
    }
}

impl Sources {
    /// The consumer of a queue, with the operator's own credentials. Calls nobody.
    ///
    /// # Errors
    /// `NoCredentials` where neither the queue's URL nor the operator names a region.
    pub fn events_queue(&self, address: &QueueAddress) -> Result<EventsQueue, Finding> {
        EventsQueue::new(self, address)
    }
}
