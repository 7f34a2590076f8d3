//! What the fake Secrets Manager remembers: secrets, versions and staging labels of one account
//! and region. Pure data with the service's own rules; no HTTP, no IAM, no clock of its own.

mod labels;
mod names;
mod region;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

pub use names::partition_of;
pub(crate) use names::{SecretRef, check_name};
pub use region::StaleScope;
pub(crate) use region::{NewSecret, RegionStore, Stores};

use super::error::AwsError;

/// The label of the value in force.
pub const CURRENT: &str = "AWSCURRENT";
/// The label that follows `AWSCURRENT` by itself, one version behind.
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// Largest secret value in bytes, text or binary (AWS Secrets Manager quotas).
pub const MAX_VALUE_BYTES: usize = 65_536;

/// A secret value. Its `Debug` shows the kind and the length, never the content.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// `SecretString`.
    Text(Arc<str>),
    /// `SecretBinary`, decoded.
    Binary(Arc<[u8]>),
}

impl SecretValue {
    /// A text value.
    pub fn text(value: impl AsRef<str>) -> Self {
        Self::Text(value.as_ref().into())
    }

    /// A binary value.
    pub fn binary(value: impl AsRef<[u8]>) -> Self {
        Self::Binary(value.as_ref().into())
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Refuses what Secrets Manager refuses: nothing at all and more than [`MAX_VALUE_BYTES`].
    pub(crate) fn check(&self) -> Result<(), AwsError> {
        let member = match self {
            Self::Text(_) => "secretString",
            Self::Binary(_) => "secretBinary",
        };
        let bound = match self.len() {
            0 => "greater than or equal to 1",
            n if n > MAX_VALUE_BYTES => "less than or equal to 65536",
            _ => return Ok(()),
        };
        Err(AwsError::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
        )))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Text(_) => "Text",
            Self::Binary(_) => "Binary",
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

/// One version: immutable once written.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub id: Arc<str>,
    pub value: SecretValue,
    pub created: Timestamp,
}

/// One secret with its versions, oldest first, and where each staging label sits.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    pub seq: u64,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub versions: Vec<Arc<Version>>,
    pub labels: BTreeMap<String, Arc<str>>,
    /// Label moves, with the new holder, that no event told of yet.
    pub moved: Vec<(String, Arc<str>)>,
    pub created: Timestamp,
    pub changed: Timestamp,
    pub accessed: Option<Timestamp>,
    pub deletion: Option<Deletion>,
    pub policy: ResourcePolicy,
    pub primary_region: Option<String>,
}

/// When a secret was marked for deletion and when it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub marked: Timestamp,
    pub due: Timestamp,
}

/// Who, beside the owner's account, may read (glob patterns over principal ARNs), and who never.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResourcePolicy {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

impl Secret {
    /// The version with this id.
    pub fn version(&self, id: &str) -> Option<&Arc<Version>> {
        self.versions.iter().rev().find(|v| &*v.id == id)
    }

    /// The labels on a version, sorted.
    pub fn stages_of(&self, id: &str) -> Vec<&str> {
        let here = self.labels.iter().filter(|(_, at)| &***at == id);
        here.map(|(label, _)| label.as_str()).collect()
    }

    /// Labelled versions with their labels, as `VersionIdsToStages` shows them.
    pub fn stages(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (label, id) in &self.labels {
            map.entry(id).or_default().push(label);
        }
        map
    }

    /// What GetSecretValue selects: by id, by label, or both if they agree; `AWSCURRENT` otherwise.
    pub fn select(&self, id: Option<&str>, label: Option<&str>) -> Result<&Arc<Version>, AwsError> {
        let missing = |what: &str, which: &str| {
            let text = format!(
                "Secrets Manager can't find the specified secret value for {what}: {which}"
            );
            AwsError::new("ResourceNotFoundException", text)
        };
        let Some(id) = id else {
            let label = label.unwrap_or(CURRENT);
            let at = self.labels.get(label);
            return at
                .and_then(|id| self.version(id))
                .ok_or_else(|| missing("staging label", label));
        };
        let found = self.version(id).ok_or_else(|| missing("VersionId", id))?;
        match label {
            Some(label) if self.labels.get(label).is_none_or(|at| **at != *id) => {
                Err(AwsError::invalid_request(
                    "You provided a VersionStage that is not associated to the provided VersionId.",
                ))
            }
            _ => Ok(found),
        }
    }

    /// This secret as its replica in another region has it: same name, versions and ARN suffix.
    pub fn replica(&self, from: &str, to: &str) -> Self {
        let arn = self
            .arn
            .replacen(&format!(":{from}:"), &format!(":{to}:"), 1);
        Self {
            arn: arn.into(),
            primary_region: Some(from.to_owned()),
            ..self.clone()
        }
    }

    /// Whether it is readable at all.
    pub fn check_live(&self) -> Result<(), AwsError> {
        match self.deletion {
            Some(_) => Err(AwsError::marked_for_deletion()),
            None => Ok(()),
        }
    }
}
