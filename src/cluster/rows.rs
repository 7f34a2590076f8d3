//! What is kept of watched Secrets and ServiceAccounts. Never data, never a token.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::names;

/// What is kept of a Secret that carries our label. Never its data.
#[derive(Debug)]
pub struct SecretRow {
    /// Its uid.
    pub uid: String,
    /// resourceVersion of this copy.
    pub resource_version: String,
    /// The binding that owns it.
    pub binding: Option<String>,
    /// Uid of the binding in its owner reference.
    pub owner_uid: Option<String>,
    /// The bindings that merge keys into it.
    pub merged: BTreeSet<String>,
    /// Annotation `revision`.
    pub revision: Option<String>,
    /// Annotation `digest`.
    pub digest: Option<String>,
    /// It records versions that failed, of whichever binding.
    pub rejected: bool,
}

impl SecretRow {
    pub(super) fn new(meta: ObjectMeta) -> Self {
        let annotations = meta.annotations.unwrap_or_default();
        let get = |name: &str| annotations.get(name).cloned();
        let merge_prefix = format!("revision.{}/", names::GROUP);
        let rejected_prefix = format!("rejected.{}/", names::GROUP);
        Self {
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            owner_uid: meta
                .owner_references
                .iter()
                .flatten()
                .find(|owner| {
                    owner.api_version.starts_with(names::GROUP)
                        && get(names::ANNOTATION_BINDING).as_ref() == Some(&owner.name)
                })
                .map(|owner| owner.uid.clone()),
            binding: get(names::ANNOTATION_BINDING),
            merged: annotations
                .keys()
                .filter_map(|key| key.strip_prefix(&merge_prefix).map(str::to_owned))
                .collect(),
            revision: get(names::ANNOTATION_REVISION),
            digest: get(names::ANNOTATION_DIGEST),
            rejected: annotations.contains_key(names::ANNOTATION_REJECTED)
                || annotations
                    .keys()
                    .any(|key| key.starts_with(&rejected_prefix)),
        }
    }

    pub(super) fn bindings(&self) -> impl Iterator<Item = &String> {
        self.binding.iter().chain(&self.merged)
    }
}

/// What is kept of a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountRow {
    /// Its uid.
    pub uid: String,
    /// Its IRSA role.
    pub role_arn: Option<String>,
}

impl ServiceAccountRow {
    pub(super) fn new(meta: ObjectMeta) -> Self {
        let role = meta
            .annotations
            .unwrap_or_default()
            .remove(names::ANNOTATION_ROLE_ARN);
        Self {
            uid: meta.uid.unwrap_or_default(),
            role_arn: role,
        }
    }
}
