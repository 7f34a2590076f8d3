//! A workload, reduced while it is decoded: own shapes over the raw text, no typed pod spec, no
//! managedFields. An object that cannot be understood keeps its name only, so that it stalls no
//! listing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    secret_references,
    shapes::{Condition, Identity, Named, Selector, Shape, Status, Template},
};
use crate::{
    api::names::ANNOTATION_ROLLOUT,
    core::rollout::{Kind, Strategy, Workload, marker, workload::Numbers},
};

/// Longest name of an object (Kubernetes: DNS subdomain).
const MAX_NAME: usize = 253;

/// `kube::Resource` for a type with a field `meta` whose kind is known only when it runs.
macro_rules! by_hand {
    ($type:ty) => {
        impl kube::Resource for $type {
            type DynamicType = kube::core::ApiResource;
            type Scope = kube::core::DynamicResourceScope;

            fn kind(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                dt.kind.as_str().into()
            }
            fn group(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                dt.group.as_str().into()
            }
            fn version(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                dt.version.as_str().into()
            }
            fn api_version(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                dt.api_version.as_str().into()
            }
            fn plural(dt: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                dt.plural.as_str().into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.meta
            }
            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.meta
            }
        }
    };
}
pub(super) use by_hand;

/// A workload of any kind: list items do not say which.
#[derive(Clone, Debug)]
pub(super) struct WorkloadObject {
    /// Name, namespace, uid and resourceVersion only.
    meta: ObjectMeta,
    /// Of a placeholder kind.
    workload: Option<Workload>,
}

by_hand!(WorkloadObject);

impl WorkloadObject {
    /// None when it cannot be understood.
    pub(super) fn into_workload(self, kind: Kind) -> Option<Workload> {
        self.workload.map(|workload| Workload { kind, ..workload })
    }

    pub(super) fn into_identity(self) -> (String, String) {
        let meta = self.meta;
        (meta.name.unwrap_or_default(), meta.uid.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for WorkloadObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // kube decodes lists and watch events through buffers that cannot lend.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let named: Named<'_> = serde_json::from_str(raw.get()).map_err(undecodable)?;
        let workload = serde_json::from_str::<Shape<'_>>(raw.get())
            .and_then(project)
            .ok();
        Ok(Self {
            meta: named.metadata.into_meta(),
            workload,
        })
    }
}

/// serde_json's own text may quote what stands in the object.
fn undecodable<E: serde::de::Error>(error: serde_json::Error) -> E {
    E::custom(format_args!(
        "undecodable workload: {:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    ))
}

impl Identity<'_> {
    fn into_meta(self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.into_owned()),
            namespace: Some(self.namespace.into_owned()),
            uid: Some(self.uid.into_owned()),
            resource_version: Some(self.resource_version.into_owned()),
            ..ObjectMeta::default()
        }
    }
}

fn project(shape: Shape<'_>) -> serde_json::Result<Workload> {
    let Shape {
        metadata,
        spec,
        status,
    } = shape;
    let template = spec
        .template
        .or(spec.job_template.map(|job| job.spec.template));
    let (markers, secrets, mounted, template_hash) = match &template {
        Some(template) => (
            markers(template),
            secret_references::used(template.spec)?,
            secret_references::mounted(template.spec)?,
            hash(template),
        ),
        None => Default::default(),
    };
    Ok(Workload {
        kind: Kind::Deployment,
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        labels: metadata.labels,
        opted_out: metadata
            .annotations
            .get(ANNOTATION_ROLLOUT)
            .is_some_and(|value| value == "ignore"),
        controlled: metadata.owner_references.iter().any(|o| o.controller),
        finished: status.conditions.iter().any(ends_a_job),
        wanted: status
            .desired_number_scheduled
            .or(spec.replicas)
            .unwrap_or(1),
        paused: spec.paused || spec.suspend,
        strategy: match spec.strategy.type_.as_str() {
            "Recreate" => Strategy::Recreate,
            "OnDelete" => Strategy::OnDelete,
            _ => Strategy::RollingUpdate,
        },
        partition: spec.strategy.rolling_update.partition,
        markers,
        secrets,
        mounted,
        selector: spec.selector.map(query).unwrap_or_default(),
        template_hash,
        numbers: numbers(status),
    })
}

fn ends_a_job(condition: &Condition) -> bool {
    matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
}

fn numbers(status: Status) -> Numbers {
    let used_up = used_up(&status.conditions);
    let progressing = status
        .conditions
        .into_iter()
        .find(|c| c.type_ == "Progressing");
    let [replicas, updated, available, ready] = match status.desired_number_scheduled {
        Some(_) => [
            status.current_number_scheduled,
            status.updated_number_scheduled,
            status.number_available,
            status.number_ready,
        ],
        None => [
            status.replicas,
            status.updated_replicas,
            status.available_replicas,
            status.ready_replicas,
        ],
    };
    Numbers {
        observed_generation: status.observed_generation,
        replicas,
        updated,
        available,
        ready,
        progressing_reason: progressing.map(|c| c.reason).unwrap_or_default(),
        used_up,
    }
}

/// The quota for which no pod can be made, by what the API server told the controller. Only its name is taken: that
/// text may hold anything.
fn used_up(conditions: &[Condition]) -> String {
    let refused = |c: &&Condition| c.type_ == "ReplicaFailure" && c.status == "True";
    let told = conditions.iter().find(refused);
    let quota = told.and_then(|c| c.message.split_once("exceeded quota: "));
    let name = quota.and_then(|(_, rest)| rest.split(',').next());
    let is_name = |name: &&str| {
        name.len() <= MAX_NAME
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    name.filter(is_name).unwrap_or_default().to_owned()
}

fn markers(template: &Template<'_>) -> crate::core::rollout::workload::Markers {
    let ours = template
        .metadata
        .annotations
        .iter()
        .filter(|(key, _)| marker::is_key(key));
    ours.map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// Over labels, annotations without our markers, and the spec as the API server spells it: it
/// spells an unchanged object the same way each time.
fn hash(template: &Template<'_>) -> String {
    let annotations = template
        .metadata
        .annotations
        .iter()
        .filter(|(key, _)| !marker::is_key(key));
    let mut text = String::new();
    for (key, value) in template.metadata.labels.iter().chain(annotations) {
        text.extend([key.as_ref(), "\0", value.as_ref(), "\0"]);
    }
    text.push_str(template.spec.get());
    marker::hex_hash(text.as_bytes())[..16].to_owned()
}

/// A selector as a query takes it.
fn query(selector: Selector) -> String {
    let labels = selector
        .match_labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"));
    let expressions = selector.match_expressions.iter().map(|e| {
        let values = e.values.join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "DoesNotExist" => format!("!{}", e.key),
            _ => e.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "projection_test.rs"]
mod tests;
