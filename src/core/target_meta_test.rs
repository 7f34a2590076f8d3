#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    api::binding::{CreationPolicy, DeletionPolicy},
    core::{Revision, recipe::TargetRecipe},
};

fn target() -> TargetRecipe {
    TargetRecipe {
        name: "s".into(),
        type_: "Opaque".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        annotations: [("note".to_owned(), "n".to_owned())].into(),
        creation: CreationPolicy::Owner,
        deletion: DeletionPolicy::Delete,
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

fn marks() -> Marks {
    Marks {
        revision: Revision::parse("0123456789abcdef"),
        ..Marks::default()
    }
}

fn live(value: Value) -> ObjectMeta {
    serde_json::from_value(value).unwrap()
}

fn whole_on(meta: &ObjectMeta) -> TargetMeta {
    whole(&claim(&target()), meta, &marks()).unwrap()
}

#[test]
fn a_new_secret_carries_label_records_spec_and_owner() {
    let made = whole_on(&ObjectMeta::default());
    assert_eq!(
        made.labels,
        [("keyferry.dev/managed", "true"), ("team", "a")]
            .map(|(k, v)| (k.into(), v.into()))
            .into()
    );
    let annotations: Vec<_> = made.annotations.keys().map(String::as_str).collect();
    assert_eq!(
        annotations,
        ["keyferry.dev/binding", "keyferry.dev/revision", "note"]
    );
    assert_eq!(made.owners[0].uid, "uid");
}

#[test]
fn foreign_stays_stale_records_go_and_so_does_what_we_set_before() {
    let before = live(json!({
        "labels": {"theirs": "1", "was-ours": "1"},
        "annotations": {"theirs": "1", "was-ours": "1", "keyferry.dev/history": "[]", "keyferry.dev/keys": "A", "keyferry.dev/merge": "allow"},
        "managedFields": [
            {"manager": "keyferry", "fieldsV1": {"f:metadata": {"f:labels": {"f:was-ours": {}}}}},
            {"manager": "keyferry-metadata", "fieldsV1": {"f:metadata": {"f:annotations": {"f:was-ours": {}}}}},
            {"manager": "helm", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}}]
    }));
    let made = whole_on(&before);
    assert!(made.labels.contains_key("theirs") && !made.labels.contains_key("was-ours"));
    let annotations: Vec<_> = made.annotations.keys().map(String::as_str).collect();
    assert_eq!(
        annotations,
        [
            "keyferry.dev/binding",
            "keyferry.dev/merge",
            "keyferry.dev/revision",
            "note",
            "theirs"
        ]
    );
}

#[test]
fn a_last_applied_copy_goes_only_if_it_holds_or_may_hold_data() {
    let table = [
        (r#"{"kind":"Secret","data":{"A":"x"}}"#, false),
        (r#"{"kind":"Secret","stringData":{"A":"x"}}"#, false),
        ("no json", false),
        (r#"{"kind":"Secret","metadata":{}}"#, true),
    ];
    for (text, stays) in table {
        let before = live(json!({"annotations": {LAST_APPLIED: text}}));
        assert_eq!(
            whole_on(&before).annotations.contains_key(LAST_APPLIED),
            stays,
            "{text}"
        );
    }
}

#[test]
fn a_patch_is_empty_when_nothing_differs_and_names_each_difference_otherwise() {
    let wanted = whole_on(&ObjectMeta::default());
    let mut same = wanted.over(&ObjectMeta::default());
    same.resource_version = Some("7".into());
    assert!(wanted.is_on(&same));
    assert_eq!(
        wanted.patch(&same),
        json!({"metadata": {"resourceVersion": "7", "labels": {}, "annotations": {}}})
    );
    let mut other = same.clone();
    other
        .labels
        .as_mut()
        .unwrap()
        .insert("more".into(), "1".into());
    other
        .annotations
        .as_mut()
        .unwrap()
        .insert("note".into(), "changed".into());
    other.owner_references = None;
    assert!(!wanted.is_on(&other));
    let patch = wanted.patch(&other);
    assert_eq!(patch["metadata"]["labels"], json!({"more": null}));
    assert_eq!(patch["metadata"]["annotations"], json!({"note": "n"}));
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "uid");
}

#[test]
fn each_single_difference_counts() {
    let wanted = whole_on(&ObjectMeta::default());
    let same = wanted.over(&ObjectMeta::default());
    let without_labels = ObjectMeta {
        labels: None,
        ..same.clone()
    };
    let without_annotations = ObjectMeta {
        annotations: None,
        ..same.clone()
    };
    let without_owner = ObjectMeta {
        owner_references: None,
        ..same.clone()
    };
    for other in [without_labels, without_annotations, without_owner] {
        assert!(!wanted.is_on(&other));
    }
}

#[test]
fn over_keeps_identity_and_finalizers_and_leaves_managed_fields_to_the_server() {
    let before = live(
        json!({"name": "s", "uid": "u", "resourceVersion": "7", "finalizers": ["x/y"], "managedFields": [{"manager": "m"}]}),
    );
    let put = whole_on(&before).over(&before);
    assert_eq!(
        (put.uid.as_deref(), put.resource_version.as_deref()),
        (Some("u"), Some("7"))
    );
    assert_eq!(put.finalizers, before.finalizers);
    assert_eq!(put.managed_fields, None);
}

#[test]
fn a_merge_applies_only_its_own_and_is_done_when_that_stands() {
    let made = merged(&claim(&target()), &marks()).unwrap();
    assert!(made.owners.is_empty());
    assert!(made.annotations.contains_key("revision.keyferry.dev/me"));
    let foreign = json!({"labels": {"x": "y"}, "annotations": {"x": "y"}});
    let mut on: ObjectMeta = live(foreign);
    assert!(!made.is_applied_on(&on, "keyferry/me"));
    on.labels.as_mut().unwrap().extend(made.labels.clone());
    on.annotations
        .as_mut()
        .unwrap()
        .extend(made.annotations.clone());
    assert!(made.is_applied_on(&on, "keyferry/me"));
    on.managed_fields = live(json!({"managedFields": [{"manager": "keyferry/me", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}}]})).managed_fields;
    assert!(
        !made.is_applied_on(&on, "keyferry/me"),
        "x was ours and has to go"
    );
    assert!(made.is_applied_on(&on, "keyferry/you"));
}
