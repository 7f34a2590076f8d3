//! What Secrets Manager answers, as plain types. Bytes are moved and never copied.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_secretsmanager::{
    operation::{
        batch_get_secret_value::BatchGetSecretValueOutput, describe_secret::DescribeSecretOutput,
        get_secret_value::GetSecretValueOutput,
    },
    primitives::{Blob, DateTime},
    types::{SecretListEntry, SecretValueEntry},
};
use jiff::Timestamp;

use super::{batch::BatchReply, failure::Refusal};
use crate::core::{Entry, EntryValue, SecretValue};

/// One page of a listing.
pub(super) struct Page {
    pub entries: Vec<SecretListEntry>,
    pub next: Option<String>,
}

/// What DescribeSecret tells of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// Full ARN.
    pub arn: String,
    /// Friendly name.
    pub name: String,
    /// Marked for deletion: its value cannot be read.
    pub deleted: bool,
    /// Version ids with their staging labels; versions without a label are not told.
    pub versions: BTreeMap<String, Vec<String>>,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
}

impl Described {
    /// Whether a version carries a label.
    pub fn carries(&self, version: &str, label: &str) -> bool {
        let labels = self.versions.get(version).into_iter().flatten();
        labels.into_iter().any(|other| other == label)
    }
}

/// None if something that AWS always sends is missing.
pub(super) fn described(reply: DescribeSecretOutput) -> Option<Described> {
    let versions = reply.version_ids_to_stages.unwrap_or_default();
    let tags = reply.tags.unwrap_or_default().into_iter();
    Some(Described {
        arn: reply.arn?,
        name: reply.name?,
        deleted: reply.deleted_date.is_some(),
        versions: versions.into_iter().collect(),
        tags: tags
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect(),
    })
}

/// The entry of a single read; None if something that AWS always sends is missing.
pub(super) fn entry(reply: GetSecretValueOutput) -> Option<Entry> {
    entry_of(Fields::from(reply))
}

/// The entries and refusals of a batch.
pub(super) fn batch_reply(reply: BatchGetSecretValueOutput) -> BatchReply {
    let entries = reply.secret_values.unwrap_or_default().into_iter();
    let errors = reply.errors.unwrap_or_default().into_iter();
    BatchReply {
        // One that cannot be used is as if it were in neither list: it is read by itself.
        entries: entries
            .filter_map(|e| entry_of(Fields::from(e)))
            .map(Arc::new)
            .collect(),
        errors: errors
            .map(|e| {
                let refusal = Refusal {
                    code: e.error_code.unwrap_or_default(),
                    message: e.message.unwrap_or_default(),
                    status: 200,
                    retry_after: None,
                };
                (e.secret_id.unwrap_or_default(), refusal)
            })
            .collect(),
    }
}

/// The fields that a single and a batch reply share.
struct Fields {
    arn: Option<String>,
    name: Option<String>,
    version_id: Option<String>,
    created: Option<DateTime>,
    text: Option<String>,
    binary: Option<Blob>,
}

impl From<GetSecretValueOutput> for Fields {
    fn from(reply: GetSecretValueOutput) -> Self {
        Self {
            arn: reply.arn,
            name: reply.name,
            version_id: reply.version_id,
            created: reply.created_date,
            text: reply.secret_string,
            binary: reply.secret_binary,
        }
    }
}

impl From<SecretValueEntry> for Fields {
    fn from(entry: SecretValueEntry) -> Self {
        Self {
            arn: entry.arn,
            name: entry.name,
            version_id: entry.version_id,
            created: entry.created_date,
            text: entry.secret_string,
            binary: entry.secret_binary,
        }
    }
}

/// The entry, its bytes moved and not copied; None if something that AWS always sends is missing.
fn entry_of(fields: Fields) -> Option<Entry> {
    let value = match (fields.text, fields.binary) {
        (Some(text), _) => EntryValue::Text(SecretValue::from(text)),
        (None, Some(binary)) => EntryValue::Binary(SecretValue::new(binary.into_inner())),
        (None, None) => return None,
    };
    Some(Entry {
        arn: fields.arn?,
        name: fields.name?,
        version_id: fields.version_id?,
        created: fields.created.and_then(|at| {
            let nanos = i32::try_from(at.subsec_nanos()).ok()?;
            Timestamp::new(at.secs(), nanos).ok()
        }),
        value,
    })
}
