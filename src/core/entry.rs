//! Entries of Secrets Manager as the rest of the crate sees them: what is asked and what came back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Finding, SecretValue};

/// Which entry: by name or by ARN. Parsed by `core::reference`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretId {
    /// A friendly name in the caller's own account.
    Name(String),
    /// A full or partial ARN. Whether the resource ends in AWS's six characters cannot be told from the text.
    Arn(SecretArn),
}

/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:RESOURCE`, RESOURCE with or without the suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretArn {
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso`...
    pub partition: String,
    /// Region of the entry.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Name, maybe followed by hyphen and six characters.
    pub resource: String,
}

/// Which version of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VersionSelector {
    /// Staging label AWSCURRENT: may be read in batches.
    #[default]
    Current,
    /// Another staging label.
    Stage(String),
    /// A version id: never changes.
    Id(String),
}

/// One read: an entry and a version of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryAsk {
    /// The entry.
    pub id: SecretId,
    /// Its version.
    pub version: VersionSelector,
}

/// One listing: every entry under a prefix that carries all tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixAsk {
    /// Beginning of the names; never empty.
    pub prefix: String,
    /// Tags that must all be there.
    pub tags: BTreeMap<String, String>,
}

/// One version of an entry, as read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Full ARN as AWS answered it.
    pub arn: String,
    /// Friendly name as AWS answered it.
    pub name: String,
    /// Version id.
    pub version_id: String,
    /// When that version was created.
    pub created: Option<Timestamp>,
    /// The value.
    pub value: EntryValue,
}

/// Text and binary are kept apart: only text can be JSON.
#[derive(Clone, Debug)]
pub enum EntryValue {
    /// `SecretString`: valid UTF-8.
    Text(SecretValue),
    /// `SecretBinary`, decoded.
    Binary(SecretValue),
}

impl EntryValue {
    /// The bytes, of either kind.
    pub fn bytes(&self) -> &SecretValue {
        match self {
            Self::Text(v) | Self::Binary(v) => v,
        }
    }
}

/// Everything one pass read. Each read has its own result.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// By what was asked.
    pub entries: HashMap<EntryAsk, Result<Arc<Entry>, Finding>>,
    /// Members of each prefix, sorted by name, with their current values.
    pub listings: HashMap<PrefixAsk, Result<Vec<Arc<Entry>>, Finding>>,
}
