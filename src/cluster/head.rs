//! Objects of other kinds as watches read them: metadata, and of it what somebody asks for.
//!
//! kube's own type buffers each object whole and builds managedFields as a tree, which takes a hundred times the
//! memory of what is kept; between those buffers the rows that stay would be scattered.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// Metadata of an object of kind `K`, asked for without the rest of it.
pub struct Head<K> {
    /// Without managedFields.
    pub metadata: ObjectMeta,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Head<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Head<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Head")
    }
}

impl<'de, K> Deserialize<'de> for Head<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(deserialize_with = "metadata")]
            metadata: ObjectMeta,
        }
        let Wire { metadata } = Wire::deserialize(deserializer)?;
        Ok(Self {
            metadata,
            kind: PhantomData,
        })
    }
}

impl<K: Resource> Resource for Head<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        true
    }
    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }
    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }
    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }
    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Reads metadata past its managedFields.
pub(super) fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        annotations: Option<BTreeMap<String, String>>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        generation: Option<i64>,
        labels: Option<BTreeMap<String, String>>,
        name: Option<String>,
        namespace: Option<String>,
        owner_references: Option<Vec<OwnerReference>>,
        resource_version: Option<String>,
        uid: Option<String>,
    }
    let wire = Wire::deserialize(deserializer)?;
    Ok(ObjectMeta {
        annotations: wire.annotations,
        deletion_timestamp: wire.deletion_timestamp,
        finalizers: wire.finalizers,
        generation: wire.generation,
        labels: wire.labels,
        name: wire.name,
        namespace: wire.namespace,
        owner_references: wire.owner_references,
        resource_version: wire.resource_version,
        uid: wire.uid,
        ..ObjectMeta::default()
    })
}

/// A text that stays, in memory of its own: not where it was read, between what goes.
pub(super) fn kept(text: Option<String>) -> String {
    text.as_deref().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_rows_ask_for_is_read_and_managed_fields_are_not() {
        let mut object = json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": {
                "annotations": {"a": "1"},
                "deletionTimestamp": "2026-01-02T03:04:05Z",
                "finalizers": ["f"],
                "generation": 7,
                "labels": {"l": "2"},
                "name": "n",
                "namespace": "ns",
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "ou"}],
                "resourceVersion": "9",
                "uid": "u",
            },
        });
        let expected: ObjectMeta = serde_json::from_value(object["metadata"].clone()).unwrap();
        // Nothing that would have to be understood.
        object["metadata"]["managedFields"] = json!([{"fieldsV1": 7}, "anything"]);
        let head: Head<Secret> = serde_json::from_value(object).unwrap();
        assert_eq!(head.metadata, expected);
        assert!(Head::<Secret>::metadata_api());
    }
}
