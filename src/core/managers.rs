//! Who wrote what, read from an object's `managedFields`.
//!
//! Owns the reading of that format (Kubernetes API concepts, "Server-Side Apply", field management);
//! decisions about it are made elsewhere.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference,
};
use serde_json::Value;

use crate::api::names;

/// Longest manager name a message shows.
const SHOWN: usize = 80;
/// Label by which tools say whose an object is.
const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The field manager of a Merge binding. A manager shared by two bindings would make each delete the
/// other's keys.
pub fn merge_manager(binding: &str) -> String {
    format!("{}/{binding}", names::FIELD_MANAGER)
}

/// True for every manager name keyferry writes under.
pub fn is_ours(manager: &str) -> bool {
    manager == names::FIELD_MANAGER
        || manager == names::METADATA_FIELD_MANAGER
        || manager
            .strip_prefix(names::FIELD_MANAGER)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The owner reference that says `controller: true`.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// Who else manages this object, as a message names it: `managed by "helm"`. The controller first, then
/// who wrote data last, then the label, then who wrote anything last.
pub fn managed_by(meta: &ObjectMeta) -> String {
    let label = || meta.labels.as_ref()?.get(LABEL_MANAGED_BY).cloned();
    controller(meta)
        .map(|owner| format!("{}/{}", owner.kind, owner.name))
        .or_else(|| last_writer(meta, Some("data")))
        .or_else(label)
        .or_else(|| last_writer(meta, None))
        .map_or_else(
            || "managed by somebody else".to_owned(),
            |name| format!("managed by \"{}\"", shown(&name)),
        )
}

/// The manager other than ours that wrote last; for messages about changes made after ours.
pub fn last_stranger(meta: &ObjectMeta) -> Option<String> {
    last_writer(meta, Some("data"))
        .or_else(|| last_writer(meta, None))
        .map(|name| shown(&name))
}

fn last_writer(meta: &ObjectMeta, section: Option<&str>) -> Option<String> {
    entries(meta)
        .filter(|entry| entry.manager.as_deref().is_some_and(|name| !is_ours(name)))
        .filter(|entry| section.is_none_or(|name| field(entry, &[name]).is_some()))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.clone())
}

/// The names below `path` (for example `["data"]` or `["metadata", "labels"]`) that `manager` owns.
pub fn owned(meta: &ObjectMeta, manager: &str, path: &[&str]) -> BTreeSet<String> {
    entries(meta)
        .filter(|entry| entry.manager.as_deref() == Some(manager))
        .filter_map(|entry| field(entry, path)?.as_object())
        .flat_map(|fields| fields.keys())
        .filter_map(|name| name.strip_prefix("f:").map(str::to_owned))
        .collect()
}

/// The manager other than `manager` that owns the key `key` of the data; the latest one.
pub fn other_owner_of_key(meta: &ObjectMeta, manager: &str, key: &str) -> Option<String> {
    entries(meta)
        .filter(|entry| entry.manager.as_deref().is_some_and(|name| name != manager))
        .filter(|entry| field(entry, &["data", key]).is_some())
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.as_deref().map(shown))
}

/// True when `manager` has an entry at all.
pub fn is_manager(meta: &ObjectMeta, manager: &str) -> bool {
    entries(meta).any(|entry| entry.manager.as_deref() == Some(manager))
}

/// When `manager` last changed something, in the API server's time.
pub fn changed_at(meta: &ObjectMeta, manager: &str) -> Option<Timestamp> {
    entries(meta)
        .filter(|entry| entry.manager.as_deref() == Some(manager))
        .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
        .max()
}

fn entries(meta: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    meta.managed_fields.iter().flatten()
}

fn field<'a>(entry: &'a ManagedFieldsEntry, path: &[&str]) -> Option<&'a Value> {
    let root = &entry.fields_v1.as_ref()?.0;
    path.iter()
        .try_fold(root, |at, name| at.get(format!("f:{name}")))
}

/// A manager's name is free text of its client: cut, and without control characters.
fn shown(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn meta(entries: &[(&str, i64, Value)]) -> ObjectMeta {
        let managed: Vec<Value> = entries
            .iter()
            .map(|(manager, second, fields)| {
                json!({"manager": manager, "operation": "Update", "fieldsV1": fields,
                       "time": Timestamp::from_second(*second).unwrap().to_string()})
            })
            .collect();
        serde_json::from_value(json!({"name": "s", "managedFields": managed})).unwrap()
    }

    #[test]
    fn the_manager_a_message_names() {
        let data = || json!({"f:data": {".": {}, "f:A": {}}});
        let other = || json!({"f:metadata": {"f:labels": {}}});
        let cases = [
            (
                meta(&[("helm", 1, data()), ("kubectl-label", 2, other())]),
                "managed by \"helm\"",
            ),
            (
                meta(&[("old", 1, data()), ("new", 2, data())]),
                "managed by \"new\"",
            ),
            (
                meta(&[("keyferry", 3, data()), ("kubectl-label", 2, other())]),
                "managed by \"kubectl-label\"",
            ),
            (
                meta(&[("keyferry/a", 3, data())]),
                "managed by somebody else",
            ),
            (meta(&[]), "managed by somebody else"),
        ];
        for (meta, wanted) in cases {
            assert_eq!(managed_by(&meta), wanted);
        }
    }

    #[test]
    fn a_controller_is_named_first_and_the_label_before_a_mere_labeller() {
        let mut meta = meta(&[("kubectl-label", 2, json!({"f:metadata": {}}))]);
        meta.labels = Some([(LABEL_MANAGED_BY.to_owned(), "Helm".to_owned())].into());
        assert_eq!(managed_by(&meta), "managed by \"Helm\"");
        meta.owner_references = Some(vec![OwnerReference {
            kind: "ExternalSecret".into(),
            name: "x".into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]);
        assert_eq!(managed_by(&meta), "managed by \"ExternalSecret/x\"");
    }

    #[test]
    fn owned_names_belong_to_one_manager() {
        let meta = meta(&[
            (
                "keyferry",
                1,
                json!({"f:metadata": {"f:labels": {".": {}, "f:a/b": {}}}}),
            ),
            ("helm", 1, json!({"f:metadata": {"f:labels": {"f:c": {}}}})),
        ]);
        let labels = |manager| owned(&meta, manager, &["metadata", "labels"]);
        assert_eq!(labels("keyferry"), ["a/b".to_owned()].into());
        assert_eq!(labels("nobody"), [].into());
    }

    #[test]
    fn the_other_owner_of_a_key() {
        let meta = meta(&[
            ("keyferry/a", 1, json!({"f:data": {"f:A": {}}})),
            ("kubectl-edit", 2, json!({"f:data": {"f:B": {}}})),
        ]);
        assert_eq!(other_owner_of_key(&meta, "keyferry/a", "A"), None);
        assert_eq!(
            other_owner_of_key(&meta, "keyferry/a", "B").as_deref(),
            Some("kubectl-edit")
        );
        assert_eq!(
            other_owner_of_key(&meta, "keyferry/b", "A").as_deref(),
            Some("keyferry/a")
        );
    }

    #[test]
    fn only_our_own_names_are_ours() {
        for (name, ours) in [
            ("keyferry", true),
            ("keyferry-metadata", true),
            ("keyferry/x", true),
            ("keyferry-fan", false),
            ("keyferryx/a", false),
            ("helm", false),
        ] {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }

    #[test]
    fn the_time_of_a_change_is_its_managers() {
        let meta = meta(&[
            ("keyferry", 5, json!({})),
            ("keyferry-metadata", 9, json!({})),
        ]);
        assert_eq!(changed_at(&meta, "keyferry").unwrap().as_second(), 5);
        assert_eq!(changed_at(&meta, "x"), None);
    }
}
