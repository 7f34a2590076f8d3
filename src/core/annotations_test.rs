#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::core::{InstallKey, sources::SourceVersion};

const WHOLE: Scope<'_> = Scope::Whole { binding: "backend" };
const MERGE: Scope<'_> = Scope::Merge { binding: "backend" };

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn uuid(n: usize) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// Marks of `entries` sources after `moves` changes of every one of them.
fn marks(entries: usize, moves: usize) -> Marks {
    let key = InstallKey::new([1; 32]);
    let arns: Vec<String> = (0..entries)
        .map(|n| format!("arn:aws:secretsmanager:eu-west-1:111122223333:secret:estate/{n}-AbCdEf"))
        .collect();
    let mut marks = Marks {
        revision: Revision::parse("0123456789abcdef"),
        digest: Digest::parse("0a1b2c3d.0123456789abcdef0123456789"),
        ..Marks::default()
    };
    for step in 0..=moves {
        let id = uuid(step);
        let read: Vec<SourceVersion<'_>> = arns
            .iter()
            .map(|arn| SourceVersion {
                arn,
                selector: "",
                version_id: &id,
                created: Some(1_800_000_000),
            })
            .collect();
        let next = marks.sources.advance(&key, &read);
        marks.push_history(HistoryItem {
            revision: format!("{step:016}"),
            time: time(step as i64),
            outcome: RevisionOutcome::Written,
            was: marks.sources.left_behind_by(&next),
        });
        marks.sources = next;
    }
    marks
}

fn size(annotations: &BTreeMap<String, String>) -> usize {
    annotations.iter().map(|(k, v)| k.len() + v.len()).sum()
}

#[test]
fn what_is_written_reads_back_in_both_scopes() {
    let mut written = marks(3, 4);
    written.keys = Some(["A".to_owned(), "b.c".to_owned()].into());
    written.rejected = vec![Rejected {
        revision: "r1".into(),
        versions: BTreeMap::from([("tag".to_owned(), uuid(1))]),
        asked: true,
    }];
    for scope in [WHOLE, MERGE] {
        let annotations = written.render(scope).unwrap();
        assert_eq!(Marks::parse(&annotations, scope), written);
        assert!(
            annotations
                .keys()
                .all(|name| scope.all_names().contains(name))
        );
    }
}

#[test]
fn scopes_do_not_see_each_other() {
    let annotations = marks(1, 1).render(MERGE).unwrap();
    assert_eq!(Marks::parse(&annotations, WHOLE), Marks::default());
    assert_eq!(
        Marks::parse(&annotations, Scope::Merge { binding: "other" }),
        Marks::default()
    );
    assert!(annotations.contains_key("revision.keyferry.dev/backend"));
    assert!(!annotations.contains_key(names::ANNOTATION_BINDING));
}

#[test]
fn five_hundred_entries_that_all_moved_ten_times_fit_and_lose_the_oldest_history() {
    let full = marks(500, 12);
    assert_eq!(full.history.len(), MAX_HISTORY);
    let annotations = full.render(WHOLE).unwrap();
    assert!(size(&annotations) <= MAX_BYTES, "{}", size(&annotations));
    let back = Marks::parse(&annotations, WHOLE);
    assert_eq!(back.sources, full.sources, "sources are never dropped");
    let kept = back.history.len();
    assert!((2..MAX_HISTORY).contains(&kept), "{kept}");
    assert_eq!(back.history[..], full.history[..kept], "the latest stay");
}

#[test]
fn five_hundred_entries_of_which_one_moves_at_a_time_keep_all_ten_revisions() {
    let mut marks = marks(500, 0);
    for step in 0..12 {
        marks.push_history(HistoryItem {
            revision: format!("{step:016}"),
            time: time(step),
            outcome: RevisionOutcome::Healthy,
            was: BTreeMap::from([("0123456789ab".to_owned(), uuid(1))]),
        });
    }
    let annotations = marks.render(WHOLE).unwrap();
    assert!(size(&annotations) <= MAX_BYTES);
    assert_eq!(Marks::parse(&annotations, WHOLE).history.len(), MAX_HISTORY);
}

#[test]
fn too_many_key_names_are_refused_with_a_cure() {
    let keys = (0..2_000)
        .map(|n| format!("A_RATHER_LONG_KEY_NAME_FOR_A_SECRET_{n}"))
        .collect();
    let finding = Marks {
        keys: Some(keys),
        ..Marks::default()
    }
    .render(WHOLE)
    .unwrap_err();
    assert_eq!(finding.reason, Reason::TooLarge);
    assert!(finding.cure.contains("Owner"));
}

#[test]
fn garbage_counts_as_absent() {
    let garbage = [
        "",
        "{",
        "null",
        "[1,2]",
        "{\"a\":1}",
        "\u{0}",
        "[[[",
        "9999",
    ];
    for text in garbage {
        let annotations: BTreeMap<String, String> = WHOLE
            .all_names()
            .into_iter()
            .map(|name| (name, text.to_owned()))
            .collect();
        let marks = Marks::parse(&annotations, WHOLE);
        assert_eq!(marks.revision, None, "{text}");
        assert_eq!(marks.digest, None, "{text}");
        assert!(
            marks.sources.is_empty() && marks.history.is_empty() && marks.rejected.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn an_outcome_goes_to_its_revision_only() {
    let mut marks = marks(1, 2);
    marks.history[1].revision = "zzzzzzzzzzzzzzzz".to_owned();
    let word = Revision::parse("zzzzzzzzzzzzzzzz").unwrap();
    marks.set_outcome(&word, RevisionOutcome::Failed);
    let outcomes: Vec<_> = marks.history.iter().map(|item| item.outcome).collect();
    assert_eq!(
        outcomes,
        [
            RevisionOutcome::Written,
            RevisionOutcome::Failed,
            RevisionOutcome::Written
        ]
    );
}

#[test]
fn entries_that_failed_together_stand_together_and_ten_rejections_are_remembered() {
    let versions = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = |(tag, mark): &(&str, &str)| ((*tag).to_owned(), (*mark).to_owned());
        pairs.iter().map(own).collect()
    };
    let both = Rejected {
        revision: "r".into(),
        versions: versions(&[("a", "2"), ("b", "2")]),
        asked: false,
    };
    for (current, stands) in [
        (versions(&[("a", "2"), ("b", "2")]), true),
        (versions(&[("a", "2"), ("b", "2"), ("c", "9")]), true),
        (versions(&[("a", "3"), ("b", "2")]), false),
        (versions(&[("b", "2")]), false),
    ] {
        assert_eq!(both.stands(&current), stands, "{current:?}");
    }
    let nothing = Rejected {
        versions: BTreeMap::new(),
        ..both
    };
    assert!(!nothing.stands(&versions(&[("a", "2")])));

    let mut marks = Marks::default();
    let key = crate::core::InstallKey::new([1; 32]);
    for n in 0..12 {
        let data = [(n.to_string(), crate::core::SecretValue::new(vec![1]))].into();
        let revision = crate::core::revision::revision(&key, "ns", "s", &data);
        for _ in 0..2 {
            marks.reject(Rejected {
                revision: revision.as_str().to_owned(),
                versions: versions(&[("a", &n.to_string())]),
                asked: false,
            });
        }
    }
    assert_eq!(marks.rejected.len(), MAX_REJECTED);
    assert!(marks.rejects("a", "11") && marks.rejects("a", "2") && !marks.rejects("a", "1"));
}
