//! The target Secret, written against a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod secrets_bed;

use keyferry::{
    api::{
        Reason,
        binding::{CreationPolicy, DeletionPolicy},
        names,
    },
    cluster::{
        ClusterError,
        apply::{ApplyError, Intent, Seen, What, Written, merge_remove, rewrite_stale_owner},
        install_key,
    },
    core::{Revision, change::Repairs},
};
use secrets_bed::{Bed, binding, bytes, done, finding, target};

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
    assert_eq!(restored.what, What::MetadataOnly);
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
async fn adopt_keeps_unknown_keys_and_strips_a_last_applied_copy() {
    let bed = Bed::new("adopt").await;
    bed.kubectl_in(&["apply", "-f", "-"], r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"A":"old","theirs":"stays"}}"#).await;
    let mut wanted = target("s");
    (wanted.creation, wanted.deletion) = (CreationPolicy::Adopt, DeletionPolicy::Retain);
    let adopted = done(
        bed.write(
            binding("b"),
            &wanted,
            &bytes(&[("A", b"1"), ("B", b"2")]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!((adopted.what, adopted.unknown_keys), (What::Updated, 1));
    let live = bed.live("s").await;
    assert_eq!(
        live.data,
        bytes(&[("A", b"1"), ("B", b"2"), ("theirs", b"stays")])
    );
    assert_eq!(live.head.meta.owner_references, None);
    let annotations = live.head.meta.annotations.unwrap();
    assert!(!annotations.contains_key("kubectl.kubernetes.io/last-applied-configuration"));
    assert_eq!(annotations[names::ANNOTATION_KEYS], "A,B");
    done(
        bed.write_version(
            binding("b"),
            &wanted,
            &bytes(&[("A", b"1")]),
            Seen::Unknown,
            "v2",
        )
        .await,
    );
    assert_eq!(
        bed.live("s").await.data,
        bytes(&[("A", b"1"), ("theirs", b"stays")])
    );
    bed.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"data":{"theirs":"eA=="}}"#,
    ])
    .await;
    let theirs = done(
        bed.write_version(
            binding("b"),
            &wanted,
            &bytes(&[("A", b"1")]),
            Seen::Unknown,
            "v2",
        )
        .await,
    );
    assert_eq!(
        theirs.what,
        What::Unchanged,
        "a change of their keys is not our drift"
    );
}

#[tokio::test]
async fn adopt_refuses_a_secret_of_another_controller_or_living_binding() {
    let bed = Bed::new("adopt-refused").await;
    let owner = serde_json::json!({"ownerReferences": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "x", "uid": "u", "controller": true}]});
    bed.foreign("owned", "external-secrets", &[("A", "x")], owner)
        .await;
    let mut wanted = target("owned");
    wanted.creation = CreationPolicy::Adopt;
    let refused = finding(
        bed.write(binding("b"), &wanted, &bytes(&[("A", b"1")]), Seen::Unknown)
            .await,
    );
    assert!(
        refused.fact.contains("managed by \"ExternalSecret/x\""),
        "{refused}"
    );
    let mut kept = target("kept");
    kept.deletion = DeletionPolicy::Retain;
    done(
        bed.write(
            binding("alive"),
            &kept,
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    kept.creation = CreationPolicy::Adopt;
    let refused = finding(
        bed.write(binding("b"), &kept, &bytes(&[("A", b"1")]), Seen::Unknown)
            .await,
    );
    assert!(
        refused.fact.contains("ExternalSecretBinding/alive"),
        "{refused}"
    );
}

fn merge_target() -> keyferry::core::recipe::TargetRecipe {
    let mut wanted = target("shared");
    wanted.creation = CreationPolicy::Merge;
    wanted
}

fn opted_in() -> serde_json::Value {
    serde_json::json!({"annotations": {names::ANNOTATION_MERGE: "allow"}})
}

#[tokio::test]
async fn two_merge_bindings_keep_each_others_keys_and_leave_without_a_trace() {
    let bed = Bed::new("merge").await;
    bed.foreign("shared", "helm", &[("theirs", "x")], opted_in())
        .await;
    let (a, b) = (bytes(&[("A", b"1"), ("A2", b"1")]), bytes(&[("B", b"2")]));
    let first = done(
        bed.write(binding("a"), &merge_target(), &a, Seen::Unknown)
            .await,
    );
    done(
        bed.write(binding("b"), &merge_target(), &b, Seen::Unknown)
            .await,
    );
    assert_eq!(first.what, What::Updated);
    let all = bytes(&[("A", b"1"), ("A2", b"1"), ("B", b"2"), ("theirs", b"x")]);
    assert_eq!(bed.live("shared").await.data, all);
    let again = done(
        bed.write(binding("a"), &merge_target(), &a, Seen::Unknown)
            .await,
    );
    assert_eq!(again.what, What::Unchanged);
    let fewer = bytes(&[("A", b"3")]);
    done(
        bed.write_version(binding("a"), &merge_target(), &fewer, Seen::Unknown, "v2")
            .await,
    );
    assert_eq!(
        bed.live("shared").await.data,
        bytes(&[("A", b"3"), ("B", b"2"), ("theirs", b"x")])
    );
    merge_remove(&bed.secrets, &bed.claim(binding("a"), &merge_target()))
        .await
        .unwrap();
    let live = bed.live("shared").await;
    assert_eq!(live.data, bytes(&[("B", b"2"), ("theirs", b"x")]));
    let annotations = live.head.meta.annotations.unwrap();
    assert!(
        !annotations
            .keys()
            .any(|name| name.ends_with("keyferry.dev/a")),
        "{annotations:?}"
    );
    assert!(annotations.contains_key("revision.keyferry.dev/b"));
    merge_remove(&bed.secrets, &bed.claim(binding("b"), &merge_target()))
        .await
        .unwrap();
    let live = bed.live("shared").await;
    assert_eq!(live.data, bytes(&[("theirs", b"x")]));
    assert!(
        !live
            .head
            .meta
            .labels
            .unwrap_or_default()
            .contains_key(names::LABEL_MANAGED)
    );
}

#[tokio::test]
async fn a_key_somebody_else_has_taken_over_is_left_and_costs_no_writes() {
    let bed = Bed::new("key-conflict").await;
    bed.foreign("shared", "helm", &[("K", "theirs")], opted_in())
        .await;
    let data = bytes(&[("A", b"1"), ("K", b"2")]);
    let first = done(
        bed.write(binding("a"), &merge_target(), &data, Seen::Unknown)
            .await,
    );
    let conflict = first.conflict.unwrap();
    assert_eq!(conflict.reason, Reason::KeyConflict);
    assert!(
        conflict
            .fact
            .contains("Key K of Secret key-conflict/shared is managed by \"helm\""),
        "{conflict}"
    );
    bed.kubectl(&[
        "patch",
        "secret",
        "shared",
        "--type=merge",
        "--field-manager=person",
        "-p",
        r#"{"data":{"A":"eA=="}}"#,
    ])
    .await;
    let second = done(
        bed.write(binding("a"), &merge_target(), &data, Seen::Unknown)
            .await,
    );
    assert!(second.conflict.unwrap().fact.contains("1 more"));
    let third = done(
        bed.write(binding("a"), &merge_target(), &data, Seen::Unknown)
            .await,
    );
    assert_eq!(
        (third.what, third.resource_version),
        (What::Unchanged, second.resource_version)
    );
    assert_eq!(
        bed.live("shared").await.data,
        bytes(&[("A", b"x"), ("K", b"theirs")])
    );
}

#[tokio::test]
async fn a_key_applied_by_two_and_changed_by_one_is_a_conflict_found_by_the_server() {
    let bed = Bed::new("co-owned").await;
    bed.foreign("shared", "helm", &[], opted_in()).await;
    let one = bytes(&[("K", b"1")]);
    done(
        bed.write(binding("a"), &merge_target(), &one, Seen::Unknown)
            .await,
    );
    done(
        bed.write(binding("b"), &merge_target(), &one, Seen::Unknown)
            .await,
    );
    let two = bytes(&[("K", b"2"), ("L", b"2")]);
    let written = done(
        bed.write_version(binding("a"), &merge_target(), &two, Seen::Unknown, "v2")
            .await,
    );
    assert!(written.conflict.unwrap().fact.contains("\"keyferry/b\""));
    assert_eq!(
        bed.live("shared").await.data,
        bytes(&[("K", b"1"), ("L", b"2")])
    );
}

#[tokio::test]
async fn merge_waits_for_the_secret_and_for_its_owners_leave() {
    let bed = Bed::new("merge-refused").await;
    let data = bytes(&[("A", b"1")]);
    for seen in [Seen::Absent, Seen::Unknown] {
        let missing = finding(bed.write(binding("a"), &merge_target(), &data, seen).await);
        assert_eq!(missing.reason, Reason::TargetMissing);
    }
    assert!(
        bed.secrets
            .get("merge-refused", "shared")
            .await
            .unwrap()
            .is_none()
    );
    bed.foreign("shared", "helm", &[("x", "y")], serde_json::json!({}))
        .await;
    let refused = finding(
        bed.write(binding("a"), &merge_target(), &data, Seen::Unknown)
            .await,
    );
    assert_eq!(refused.reason, Reason::TargetConflict);
    assert!(
        refused
            .cure
            .contains("kubectl annotate secret shared -n merge-refused keyferry.dev/merge=allow")
    );
    assert_eq!(bed.live("shared").await.data, bytes(&[("x", b"y")]));
}

#[tokio::test]
async fn an_apply_never_creates_a_secret_that_is_gone() {
    let bed = Bed::new("apply-gone").await;
    bed.foreign("shared", "helm", &[], opted_in()).await;
    let live = Box::new(bed.live("shared").await);
    bed.kubectl(&["delete", "secret", "shared"]).await;
    let missing = finding(
        bed.write(
            binding("a"),
            &merge_target(),
            &bytes(&[("A", b"1")]),
            Seen::Live(live),
        )
        .await,
    );
    assert_eq!(missing.reason, Reason::TargetMissing);
    assert!(
        bed.secrets
            .get("apply-gone", "shared")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn immutable_and_other_types_are_refused() {
    let bed = Bed::new("immutable").await;
    done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let mut other_type = target("s");
    other_type.type_ = "kubernetes.io/basic-auth".into();
    let refused = finding(
        bed.write(
            binding("b"),
            &other_type,
            &bytes(&[("username", b"1")]),
            Seen::Unknown,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TargetImmutable);
    bed.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"immutable":true}"#,
    ])
    .await;
    let refused = finding(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Unknown,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TargetImmutable);
    let mut token = target("t");
    token.type_ = "kubernetes.io/service-account-token".into();
    let refused = finding(
        bed.write(binding("b"), &token, &bytes(&[("A", b"2")]), Seen::Absent)
            .await,
    );
    assert_eq!(refused.reason, Reason::TypeNotAllowed);
}

#[tokio::test]
async fn a_token_secret_is_neither_merged_into_nor_adopted() {
    let bed = Bed::new("token-secret").await;
    bed.kubectl_in(&["apply", "-f", "-"], r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"shared","annotations":{"kubernetes.io/service-account.name":"default","keyferry.dev/merge":"allow"}},"type":"kubernetes.io/service-account-token"}"#).await;
    for creation in [CreationPolicy::Merge, CreationPolicy::Adopt] {
        let mut wanted = merge_target();
        wanted.creation = creation;
        let refused = finding(
            bed.write(binding("b"), &wanted, &bytes(&[("A", b"2")]), Seen::Unknown)
                .await,
        );
        assert_eq!(refused.reason, Reason::TypeNotAllowed);
    }
    assert!(!bed.live("shared").await.data.contains_key("A"));
}

#[tokio::test]
async fn what_the_server_finds_invalid_is_told_by_field_and_never_by_value() {
    let bed = Bed::new("invalid").await;
    let mut tls = target("tls");
    tls.type_ = "kubernetes.io/tls".into();
    let refused = finding(
        bed.write(
            binding("b"),
            &tls,
            &bytes(&[("A", b"hunter2")]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::RequiredMissing);
    assert!(refused.fact.contains("data[tls.crt]"), "{refused}");
    let big = vec![b'x'; (1 << 20) + 1];
    let refused = finding(
        bed.write(
            binding("b"),
            &target("big"),
            &bytes(&[("A", &big)]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::TooLarge);
    let refused = finding(
        bed.write(
            binding("b"),
            &target("key"),
            &bytes(&[("a b", b"hunter2")]),
            Seen::Absent,
        )
        .await,
    );
    assert_eq!(refused.reason, Reason::InvalidKey);
    assert!(!refused.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_stale_owner_uid_is_rewritten_without_reading_bytes_and_only_where_it_is_ours() {
    let bed = Bed::new("stale-owner").await;
    let made = done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let wanted = target("s");
    let mut restored = bed.claim(binding("b"), &wanted);
    restored.binding_uid = "uid-after-restore";
    assert!(rewrite_stale_owner(&bed.secrets, &restored).await.unwrap());
    let meta = bed.live("s").await.head.meta;
    assert_eq!(meta.owner_references.unwrap()[0].uid, "uid-after-restore");
    assert_eq!(meta.uid, Some(made.uid));
    assert!(
        !rewrite_stale_owner(&bed.secrets, &restored).await.unwrap(),
        "once is enough"
    );
    assert!(
        !rewrite_stale_owner(&bed.secrets, &bed.claim(binding("other"), &wanted))
            .await
            .unwrap()
    );
    assert!(
        !rewrite_stale_owner(&bed.secrets, &bed.claim(binding("b"), &target("none")))
            .await
            .unwrap()
    );
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
async fn replies_to_writes_hold_no_data() {
    let bed = Bed::new("replies").await;
    for (method, reply) in bed.raw_replies().await {
        let text = reply.to_string();
        assert!(
            reply.get("data").is_none() && !text.contains("aHVudGVyMg"),
            "{method}: {text}"
        );
        assert_eq!(reply["kind"], "PartialObjectMetadata", "{method}");
    }
}

#[tokio::test]
async fn a_missing_right_names_verb_and_resource() {
    let bed = Bed::new("forbidden").await;
    let reader = bed.as_account("reader", &["get"]).await;
    let nobody = bed.as_account("nobody", &[]).await;
    let data = bytes(&[("A", b"1")]);
    for (secrets, seen, verb) in [
        (&reader, Seen::Absent, "create"),
        (&nobody, Seen::Unknown, "get"),
    ] {
        let refused = finding(
            bed.write_as(secrets, binding("b"), &target("s"), &data, seen)
                .await,
        );
        assert_eq!(refused.reason, Reason::OperatorForbidden);
        assert!(
            refused.fact.starts_with(&format!(
                "The operator may not {verb} secrets in namespace forbidden"
            )),
            "{refused}"
        );
    }
    done(
        bed.write(binding("b"), &target("s"), &data, Seen::Absent)
            .await,
    );
    let refused = finding(
        bed.write_as(
            &reader,
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"2")]),
            Seen::Unknown,
        )
        .await,
    );
    assert!(refused.fact.contains("update secrets"), "{refused}");
}

#[tokio::test]
async fn a_terminating_namespace_is_silence() {
    let bed = Bed::new("terminating").await;
    bed.foreign(
        "held",
        "helm",
        &[],
        serde_json::json!({"finalizers": ["example.com/hold"]}),
    )
    .await;
    bed.kubectl(&["delete", "namespace", "terminating", "--wait=false"])
        .await;
    let answer = bed
        .write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await;
    bed.kubectl(&[
        "patch",
        "secret",
        "held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ])
    .await;
    assert!(
        matches!(answer, Ok(Written::NamespaceTerminating)),
        "{answer:?}"
    );
    let gone = Bed::without_namespace("never-was").await;
    let answer = gone
        .write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await;
    assert!(
        matches!(answer, Ok(Written::NamespaceTerminating)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_delete_hits_exactly_the_secret_that_was_read() {
    let bed = Bed::new("delete").await;
    done(
        bed.write(
            binding("b"),
            &target("s"),
            &bytes(&[("A", b"1")]),
            Seen::Absent,
        )
        .await,
    );
    let stale = bed.live("s").await.head.meta;
    bed.kubectl(&["label", "secret", "s", "between=1"]).await;
    assert_eq!(
        bed.secrets.delete("delete", &stale).await,
        Err(ClusterError::Conflict)
    );
    let fresh = bed.live("s").await.head.meta;
    assert_eq!(bed.secrets.delete("delete", &fresh).await, Ok(true));
    assert_eq!(bed.secrets.delete("delete", &fresh).await, Ok(false));
}

#[tokio::test]
async fn a_race_for_the_install_key_ends_with_one_key_for_all() {
    let bed = Bed::new("install-key").await;
    let racers = (0..8).map(|_| install_key::ensure(&bed.secrets, "install-key"));
    let ids: std::collections::BTreeSet<String> = futures::future::join_all(racers)
        .await
        .into_iter()
        .map(|key| key.unwrap().id().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let live = bed.live(names::INSTALL_KEY_SECRET).await;
    assert_eq!(
        live.head.meta.annotations.unwrap()[names::ANNOTATION_HELM_KEEP],
        "keep"
    );
    assert_eq!(live.data[install_key::DATA_KEY].len(), 32);
}

#[tokio::test]
async fn only_not_found_lets_an_install_key_be_made() {
    let bed = Bed::new("no-install-key").await;
    let creator = bed.as_account("creator", &["create"]).await;
    let refused = install_key::ensure(&creator, "no-install-key")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("may not get secrets"),
        "{refused}"
    );
    assert!(
        bed.secrets
            .get("no-install-key", names::INSTALL_KEY_SECRET)
            .await
            .unwrap()
            .is_none()
    );
    bed.foreign(
        names::INSTALL_KEY_SECRET,
        "x",
        &[("key", "short")],
        serde_json::json!({}),
    )
    .await;
    let malformed = install_key::ensure(&bed.secrets, "no-install-key")
        .await
        .unwrap_err();
    assert!(matches!(
        malformed,
        install_key::InstallKeyError::Malformed { .. }
    ));
    let absent = install_key::ensure(&bed.secrets, "no-such-namespace")
        .await
        .unwrap_err();
    assert!(
        absent.to_string().contains("namespace is terminating"),
        "{absent}"
    );
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_transient() {
    let secrets = secrets_bed::silent_server().await;
    let error = secrets.get("ns", "s").await.unwrap_err();
    assert_eq!(error, ClusterError::Timeout);
    assert_eq!(
        ApplyError::from(error).class(),
        keyferry::core::Class::Transient
    );
}
