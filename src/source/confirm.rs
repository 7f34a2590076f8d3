//! Second looks: whether a version is really the one that is meant, and whether an entry is really gone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    bucket::Lane,
    failure::Failure,
    hub::Hub,
    metrics::{Operation, Outcome},
    replies::Described,
    round::label,
};
use crate::core::{Entry, EntryAsk, Finding, Store};

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there and not marked for deletion.
    There,
    /// It is there, but without all of the tags.
    OtherTags,
    /// It does not exist or is marked for deletion.
    Gone,
}

impl Hub {
    /// Whether AWS says twice, ten seconds apart, that the label asked for is on that version. Where
    /// DescribeSecret is denied, the entry is read twice.
    pub async fn confirm(self: &Arc<Self>, ask: &EntryAsk, version: &str) -> bool {
        if self.lock().is_confirmed(ask, version) {
            return true;
        }
        if !self.is_at(ask, version).await {
            return false;
        }
        tokio::time::sleep(self.settings.confirm).await;
        let confirmed = self.is_at(ask, version).await;
        if confirmed {
            self.lock().confirmed(ask, version);
        }
        confirmed
    }

    /// What became of an entry that had these tags. Where DescribeSecret is denied nothing but a read tells that it
    /// is gone, and nothing tells of its tags.
    ///
    /// # Errors
    /// Those of a read, but for `SecretNotFound`.
    pub async fn standing(
        self: &Arc<Self>,
        ask: &EntryAsk,
        tags: &BTreeMap<String, String>,
    ) -> Result<Standing, Finding> {
        if ask.id.store() == Store::Parameters {
            let there = self.is_readable(ask).await?;
            return Ok(if there {
                Standing::There
            } else {
                Standing::Gone
            });
        }
        let is_there = match self.described(ask).await {
            Ok(described) => {
                let kept = |(key, value)| described.tags.get(key) == Some(value);
                if !described.deleted && !tags.iter().all(kept) {
                    return Ok(Standing::OtherTags);
                }
                !described.deleted
            }
            Err(failure) if failure.outcome() == Outcome::Denied => self.is_readable(ask).await?,
            Err(failure) => {
                self.unless_missing(ask, &failure, Operation::DescribeSecret)
                    .await?
            }
        };
        Ok(if is_there {
            Standing::There
        } else {
            Standing::Gone
        })
    }

    async fn is_readable(self: &Arc<Self>, ask: &EntryAsk) -> Result<bool, Finding> {
        match self.read_directly(ask).await {
            Ok(_) => Ok(true),
            Err(failure) => {
                let operation = match ask.id.store() {
                    Store::Secrets => Operation::GetSecretValue,
                    Store::Parameters => Operation::GetParameters,
                };
                self.unless_missing(ask, &failure, operation).await
            }
        }
    }

    async fn unless_missing(
        &self,
        ask: &EntryAsk,
        failure: &Failure,
        operation: Operation,
    ) -> Result<bool, Finding> {
        if failure.outcome() == Outcome::NotFound {
            return Ok(false);
        }
        Err(self.explain(failure, operation, Some(ask)).await)
    }

    async fn is_at(self: &Arc<Self>, ask: &EntryAsk, version: &str) -> bool {
        let is_it = |entry: Arc<Entry>| entry.version_id == version;
        if ask.id.store() == Store::Parameters {
            return self.read_directly(ask).await.is_ok_and(is_it);
        }
        match self.described(ask).await {
            Ok(described) => label(ask).is_some_and(|label| described.carries(version, label)),
            Err(failure) if failure.outcome() == Outcome::Denied => {
                self.read_directly(ask).await.is_ok_and(is_it)
            }
            Err(_) => false,
        }
    }

    async fn read_directly(&self, ask: &EntryAsk) -> Result<Arc<Entry>, Failure> {
        if ask.id.store() == Store::Parameters {
            return self.get_parameter(ask, Lane::Urgent).await;
        }
        let wire = self.lock().wire(&ask.id);
        let entry = self.calls.get(&wire, &ask.version, Lane::Urgent).await;
        entry.map(Arc::new)
    }

    pub(super) async fn described(&self, ask: &EntryAsk) -> Result<Described, Failure> {
        let wire = self.lock().wire(&ask.id);
        self.calls.describe(&wire, Lane::Urgent).await
    }
}

/// How long apart the two looks are.
pub(super) const APART: Duration = Duration::from_secs(10);
