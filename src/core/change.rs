//! What a write would change, and how often we may undo somebody else's changes.
//!
//! Owns the comparison of bytes and records; who may write at all is decided in `ownership`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Finding, InstallKey, Revision, SecretValue,
    annotations::{HistoryItem, Marks, RevisionOutcome},
    managers,
    ownership::{Claim, SecretHead},
    revision::{Digest, Digested, Seal, revision},
    sources::{SourceVersion, Sources},
};
use crate::api::Reason;

/// Keys and bytes of a Secret.
pub type Data = BTreeMap<String, SecretValue>;

/// What a pass has rendered and wants the Secret to hold.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Who wants it, and where.
    pub claim: Claim<'a>,
    /// The install's key.
    pub key: &'a InstallKey,
    /// The complete set of our keys.
    pub data: &'a Data,
    /// The entries it was rendered from.
    pub read: &'a [SourceVersion<'a>],
    /// For the history.
    pub now: Timestamp,
}

impl Wanted<'_> {
    /// The revision of `data` in this target.
    pub fn revision_of(&self, data: &Data) -> Revision {
        revision(
            self.key,
            self.claim.namespace,
            &self.claim.target.name,
            data,
        )
    }

    fn seal<'s>(
        &'s self,
        data: &'s Data,
        revision: &'s Revision,
        versions: &'s BTreeMap<String, String>,
    ) -> Digested<'s> {
        Digested {
            namespace: self.claim.namespace,
            target: &self.claim.target.name,
            data,
            revision,
            versions,
        }
    }
}

/// What the watch knows of a Secret without its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a> {
    /// Its resourceVersion.
    pub resource_version: &'a str,
    /// Its revision annotation.
    pub revision: &'a str,
    /// Its digest annotation.
    pub digest: &'a str,
}

/// True when the Secret needs no look: nobody touched it since `recorded` (the resourceVersion in
/// `status.secret`), and its digest stands for exactly these bytes and versions. Labels and annotations
/// that the spec asks for are not covered: ask only when the spec was realised before.
pub fn settled(wanted: &Wanted<'_>, seen: Glimpse<'_>, recorded: &str) -> bool {
    let versions = Sources::default()
        .advance(wanted.key, wanted.read)
        .versions();
    let (Some(revision), Some(digest)) =
        (Revision::parse(seen.revision), Digest::parse(seen.digest))
    else {
        return false;
    };
    seen.resource_version == recorded
        && digest.check(wanted.key, wanted.seal(wanted.data, &revision, &versions)) == Seal::Intact
}

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Neither bytes nor records.
    Nothing,
    /// Labels, annotations, owner; the bytes are as they should be.
    MetadataOnly,
    /// The sources or the spec gave other bytes.
    Write,
    /// Somebody else changed the bytes we had written.
    Repair,
}

/// Our part of the Secret that was found.
pub struct Live<'a> {
    /// Its bytes, ours only.
    pub data: &'a Data,
    /// What its annotations say.
    pub marks: &'a Marks,
    /// The bytes that were ours when those annotations were written.
    pub sealed: &'a Data,
}

/// A comparison: what changes, and what is to be recorded with it.
#[derive(Debug)]
pub struct Compared {
    /// `Nothing` here still becomes `MetadataOnly` if the metadata is not as it should be.
    pub change: Change,
    /// To be recorded.
    pub marks: Marks,
    /// The revision of `marks`.
    pub revision: Revision,
    /// The revision of the bytes found; None without a Secret.
    pub live_revision: Option<Revision>,
}

/// Compares what is wanted (`wanted.data`, already without keys that are left to others) with what was
/// found. `keys`: the key names to record, where the Secret holds others too.
pub fn compare(
    wanted: &Wanted<'_>,
    live: Option<&Live<'_>>,
    keys: Option<BTreeSet<String>>,
) -> Compared {
    let before = live.map(|live| live.marks.clone()).unwrap_or_default();
    let equal = live.is_some_and(|live| live.data == wanted.data);
    let stays = (equal && before.keys == keys)
        .then(|| before.revision.clone())
        .flatten();
    let revision = stays.unwrap_or_else(|| wanted.revision_of(wanted.data));
    let change = match live {
        Some(_) if equal => Change::Nothing,
        Some(live) if seal_of(wanted, live) == Some(Seal::Broken) => Change::Repair,
        _ => Change::Write,
    };
    let sources = before.sources.advance(wanted.key, wanted.read);
    let digest = Digest::of(
        wanted.key,
        wanted.seal(wanted.data, &revision, &sources.versions()),
    );
    let mut marks = Marks {
        digest: Some(digest),
        keys,
        ..before.clone()
    };
    if before.revision.as_ref() != Some(&revision) {
        marks.push_history(HistoryItem {
            revision: revision.as_str().to_owned(),
            time: wanted.now,
            outcome: RevisionOutcome::Written,
            was: before.sources.left_behind_by(&sources),
        });
    }
    marks.sources = sources;
    marks.revision = Some(revision.clone());
    let live_revision = live.map(|live| revision_found(wanted, live));
    Compared {
        change,
        marks,
        revision,
        live_revision,
    }
}

/// None where nothing was sealed.
fn seal_of(wanted: &Wanted<'_>, live: &Live<'_>) -> Option<Seal> {
    let (digest, revision) = (live.marks.digest.as_ref()?, live.marks.revision.as_ref()?);
    let versions = live.marks.sources.versions();
    Some(digest.check(wanted.key, wanted.seal(live.sealed, revision, &versions)))
}

/// The recorded word, unless the bytes are known not to be those it was recorded for.
fn revision_found(wanted: &Wanted<'_>, live: &Live<'_>) -> Revision {
    let recorded = match seal_of(wanted, live) {
        Some(Seal::Intact | Seal::UnknownKey) => live.marks.revision.clone(),
        Some(Seal::Broken) | None => None,
    };
    recorded.unwrap_or_else(|| wanted.revision_of(live.data))
}

/// Repairs of one Secret: at most three in ten minutes, so that an endless opponent causes bounded writes.
#[derive(Clone, Debug, Default)]
pub struct Repairs(Vec<Timestamp>);

impl Repairs {
    /// Repairs within [`Repairs::WINDOW`] before keyferry backs off.
    pub const MOST: usize = 3;
    /// The time they are counted over.
    pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

    /// Counts one repair.
    pub fn record(&mut self, now: Timestamp) {
        self.0.retain(|at| within(*at, now));
        self.0.push(now);
    }

    /// How long to leave the Secret alone; None: a repair may be made.
    pub fn back_off(&self, now: Timestamp) -> Option<Duration> {
        let recent: Vec<Timestamp> = self
            .0
            .iter()
            .copied()
            .filter(|at| within(*at, now))
            .collect();
        let oldest = recent.iter().rev().nth(Self::MOST - 1)?;
        Duration::try_from(Self::WINDOW - now.duration_since(*oldest)).ok()
    }
}

fn within(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < Repairs::WINDOW
}

/// What a person is told when we stop repairing.
pub fn fought(claim: &Claim<'_>, head: &SecretHead, wait: Duration) -> Finding {
    let who = managers::last_stranger(&head.meta)
        .map_or("Somebody".to_owned(), |name| format!("\"{name}\""));
    let mut finding = Finding::new(
        Reason::Fought,
        format!(
            "{who} changed {} again after {} repairs in 10m.",
            claim.secret(),
            Repairs::MOST
        ),
        "Stop that writer, or choose another target.name.",
    );
    finding.retry_after = Some(wait);
    finding
}

#[cfg(test)]
#[path = "change_test.rs"]
mod tests;
