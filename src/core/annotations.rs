//! The annotations keyferry writes on a Secret, always in the same request as the bytes they speak of.
//!
//! Reading is tolerant: whatever is not in our form counts as absent, and the next write puts it right.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Finding, Revision, revision::Digest, sources::Sources};
use crate::api::{Reason, binding::CreationPolicy, names};

/// All our annotations on one Secret together, names included, stay below this many bytes; the API
/// server refuses objects whose annotations exceed 256 KiB (apimachinery, `TotalAnnotationSizeLimitB`).
pub const MAX_BYTES: usize = 160 * 1024;
/// Key names are recorded up to this many bytes, so that sources and some history always fit beside them.
const MAX_KEY_BYTES: usize = 64 * 1024;
/// How many rejections are remembered.
pub const MAX_REJECTED: usize = 10;
/// How many revisions the history holds.
pub const MAX_HISTORY: usize = 10;

/// Whose annotations: of a whole Secret, or of one of several Merge bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// `keyferry.dev/<field>`: Owner and Adopt.
    Whole {
        /// Name of the binding.
        binding: &'a str,
    },
    /// `<field>.keyferry.dev/<binding>`: Merge.
    Merge {
        /// Name of the binding.
        binding: &'a str,
    },
}

impl<'a> Scope<'a> {
    /// That of a binding with this policy.
    pub fn of(creation: CreationPolicy, binding: &'a str) -> Self {
        match creation {
            CreationPolicy::Merge => Self::Merge { binding },
            CreationPolicy::Owner | CreationPolicy::Adopt => Self::Whole { binding },
        }
    }
}

impl Scope<'_> {
    /// The annotation that holds `field`, one of the `ANNOTATION_*` names of a Secret.
    pub fn name(self, field: &str) -> String {
        match self {
            Self::Whole { .. } => field.to_owned(),
            Self::Merge { binding } => {
                let word = field.rsplit('/').next().unwrap_or(field);
                format!("{word}.{}/{binding}", names::GROUP)
            }
        }
    }

    /// Every annotation name we may have written in this scope.
    pub fn all_names(self) -> BTreeSet<String> {
        let fields = [
            names::ANNOTATION_REVISION,
            names::ANNOTATION_DIGEST,
            names::ANNOTATION_SOURCES,
            names::ANNOTATION_HISTORY,
            names::ANNOTATION_REJECTED,
            names::ANNOTATION_KEYS,
        ];
        let mut all: BTreeSet<String> = fields.iter().map(|field| self.name(field)).collect();
        if let Self::Whole { .. } = self {
            all.insert(names::ANNOTATION_BINDING.to_owned());
        }
        all
    }
}

/// How a revision came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevisionOutcome {
    /// Written; nothing more is known.
    Written,
    /// Every workload took it.
    Healthy,
    /// A workload did not become healthy with it.
    Failed,
    /// Taken back.
    RolledBack,
}

/// One revision of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// Its word.
    pub revision: String,
    /// When it was written.
    pub time: Timestamp,
    /// What became of it.
    pub outcome: RevisionOutcome,
    /// Entries that moved with it: tag to the version mark they had **before**, empty for one that joined. Walking
    /// back from the present sources gives the sources of every revision in the list, however many were dropped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub was: BTreeMap<String, String>,
}

/// Bytes that were taken back, and the versions that had moved when they were written. Which of several was the
/// bad one nobody knows: they stand together, and once one of them has moved on the others may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Revision of the bytes.
    pub revision: String,
    /// Entry tag to version mark.
    pub versions: BTreeMap<String, String>,
    /// A person asked for it; else a workload did not become healthy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

impl Rejected {
    /// True while every one of its entries is still at the version it failed with.
    pub fn stands(&self, current: &BTreeMap<String, String>) -> bool {
        !self.versions.is_empty()
            && self
                .versions
                .iter()
                .all(|(tag, mark)| current.get(tag) == Some(mark))
    }
}

/// What the annotations of one scope say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The revision of our bytes.
    pub revision: Option<Revision>,
    /// Seal over bytes, revision and versions.
    pub digest: Option<Digest>,
    /// Where each entry stands.
    pub sources: Sources,
    /// Latest first, at most [`MAX_HISTORY`].
    pub history: Vec<HistoryItem>,
    /// What failed and is not tried again, latest first, at most [`MAX_REJECTED`].
    pub rejected: Vec<Rejected>,
    /// Names of the keys that are ours where the Secret holds others too (Adopt, Merge).
    pub keys: Option<BTreeSet<String>>,
}

impl Marks {
    /// Reads what `annotations` hold for `scope`. Never fails.
    pub fn parse(annotations: &BTreeMap<String, String>, scope: Scope<'_>) -> Self {
        let text = |field| annotations.get(&scope.name(field)).map(String::as_str);
        let mut history: Vec<HistoryItem> = json(text(names::ANNOTATION_HISTORY));
        history.truncate(MAX_HISTORY);
        Self {
            revision: text(names::ANNOTATION_REVISION).and_then(Revision::parse),
            digest: text(names::ANNOTATION_DIGEST).and_then(Digest::parse),
            sources: json(text(names::ANNOTATION_SOURCES)),
            history,
            rejected: json(text(names::ANNOTATION_REJECTED)),
            keys: text(names::ANNOTATION_KEYS).map(parse_keys),
        }
    }

    /// The annotations that hold these marks, dropping the oldest history until they fit.
    ///
    /// # Errors
    /// `TooLarge` when they do not fit even without history, or when the key names alone are too long.
    pub fn render(&self, scope: Scope<'_>) -> Result<BTreeMap<String, String>, Finding> {
        let mut out = BTreeMap::new();
        let mut put = |field: &str, value: String| out.insert(scope.name(field), value);
        if let Scope::Whole { binding } = scope {
            put(names::ANNOTATION_BINDING, binding.to_owned());
        }
        if let Some(revision) = &self.revision {
            put(names::ANNOTATION_REVISION, revision.as_str().to_owned());
        }
        if let Some(digest) = &self.digest {
            put(names::ANNOTATION_DIGEST, digest.as_str().to_owned());
        }
        if !self.sources.is_empty() {
            put(names::ANNOTATION_SOURCES, to_json(&self.sources));
        }
        if !self.rejected.is_empty() {
            put(names::ANNOTATION_REJECTED, to_json(&self.rejected));
        }
        if let Some(keys) = &self.keys {
            put(names::ANNOTATION_KEYS, render_keys(keys)?);
        }
        self.fit_history(scope, &mut out)?;
        Ok(out)
    }

    fn fit_history(
        &self,
        scope: Scope<'_>,
        out: &mut BTreeMap<String, String>,
    ) -> Result<(), Finding> {
        let name = scope.name(names::ANNOTATION_HISTORY);
        let used: usize = out.iter().map(|(k, v)| k.len() + v.len()).sum();
        let room = MAX_BYTES.checked_sub(used).ok_or_else(too_many_sources)?;
        let fitting = (1..=self.history.len().min(MAX_HISTORY))
            .rev()
            .map(|items| to_json(&self.history[..items]))
            .find(|text| name.len() + text.len() <= room);
        out.extend(fitting.map(|text| (name, text)));
        Ok(())
    }

    /// Puts a new revision in front of the history.
    pub fn push_history(&mut self, item: HistoryItem) {
        self.history.insert(0, item);
        self.history.truncate(MAX_HISTORY);
    }

    /// Remembers what was taken back; another word on the same revision goes.
    pub fn reject(&mut self, rejected: Rejected) {
        self.rejected.retain(|r| r.revision != rejected.revision);
        self.rejected.insert(0, rejected);
        self.rejected.truncate(MAX_REJECTED);
    }

    /// True for a version of an entry that was among those that failed.
    pub fn rejects(&self, tag: &str, mark: &str) -> bool {
        let holds = |r: &Rejected| r.versions.get(tag).is_some_and(|m| m == mark);
        self.rejected.iter().any(holds)
    }

    /// From when until when other bytes stood between the bytes of `revision`, which are the present ones, and
    /// those of the same revision before. None: they did not come back.
    pub fn replaced_between(&self, revision: &str) -> Option<(Timestamp, Timestamp)> {
        let (now, before) = (self.history.first()?, self.history.get(1)?);
        (now.revision == revision && before.revision != revision).then_some((before.time, now.time))
    }

    /// Records what became of `revision`, if the history still holds it.
    pub fn set_outcome(&mut self, revision: &Revision, outcome: RevisionOutcome) {
        let found = self
            .history
            .iter_mut()
            .find(|item| item.revision == revision.as_str());
        if let Some(item) = found {
            item.outcome = outcome;
        }
    }
}

/// A comma stands in no key of a Secret (`[-._a-zA-Z0-9]+`), so a plain list is unambiguous.
fn parse_keys(text: &str) -> BTreeSet<String> {
    text.split(',')
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
        .collect()
}

fn render_keys(keys: &BTreeSet<String>) -> Result<String, Finding> {
    let text = keys
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",");
    if text.len() > MAX_KEY_BYTES {
        return Err(Finding::new(
            Reason::TooLarge,
            format!(
                "The names of the {} keys take {} bytes; with creationPolicy Adopt or Merge at most {MAX_KEY_BYTES} can be recorded.",
                keys.len(),
                text.len()
            ),
            "Narrow spec.dataFrom with include, or set creationPolicy: Owner.",
        ));
    }
    Ok(text)
}

fn too_many_sources() -> Finding {
    Finding::new(
        Reason::TooLarge,
        format!("The record of sources exceeds the {MAX_BYTES} bytes that fit on a Secret."),
        "Split the binding into two.",
    )
}

fn json<T: DeserializeOwned + Default>(text: Option<&str>) -> T {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Our own plain types always serialize.
fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "annotations_test.rs"]
mod tests;
