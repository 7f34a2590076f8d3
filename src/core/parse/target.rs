//! `spec.target`: which Secrets may be written at all.

use std::collections::BTreeMap;

use super::{Problem, is_dns_subdomain};
use crate::api::Reason;
use crate::api::binding::{CreationPolicy, DeletionPolicy, Target};
use crate::api::names::{SUFFIX_CANDIDATE, SUFFIX_PREVIOUS};
use crate::core::Finding;
use crate::core::recipe::TargetRecipe;

/// Leaves room for the suffixes of our own companions.
const MAX_TARGET_NAME: usize = 200;
const MAX_METADATA: usize = 50;
const MAX_ANNOTATION: usize = 4_096;

/// The types under `kubernetes.io` that hold nothing but data. A `service-account-token` would make the
/// API server mint a token, a bootstrap token lets nodes join.
const ALLOWED_TYPES: [&str; 4] = [
    "kubernetes.io/tls",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
];

/// Owners of labels and annotations: Kubernetes, keyferry, and the tools that recognise by them what
/// they may prune.
const RESERVED_DOMAINS: [&str; 11] = [
    "kubernetes.io",
    "k8s.io",
    "keyferry.dev",
    "argoproj.io",
    "fluxcd.io",
    "helm.sh",
    "cattle.io",
    "k14s.io",
    "kpt.dev",
    "configmanagement.gke.io",
    "configsync.gke.io",
];

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
        v.len() <= MAX_ANNOTATION
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
    let lower = type_.to_ascii_lowercase();
    if type_.is_empty() || type_.len() > 253 || !type_.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("must have 1 to 253 printable characters");
    }
    if lower.contains("kubernetes.io/") && !ALLOWED_TYPES.contains(&type_) {
        return refuse(
            "must be Opaque, kubernetes.io/tls, kubernetes.io/dockerconfigjson, kubernetes.io/basic-auth, \
             kubernetes.io/ssh-auth or a type outside kubernetes.io",
        );
    }
    if lower.starts_with("helm.sh/") {
        return refuse("must not be a Helm release");
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
        let domain = name.split_once('/').map_or("", |(domain, _)| domain);
        if let Some(owner) = RESERVED_DOMAINS.iter().find(|r| is_under(domain, r)) {
            return Err(Problem::spec(
                field,
                format!("must not set names under {owner}"),
            ));
        }
    }
    Ok(())
}

fn is_under(domain: &str, owner: &str) -> bool {
    match domain.strip_suffix(owner) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
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
