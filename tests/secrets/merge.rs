//! Policy Merge: keys in a Secret of somebody else.

use keyferry::{
    api::Reason, api::binding::CreationPolicy, api::names, cluster::apply::Seen,
    cluster::apply::What, cluster::upkeep::merge_remove,
};

use crate::bed::{Bed, binding, bytes, done, finding, target};

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
    // The watch does not see it before our label is on it.
    let first = done(
        bed.write(binding("a"), &merge_target(), &a, Seen::Absent)
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
