//! Earlier revisions of a Secret, as its history tells them: what a person may ask to have back.

use std::collections::BTreeMap;

use super::{Revision, annotations::Marks, revision};

/// One that may come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its word.
    pub revision: Revision,
    /// Where its entries stood: tag to version mark.
    pub versions: BTreeMap<String, String>,
}

/// The revision that the annotation `<revision>/<token>` names, or its first characters. None: that is no beginning of
/// a revision.
pub fn revision_asked(annotation: &str) -> Option<&str> {
    let word = annotation.split('/').next().unwrap_or_default().trim();
    revision::is_beginning(word).then_some(word)
}

/// Finds the revision that begins with `asked`: the one that serves, or the latest of its history.
///
/// # Errors
/// Why there is none, in a sentence.
pub fn find(asked: &str, marks: &Marks, secret: &str) -> Result<Earlier, String> {
    let fits = |word: &Revision| word.as_str().starts_with(asked);
    let mut versions = marks.sources.versions();
    let at = |revision: Revision, versions: &BTreeMap<String, String>| Earlier {
        revision,
        versions: versions.clone(),
    };
    let serving = marks.revision.clone().filter(fits);
    let mut found = serving.map(|word| at(word, &versions));
    for item in &marks.history {
        if let Some(word) = Revision::parse(&item.revision).filter(fits) {
            let first = found.get_or_insert_with(|| at(word.clone(), &versions));
            if first.revision != word {
                return Err(format!(
                    "several revisions of Secret {secret} begin with {asked}: {}.",
                    known(marks)
                ));
            }
        }
        for (tag, mark) in &item.was {
            match mark.is_empty() {
                true => versions.remove(tag),
                false => versions.insert(tag.clone(), mark.clone()),
            };
        }
    }
    found.ok_or_else(|| match known(marks) {
        known if known.is_empty() => format!("Secret {secret} remembers no earlier revision."),
        known => format!("Secret {secret} remembers no revision {asked}, only {known}."),
    })
}

/// Earlier revisions, latest first.
fn known(marks: &Marks) -> String {
    let serving = marks.revision.as_ref().map_or("", Revision::as_str);
    let mut words: Vec<String> = Vec::new();
    for item in marks.history.iter().filter(|i| i.revision != serving) {
        let word = format!("{} ({})", item.revision, item.time);
        if !words.iter().any(|w| w.starts_with(&item.revision)) {
            words.push(word);
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::core::annotations::{HistoryItem, RevisionOutcome};

    const A: &str = "aaaa000000000000";
    const A2: &str = "aaaa222222222222";
    const B: &str = "bbbb000000000000";
    const C: &str = "cccc000000000000";

    fn item(revision: &str, was: &[(&str, &str)]) -> HistoryItem {
        let was = was.iter().map(|(t, m)| ((*t).to_owned(), (*m).to_owned()));
        HistoryItem {
            revision: revision.to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            outcome: RevisionOutcome::Healthy,
            was: was.collect(),
        }
    }

    /// At C now, with {x: 3, new: 1}; before B {x: 2, gone: 1}; before A {x: 1, gone: 1}.
    fn marks() -> Marks {
        Marks {
            revision: Revision::parse(C),
            sources: serde_json::from_str(r#"{"x": ["3", null, ""], "new": ["1", null, ""]}"#)
                .unwrap(),
            history: vec![
                item(C, &[("x", "2"), ("gone", "1"), ("new", "")]),
                item(B, &[("x", "1")]),
                item(A, &[]),
            ],
            ..Marks::default()
        }
    }

    #[test]
    fn walking_back_gives_the_versions_of_every_revision() {
        for (asked, revision, versions) in [
            (B, B, [("gone", "1"), ("x", "2")]),
            ("bbb", B, [("gone", "1"), ("x", "2")]),
            (A, A, [("gone", "1"), ("x", "1")]),
            ("ccc", C, [("new", "1"), ("x", "3")]),
        ] {
            let found = find(asked, &marks(), "app").unwrap();
            assert_eq!(found.revision.as_str(), revision);
            let versions = versions.map(|(t, m)| (t.to_owned(), m.to_owned()));
            assert_eq!(found.versions, versions.into());
        }
    }

    #[test]
    fn what_cannot_be_found_says_what_can() {
        let why = |asked, marks: &Marks| find(asked, marks, "app").unwrap_err();
        let unknown = why("zzz", &marks());
        assert!(unknown.contains(B) && unknown.contains(A) && !unknown.contains(C));
        let mut both = marks();
        both.history.push(item(A2, &[]));
        assert!(why("aaaa", &both).contains("several"));
        // One that was there twice is one.
        let mut twice = marks();
        twice.history.push(item(B, &[]));
        assert_eq!(find("bbb", &twice, "app").unwrap().versions["x"], "2");
        let none = Marks {
            history: Vec::new(),
            ..marks()
        };
        assert!(why("zzz", &none).contains("no earlier"));
    }

    #[test]
    fn the_annotation_names_a_revision() {
        for (text, expected) in [
            ("bbbb000000000000/1", Some(B)),
            (" bbbb0 /x/y", Some("bbbb0")),
            ("bbbb", Some("bbbb")),
            ("", None),
            ("/1", None),
            ("Password!/1", None),
            ("bbbb0000000000000/1", None),
        ] {
            assert_eq!(revision_asked(text), expected, "{text}");
        }
    }
}
