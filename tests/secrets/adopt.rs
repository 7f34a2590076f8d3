//! Policy Adopt: a Secret that others have keys in.

use keyferry::{
    api::binding::CreationPolicy, api::binding::DeletionPolicy, api::names, cluster::apply::Seen,
    cluster::apply::What,
};

use crate::bed::{Bed, binding, bytes, done, finding, target};

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
