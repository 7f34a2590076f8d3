//! The metadata a target Secret should have, given the metadata it has.
//!
//! What is foreign stays. What we set once and no longer want goes: `managedFields` tell which that is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};

use super::{
    Finding,
    annotations::{Marks, Scope},
    managers,
    ownership::{Claim, owner_references},
};
use crate::api::names;

/// Where `kubectl apply` keeps a copy of what was applied: of a Secret, its values.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Labels or annotations.
pub type Strings = BTreeMap<String, String>;

/// The parts of the metadata that keyferry writes, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetMeta {
    /// All labels.
    pub labels: Strings,
    /// All annotations.
    pub annotations: Strings,
    /// All owners.
    pub owners: Vec<OwnerReference>,
}

/// What a Secret of policy Owner or Adopt should carry. `live` is empty for a new one.
///
/// # Errors
/// `TooLarge` when the marks do not fit.
pub fn whole(claim: &Claim<'_>, live: &ObjectMeta, marks: &Marks) -> Result<TargetMeta, Finding> {
    let scope = Scope::Whole {
        binding: claim.binding,
    };
    let records = scope.all_names();
    let mut labels = kept(live.labels.as_ref(), &set_by_us(live, "labels"));
    labels.extend(wanted_labels(claim));
    let mut annotations = kept(live.annotations.as_ref(), &set_by_us(live, "annotations"));
    annotations.retain(|name, value| !records.contains(name) && !holds_data(name, value));
    annotations.extend(claim.target.annotations.clone());
    annotations.extend(marks.render(scope)?);
    Ok(TargetMeta {
        labels,
        annotations,
        owners: owner_references(claim, live),
    })
}

/// What a Merge binding applies: only its own labels and annotations, no owner.
///
/// # Errors
/// `TooLarge` when the marks do not fit.
pub fn merged(claim: &Claim<'_>, marks: &Marks) -> Result<TargetMeta, Finding> {
    let mut annotations = claim.target.annotations.clone();
    annotations.extend(marks.render(Scope::Merge {
        binding: claim.binding,
    })?);
    Ok(TargetMeta {
        labels: wanted_labels(claim),
        annotations,
        owners: Vec::new(),
    })
}

fn wanted_labels(claim: &Claim<'_>) -> Strings {
    let ours = (names::LABEL_MANAGED.to_owned(), "true".to_owned());
    claim
        .target
        .labels
        .clone()
        .into_iter()
        .chain([ours])
        .collect()
}

fn set_by_us(live: &ObjectMeta, section: &str) -> BTreeSet<String> {
    [names::FIELD_MANAGER, names::METADATA_FIELD_MANAGER]
        .iter()
        .flat_map(|manager| managers::owned(live, manager, &["metadata", section]))
        .collect()
}

fn kept(live: Option<&Strings>, ours: &BTreeSet<String>) -> Strings {
    let all = live.into_iter().flatten();
    all.filter(|(name, _)| !ours.contains(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A last-applied copy that holds data would keep old values readable beside ours. One that cannot be
/// read is treated as if it did.
fn holds_data(name: &str, value: &str) -> bool {
    let bare = |object: &Map<String, Value>| {
        !object.contains_key("data") && !object.contains_key("stringData")
    };
    name == LAST_APPLIED
        && !serde_json::from_str(value).is_ok_and(|object: Map<String, Value>| bare(&object))
}

impl TargetMeta {
    /// True when `live` carries exactly this.
    pub fn is_on(&self, live: &ObjectMeta) -> bool {
        live.labels.as_ref().unwrap_or(&Strings::new()) == &self.labels
            && live.annotations.as_ref().unwrap_or(&Strings::new()) == &self.annotations
            && live.owner_references.iter().flatten().eq(&self.owners)
    }

    /// True when `live` carries this among other things, and nothing that `manager` applied before and
    /// that is not in here.
    pub fn is_applied_on(&self, live: &ObjectMeta, manager: &str) -> bool {
        let holds = |live: Option<&Strings>, ours: &Strings| {
            ours.iter()
                .all(|(name, value)| live.and_then(|live| live.get(name)) == Some(value))
        };
        let nothing_more = |section: &str, ours: &Strings| {
            let owned = managers::owned(live, manager, &["metadata", section]);
            owned.iter().all(|name| ours.contains_key(name))
        };
        holds(live.labels.as_ref(), &self.labels)
            && holds(live.annotations.as_ref(), &self.annotations)
            && nothing_more("labels", &self.labels)
            && nothing_more("annotations", &self.annotations)
    }

    /// `live` with these parts replaced: the metadata of a PUT. Without managedFields, which the API
    /// server then keeps as they are.
    pub fn over(&self, live: &ObjectMeta) -> ObjectMeta {
        ObjectMeta {
            labels: Some(self.labels.clone()),
            annotations: Some(self.annotations.clone()),
            owner_references: Some(self.owners.clone()).filter(|owners| !owners.is_empty()),
            managed_fields: None,
            ..live.clone()
        }
    }

    /// The JSON merge patch (RFC 7386) that turns `live` into this, bound to the resourceVersion of `live`.
    pub fn patch(&self, live: &ObjectMeta) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(live.resource_version));
        metadata.insert(
            "labels".to_owned(),
            difference(live.labels.as_ref(), &self.labels),
        );
        metadata.insert(
            "annotations".to_owned(),
            difference(live.annotations.as_ref(), &self.annotations),
        );
        if !live.owner_references.iter().flatten().eq(&self.owners) {
            metadata.insert("ownerReferences".to_owned(), json!(self.owners));
        }
        json!({ "metadata": metadata })
    }
}

fn difference(live: Option<&Strings>, wanted: &Strings) -> Value {
    let none = Strings::new();
    let live = live.unwrap_or(&none);
    let gone = live
        .keys()
        .filter(|name| !wanted.contains_key(*name))
        .map(|name| (name.clone(), Value::Null));
    let new = wanted
        .iter()
        .filter(|(name, value)| live.get(*name) != Some(value));
    gone.chain(new.map(|(name, value)| (name.clone(), json!(value))))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
#[path = "target_meta_test.rs"]
mod tests;
