//! What a person is told when the target Secret could not be made what it should be.

use thiserror::Error;

use super::{ClusterError, error::FieldConflict};
use crate::{
    api::Reason,
    core::{Class, Finding, ownership::Claim, write_plan::Taken},
};

/// Why the Secret is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A person can act on it.
    #[error(transparent)]
    Finding(#[from] Finding),
    /// Only time helps: not for the status, the pass is tried again.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl ApplyError {
    /// Which row of the retry table this is.
    pub fn class(&self) -> Class {
        match self {
            Self::Cluster(error) => error.class(),
            Self::Finding(finding) => match finding.reason {
                Reason::OperatorForbidden => Class::Denied,
                Reason::TargetMissing => Class::Missing,
                Reason::Progressing => Class::Conflict,
                Reason::Fought => Class::Throttled,
                _ => Class::Invalid,
            },
        }
    }
}

/// The keys among fields that an apply was refused for; a label or annotation of ours that others hold
/// is a conflict about the Secret itself.
pub(super) fn keys_of(claim: &Claim<'_>, fields: Vec<FieldConflict>) -> Result<Taken, Finding> {
    let key = |conflict: FieldConflict| match conflict.field.strip_prefix(".data.") {
        Some(key) => Ok((key.to_owned(), conflict.manager)),
        None => Err(Finding::new(
            Reason::TargetConflict,
            format!(
                "{} of {} is managed by \"{}\".",
                conflict.field,
                claim.secret(),
                conflict.manager
            ),
            "Remove it there, or from spec.target. It was not touched.",
        )),
    };
    fields.into_iter().map(key).collect()
}

/// What a person can act on becomes a finding; the rest stays trouble of the API server.
pub(super) fn explain(claim: &Claim<'_>, error: ClusterError) -> ApplyError {
    let secret = claim.secret();
    match error {
        ClusterError::Forbidden {
            verb,
            resource,
            why,
        } => forbidden(claim.namespace, verb, resource, &why).into(),
        ClusterError::TooLarge => too_large(&secret).into(),
        ClusterError::Invalid { causes } => invalid(&secret, &causes).into(),
        other => other.into(),
    }
}

/// A right that the operator lacks.
pub fn forbidden(namespace: &str, verb: &str, resource: &str, why: &str) -> Finding {
    Finding::new(
        Reason::OperatorForbidden,
        format!("The operator may not {verb} {resource} in namespace {namespace}: {why}."),
        format!("Grant its ServiceAccount {verb} on {resource} there."),
    )
}

fn too_large(secret: &str) -> Finding {
    Finding::new(
        Reason::TooLarge,
        format!("{secret} would exceed the 1 MiB that a Secret can hold."),
        "Take fewer or smaller entries.",
    )
}

fn invalid(secret: &str, causes: &[String]) -> Finding {
    if causes
        .iter()
        .any(|cause| cause.contains("FieldValueTooLong"))
    {
        return too_large(secret);
    }
    let missing = causes
        .iter()
        .any(|cause| cause.starts_with("data") && cause.contains("FieldValueRequired"));
    let reason = if missing {
        Reason::RequiredMissing
    } else {
        Reason::InvalidKey
    };
    let list = if causes.is_empty() {
        "no field named".to_owned()
    } else {
        causes.join(", ")
    };
    Finding::new(
        reason,
        format!("The API server refuses {secret}: {list}."),
        "Correct these fields, keys or target.type in the binding.",
    )
}

#[cfg(test)]
#[path = "apply_error_test.rs"]
mod tests;
