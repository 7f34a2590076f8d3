//! The companion: the Secret that keeps the bytes of before while a rollout is open.
//!
//! It is named after the target, owned by the binding, and carries neither our label nor our watch.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    Revision,
    annotations::Marks,
    change::Data,
    ownership::{Claim, part},
    sources::Sources,
    write_plan::{self, LiveSecret},
};
use crate::api::{
    binding::CreationPolicy,
    names::{self, SUFFIX_PREVIOUS},
    status::SourceStatus,
};

/// Earlier bytes, and all that is written with them when they come back.
#[derive(Clone, Debug)]
pub struct Companion {
    /// The bytes, our keys only.
    pub data: Data,
    /// Their revision.
    pub revision: Revision,
    /// Where their entries stood.
    pub sources: Sources,
    /// The same as the status shows it.
    pub shown: Vec<SourceStatus>,
}

/// Its name.
pub fn name(target: &str) -> String {
    format!("{target}{SUFFIX_PREVIOUS}")
}

/// What is kept of the live Secret before its bytes are replaced. None: it holds none of ours.
pub fn of(
    claim: &Claim<'_>,
    live: &LiveSecret,
    revision: &Revision,
    shown: &[SourceStatus],
) -> Option<Companion> {
    let annotations = live.head.meta.annotations.clone().unwrap_or_default();
    let marks = Marks::parse(&annotations, write_plan::scope(claim));
    let ours = |key: &String| match claim.target.creation {
        CreationPolicy::Owner => true,
        CreationPolicy::Adopt | CreationPolicy::Merge => {
            marks.keys.as_ref().is_some_and(|keys| keys.contains(key))
        }
    };
    let data: Data = live
        .data
        .iter()
        .filter(|(key, _)| ours(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!data.is_empty()).then(|| Companion {
        data,
        revision: revision.clone(),
        sources: marks.sources,
        shown: shown.to_vec(),
    })
}

impl Companion {
    /// Its metadata, over that of one that is to be replaced.
    pub fn meta(&self, claim: &Claim<'_>, live: Option<&ObjectMeta>) -> ObjectMeta {
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        let annotations = [
            (
                names::ANNOTATION_REVISION,
                self.revision.as_str().to_owned(),
            ),
            (
                names::ANNOTATION_SOURCES,
                text(serde_json::to_string(&self.sources)),
            ),
            (
                names::ANNOTATION_SHOWN,
                text(serde_json::to_string(&self.shown)),
            ),
        ];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value));
        ObjectMeta {
            uid: live.and_then(|live| live.uid.clone()),
            resource_version: live.and_then(|live| live.resource_version.clone()),
            annotations: Some(annotations.into()),
            ..part(claim, name(&claim.target.name))
        }
    }

    /// Reads one back. None: it is not in our form.
    pub fn parse(found: LiveSecret) -> Option<Self> {
        let annotations = found.head.meta.annotations.unwrap_or_default();
        let text = |name: &str| annotations.get(name).map(String::as_str);
        Some(Self {
            data: found.data,
            revision: text(names::ANNOTATION_REVISION).and_then(Revision::parse)?,
            sources: serde_json::from_str(text(names::ANNOTATION_SOURCES)?).ok()?,
            shown: serde_json::from_str(text(names::ANNOTATION_SHOWN)?).ok()?,
        })
    }
}

/// True for a companion that this binding may replace and delete.
pub fn is_ours(claim: &Claim<'_>, meta: &ObjectMeta) -> bool {
    let labels: Option<&BTreeMap<String, String>> = meta.labels.as_ref();
    labels.and_then(|labels| labels.get(names::LABEL_PART_OF)) == Some(&claim.binding.to_owned())
}
