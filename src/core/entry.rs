//! Entries of Secrets Manager and Parameter Store as the rest of the crate sees them: what is asked and what came back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{Finding, SecretValue, parameter::ParameterId};

/// Where an entry is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Store {
    /// Secrets Manager.
    #[default]
    Secrets,
    /// Parameter Store.
    Parameters,
}

impl Store {
    /// How messages call an entry of that name.
    pub fn called(self, name: &str) -> String {
        match self {
            Self::Secrets => format!("\"{name}\""),
            Self::Parameters => format!("parameter \"{name}\""),
        }
    }

    /// The same at the beginning of a sentence.
    pub fn named(self, name: &str) -> String {
        match self {
            Self::Secrets => format!("\"{name}\""),
            Self::Parameters => format!("Parameter \"{name}\""),
        }
    }
}

/// Which entry: by name or by ARN. Parsed by `core::reference` and `core::parameter`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretId {
    /// A friendly name in the caller's own account.
    Name(String),
    /// A full or partial ARN. Whether the resource ends in AWS's six characters cannot be told from the text.
    Arn(SecretArn),
    /// A parameter of Parameter Store.
    Parameter(ParameterId),
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
    /// Staging label AWSCURRENT: may be read in batches. Of a parameter: the latest version.
    #[default]
    Current,
    /// Another staging label, or a parameter's label.
    Stage(String),
    /// A version id, or a parameter's version number: never changes.
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

/// One listing: every secret under a prefix that carries all tags, or every parameter under a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixAsk {
    /// Where they are kept.
    pub store: Store,
    /// Beginning of the names; never empty. A path begins and ends with a slash.
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
    /// Version id; of a parameter see [`super::parameter::version_id`].
    pub version_id: String,
    /// When that version was created.
    pub created: Option<Timestamp>,
    /// The value.
    pub value: EntryValue,
}

impl Entry {
    /// Where it is kept.
    pub fn store(&self) -> Store {
        match self.arn.split(':').nth(2) {
            Some("ssm") => Store::Parameters,
            _ => Store::Secrets,
        }
    }

    /// How messages call it.
    pub fn called(&self) -> String {
        self.store().called(&self.name)
    }

    /// The same at the beginning of a sentence.
    pub fn named(&self) -> String {
        self.store().named(&self.name)
    }
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
