//! Policy Owner: a Secret of our own.

use keyferry::{
    api::Reason, api::names, cluster::apply::Intent, cluster::apply::Seen, cluster::apply::What,
    cluster::apply::Written, core::Revision, core::change::Repairs,
};

use crate::bed::{Bed, binding, bytes, done, finding, target};

#[tokio::test]
async fn a_new_secret_is_exactly_what_was_rendered() {
    let bed = Bed::new("new-secret").await;
    let data = bytes(&[("A", b"1\n"), ("bin", &[0, 255, 10])]);
    let made = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let live = bed.live("s").await;
    assert_eq!(made.what, What::Created);
    assert_eq!(live.data, data);
    assert_eq!(live.head.type_, "Opaque");
    assert_eq!(
        live.head.meta.resource_version.as_deref(),
        Some(made.resource_version.as_str())
    );
    assert_eq!(live.head.meta.uid.as_deref(), Some(made.uid.as_str()));
    assert!(made.changed_at >= live.head.meta.creation_timestamp.map(|time| time.0));
    let owners = live.head.meta.owner_references.unwrap();
    assert_eq!(
        (owners.len(), owners[0].uid.as_str(), owners[0].controller),
        (1, "uid-b", Some(true))
    );
    assert_eq!(live.head.meta.labels.unwrap()[names::LABEL_MANAGED], "true");
    let annotations = live.head.meta.annotations.unwrap();
    assert_eq!(annotations[names::ANNOTATION_BINDING], "b");
    assert_eq!(
        annotations[names::ANNOTATION_REVISION],
        made.revision.as_str()
    );
}

#[tokio::test]
async fn writing_the_same_again_writes_nothing() {
    let bed = Bed::new("same-again").await;
    let data = bytes(&[("A", b"1")]);
    let made = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let again = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Unknown)
            .await,
    );
    assert_eq!(again.what, What::Unchanged);
    assert_eq!(
        (&again.resource_version, &again.revision),
        (&made.resource_version, &made.revision)
    );
    assert_eq!(again.changed_at, made.changed_at);
}

#[tokio::test]
async fn a_new_version_with_equal_bytes_is_one_metadata_patch_that_keeps_revision_and_time() {
    let bed = Bed::new("equal-bytes").await;
    let data = bytes(&[("A", b"1")]);
    let made = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let moved = done(
        bed.write_version(
            binding("b"),
            &target("s"),
            &data,
            Seen::Unknown,
            "another-version",
        )
        .await,
    );
    assert_eq!(moved.what, What::MetadataOnly);
    assert_eq!(
        (&moved.revision, moved.changed_at),
        (&made.revision, made.changed_at)
    );
    assert_eq!(bed.live("s").await.data, data);
    let again = done(
        bed.write_version(
            binding("b"),
            &target("s"),
            &data,
            Seen::Unknown,
            "another-version",
        )
        .await,
    );
    assert_eq!(again.what, What::Unchanged);
}

#[tokio::test]
async fn new_bytes_go_into_the_same_object_and_old_keys_go() {
    let bed = Bed::new("new-bytes").await;
    let first = done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1"), ("B", b"2")]),
            Seen::Absent,
        )
        .await,
    );
    let next = bytes(&[("A", b"3")]);
    let second = done(
        bed.write_version(binding("b"), &target("s"), &next, Seen::Unknown, "v2")
            .await,
    );
    assert_eq!(second.what, What::Updated);
    assert_eq!(second.uid, first.uid);
    assert_ne!(second.revision, first.revision);
    assert_eq!(second.live_revision, Some(first.revision));
    assert_eq!(bed.live("s").await.data, next);
}

#[tokio::test]
async fn lost_label_and_owner_are_restored_without_touching_the_bytes() {
    let bed = Bed::new("restored").await;
    let data = bytes(&[("A", b"1")]);
    let made = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    bed.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"metadata":{"labels":{"keyferry.dev/managed":null},"ownerReferences":null}}"#,
    ])
    .await;
    let restored = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Unknown)
            .await,
    );
    assert_eq!((restored.what, restored.undid), (What::Restored, true));
    assert_eq!(restored.changed_at, made.changed_at);
    let meta = bed.live("s").await.head.meta;
    assert_eq!(meta.owner_references.unwrap()[0].uid, "uid-b");
    assert!(meta.labels.unwrap().contains_key(names::LABEL_MANAGED));
}

#[tokio::test]
async fn a_hand_edit_is_repaired_to_the_same_revision_and_an_endless_opponent_is_named() {
    let bed = Bed::new("repair").await;
    let data = bytes(&[("A", b"1"), ("B", b"2")]);
    let made = done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let mut repairs = Repairs::default();
    for _ in 0..Repairs::MOST {
        bed.kubectl(&[
            "patch",
            "secret",
            "s",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/data/B"}]"#,
        ])
        .await;
        let fixed = done(
            bed.write_with(
                binding("b"),
                &target("s"),
                &data,
                Seen::Unknown,
                "v1",
                &repairs,
            )
            .await,
        );
        assert_eq!(
            (fixed.what, &fixed.revision),
            (What::Repaired, &made.revision)
        );
        assert_eq!(bed.live("s").await.data, data);
        repairs.record(bed.now);
    }
    bed.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"data":{"A":"eA=="}}"#,
    ])
    .await;
    let left = bed.live("s").await.head;
    let gave_up = finding(
        bed.write_with(
            binding("b"),
            &target("s"),
            &data,
            Seen::Unknown,
            "v1",
            &repairs,
        )
        .await,
    );
    assert_eq!(gave_up.reason, Reason::Fought);
    assert!(gave_up.fact.contains("\"kubectl-patch\""), "{gave_up}");
    assert_eq!(bed.live("s").await.head, left);
}

#[tokio::test]
async fn existing_bytes_are_replaced_only_by_a_recorded_intent() {
    let bed = Bed::new("intent").await;
    let (one, two) = (bytes(&[("A", b"1")]), bytes(&[("A", b"2")]));
    let wanted = target("s");
    let made = done(
        bed.write_intent(
            binding("b"),
            &wanted,
            &one,
            Seen::Absent,
            Intent::Recorded(None),
        )
        .await,
    );
    assert_eq!(
        made.what,
        What::Created,
        "a first creation asks for nothing"
    );
    let before = bed.live("s").await.head;
    for intent in [
        Intent::Recorded(None),
        Intent::Recorded(Revision::parse("0000000000000000")),
    ] {
        let asked = bed
            .write_intent(binding("b"), &wanted, &two, Seen::Unknown, intent)
            .await
            .unwrap();
        let Written::AskFirst {
            revision,
            live_revision,
            live,
        } = asked
        else {
            panic!("{asked:?}")
        };
        assert_eq!(live_revision.as_ref(), Some(&made.revision));
        assert_eq!(live.head, before);
        assert_eq!(bed.live("s").await.head, before);
        assert_ne!(revision, made.revision);
    }
    let asked = bed
        .write_intent(
            binding("b"),
            &wanted,
            &two,
            Seen::Absent,
            Intent::Recorded(None),
        )
        .await
        .unwrap();
    let Written::AskFirst { revision, live, .. } = asked else {
        panic!("a stale view asks too: {asked:?}")
    };
    let written = done(
        bed.write_intent(
            binding("b"),
            &wanted,
            &two,
            Seen::Live(live),
            Intent::Recorded(Some(revision.clone())),
        )
        .await,
    );
    assert_eq!((written.what, written.revision), (What::Updated, revision));
}

#[tokio::test]
async fn a_foreign_secret_is_untouched_also_in_a_create_race() {
    let bed = Bed::new("foreign").await;
    bed.foreign("s", "helm", &[("A", "theirs")], serde_json::json!({}))
        .await;
    let before = bed.live("s").await;
    for seen in [Seen::Absent, Seen::Unknown] {
        let refused = finding(
            bed.write(binding("b"), &target("s"), &bytes(&[("A", b"1")]), seen)
                .await,
        );
        assert_eq!(refused.reason, Reason::TargetConflict);
        assert_eq!(
            refused.to_string(),
            "Secret foreign/s exists and is managed by \"helm\". Choose another target.name, or set creationPolicy: Adopt. It was not touched."
        );
    }
    assert_eq!(bed.live("s").await.head, before.head);
}

#[tokio::test]
async fn foreign_labels_and_annotations_stay_and_ours_go_with_the_spec() {
    let bed = Bed::new("foreign-labels").await;
    let data = bytes(&[("A", b"1")]);
    let mut wanted = target("s");
    wanted.labels.insert("ours".into(), "1".into());
    wanted.annotations.insert("ours".into(), "1".into());
    done(bed.write(binding("b"), &wanted, &data, Seen::Absent).await);
    bed.kubectl(&["label", "secret", "s", "theirs=1"]).await;
    bed.kubectl(&["annotate", "secret", "s", "theirs=1"]).await;
    done(
        bed.write_version(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Unknown,
            "v2",
        )
        .await,
    );
    let meta = bed.live("s").await.head.meta;
    let (labels, annotations) = (meta.labels.unwrap(), meta.annotations.unwrap());
    assert!(
        labels.contains_key("theirs") && !labels.contains_key("ours"),
        "{labels:?}"
    );
    assert!(annotations.contains_key("theirs") && !annotations.contains_key("ours"));
}

#[tokio::test]
async fn a_write_over_a_stale_read_starts_over_and_keeps_what_came_between() {
    let bed = Bed::new("stale-read").await;
    done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let stale = Box::new(bed.live("s").await);
    bed.kubectl(&["label", "secret", "s", "between=1"]).await;
    let written = done(
        bed.write_version(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Live(stale.clone()),
            "v2",
        )
        .await,
    );
    assert_eq!(written.what, What::Updated);
    let meta = bed.live("s").await.head.meta;
    assert!(meta.labels.unwrap().contains_key("between"));
    // Replaced by somebody else's Secret of that name: no longer ours.
    bed.kubectl(&["delete", "secret", "s"]).await;
    bed.foreign("s", "helm", &[("A", "theirs")], serde_json::json!({}))
        .await;
    let refused = finding(
        bed.write_version(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"3")]),
            Seen::Live(stale),
            "v3",
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TargetConflict);
    assert_eq!(bed.live("s").await.data, bytes(&[("A", b"theirs")]));
}

#[tokio::test]
async fn an_endless_deleter_or_stripper_causes_bounded_writes() {
    let mut bed = Bed::new("deleter").await;
    bed.existed = true;
    let data = bytes(&[("A", b"1")]);
    for (name, undo) in [
        ("deleted", ["delete", "secret", "deleted"].as_slice()),
        (
            "stripped",
            &["label", "secret", "stripped", "keyferry.dev/managed-"],
        ),
    ] {
        let wanted = target(name);
        done(bed.write(binding("b"), &wanted, &data, Seen::Unknown).await);
        let mut repairs = Repairs::default();
        for _ in 0..Repairs::MOST {
            bed.kubectl(undo).await;
            let fixed = bed.write_with(binding("b"), &wanted, &data, Seen::Unknown, "v1", &repairs);
            assert!(done(fixed.await).undid);
            repairs.record(bed.now);
        }
        bed.kubectl(undo).await;
        let gave_up = bed.write_with(binding("b"), &wanted, &data, Seen::Unknown, "v1", &repairs);
        assert_eq!(finding(gave_up.await).reason, Reason::Fought, "{name}");
    }
}

#[tokio::test]
async fn a_spec_edit_of_labels_touches_metadata_alone() {
    let bed = Bed::new("spec-labels").await;
    let data = bytes(&[("A", b"1")]);
    let mut wanted = target("s");
    let made = done(bed.write(binding("b"), &wanted, &data, Seen::Absent).await);
    wanted.labels.insert("team".into(), "x".into());
    let labelled = done(bed.write(binding("b"), &wanted, &data, Seen::Unknown).await);
    assert_eq!(labelled.revision, made.revision);
    assert_eq!(labelled.changed_at, made.changed_at);
    assert_eq!(bed.live("s").await.head.meta.labels.unwrap()["team"], "x");
}
