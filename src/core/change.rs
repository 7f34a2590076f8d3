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
    annotations::{HistoryItem, Marks, Rejected, RevisionOutcome},
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
    /// The data is not rendered but that of before a rollout that failed.
    pub back: Option<Back<'a>>,
    /// Somebody asks to try again what was rejected.
    pub forgive: bool,
    /// What was rejected under a former name of the Secret.
    pub inherited: &'a [Rejected],
    /// What became of the bytes there are.
    pub outcome: RevisionOutcome,
    /// True when the status says that the Secret was written before: one that is gone was deleted by
    /// somebody, and making it anew is a repair.
    pub existed: bool,
    /// For the history and for pausing repairs.
    pub now: Timestamp,
}

/// The way back to earlier bytes.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// Where their entries stood.
    pub sources: &'a Sources,
    /// Their revision, as it was recorded: under another install key it would be another word.
    pub revision: &'a Revision,
    /// The revision that failed, or that somebody does not want.
    pub failed: &'a Revision,
    /// A person asked for it.
    pub asked: bool,
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
    /// The same, undoing what somebody else did to them.
    Restore,
    /// The sources or the spec gave other bytes.
    Write,
    /// Somebody else changed the bytes we had written, or deleted them.
    Repair,
}

impl Change {
    /// True for a change that undoes somebody else's: these are counted in [`Repairs`].
    pub fn undoes(self) -> bool {
        matches!(self, Self::Repair | Self::Restore)
    }
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
    /// Of the bytes. `Nothing` still becomes [`Compared::metadata_change`] if the metadata is not as it should be.
    pub change: Change,
    /// What a difference in the metadata alone is: our own move, or somebody else's.
    pub metadata_change: Change,
    /// To be recorded.
    pub marks: Marks,
    /// The revision of `marks`.
    pub revision: Revision,
    /// The revision of the bytes found; None without a Secret.
    pub live_revision: Option<Revision>,
    /// Keys of ours that new bytes no longer have, sorted.
    pub left: Vec<String>,
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
    // The recorded word also stays when a repair puts the very bytes back that it was recorded for:
    // after a lost install key they would get another word now.
    let stays = (equal && before.keys == keys)
        || seal_of(wanted, &before, wanted.data) == Some(Seal::Intact);
    let stays = stays.then(|| before.revision.clone()).flatten();
    let earlier = wanted.back.map(|back| back.revision.clone());
    let revision = earlier
        .or(stays)
        .unwrap_or_else(|| wanted.revision_of(wanted.data));
    let change = match live {
        Some(_) if equal => Change::Nothing,
        Some(live) if live.seal(wanted) == Some(Seal::Broken) => Change::Repair,
        None if wanted.existed => Change::Repair,
        _ => Change::Write,
    };
    let sources = match wanted.back {
        Some(back) => before.sources.back_to(wanted.key, back.sources),
        None => before.sources.advance(wanted.key, wanted.read),
    };
    let digest = Digest::of(
        wanted.key,
        wanted.seal(wanted.data, &revision, &sources.versions()),
    );
    let mut marks = Marks {
        digest: Some(digest),
        keys,
        ..before.clone()
    };
    if marks.rejected.is_empty() {
        marks.rejected = wanted.inherited.to_vec();
    }
    if wanted.forgive {
        marks.rejected.clear();
    }
    // Once only: a second look finds the entries where they were put back to.
    if let Some(back) = wanted
        .back
        .filter(|back| before.revision.as_ref() != Some(back.revision))
    {
        marks.reject(Rejected {
            revision: back.failed.as_str().to_owned(),
            versions: before.sources.left_behind_by(&sources),
            asked: back.asked,
        });
        marks.set_outcome(back.failed, RevisionOutcome::RolledBack);
    }
    let known = wanted.back.is_none() && wanted.outcome != RevisionOutcome::Written;
    let replaced = before.revision.as_ref().filter(|was| **was != revision);
    if let Some(replaced) = replaced.filter(|_| known) {
        marks.set_outcome(replaced, wanted.outcome);
    }
    if before.revision.as_ref() != Some(&revision) {
        marks.push_history(HistoryItem {
            revision: revision.as_str().to_owned(),
            time: whole_seconds(wanted.now),
            outcome: RevisionOutcome::Written,
            was: before.sources.undone_from(&sources),
        });
    }
    let intact = live.and_then(|live| live.seal(wanted)) == Some(Seal::Intact);
    let metadata_change = match intact && before.sources == sources {
        true => Change::Restore,
        false => Change::MetadataOnly,
    };
    marks.sources = sources;
    marks.revision = Some(revision.clone());
    let live_revision = live.map(|live| revision_found(wanted, live));
    let left = match (change, live) {
        (Change::Write, Some(live)) => left(live.data, wanted.data),
        _ => Vec::new(),
    };
    Compared {
        change,
        metadata_change,
        marks,
        revision,
        live_revision,
        left,
    }
}

fn left(before: &Data, after: &Data) -> Vec<String> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    gone.cloned().collect()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

impl Live<'_> {
    /// Whether the bytes are those that the annotations were written for.
    fn seal(&self, wanted: &Wanted<'_>) -> Option<Seal> {
        seal_of(wanted, self.marks, self.sealed)
    }
}

/// What the digest in `marks` says about `data`. None where nothing was sealed.
fn seal_of(wanted: &Wanted<'_>, marks: &Marks, data: &Data) -> Option<Seal> {
    let (digest, revision) = (marks.digest.as_ref()?, marks.revision.as_ref()?);
    let versions = marks.sources.versions();
    Some(digest.check(wanted.key, wanted.seal(data, revision, &versions)))
}

/// The recorded word, unless the bytes are known not to be those it was recorded for.
fn revision_found(wanted: &Wanted<'_>, live: &Live<'_>) -> Revision {
    let recorded = match live.seal(wanted) {
        Some(Seal::Intact | Seal::UnknownKey) => live.marks.revision.clone(),
        Some(Seal::Broken) | None => None,
    };
    recorded.unwrap_or_else(|| wanted.revision_of(live.data))
}

/// Repairs of one Secret: at most three in ten minutes, so that an endless opponent causes bounded writes.
/// Kept in memory by the caller, who starts over with a new generation of the binding.
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

/// What a person is told when we stop repairing; `found`: the Secret, unless it was deleted.
pub fn fought(claim: &Claim<'_>, found: Option<&SecretHead>, wait: Duration) -> Finding {
    let who = found
        .and_then(|head| managers::last_stranger(&head.meta))
        .map_or("Somebody".to_owned(), |name| format!("\"{name}\""));
    let did = if found.is_some() {
        "changed"
    } else {
        "deleted"
    };
    let (secret, most) = (claim.secret(), Repairs::MOST);
    let mut finding = Finding::new(
        Reason::Fought,
        format!("{who} {did} {secret} again after {most} repairs in 10m."),
        "Stop that writer, or choose another target.name.",
    );
    finding.retry_after = Some(wait);
    finding
}

#[cfg(test)]
#[path = "change_test.rs"]
mod tests;
