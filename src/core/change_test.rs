#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    api::binding::{CreationPolicy, DeletionPolicy},
    core::recipe::TargetRecipe,
};

fn target() -> TargetRecipe {
    TargetRecipe {
        name: "s".into(),
        type_: "Opaque".into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        creation: CreationPolicy::Owner,
        deletion: DeletionPolicy::Delete,
    }
}

fn data(pairs: &[(&str, &str)]) -> Data {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), SecretValue::from((*v).to_owned())))
        .collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// What one pass wants: key byte, bytes, version.
struct Pass {
    key: InstallKey,
    target: TargetRecipe,
    data: Data,
    version: &'static str,
}

fn pass(key: u8, value: &str, version: &'static str) -> Pass {
    Pass {
        key: InstallKey::new([key; 32]),
        target: target(),
        data: data(&[("A", value)]),
        version,
    }
}

impl Pass {
    fn with<T>(&self, use_it: impl FnOnce(&Wanted<'_>) -> T) -> T {
        let read = [SourceVersion {
            arn: "arn:aws:x:y:1:secret:z",
            selector: "",
            version_id: self.version,
            created: None,
        }];
        use_it(&Wanted {
            claim: Claim {
                namespace: "ns",
                binding: "me",
                binding_uid: "uid",
                target: &self.target,
            },
            key: &self.key,
            data: &self.data,
            read: &read,
            back: None,
            forgive: false,
            inherited: &[],
            outcome: RevisionOutcome::Written,
            existed: false,
            now: at(0),
        })
    }

    /// This pass over what `marks` and `live` say.
    fn over(&self, marks: &Marks, live: &Data) -> Compared {
        self.with(|wanted| {
            compare(
                wanted,
                Some(&Live {
                    data: live,
                    marks,
                    sealed: live,
                }),
                None,
            )
        })
    }

    fn first(&self) -> Compared {
        self.with(|wanted| compare(wanted, None, None))
    }
}

#[test]
fn what_changes() {
    let first = pass(1, "1", "v1").first();
    let marks = &first.marks;
    let as_written = data(&[("A", "1")]);
    let edited = data(&[("A", "x")]);
    // Key, value and version wanted now; bytes found; change; whether the recorded revision stays.
    let table = [
        (pass(1, "1", "v1"), &as_written, Change::Nothing, true),
        (pass(1, "1", "v2"), &as_written, Change::Nothing, true),
        (pass(1, "2", "v2"), &as_written, Change::Write, false),
        (pass(1, "1", "v1"), &edited, Change::Repair, true),
        (pass(1, "2", "v2"), &edited, Change::Repair, false),
        // Edited into what is wanted now: nothing to write but the record.
        (pass(1, "x", "v2"), &edited, Change::Nothing, true),
        // A lost install key never looks like drift.
        (pass(2, "1", "v1"), &as_written, Change::Nothing, true),
        (pass(2, "1", "v1"), &edited, Change::Write, false),
    ];
    for (n, (now, live, change, stays)) in table.into_iter().enumerate() {
        let compared = now.over(marks, live);
        assert_eq!(compared.change, change, "row {n}");
        assert_eq!(compared.revision == first.revision, stays, "row {n}");
        assert_eq!(
            compared.marks.revision.as_ref(),
            Some(&compared.revision),
            "row {n}"
        );
    }
}

#[test]
fn a_new_key_is_taken_up_once_and_then_all_is_quiet() {
    let first = pass(1, "1", "v1").first();
    let second = pass(2, "1", "v1").over(&first.marks, &data(&[("A", "1")]));
    assert_ne!(second.marks, first.marks, "the annotations are rewritten");
    assert_eq!(second.marks.history, first.marks.history);
    let third = pass(2, "1", "v1").over(&second.marks, &data(&[("A", "1")]));
    assert_eq!(third.marks, second.marks);
    let broken = pass(2, "1", "v1").over(&second.marks, &data(&[("A", "x")]));
    assert_eq!(broken.change, Change::Repair);
    assert_eq!(
        broken.revision, first.revision,
        "the same bytes, so the same word"
    );
}

#[test]
fn history_gains_an_item_only_with_a_new_revision() {
    let first = pass(1, "1", "v1").first();
    let items = |compared: &Compared| compared.marks.history.len();
    assert_eq!(items(&first), 1);
    let same = pass(1, "1", "v2").over(&first.marks, &data(&[("A", "1")]));
    assert_eq!(items(&same), 1);
    let next = pass(1, "2", "v3").over(&same.marks, &data(&[("A", "1")]));
    assert_eq!(items(&next), 2);
    let was = next.marks.history[0].was.values().next().unwrap();
    assert_eq!(
        was,
        same.marks.sources.versions().values().next().unwrap(),
        "the last version of the old revision"
    );
    let back = pass(1, "1", "v1").over(&next.marks, &data(&[("A", "2")]));
    assert_eq!(
        back.revision, first.revision,
        "moving back gives the old word"
    );
}

#[test]
fn the_baseline_is_what_the_bytes_are() {
    let first = pass(1, "1", "v1").first();
    assert_eq!(first.live_revision, None);
    let untouched = pass(1, "2", "v2").over(&first.marks, &data(&[("A", "1")]));
    assert_eq!(untouched.live_revision.as_ref(), Some(&first.revision));
    let edited = pass(1, "2", "v2").over(&first.marks, &data(&[("A", "x")]));
    assert_eq!(
        edited.live_revision,
        Some(pass(1, "x", "v1").first().revision)
    );
    let adopted = pass(1, "2", "v2").over(&Marks::default(), &data(&[("A", "1")]));
    assert_eq!(adopted.live_revision, Some(first.revision));
}

#[test]
fn rejected_versions_survive_every_write() {
    let mut marks = pass(1, "1", "v1").first().marks;
    let bad = InstallKey::new([9; 32]);
    let bad = revision(&bad, "estate", "db", &Data::new());
    marks.reject(Rejected {
        revision: bad.as_str().to_owned(),
        versions: [("tag".to_owned(), "v9".to_owned())].into(),
        asked: false,
    });
    let next = pass(1, "2", "v2").over(&marks, &data(&[("A", "1")]));
    assert_eq!(next.marks.rejected, marks.rejected);
}

#[test]
fn going_back_is_one_write_with_the_rejection_and_is_recorded_once() {
    let good = pass(1, "1", "v1").first();
    let mut bad = pass(1, "2", "v2").over(&good.marks, &data(&[("A", "1")]));
    // Another install key: the word that was recorded comes back, not a new one.
    let later = pass(2, "1", "v1");
    let back = |marks: &Marks, live: &Data| {
        later.with(|wanted| {
            let wanted = Wanted {
                read: &[],
                back: Some(Back {
                    sources: &good.marks.sources,
                    revision: &good.revision,
                    failed: &bad.revision,
                    asked: false,
                }),
                ..*wanted
            };
            let live = Live {
                data: live,
                marks,
                sealed: live,
            };
            compare(&wanted, Some(&live), None)
        })
    };
    let gone = back(&bad.marks, &data(&[("A", "2")]));
    assert_eq!(
        (gone.change, &gone.revision),
        (Change::Write, &good.revision)
    );
    let [rejected] = gone.marks.rejected.as_slice() else {
        panic!("{:?}", gone.marks.rejected);
    };
    assert_eq!(rejected.revision, bad.revision.as_str());
    assert!(rejected.stands(&bad.marks.sources.versions()));
    assert!(!rejected.stands(&good.marks.sources.versions()));
    assert_eq!(gone.marks.sources.versions(), good.marks.sources.versions());
    let outcomes: Vec<_> = gone.marks.history.iter().map(|item| item.outcome).collect();
    assert_eq!(outcomes[1], RevisionOutcome::RolledBack);
    assert!(
        gone.marks
            .replaced_between(good.revision.as_str())
            .is_some()
    );

    // After a crash: the bytes are back already.
    let again = back(&gone.marks, &data(&[("A", "1")]));
    assert_eq!(again.change, Change::Nothing);
    assert_eq!(again.marks.rejected, gone.marks.rejected);

    // Somebody asks to try it again.
    bad = pass(1, "2", "v2").with(|wanted| {
        let wanted = Wanted {
            forgive: true,
            ..*wanted
        };
        let live = data(&[("A", "1")]);
        let live = Live {
            data: &live,
            marks: &gone.marks,
            sealed: &live,
        };
        compare(&wanted, Some(&live), None)
    });
    assert_eq!((bad.change, bad.marks.rejected.len()), (Change::Write, 0));
}

#[test]
fn what_was_rejected_under_a_former_name_is_rejected_under_the_next_one() {
    let rejected = |revision: &str| Rejected {
        revision: revision.to_owned(),
        versions: [("tag".to_owned(), "mark".to_owned())].into(),
        asked: false,
    };
    let inherited = [rejected("former")];
    let next = pass(1, "1", "v1").with(|wanted| {
        let wanted = Wanted {
            inherited: &inherited,
            ..*wanted
        };
        compare(&wanted, None, None)
    });
    assert_eq!(next.marks.rejected, inherited);
    let later = pass(1, "1", "v1").over(&next.marks, &data(&[("A", "1")]));
    assert_eq!(later.marks.rejected, inherited, "it stays");
}

#[test]
fn the_history_says_what_became_of_bytes_when_others_come() {
    let first = pass(1, "1", "v1").first();
    for outcome in [RevisionOutcome::Healthy, RevisionOutcome::Failed] {
        let next = pass(1, "2", "v2").with(|wanted| {
            let wanted = Wanted { outcome, ..*wanted };
            let live = data(&[("A", "1")]);
            let live = Live {
                data: &live,
                marks: &first.marks,
                sealed: &live,
            };
            compare(&wanted, Some(&live), None)
        });
        let outcomes: Vec<_> = next.marks.history.iter().map(|item| item.outcome).collect();
        assert_eq!(outcomes, [RevisionOutcome::Written, outcome]);
    }
}

#[test]
fn a_settled_secret_needs_no_look() {
    let now = pass(1, "1", "v1");
    let made = now.first();
    let digest = made.marks.digest.as_ref().unwrap().as_str().to_owned();
    let seen = Glimpse {
        resource_version: "7",
        revision: made.revision.as_str(),
        digest: &digest,
    };
    let ask =
        |pass: &Pass, seen, recorded: &str| pass.with(|wanted| settled(wanted, seen, recorded));
    assert!(ask(&now, seen, "7"));
    assert!(!ask(&now, seen, "6"), "touched since");
    assert!(!ask(&pass(1, "2", "v1"), seen, "7"), "other bytes");
    assert!(!ask(&pass(1, "1", "v2"), seen, "7"), "other version");
    assert!(!ask(&pass(2, "1", "v1"), seen, "7"), "other key");
    assert!(!ask(&now, Glimpse { digest: "", ..seen }, "7"), "no record");
    assert!(
        !ask(
            &now,
            Glimpse {
                revision: "0000000000000000",
                ..seen
            },
            "7"
        ),
        "other revision"
    );
    // Bytes equal under a new key: the digest stands for the revision that stayed.
    let later = pass(2, "1", "v1");
    let moved = later.over(&made.marks, &data(&[("A", "1")]));
    let digest = moved.marks.digest.as_ref().unwrap().as_str().to_owned();
    assert!(ask(
        &later,
        Glimpse {
            digest: &digest,
            ..seen
        },
        "7"
    ));
}

#[test]
fn three_repairs_in_ten_minutes_and_no_fourth() {
    let mut repairs = Repairs::default();
    for second in [0, 60, 120] {
        assert_eq!(repairs.back_off(at(second)), None);
        repairs.record(at(second));
    }
    assert_eq!(repairs.back_off(at(121)), Some(Duration::from_secs(479)));
    assert_eq!(repairs.back_off(at(599)), Some(Duration::from_secs(1)));
    assert_eq!(
        repairs.back_off(at(600)),
        None,
        "the first is ten minutes old"
    );
    repairs.record(at(600));
    assert_eq!(repairs.back_off(at(601)), Some(Duration::from_secs(59)));
}

#[test]
fn an_endless_opponent_causes_bounded_writes() {
    let mut repairs = Repairs::default();
    let made = (0..3_600).filter(|second| {
        let may = repairs.back_off(at(*second)).is_none();
        if may {
            repairs.record(at(*second));
        }
        may
    });
    assert_eq!(made.count(), 18, "three in each ten minutes of the hour");
}
