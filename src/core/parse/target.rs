//! `spec.target`: which Secrets may be written at all.

use std::collections::BTreeMap;

use super::{Problem, is_dns_subdomain};
use crate::api::binding::{CreationPolicy, DeletionPolicy, Target};
use crate::api::names::{SUFFIX_CANDIDATE, SUFFIX_PREVIOUS};
use crate::api::{Reason, limits};
use crate::core::Finding;
use crate::core::recipe::TargetRecipe;

const MAX_TARGET_NAME: usize = limits::TARGET_NAME_CHARS as usize;
const MAX_TYPE: usize = limits::TARGET_TYPE_CHARS as usize;
const MAX_METADATA: usize = limits::TARGET_METADATA_ENTRIES as usize;
const MAX_ANNOTATION: usize = limits::ANNOTATION_VALUE_CHARS as usize;

pub(super) fn target(binding: &str, target: Option<&Target>) -> Result<TargetRecipe, Problem> {
    let target = target.cloned().unwrap_or_default();
    let creation = target.creation_policy.unwrap_or_default();
    let by_default = match creation {
        CreationPolicy::Adopt => DeletionPolicy::Retain,
        CreationPolicy::Owner | CreationPolicy::Merge => DeletionPolicy::Delete,
    };
    let recipe = TargetRecipe {
        name: target.name.unwrap_or_else(|| binding.to_owned()),
        type_: target.type_.unwrap_or_else(|| "Opaque".to_owned()),
        labels: target.labels,
        annotations: target.annotations,
        creation,
        deletion: target.deletion_policy.unwrap_or(by_default),
    };
    check(&recipe)?;
    Ok(recipe)
}

/// The rules of the API about the Secret itself. The writer calls it again just before each write.
///
/// # Errors
/// `TypeNotAllowed` for a refused type, `InvalidKey` for a refused label or annotation,
/// `TargetConflict` for a name that belongs to something else.
pub fn check_target(target: &TargetRecipe) -> Result<(), Finding> {
    check(target)
        .map_err(|p| p.into_finding("Correct spec.target of the binding; we notice at once."))
}

fn check(target: &TargetRecipe) -> Result<(), Problem> {
    check_name(&target.name)?;
    check_type(&target.type_)?;
    if target.creation == CreationPolicy::Adopt && target.deletion == DeletionPolicy::Delete {
        let sentence = "must be Retain with `creationPolicy: Adopt`";
        return Err(Problem::spec("spec.target.deletionPolicy", sentence));
    }
    check_metadata("spec.target.labels", &target.labels, is_label_value)?;
    check_metadata("spec.target.annotations", &target.annotations, |v| {
        v.chars().count() <= MAX_ANNOTATION
    })
}

fn check_name(name: &str) -> Result<(), Problem> {
    let field = "spec.target.name";
    if name.len() > MAX_TARGET_NAME || !is_dns_subdomain(name) {
        let sentence = "must be a name of at most 200 lower-case letters, digits, - and .";
        return Err(Problem::spec(field, sentence));
    }
    if name.ends_with(SUFFIX_PREVIOUS) || name.ends_with(SUFFIX_CANDIDATE) {
        let sentence = format!("must not end in {SUFFIX_PREVIOUS} or {SUFFIX_CANDIDATE}");
        return Err(Problem::new(Reason::TargetConflict, field, sentence));
    }
    if name.starts_with("sh.helm.release.") {
        return Err(Problem::new(
            Reason::TargetConflict,
            field,
            "must not be a Helm release",
        ));
    }
    Ok(())
}

fn check_type(type_: &str) -> Result<(), Problem> {
    let refuse = |sentence: &str| {
        Err(Problem::new(
            Reason::TypeNotAllowed,
            "spec.target.type",
            sentence,
        ))
    };
    if type_.is_empty() || type_.len() > MAX_TYPE || !type_.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("must have 1 to 253 printable characters");
    }
    if !limits::secret_type_is_allowed(type_) {
        return refuse(
            "must be Opaque, kubernetes.io/tls, kubernetes.io/dockerconfigjson, kubernetes.io/basic-auth, \
             kubernetes.io/ssh-auth or a type outside kubernetes.io and helm.sh: the cluster acts upon the others",
        );
    }
    Ok(())
}

fn check_metadata(
    field: &str,
    map: &BTreeMap<String, String>,
    value_fits: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    if map.len() > MAX_METADATA {
        return Err(Problem::spec(field, "must have at most 50 names"));
    }
    for (name, value) in map {
        if !is_qualified_name(name) || !value_fits(value) {
            return Err(Problem::spec(
                field,
                "must be names and values that Kubernetes allows",
            ));
        }
        if !limits::metadata_key_is_allowed(name) {
            let sentence = "must not set names under kubernetes.io, k8s.io, keyferry.dev, Helm or GitOps tools";
            return Err(Problem::spec(field, sentence));
        }
    }
    Ok(())
}

/// `[domain/]name` (source: apimachinery `validation.IsQualifiedName`).
fn is_qualified_name(text: &str) -> bool {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    domain.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Empty, or at most 63 characters that begin and end with a letter or digit.
fn is_label_value(value: &str) -> bool {
    let alphanumeric = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    value.len() <= 63
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && alphanumeric(value.bytes().next())
        && alphanumeric(value.bytes().last())
}
