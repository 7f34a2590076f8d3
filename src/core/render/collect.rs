//! Fetched entries to keys and values: what may be missing, renaming, and which error counts most.

use std::collections::{BTreeMap, BTreeSet};

use super::extract::{decode, extract, object};
use super::{Rendered, UsedSource};
use crate::api::Reason;
use crate::core::keys::{below, key_problem, shown};
use crate::core::recipe::{GroupRecipe, GroupSource, KeyRecipe};
use crate::core::sources::shown_version;
use crate::core::{Entry, EntryAsk, Fetched, Finding, PrefixAsk, Recipe, SecretValue, Store};

/// Keys and values of `data` and `dataFrom` together.
///
/// # Errors
/// See [`super::render`].
pub(super) fn collect(recipe: &Recipe, fetched: &Fetched) -> Result<Rendered, Finding> {
    let mut collector = Collector {
        fetched,
        values: BTreeMap::new(),
        used: BTreeSet::new(),
        notes: Vec::new(),
        unread: BTreeMap::new(),
        problems: Vec::new(),
    };
    for (i, key) in recipe.keys.iter().enumerate() {
        collector.key(&format!("spec.data[{i}]"), key);
    }
    for (i, group) in recipe.groups.iter().enumerate() {
        collector.group(&format!("spec.dataFrom[{i}]"), group);
    }
    collector.finish()
}

struct Collector<'a> {
    fetched: &'a Fetched,
    values: BTreeMap<String, Given>,
    used: BTreeSet<UsedSource>,
    notes: Vec<String>,
    /// Failed reads, each once however many keys need it.
    unread: BTreeMap<Read<'a>, Finding>,
    problems: Vec<Finding>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Read<'a> {
    Entry(&'a EntryAsk),
    Prefix(&'a PrefixAsk),
}

/// A value and who gives it.
struct Given {
    value: SecretValue,
    place: String,
    entry: String,
    origin: String,
}

impl<'a> Collector<'a> {
    fn key(&mut self, place: &str, key: &'a KeyRecipe) {
        let Some(entry) = self.entry(&key.ask, key.optional, &key.key) else {
            return;
        };
        let extracted = extract(entry, key.property.as_deref());
        match extracted.and_then(|value| decode(entry, key, value)) {
            Ok(value) => self.give(place, key.key.clone(), value, entry),
            Err(finding) => self.problem(finding, key.optional, &key.key),
        }
    }

    fn group(&mut self, place: &str, group: &'a GroupRecipe) {
        match &group.from {
            GroupSource::Entry { ask, property } => {
                self.members(place, group, ask, property.as_deref())
            }
            GroupSource::Prefix(ask) => self.listing(place, group, ask),
        }
    }

    fn members(
        &mut self,
        place: &str,
        group: &GroupRecipe,
        ask: &'a EntryAsk,
        property: Option<&str>,
    ) {
        let Some(entry) = self.entry(ask, group.optional, place) else {
            return;
        };
        let members = match object(entry, property) {
            Ok(members) => members,
            Err(finding) => return self.problem(finding, group.optional, place),
        };
        for (name, value) in members.into_iter().filter(|(name, _)| group.takes(name)) {
            self.give(place, group.rename.key(&name), value, entry);
        }
    }

    fn listing(&mut self, place: &str, group: &GroupRecipe, ask: &'a PrefixAsk) {
        let members = match self.fetched.listings.get(ask) {
            Some(Ok(members)) if !members.is_empty() => members,
            Some(Ok(_)) => {
                let (what, check) = match ask.store {
                    Store::Secrets => ("entry", "prefix, tags and region"),
                    Store::Parameters => ("parameter", "path and region"),
                };
                let finding = Finding::new(
                    Reason::SecretNotFound,
                    format!("No {what} lies under \"{}\".", ask.prefix),
                    format!("Check {check}, or create one."),
                );
                return self.failed(Read::Prefix(ask), &finding, group.optional, place);
            }
            Some(Err(finding)) => {
                return self.failed(Read::Prefix(ask), finding, group.optional, place);
            }
            None => {
                return self.failed(
                    Read::Prefix(ask),
                    &not_read(&format!("\"{}\"", ask.prefix)),
                    false,
                    place,
                );
            }
        };
        for entry in members {
            if let Some(name) = below(&ask.prefix, &entry.name).filter(|name| group.takes(name)) {
                self.note_use(entry);
                self.give(
                    place,
                    group.rename.key(name),
                    entry.value.bytes().clone(),
                    entry,
                );
            }
        }
    }

    /// An entry that was read; otherwise the failure is kept, or noted when it may be missing.
    fn entry(&mut self, ask: &'a EntryAsk, optional: bool, what: &str) -> Option<&'a Entry> {
        match self.fetched.entries.get(ask) {
            Some(Ok(entry)) => {
                self.note_use(entry);
                Some(entry)
            }
            Some(Err(finding)) => {
                self.failed(Read::Entry(ask), finding, optional, what);
                None
            }
            None => {
                self.failed(
                    Read::Entry(ask),
                    &not_read(&ask.id.store().named(ask.id.display())),
                    false,
                    what,
                );
                None
            }
        }
    }

    fn failed(&mut self, read: Read<'a>, finding: &Finding, optional: bool, what: &str) {
        if optional && is_missing(finding.reason) {
            self.left_out(finding, what);
        } else {
            self.unread.entry(read).or_insert_with(|| finding.clone());
        }
    }

    fn problem(&mut self, finding: Finding, optional: bool, what: &str) {
        if optional && is_missing(finding.reason) {
            self.left_out(&finding, what);
        } else {
            self.problems.push(finding);
        }
    }

    fn left_out(&mut self, finding: &Finding, what: &str) {
        self.notes
            .push(format!("Optional {what} is left out: {}", finding.fact));
    }

    fn note_use(&mut self, entry: &Entry) {
        self.used.insert(UsedSource {
            name: entry.name.clone(),
            arn: entry.arn.clone(),
            version_id: entry.version_id.clone(),
            created: entry.created,
        });
    }

    fn give(&mut self, place: &str, key: String, value: SecretValue, entry: &Entry) {
        if let Some(problem) = key_problem(&key) {
            let fact = format!(
                "{} of {} ({place}) cannot be a key: it {problem}.",
                shown(&key),
                entry.called()
            );
            let cure = "Rename it with rename.keys, or leave it out with exclude.";
            return self
                .problems
                .push(Finding::new(Reason::InvalidKey, fact, cure));
        }
        if let Some(first) = self.values.get(&key) {
            let fact = format!(
                "Key {key} is given twice: by {} ({}) and {place} ({}).",
                first.place,
                first.entry,
                entry.called()
            );
            let cure = "Rename one with rename.keys, or leave it out with exclude.";
            return self
                .problems
                .push(Finding::new(Reason::DuplicateKey, fact, cure));
        }
        let given = Given {
            value,
            place: place.to_owned(),
            entry: entry.called(),
            origin: format!(
                "{} version {}",
                entry.called(),
                shown_version(&entry.version_id)
            ),
        };
        self.values.insert(key, given);
    }

    fn finish(self) -> Result<Rendered, Finding> {
        if !self.unread.is_empty() {
            return Err(most_important(
                self.unread.into_values().collect(),
                "read",
                "reads",
            ));
        }
        if !self.problems.is_empty() {
            return Err(most_important(self.problems, "problem", "problems"));
        }
        let mut rendered = Rendered {
            used: self.used.into_iter().collect(),
            notes: self.notes,
            ..Rendered::default()
        };
        for (key, given) in self.values {
            rendered.origins.insert(key.clone(), given.origin);
            rendered.data.insert(key, given.value);
        }
        Ok(rendered)
    }
}

fn is_missing(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SecretNotFound | Reason::StageMissing | Reason::PropertyMissing
    )
}

fn not_read(name: &str) -> Finding {
    Finding::new(
        Reason::AwsUnavailable,
        format!("{name} was not read in this pass."),
        "",
    )
}

/// The finding to report out of several, with the number of the others and the longest wait any asked for.
fn most_important(findings: Vec<Finding>, one: &str, many: &str) -> Finding {
    let others = findings.len().saturating_sub(1);
    let retry_after = findings.iter().filter_map(|f| f.retry_after).max();
    let first = findings.into_iter().min_by_key(|f| rank(f.reason));
    let mut finding = first.unwrap_or_else(|| not_read(""));
    finding.retry_after = retry_after;
    if others > 0 {
        finding.fact.push_str(&format!(
            " {} failed too.",
            counted(others, &format!("other {one}"), &format!("other {many}"))
        ));
    }
    finding
}

/// What a person must do first comes first; what passes by itself comes last.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::NoCredentials => 0,
        Reason::AssumeRoleFailed => 1,
        Reason::PolicyUnreadable => 2,
        Reason::AccessNotAllowed => 3,
        Reason::AccessDenied => 4,
        Reason::KmsAccessDenied => 5,
        Reason::MarkedForDeletion => 6,
        Reason::SecretNotFound => 7,
        Reason::StageMissing => 8,
        Reason::NotJson => 9,
        Reason::PropertyMissing => 10,
        Reason::Throttled => 30,
        Reason::AwsUnavailable => 31,
        _ => 20,
    }
}

pub(super) fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
