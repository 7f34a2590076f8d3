#![allow(clippy::unwrap_used, clippy::expect_used)]
use serde_json::{Value, json};

use super::*;

fn target(creation: CreationPolicy, deletion: DeletionPolicy) -> TargetRecipe {
    TargetRecipe {
        name: "s".into(),
        type_: "Opaque".into(),
        labels: Default::default(),
        annotations: Default::default(),
        creation,
        deletion,
    }
}

fn claim(target: &TargetRecipe) -> Claim<'_> {
    Claim {
        namespace: "ns",
        binding: "me",
        binding_uid: "uid",
        target,
    }
}

fn head(meta: Value) -> SecretHead {
    SecretHead {
        meta: serde_json::from_value(meta).unwrap(),
        type_: "Opaque".into(),
        immutable: false,
    }
}

fn ours() -> Value {
    json!({"annotations": {"keyferry.dev/binding": "me"}})
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "keyferry.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// The way, or the reason of the refusal.
fn verdict(creation: CreationPolicy, found: Option<&SecretHead>) -> Result<&'static str, Reason> {
    let target = target(creation, DeletionPolicy::Delete);
    match decide(&claim(&target), found, &|name| name == "alive") {
        Ownership::Create => Ok("create"),
        Ownership::Update => Ok("update"),
        Ownership::Adopt => Ok("adopt"),
        Ownership::Merge => Ok("merge"),
        Ownership::Refuse(finding) => Err(finding.reason),
    }
}

use CreationPolicy::{Adopt, Merge, Owner};
use Reason::{Progressing, TargetConflict, TargetImmutable, TargetMissing, TypeNotAllowed};

#[test]
fn nothing_there() {
    assert_eq!(verdict(Owner, None), Ok("create"));
    assert_eq!(verdict(Adopt, None), Ok("create"));
    assert_eq!(verdict(Merge, None), Err(TargetMissing));
}

#[test]
fn whose_it_is() {
    let with = |key: &str, value: Value| {
        let mut meta = ours();
        meta[key] = value;
        meta
    };
    let merge_ok = json!({"annotations": {"keyferry.dev/merge": "allow"}});
    // What is found, then what Owner, Adopt and Merge make of it.
    let table: [(Value, [Result<&str, Reason>; 3]); 11] = [
        (
            json!({}),
            [Err(TargetConflict), Ok("adopt"), Err(TargetConflict)],
        ),
        (ours(), [Ok("update"), Ok("adopt"), Err(TargetConflict)]),
        // A label or an owner without the record does not make it ours.
        (
            json!({"labels": {"keyferry.dev/managed": "true"}}),
            [Err(TargetConflict), Ok("adopt"), Err(TargetConflict)],
        ),
        (
            json!({"ownerReferences": [owner("ExternalSecretBinding", "me", "uid")]}),
            [Err(TargetConflict), Ok("adopt"), Err(TargetConflict)],
        ),
        (
            with(
                "ownerReferences",
                json!([owner("ExternalSecretBinding", "me", "old")]),
            ),
            [Ok("update"), Ok("adopt"), Err(TargetConflict)],
        ),
        (
            with(
                "ownerReferences",
                json!([owner("ExternalSecretBinding", "you", "x")]),
            ),
            [
                Err(TargetConflict),
                Err(TargetConflict),
                Err(TargetConflict),
            ],
        ),
        (
            with("ownerReferences", json!([owner("Certificate", "me", "x")])),
            [
                Err(TargetConflict),
                Err(TargetConflict),
                Err(TargetConflict),
            ],
        ),
        (
            json!({"annotations": {"keyferry.dev/binding": "alive"}}),
            [
                Err(TargetConflict),
                Err(TargetConflict),
                Err(TargetConflict),
            ],
        ),
        (
            json!({"annotations": {"keyferry.dev/binding": "gone"}}),
            [Err(TargetConflict), Ok("adopt"), Err(TargetConflict)],
        ),
        (
            with("labels", json!({"keyferry.dev/part-of": "me"})),
            [
                Err(TargetConflict),
                Err(TargetConflict),
                Err(TargetConflict),
            ],
        ),
        (merge_ok, [Err(TargetConflict), Ok("adopt"), Ok("merge")]),
    ];
    for (meta, wanted) in table {
        let found = head(meta.clone());
        for (creation, wanted) in [Owner, Adopt, Merge].into_iter().zip(wanted) {
            assert_eq!(
                verdict(creation, Some(&found)),
                wanted,
                "{creation:?} on {meta}"
            );
        }
    }
}

#[test]
fn a_merge_may_join_an_adopter_but_not_an_owner() {
    let mut meta =
        json!({"annotations": {"keyferry.dev/merge": "allow", "keyferry.dev/binding": "alive"}});
    assert_eq!(
        verdict(Merge, Some(&head(meta.clone()))),
        Err(TargetConflict)
    );
    meta["annotations"]["keyferry.dev/keys"] = json!("A");
    assert_eq!(verdict(Merge, Some(&head(meta))), Ok("merge"));
}

#[test]
fn what_it_is() {
    let may = json!({"annotations": {"keyferry.dev/binding": "me", "keyferry.dev/merge": "allow", "keyferry.dev/keys": "A"}});
    let plain = head(may.clone());
    let mut deleted = may;
    deleted["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    deleted["finalizers"] = json!(["example.com/x"]);
    let of_type = |type_: &str| SecretHead {
        type_: type_.into(),
        ..plain.clone()
    };
    let immutable = SecretHead {
        immutable: true,
        ..plain.clone()
    };
    let table = [
        (of_type(""), [Ok("update"), Ok("adopt"), Ok("merge")]),
        (immutable, [Err(TargetImmutable); 3]),
        (
            of_type("kubernetes.io/tls"),
            [Err(TargetImmutable), Err(TargetImmutable), Ok("merge")],
        ),
        (
            of_type("kubernetes.io/service-account-token"),
            [Err(TypeNotAllowed); 3],
        ),
        (
            of_type("bootstrap.kubernetes.io/token"),
            [Err(TypeNotAllowed); 3],
        ),
        (of_type("helm.sh/release.v1"), [Err(TypeNotAllowed); 3]),
        (head(deleted), [Err(Progressing); 3]),
    ];
    for (found, wanted) in table {
        for (creation, wanted) in [Owner, Adopt, Merge].into_iter().zip(wanted) {
            assert_eq!(
                verdict(creation, Some(&found)),
                wanted,
                "{creation:?} on {found:?}"
            );
        }
    }
}

#[test]
fn reserved_names_and_types_are_refused_before_anything_is_looked_at() {
    for name in [
        "keyferry-install-key",
        "s-keyferry-previous",
        "s-keyferry-candidate",
    ] {
        let target = TargetRecipe {
            name: name.into(),
            ..target(Owner, DeletionPolicy::Delete)
        };
        assert!(
            matches!(decide(&claim(&target), None, &|_| false), Ownership::Refuse(f) if f.reason == TargetConflict)
        );
    }
    for type_ in [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    ] {
        let target = TargetRecipe {
            type_: type_.into(),
            ..target(Owner, DeletionPolicy::Delete)
        };
        assert!(
            matches!(decide(&claim(&target), None, &|_| false), Ownership::Refuse(f) if f.reason == TypeNotAllowed)
        );
    }
}

#[test]
fn a_conflict_reads_as_promised() {
    let managed = json!([{"manager": "helm", "operation": "Update", "fieldsV1": {"f:data": {"f:A": {}}}, "time": "2026-01-01T00:00:00Z"}]);
    let found = head(json!({"managedFields": managed}));
    let target = TargetRecipe {
        name: "estate-backend".into(),
        ..target(Owner, DeletionPolicy::Delete)
    };
    let claim = Claim {
        namespace: "estate",
        ..claim(&target)
    };
    let Ownership::Refuse(finding) = decide(&claim, Some(&found), &|_| false) else {
        panic!("not refused")
    };
    assert_eq!(
        finding.to_string(),
        "Secret estate/estate-backend exists and is managed by \"helm\". Choose another target.name, or set creationPolicy: Adopt. It was not touched."
    );
}

#[test]
fn another_binding_is_named_by_its_kind() {
    let found = head(json!({"annotations": {"keyferry.dev/binding": "you"}}));
    let target = target(Owner, DeletionPolicy::Delete);
    let Ownership::Refuse(finding) = decide(&claim(&target), Some(&found), &|_| false) else {
        panic!("not refused")
    };
    assert!(
        finding
            .fact
            .contains("managed by \"ExternalSecretBinding/you\""),
        "{finding}"
    );
}

#[test]
fn owners_of_others_stay_and_ours_follows_the_policy() {
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"});
    let live: ObjectMeta = serde_json::from_value(
        json!({"ownerReferences": [owner("ExternalSecretBinding", "me", "old"), theirs]}),
    )
    .unwrap();
    let uids = |creation, deletion| {
        let target = target(creation, deletion);
        owner_references(&claim(&target), &live)
            .into_iter()
            .map(|o| o.uid)
            .collect::<Vec<_>>()
    };
    assert_eq!(uids(Owner, DeletionPolicy::Delete), ["c", "uid"]);
    assert_eq!(uids(Owner, DeletionPolicy::Retain), ["c"]);
    assert_eq!(uids(Adopt, DeletionPolicy::Retain), ["c"]);
    assert_eq!(uids(Merge, DeletionPolicy::Delete), ["c"]);
}

#[test]
fn an_owner_of_our_name_in_another_group_is_somebody_else() {
    let mut meta = ours();
    meta["ownerReferences"] = json!([{"apiVersion": "example.com/v1", "kind": "ExternalSecretBinding", "name": "me", "uid": "x", "controller": true}]);
    assert_eq!(verdict(Owner, Some(&head(meta))), Err(TargetConflict));
}

#[test]
fn a_stale_owner_is_one_of_ours_with_another_uid() {
    let target = target(Owner, DeletionPolicy::Delete);
    let stale = |uid: &str, meta: Value| {
        let mut meta = meta;
        meta["ownerReferences"] = json!([owner("ExternalSecretBinding", "me", uid)]);
        has_stale_owner(&claim(&target), &head(meta).meta)
    };
    assert!(stale("old", ours()));
    assert!(!stale("uid", ours()));
    assert!(
        !stale("old", json!({})),
        "without our record it is not ours to change"
    );
    assert!(!has_stale_owner(&claim(&target), &head(ours()).meta));
}
