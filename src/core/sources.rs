//! The versions a Secret was made from, as its annotations record them.
//!
//! Names and ARNs of entries stay out: an entry is a keyed tag, a version id that could have been
//! chosen by a user (anything but a UUID) a keyed mark.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{parameter, revision::InstallKey};

/// How many versions an entry has left are remembered.
pub const EARLIER: usize = 9;
/// Characters of an entry's tag.
const TAG: usize = 12;
/// Characters of the mark of a version id that is no UUID: 100 bits.
const MARK: usize = 20;
/// Characters of the hash of a version an entry has left.
const LEFT: usize = 8;

/// One entry as a pass read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceVersion<'a> {
    /// ARN of the primary as AWS answered it (it holds the account). After a failover: rewritten back.
    pub arn: &'a str,
    /// Stage or id asked for; empty for AWSCURRENT. Two versions of one entry are two sources.
    pub selector: &'a str,
    /// Version id.
    pub version_id: &'a str,
    /// CreatedDate of that version, seconds since the epoch.
    pub created: Option<i64>,
}

impl SourceVersion<'_> {
    /// The tag this entry goes by in annotations: 12 characters.
    pub fn tag(&self, key: &InstallKey) -> String {
        let account = self.arn.split(':').nth(4).unwrap_or_default();
        key.word("entry", &[account, self.arn, self.selector], TAG)
    }
}

/// How a version id is shown and recorded: a UUID and a parameter's version as they are (they say nothing), anything
/// else as an HMAC of 20 characters (a ClientRequestToken may be made from the value).
pub fn version_mark(key: &InstallKey, version_id: &str) -> String {
    if is_version_id(version_id) {
        version_id.to_owned()
    } else {
        key.word("version", &[version_id], MARK)
    }
}

/// True for a mark that is the version id itself: a UUID or a parameter's version.
pub fn is_version_id(text: &str) -> bool {
    is_uuid(text) || parameter::number(text).is_some()
}

/// A version id or its mark as people tell versions apart: a parameter's number, else eight characters.
pub fn shown_version(version: &str) -> &str {
    parameter::number(version).unwrap_or_else(|| version.get(..8).unwrap_or(version))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Where one entry stands: `[mark, created, hashes of versions it has left]` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceMark(
    /// Version mark.
    pub String,
    /// CreatedDate, seconds since the epoch.
    pub Option<i64>,
    /// Hashes of at most [`EARLIER`] versions the entry has left, latest first, 8 characters each.
    String,
);

impl SourceMark {
    /// True if the entry was at `version_id` before and has left it. A false yes has odds of one in 2^40
    /// and costs one confirming read.
    pub fn has_left(&self, key: &InstallKey, version_id: &str) -> bool {
        let wanted = left(key, &version_mark(key, version_id));
        self.left().any(|hash| hash == wanted)
    }

    fn left(&self) -> impl Iterator<Item = &str> {
        (0..self.2.len() / LEFT).filter_map(|at| self.2.get(at * LEFT..(at + 1) * LEFT))
    }

    /// This mark once the entry has moved to `mark`.
    fn moved_to(&self, key: &InstallKey, mark: String, created: Option<i64>) -> Self {
        if self.0 == mark {
            return Self(mark, created.or(self.1), self.2.clone());
        }
        let (came_from, goes_to) = (left(key, &self.0), left(key, &mark));
        let hashes = std::iter::once(came_from.as_str())
            .chain(self.left().filter(|hash| *hash != came_from))
            .filter(|hash| *hash != goes_to)
            .take(EARLIER)
            .collect();
        Self(mark, created, hashes)
    }
}

fn left(key: &InstallKey, mark: &str) -> String {
    key.word("left version", &[mark], LEFT)
}

/// Where every entry of a Secret stands, by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(BTreeMap<String, SourceMark>);

impl Sources {
    /// What to record after a pass that read `read`, given what was recorded before. Entries that are
    /// no longer read are forgotten.
    pub fn advance(&self, key: &InstallKey, read: &[SourceVersion<'_>]) -> Self {
        let mark = |source: &SourceVersion<'_>| {
            let (tag, mark) = (source.tag(key), version_mark(key, source.version_id));
            let next = match self.0.get(&tag) {
                Some(before) => before.moved_to(key, mark, source.created),
                None => SourceMark(mark, source.created, String::new()),
            };
            (tag, next)
        };
        Self(read.iter().map(mark).collect())
    }

    /// What to record when the bytes go back to those of `earlier`: each entry has left the version it was at.
    pub fn back_to(&self, key: &InstallKey, earlier: &Self) -> Self {
        let back = earlier.0.iter().map(|(tag, then)| {
            let mark = match self.0.get(tag) {
                Some(now) => now.moved_to(key, then.0.clone(), then.1),
                None => then.clone(),
            };
            (tag.clone(), mark)
        });
        Self(back.collect())
    }

    /// Where one entry stands.
    pub fn get(&self, key: &InstallKey, source: &SourceVersion<'_>) -> Option<&SourceMark> {
        self.0.get(&source.tag(key))
    }

    /// Whether a version that was read may be an old answer: reads of AWS are eventually consistent. True for
    /// one that the entry has left before, and for one made before the recorded one.
    pub fn doubts(&self, key: &InstallKey, source: &SourceVersion<'_>) -> bool {
        self.get(key, source).is_some_and(|mark| {
            let older =
                matches!((source.created, mark.1), (Some(read), Some(known)) if read < known);
            mark.0 != version_mark(key, source.version_id)
                && (older || mark.has_left(key, source.version_id))
        })
    }

    /// Tag to version mark: what the digest covers.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .map(|(tag, mark)| (tag.clone(), mark.0.clone()))
            .collect()
    }

    /// The marks that `self` had and `next` has not: what a history entry records, so that the state
    /// before it can be told by walking back from the present one.
    pub fn left_behind_by(&self, next: &Self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .filter(|(tag, mark)| next.0.get(*tag).is_none_or(|n| n.0 != mark.0))
            .map(|(tag, mark)| (tag.clone(), mark.0.clone()))
            .collect()
    }

    /// What undoes the move to `next`: the marks that are left behind, and an empty one for each entry that joins.
    /// Before the first record nothing is to be undone.
    pub fn undone_from(&self, next: &Self) -> BTreeMap<String, String> {
        let joined = next.0.keys().filter(|tag| !self.0.contains_key(*tag));
        let joined = joined.filter(|_| !self.0.is_empty());
        let joined = joined.map(|tag| (tag.clone(), String::new()));
        self.left_behind_by(next)
            .into_iter()
            .chain(joined)
            .collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no entry is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const UUID: &str = "41aa07c9-0000-4000-8000-00000000000a";

    fn key() -> InstallKey {
        InstallKey::new([3; 32])
    }

    fn at<'a>(version_id: &'a str, selector: &'a str) -> SourceVersion<'a> {
        SourceVersion {
            arn: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:estate/db-AbCdEf",
            selector,
            version_id,
            created: Some(1_700_000_000),
        }
    }

    #[test]
    fn a_uuid_is_shown_and_a_chosen_token_is_not() {
        assert_eq!(version_mark(&key(), UUID), UUID);
        let token = "hunter2hunter2hunter2hunter2hunter2";
        let mark = version_mark(&key(), token);
        assert_eq!(mark.len(), 20);
        assert!(!mark.contains("hunter"));
        assert_eq!(mark, version_mark(&key(), token));
    }

    #[test]
    fn a_parameters_version_is_shown_by_its_number() {
        let version = crate::core::parameter::version_id("arn", 12, None);
        assert_eq!(version_mark(&key(), &version), version);
        assert_eq!(shown_version(&version), "12");
        assert_eq!(shown_version(UUID), "41aa07c9");
        // A token that a person chose is never shown for looking like a number.
        assert_eq!(version_mark(&key(), "12").len(), 20);
    }

    #[test]
    fn neither_arn_nor_account_stands_in_the_json() {
        let text =
            serde_json::to_string(&Sources::default().advance(&key(), &[at(UUID, "")])).unwrap();
        for word in ["arn", "111122223333", "estate"] {
            assert!(!text.contains(word), "{text}");
        }
        assert!(text.contains(UUID));
    }

    #[test]
    fn going_back_leaves_the_version_that_failed() {
        let key = key();
        let good = Sources::default().advance(&key, &[at("good", "")]);
        let bad = good.advance(&key, &[at("bad", ""), at("new", "AWSPREVIOUS")]);
        let back = bad.back_to(&key, &good);
        assert_eq!(back.versions(), good.versions());
        let mark = back.get(&key, &at("good", "")).unwrap();
        assert!(mark.has_left(&key, "bad") && !mark.has_left(&key, "good"));
    }

    #[test]
    fn stages_of_one_entry_are_two_sources() {
        let both = Sources::default().advance(&key(), &[at("a", ""), at("b", "AWSPREVIOUS")]);
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn versions_an_entry_has_left_are_remembered_latest_first_and_at_most_nine() {
        let key = key();
        let ids: Vec<String> = (0..14).map(|n| format!("version-{n}")).collect();
        let last = ids.iter().fold(Sources::default(), |seen, id| {
            seen.advance(&key, &[at(id, "")])
        });
        let mark = last.get(&key, &at("", "")).unwrap();
        let left: Vec<bool> = ids.iter().map(|id| mark.has_left(&key, id)).collect();
        assert_eq!(left.iter().filter(|l| **l).count(), EARLIER);
        assert!(!left[13], "the present one is not left");
        assert!(left[12] && left[4] && !left[3]);
    }

    #[test]
    fn an_entry_that_goes_back_is_no_longer_away_from_that_version() {
        let key = key();
        let ids = ["a", "b", "a"];
        let last = ids.iter().fold(Sources::default(), |seen, id| {
            seen.advance(&key, &[at(id, "")])
        });
        let mark = last.get(&key, &at("", "")).unwrap();
        assert!(mark.has_left(&key, "b"));
        assert!(!mark.has_left(&key, "a"));
        assert_eq!(mark.2.len(), LEFT);
    }

    #[test]
    fn a_version_that_was_left_or_is_older_is_doubted() {
        let key = key();
        let made = |version_id, created| SourceVersion {
            created,
            ..at(version_id, "")
        };
        let known = Sources::default()
            .advance(&key, &[made("a", Some(100))])
            .advance(&key, &[made("b", Some(200))]);
        for (version, created, expected) in [
            ("b", Some(200), false),
            ("a", Some(100), true),
            ("a", Some(900), true),
            ("c", Some(199), true),
            ("c", Some(200), false),
            ("c", Some(201), false),
            ("c", None, false),
        ] {
            let doubted = known.doubts(&key, &made(version, created));
            assert_eq!(doubted, expected, "{version} {created:?}");
        }
        assert!(
            !Sources::default().doubts(&key, &made("a", None)),
            "nothing is known"
        );
    }

    #[test]
    fn reading_the_same_version_again_changes_nothing() {
        let key = key();
        let once = Sources::default().advance(&key, &[at("a", ""), at("x", "S")]);
        assert_eq!(once.advance(&key, &[at("x", "S"), at("a", "")]), once);
    }

    #[test]
    fn history_records_what_was_left_behind() {
        let key = key();
        let before = Sources::default().advance(&key, &[at(UUID, ""), at("x", "S")]);
        let after = before.advance(&key, &[at("b", ""), at("x", "S")]);
        let was = before.left_behind_by(&after);
        assert_eq!(was.len(), 1);
        assert_eq!(was.values().next().unwrap(), UUID);
        assert!(before.left_behind_by(&before.clone()).is_empty());
        let joined = before.advance(&key, &[at(UUID, ""), at("x", "S"), at("n", "T")]);
        let was = before.undone_from(&joined);
        assert_eq!(was.values().collect::<Vec<_>>(), [""]);
        assert!(Sources::default().undone_from(&joined).is_empty());
    }
}
