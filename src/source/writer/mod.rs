//! Writing entries: create one, or give one a new version, and never over somebody else's write.
//!
//! A new version comes in under a staging label of ours; then AWSCURRENT is moved to it from the version that was
//! read before. AWS refuses that when AWSCURRENT has moved meanwhile, so that a lost race is noticed. Whoever may
//! only call UpdateSecret has no such guard: the versions are looked at right before and right after.

mod calls;
mod words;

use std::{sync::Arc, time::Duration};

use self::words::Subject;
use super::{
    calls::Calls,
    failure::Failure,
    metrics::{Operation, Outcome},
    wire::CURRENT,
};
use crate::core::{Entry, Finding, VersionSelector};

/// The label under which a version waits to become the current one.
pub const LABEL: &str = "keyferry-import";
/// The label of the one before.
const PREVIOUS: &str = "AWSPREVIOUS";
/// How often a write is looked for that a read does not show yet, and how long apart.
const LOOKS: u32 = 5;
const APART: Duration = Duration::from_millis(500);

/// Writes to the entries of one region.
pub struct Writer {
    calls: Calls,
    region: String,
    patience: Duration,
}

/// What is there now.
#[derive(Clone, Debug)]
pub enum Current {
    /// No entry.
    Missing,
    /// An entry without a value.
    Empty,
    /// A value.
    Value(Arc<Entry>),
}

impl Current {
    /// Its version.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Value(entry) => Some(&entry.version_id),
            Self::Missing | Self::Empty => None,
        }
    }
}

/// What an entry is made with, beside its value.
#[derive(Clone, Debug, Default)]
pub struct NewEntry {
    /// Key that encrypts it; None: the account's default.
    pub kms_key: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Regions that get a replica.
    pub replica_regions: Vec<String>,
}

/// An entry was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its first version.
    pub version: String,
}

/// A version was written and is the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The version.
    pub version: String,
    /// What else a person should know, as a sentence.
    pub note: Option<String>,
}

/// What became of the way with the label.
enum Staged {
    Done(Put),
    /// A right is missing for it. `leftover`: the version that lies under our label.
    Denied {
        failure: Failure,
        operation: Operation,
        leftover: Option<String>,
    },
}

impl Writer {
    pub(super) fn new(calls: Calls, region: String, patience: Duration) -> Self {
        Self {
            calls,
            region,
            patience,
        }
    }

    /// What an entry holds now.
    ///
    /// # Errors
    /// Where AWS does not say.
    pub async fn current(&self, entry: &str) -> Result<Current, Finding> {
        match self.calls.read(entry, &VersionSelector::Current).await {
            Ok(found) => Ok(Current::Value(Arc::new(found))),
            Err(Failure::Refused(refusal)) if words::has_no_value(&refusal) => Ok(Current::Empty),
            Err(Failure::Refused(refusal)) if words::is_missing(&refusal) => Ok(Current::Missing),
            Err(failure) => Err(self.told(&failure, Operation::GetSecretValue, entry).await),
        }
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// Where AWS refuses, also because somebody else made it meanwhile.
    pub async fn create(&self, entry: &str, text: &str, new: &NewEntry) -> Result<Made, Finding> {
        let version = token();
        let failure = match self.calls.create(entry, &version, text, new).await {
            Ok(()) => return Ok(Made { version }),
            Err(failure) => failure,
        };
        if !words::exists(&failure) {
            return Err(self.told(&failure, Operation::CreateSecret, entry).await);
        }
        match self.current(entry).await? {
            // Our own write, whose answer was lost.
            Current::Value(found) if found.version_id == version => Ok(Made { version }),
            found => Err(words::made_meanwhile(entry, found.version())),
        }
    }

    /// Gives an entry a new current version in place of `before`, the one that was read (None: it had none).
    ///
    /// # Errors
    /// Where AWS refuses, and where AWSCURRENT has moved since it was read: then nothing was overwritten, or the
    /// finding says what was and where it lies.
    pub async fn put(&self, entry: &str, before: Option<&str>, text: &str) -> Result<Put, Finding> {
        match self.staged(entry, before, text).await? {
            Staged::Done(put) => Ok(put),
            Staged::Denied {
                failure,
                operation,
                leftover,
            } => {
                let updated = self.updated(entry, before, text, leftover.as_deref()).await;
                match updated {
                    Ok(put) => Ok(put),
                    // What was denied first is the way that people want.
                    Err(None) => Err(self.no_way(&failure, operation, entry).await),
                    Err(Some(finding)) => Err(finding),
                }
            }
        }
    }

    /// By label: PutSecretValue, then UpdateSecretVersionStage from the version that was read.
    async fn staged(
        &self,
        entry: &str,
        before: Option<&str>,
        text: &str,
    ) -> Result<Staged, Finding> {
        let version = token();
        let denied = |failure, operation, leftover| {
            Ok(Staged::Denied {
                failure,
                operation,
                leftover,
            })
        };
        let labels = match self.calls.put(entry, &version, text).await {
            Ok(labels) => labels,
            Err(failure) if words::is_denied(&failure) => {
                return denied(failure, Operation::PutSecretValue, None);
            }
            Err(failure) => {
                return Err(self.told(&failure, Operation::PutSecretValue, entry).await);
            }
        };
        // The first version of an entry is the current one whatever its label.
        if !labels.iter().any(|label| label == CURRENT) {
            let moved = self
                .calls
                .move_label(entry, CURRENT, before, Some(&version))
                .await;
            if let Err(failure) = moved {
                let operation = Operation::UpdateSecretVersionStage;
                if words::is_denied(&failure) {
                    return denied(failure, operation, Some(version));
                }
                self.unless_moved(entry, &version, failure).await?;
            }
        }
        let unlabelled = self.unlabel(entry, &version).await;
        Ok(Staged::Done(Put {
            note: (!unlabelled).then(|| words::label_left(entry)),
            version,
        }))
    }

    /// After a failed move: fine if it has happened all the same.
    async fn unless_moved(
        &self,
        entry: &str,
        version: &str,
        failure: Failure,
    ) -> Result<(), Finding> {
        let operation = Operation::UpdateSecretVersionStage;
        if failure.outcome() != Outcome::Refused {
            let finding = self.told(&failure, operation, entry).await;
            return Err(words::waits_under_label(finding, version));
        }
        let now = self.current(entry).await?;
        if now.version() == Some(version) {
            return Ok(());
        }
        let unlabelled = self.unlabel(entry, version).await;
        Err(words::lost(entry, now.version(), unlabelled))
    }

    /// Takes our label off; true: done.
    async fn unlabel(&self, entry: &str, version: &str) -> bool {
        let removed = self.calls.move_label(entry, LABEL, Some(version), None);
        removed.await.is_ok()
    }

    /// By UpdateSecret, which has no guard of its own. Err(None): this is denied, too.
    async fn updated(
        &self,
        entry: &str,
        before: Option<&str>,
        text: &str,
        leftover: Option<&str>,
    ) -> Result<Put, Option<Finding>> {
        let now = self.current(entry).await?;
        if now.version() != before {
            return Err(Some(words::lost(entry, now.version(), leftover.is_none())));
        }
        let version = token();
        match self.calls.update(entry, &version, text).await {
            Ok(()) => {}
            Err(failure) if words::is_plainly_denied(&failure) => return Err(None),
            Err(failure) => {
                let told = self.told(&failure, Operation::UpdateSecret, entry).await;
                return Err(Some(told));
            }
        }
        let (current, previous) = self.labels_after(entry, before).await?;
        let leftover = leftover.map(|_| words::label_left(entry));
        if current.as_deref() == Some(&version) {
            if previous.as_deref() == before {
                return Ok(Put {
                    version,
                    note: leftover,
                });
            }
            return Err(Some(words::overtook(entry, previous.as_deref(), &version)));
        }
        Err(Some(words::overtaken(entry, current.as_deref(), &version)))
    }

    /// The versions under AWSCURRENT and AWSPREVIOUS; by DescribeSecret, or as far as reads show them. Reads may be
    /// a moment behind: they are asked again while they show the version from before.
    async fn labels_after(
        &self,
        entry: &str,
        before: Option<&str>,
    ) -> Result<(Option<String>, Option<String>), Finding> {
        let mut looks = 0;
        loop {
            let (current, previous) = self.labels(entry).await?;
            looks += 1;
            if current.as_deref() != before || looks == LOOKS {
                return Ok((current, previous));
            }
            tokio::time::sleep(APART).await;
        }
    }

    async fn labels(&self, entry: &str) -> Result<(Option<String>, Option<String>), Finding> {
        match self.calls.labelled(entry).await {
            Ok(described) => {
                let at = |label: &str| {
                    let mut versions = described.versions.keys();
                    versions.find(|id| described.carries(id, label)).cloned()
                };
                Ok((at(CURRENT), at(PREVIOUS)))
            }
            Err(failure) if words::is_denied(&failure) => {
                let current = self.current(entry).await?.version().map(str::to_owned);
                Ok((current, self.previous(entry).await?))
            }
            Err(failure) => Err(self.told(&failure, Operation::DescribeSecret, entry).await),
        }
    }

    async fn previous(&self, entry: &str) -> Result<Option<String>, Finding> {
        let previous = VersionSelector::Stage(PREVIOUS.to_owned());
        match self.calls.read(entry, &previous).await {
            Ok(found) => Ok(Some(found.version_id)),
            Err(Failure::Refused(refusal)) if words::is_missing(&refusal) => Ok(None),
            Err(failure) => Err(self.told(&failure, Operation::GetSecretValue, entry).await),
        }
    }

    async fn told(&self, failure: &Failure, operation: Operation, entry: &str) -> Finding {
        words::told(failure, &self.subject(failure, operation, entry).await)
    }

    async fn no_way(&self, failure: &Failure, operation: Operation, entry: &str) -> Finding {
        words::no_way(failure, &self.subject(failure, operation, entry).await)
    }

    async fn subject<'a>(
        &'a self,
        failure: &Failure,
        operation: Operation,
        entry: &'a str,
    ) -> Subject<'a> {
        let caller = match failure.names_the_caller() {
            true => self.calls.credentials.caller().await.ok(),
            false => None,
        };
        Subject {
            operation,
            entry,
            region: &self.region,
            caller,
            patience: self.patience,
        }
    }
}

/// A version's id, chosen by us: a further attempt of the same write then changes nothing (UUID version 4,
/// RFC 9562). Random, and never made of the value: version ids are shown to more people than values.
fn token() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let n = u128::from_be_bytes(bytes);
    let hex = format!("{n:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn tokens_are_uuids_and_never_the_same() {
        let (one, two) = (token(), token());
        assert_ne!(one, two);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes().get(14), Some(&b'4'), "{one}");
    }
}
