//! Bindings as they are watched: identity typed, spec and status as the bytes that came.
//!
//! A typed copy of 10,000 bindings costs twice the memory of their bytes, and one binding that does
//! not decode must not stop the watch of the others: so the spec is parsed once per pass.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::head::{self, kept};
use crate::api::{
    ExternalSecretBinding, ExternalSecretBindingSpec, ExternalSecretBindingStatus, Reason, names,
};

/// Characters of a request's annotation that count: as many as the status may echo.
const TOKEN_CHARS: usize = 4_096;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object's metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self::new(text(&meta.namespace), text(&meta.name))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A binding as it comes from the API server.
#[derive(Clone)]
pub struct BindingObject {
    /// Metadata, without managedFields.
    pub metadata: ObjectMeta,
    /// `spec`, as it came.
    pub spec: Option<Box<RawValue>>,
    /// `status`, as it came.
    pub status: Option<Box<RawValue>>,
}

impl fmt::Debug for BindingObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BindingObject({})", ObjectKey::of(&self.metadata))
    }
}

impl<'de> Deserialize<'de> for BindingObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(deserialize_with = "head::metadata")]
            metadata: ObjectMeta,
            #[serde(default)]
            spec: Option<Box<RawValue>>,
            #[serde(default)]
            status: Option<Box<RawValue>>,
        }
        let Wire {
            metadata,
            spec,
            status,
        } = Wire::deserialize(deserializer)?;
        Ok(Self {
            metadata,
            spec,
            status,
        })
    }
}

impl Resource for BindingObject {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        ExternalSecretBinding::kind(dt)
    }
    fn group(dt: &()) -> Cow<'_, str> {
        ExternalSecretBinding::group(dt)
    }
    fn version(dt: &()) -> Cow<'_, str> {
        ExternalSecretBinding::version(dt)
    }
    fn plural(dt: &()) -> Cow<'_, str> {
        ExternalSecretBinding::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is kept of a binding.
#[derive(Debug)]
pub struct BindingRow {
    /// Its uid: a deleted and recreated binding is another one.
    pub uid: String,
    /// resourceVersion of this copy.
    pub resource_version: String,
    /// Generation of this copy.
    pub generation: i64,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is set.
    pub has_finalizer: bool,
    /// The refresh annotation.
    pub refresh: Option<String>,
    /// The rollback annotation.
    pub rollback: Option<String>,
    /// Name of the Secret it writes.
    pub target: String,
    /// `spec.rollout` is present.
    pub rolls: bool,
    /// ServiceAccount it reads as.
    pub service_account: Option<String>,
    /// The workloads its status speaks of.
    pub workloads: Vec<WorkloadRef>,
    /// Its last pass was stopped by the access policies.
    pub waits_for_policy: bool,
    spec: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

impl BindingRow {
    /// The row of an object.
    pub fn new(object: BindingObject) -> Self {
        let meta = object.metadata;
        let has_finalizer = meta
            .finalizers
            .iter()
            .flatten()
            .any(|name| name == names::FINALIZER_MERGE);
        let token = |name: &str| {
            let text = meta.annotations.as_ref()?.get(name)?;
            Some(text.chars().take(TOKEN_CHARS).collect::<String>())
        };
        let refresh = token(names::ANNOTATION_REFRESH);
        let rollback = token(names::ANNOTATION_ROLLBACK);
        let peeked: PeekSpec = peek(object.spec.as_deref());
        let status: PeekStatus = peek(object.status.as_deref());
        let name = kept(meta.name);
        Self {
            target: peeked.target.and_then(|t| t.name).unwrap_or(name),
            rolls: peeked.rollout.is_some(),
            service_account: peeked.source.and_then(|s| s.service_account_name),
            workloads: status.rollouts,
            waits_for_policy: status
                .conditions
                .iter()
                .any(PeekCondition::waits_for_policy),
            uid: kept(meta.uid),
            resource_version: kept(meta.resource_version),
            generation: meta.generation.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            has_finalizer,
            refresh,
            rollback,
            // Copies, as with `kept`.
            spec: object.spec.clone(),
            status: object.status.clone(),
        }
    }

    /// The spec, or line and column of what does not decode (never its text).
    pub fn spec(&self) -> Result<ExternalSecretBindingSpec, String> {
        let raw = self.spec.as_ref().map_or("{}", |raw| raw.get());
        serde_json::from_str(raw).map_err(|e| {
            format!(
                "spec does not decode (line {}, column {})",
                e.line(),
                e.column()
            )
        })
    }

    /// The status; one that does not decode counts as none, since we write it whole.
    pub fn status(&self) -> ExternalSecretBindingStatus {
        let raw = self.status.as_ref().map_or("{}", |raw| raw.get());
        serde_json::from_str(raw).unwrap_or_default()
    }

    /// True when the two copies carry the same status, byte for byte.
    pub fn same_status(&self, other: &Self) -> bool {
        let text = |row: &Self| row.status.as_ref().map(|raw| raw.get().to_owned());
        text(self) == text(other)
    }

    /// True when the two copies ask for the same: anything else than the status is equal.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.generation == other.generation
            && self.deleting == other.deleting
            && self.has_finalizer == other.has_finalizer
            && self.refresh == other.refresh
            && self.rollback == other.rollback
    }
}

/// The few fields that indexes need, read without decoding the rest.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PeekSpec {
    target: Option<PeekTarget>,
    rollout: Option<serde::de::IgnoredAny>,
    source: Option<PeekSource>,
}

#[derive(Deserialize)]
struct PeekTarget {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeekSource {
    service_account_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PeekStatus {
    rollouts: Vec<WorkloadRef>,
    conditions: Vec<PeekCondition>,
}

#[derive(Deserialize)]
struct PeekCondition {
    reason: String,
}

impl PeekCondition {
    fn waits_for_policy(&self) -> bool {
        [Reason::AccessNotAllowed, Reason::PolicyUnreadable]
            .iter()
            .any(|r| r.as_str() == self.reason)
    }
}

/// A workload as an entry of `status.rollouts` names it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct WorkloadRef {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty for one that does not exist.
    #[serde(default)]
    pub uid: String,
}

/// What does not decode counts as absent; the pass says so in words.
fn peek<T: Default + for<'de> Deserialize<'de>>(raw: Option<&RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// True when `a` is newer than `b`. resourceVersions of one collection compare as numbers
/// (Kubernetes 1.35, "comparable resource version"); others count as newer.
pub fn is_newer(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => a != b,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(json: &str) -> BindingRow {
        BindingRow::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_binding_that_does_not_decode_still_has_a_row() {
        let row = row(
            r#"{"metadata":{"name":"a","namespace":"n","uid":"u","generation":2},"spec":{"data":7}}"#,
        );
        assert_eq!(row.generation, 2);
        let error = row.spec().unwrap_err();
        assert!(error.contains("column"), "{error}");
    }

    #[test]
    fn a_status_change_asks_for_nothing_new() {
        let a = row(r#"{"metadata":{"uid":"u","generation":1,"resourceVersion":"5"},"spec":{}}"#);
        let b = row(
            r#"{"metadata":{"uid":"u","generation":1,"resourceVersion":"6"},"spec":{},"status":{"observedGeneration":1}}"#,
        );
        assert!(a.asks_the_same(&b));
        let c = row(
            r#"{"metadata":{"uid":"u","generation":1,"annotations":{"keyferry.dev/refresh":"x"}},"spec":{}}"#,
        );
        assert!(!a.asks_the_same(&c));
        let d = row(
            r#"{"metadata":{"uid":"u","generation":1,"annotations":{"keyferry.dev/rollback":"abc/1"}},"spec":{}}"#,
        );
        assert!(!a.asks_the_same(&d));
    }

    #[test]
    fn a_request_is_cut_to_what_the_status_can_echo() {
        let long = "é".repeat(TOKEN_CHARS + 1);
        let row = row(&format!(
            r#"{{"metadata":{{"annotations":{{"keyferry.dev/refresh":"{long}"}}}},"spec":{{}}}}"#
        ));
        assert_eq!(row.refresh.unwrap().chars().count(), TOKEN_CHARS);
    }

    #[test]
    fn resource_versions_compare_as_numbers() {
        assert!(is_newer("10", "9"));
        assert!(!is_newer("9", "10"));
        assert!(!is_newer("9", "9"));
        assert!(is_newer("x", "9"));
    }
}
