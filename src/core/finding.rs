//! A finding: why something was not done, in words a person can act on.

use crate::api::Reason;

/// Why a pass stopped. Holds the parts of the message that do not depend on time; the next try and
/// what became of the last good value are added where the status is written.
///
/// Neither part ever holds a value of an entry, a request id or an SDK error's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The word in condition, event and metric.
    pub reason: Reason,
    /// What happened, on which object, and why. One or two sentences.
    pub fact: String,
    /// What a person can do about it. One sentence; empty when there is nothing to do but wait.
    pub cure: String,
    /// How long AWS or the API server asked us to wait at least.
    pub retry_after: Option<std::time::Duration>,
    /// AWS gave no answer, or answered with a fault of its own: another region may do better.
    pub outage: bool,
}

impl Finding {
    /// A finding with a fact and a cure.
    pub fn new(reason: Reason, fact: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            reason,
            fact: fact.into(),
            cure: cure.into(),
            retry_after: None,
            outage: false,
        }
    }
}

impl Finding {
    /// Whether the entry is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.reason,
            Reason::SecretNotFound | Reason::MarkedForDeletion
        )
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fact)?;
        if !self.cure.is_empty() {
            write!(f, " {}", self.cure)?;
        }
        Ok(())
    }
}

impl std::error::Error for Finding {}
