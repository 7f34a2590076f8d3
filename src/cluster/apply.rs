//! The verb `apply`: makes the target Secret what a pass rendered.
//!
//! Reads what is there, has `core::write_plan` decide, sends that one request, and starts over when
//! somebody else was faster. Everything that is decided is decided there.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use thiserror::Error;

use super::{ClusterError, error::FieldConflict, secrets::Secrets};
use crate::{
    api::{Reason, binding::CreationPolicy, names},
    core::{
        Class, Finding, Revision,
        change::{Change, Repairs, Wanted},
        managers,
        ownership::{self, Claim},
        write_plan::{LiveSecret, Plan, Step, Taken, plan},
    },
};

/// How often one write starts over when others keep changing the Secret.
const TRIES: usize = 5;

/// What the caller knows of the Secret.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The synced watch shows none: POST without a look.
    Absent,
    /// It may exist.
    Unknown,
    /// As a [`Written::AskFirst`] just returned it.
    Live(Box<LiveSecret>),
}

/// Whether bytes that exist may be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// No rollout depends on it: always.
    NotNeeded,
    /// Only by the revision whose intent the status holds; any other is asked for first.
    Recorded(Option<Revision>),
}

/// One write.
pub struct Write<'a> {
    /// What the Secret shall hold.
    pub wanted: Wanted<'a>,
    /// What is known of it.
    pub seen: Seen,
    /// Whether existing bytes may be replaced.
    pub intent: Intent,
    /// Whether this namespace has a binding of a name.
    pub binding_exists: &'a (dyn Fn(&str) -> bool + Sync),
    /// Repairs made so far; the caller records one more for every [`What::Repaired`].
    pub repairs: &'a Repairs,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// POST.
    Created,
    /// Other bytes.
    Updated,
    /// Labels, annotations or owner.
    MetadataOnly,
    /// No request but a read.
    Unchanged,
    /// Bytes changed by somebody else were put right.
    Repaired,
}

/// The Secret after a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The revision of our bytes.
    pub revision: Revision,
    /// The revision of our bytes before; None for a new Secret.
    pub live_revision: Option<Revision>,
    /// What was done.
    pub what: What,
    /// When our bytes last changed, in the API server's time (Merge: when our part last changed).
    pub changed_at: Option<Timestamp>,
    /// Keys that were left to others (Merge).
    pub conflict: Option<Finding>,
    /// Keys of others that stay (Adopt).
    pub unknown_keys: usize,
}

/// How a write ended.
#[derive(Debug)]
pub enum Written {
    /// The Secret is as it should be.
    Done(Outcome),
    /// Nothing was written yet: existing bytes would be replaced by `revision`. Record the intent and
    /// write again with [`Seen::Live`] and [`Intent::Recorded`].
    AskFirst {
        /// The revision to be written.
        revision: Revision,
        /// The revision of the bytes there are.
        live_revision: Option<Revision>,
        /// The Secret as it was read.
        live: Box<LiveSecret>,
    },
    /// Nothing can be created here any more, and nobody needs to be told.
    NamespaceTerminating,
}

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

/// Makes the Secret what is wanted.
///
/// # Errors
/// A finding (ownership, keys, size, rights), or the API server's trouble.
pub async fn write(secrets: &Secrets, write: Write<'_>) -> Result<Written, ApplyError> {
    let claim = &write.wanted.claim;
    let (mut seen, mut taken) = (write.seen, Taken::new());
    for _ in 0..TRIES {
        let found = look(secrets, claim, seen)
            .await
            .map_err(|error| explain(claim, error))?;
        let next = plan(
            &write.wanted,
            found.as_ref(),
            write.binding_exists,
            write.repairs,
            &taken,
        )?;
        if let Some(live) = found.as_ref().filter(|_| must_ask(&next, &write.intent)) {
            let live = Box::new(live.clone());
            return Ok(Written::AskFirst {
                revision: next.revision,
                live_revision: next.live_revision,
                live,
            });
        }
        match send(secrets, claim, found.as_ref(), &next.step).await {
            Ok(meta) => return Ok(Written::Done(outcome(claim, next, &meta))),
            Err(ClusterError::Conflict | ClusterError::AlreadyExists | ClusterError::NotFound) => {}
            Err(ClusterError::NamespaceTerminating) => return Ok(Written::NamespaceTerminating),
            Err(ClusterError::FieldConflict(fields)) => taken.extend(keys_of(claim, fields)?),
            Err(error) => return Err(explain(claim, error)),
        }
        seen = Seen::Unknown;
    }
    Err(ClusterError::Conflict.into())
}

async fn look(
    secrets: &Secrets,
    claim: &Claim<'_>,
    seen: Seen,
) -> Result<Option<LiveSecret>, ClusterError> {
    match seen {
        Seen::Absent => Ok(None),
        Seen::Live(live) => Ok(Some(*live)),
        Seen::Unknown => secrets.get(claim.namespace, &claim.target.name).await,
    }
}

/// A repair puts back what pods were given anyway; only a revision that was not there before rolls them.
fn must_ask(next: &Plan, intent: &Intent) -> bool {
    let replaces = matches!(next.change, Change::Write | Change::Repair)
        && next.recorded.as_ref() != Some(&next.revision);
    match intent {
        Intent::NotNeeded => false,
        Intent::Recorded(revision) => replaces && revision.as_ref() != Some(&next.revision),
    }
}

async fn send(
    secrets: &Secrets,
    claim: &Claim<'_>,
    found: Option<&LiveSecret>,
    step: &Step,
) -> Result<ObjectMeta, ClusterError> {
    let (namespace, name, type_) = (
        claim.namespace,
        claim.target.name.as_str(),
        claim.target.type_.as_str(),
    );
    let live = found
        .map(|found| found.head.meta.clone())
        .unwrap_or_default();
    match step {
        Step::Nothing => Ok(live),
        Step::Create(meta, data) => {
            let fresh = ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..live
            };
            secrets
                .create(namespace, &meta.over(&fresh), type_, data)
                .await
        }
        Step::Replace(meta, data) => {
            secrets
                .replace(namespace, name, &meta.over(&live), type_, data)
                .await
        }
        Step::Patch(patch) => secrets.patch_metadata(namespace, name, patch).await,
        Step::Apply(meta, data) => {
            secrets
                .apply(namespace, claim.binding, &live, Some((meta, data)))
                .await
        }
    }
}

fn outcome(claim: &Claim<'_>, plan: Plan, meta: &ObjectMeta) -> Outcome {
    let manager = match claim.target.creation {
        CreationPolicy::Merge => managers::merge_manager(claim.binding),
        CreationPolicy::Owner | CreationPolicy::Adopt => names::FIELD_MANAGER.to_owned(),
    };
    let what = match (&plan.step, plan.change) {
        (Step::Create(..), _) => What::Created,
        (_, Change::Nothing) => What::Unchanged,
        (_, Change::MetadataOnly) => What::MetadataOnly,
        (_, Change::Write) => What::Updated,
        (_, Change::Repair) => What::Repaired,
    };
    Outcome {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        revision: plan.revision,
        live_revision: plan.live_revision,
        what,
        changed_at: managers::changed_at(meta, &manager),
        conflict: plan.conflict,
        unknown_keys: plan.unknown_keys,
    }
}

/// The keys among fields that an apply was refused for; a label or annotation of ours that others hold
/// is a conflict about the Secret itself.
fn keys_of(claim: &Claim<'_>, fields: Vec<FieldConflict>) -> Result<Taken, Finding> {
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
fn explain(claim: &Claim<'_>, error: ClusterError) -> ApplyError {
    let secret = claim.secret();
    match error {
        ClusterError::Forbidden {
            verb,
            resource,
            why,
        } => Finding::new(
            Reason::OperatorForbidden,
            format!(
                "The operator may not {verb} {resource} in namespace {}: {why}.",
                claim.namespace
            ),
            format!("Grant its ServiceAccount {verb} on {resource} there."),
        )
        .into(),
        ClusterError::TooLarge => too_large(&secret).into(),
        ClusterError::Invalid { causes } => invalid(&secret, &causes).into(),
        other => other.into(),
    }
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

/// Puts an owner reference with an old uid right, before anything else is done: the garbage collector
/// deletes such a Secret within minutes. True if there was one. Bytes are not read.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn rewrite_stale_owner(secrets: &Secrets, claim: &Claim<'_>) -> Result<bool, ApplyError> {
    let name = &claim.target.name;
    for _ in 0..TRIES {
        let live = secrets
            .get_meta(claim.namespace, name)
            .await
            .map_err(|error| explain(claim, error))?;
        let Some(live) = live.filter(|live| ownership::has_stale_owner(claim, live)) else {
            return Ok(false);
        };
        let owners = ownership::owner_references(claim, &live);
        let patch = json!({"metadata": {"resourceVersion": live.resource_version, "ownerReferences": owners}});
        match secrets.patch_metadata(claim.namespace, name, &patch).await {
            Ok(_) => return Ok(true),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(error) => return Err(explain(claim, error)),
        }
    }
    Err(ClusterError::Conflict.into())
}

/// Takes the keys and records of a Merge binding out of the Secret. Nothing to do is success.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn merge_remove(secrets: &Secrets, claim: &Claim<'_>) -> Result<(), ApplyError> {
    let manager = managers::merge_manager(claim.binding);
    for _ in 0..TRIES {
        let live = secrets
            .get_meta(claim.namespace, &claim.target.name)
            .await
            .map_err(|error| explain(claim, error))?;
        let Some(live) = live.filter(|live| managers::is_manager(live, &manager)) else {
            return Ok(());
        };
        match secrets
            .apply(claim.namespace, claim.binding, &live, None)
            .await
        {
            Ok(_) => return Ok(()),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(error) => return Err(explain(claim, error)),
        }
    }
    Err(ClusterError::Conflict.into())
}

#[cfg(test)]
#[path = "apply_test.rs"]
mod tests;
