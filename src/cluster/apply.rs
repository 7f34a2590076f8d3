//! The verb `apply`: makes the target Secret what a pass rendered.
//!
//! Reads what is there, has `core::write_plan` decide, sends that one request, and starts over when
//! somebody else was faster. Everything that is decided is decided there.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use super::apply_error::ApplyError;
use super::{
    ClusterError,
    apply_error::{explain, keys_of},
    secrets::Secrets,
};
use crate::{
    api::{binding::CreationPolicy, names},
    core::{
        Finding, Revision,
        change::{Change, Repairs, Wanted},
        managers,
        ownership::Claim,
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
    /// Repairs made so far; see [`Outcome::undid`].
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
    /// The same, undoing what somebody else did to them.
    Restored,
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
    /// True if this undid what somebody else had done: the caller counts it in its [`Repairs`].
    pub undid: bool,
    /// When our bytes last changed, in the API server's time (Merge: when our part last changed).
    pub changed_at: Option<Timestamp>,
    /// Keys that were left to others (Merge).
    pub conflict: Option<Finding>,
    /// Keys of others that stay (Adopt).
    pub unknown_keys: usize,
    /// Keys of ours that new bytes no longer have, sorted.
    pub left: Vec<String>,
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
        // The watch sees Secrets with our label only, and one to merge into has it from us at the earliest.
        Seen::Absent if claim.target.creation != CreationPolicy::Merge => Ok(None),
        Seen::Live(live) => Ok(Some(*live)),
        Seen::Absent | Seen::Unknown => secrets.get(claim.namespace, &claim.target.name).await,
    }
}

/// A repair puts back what pods were given anyway; only a revision that was not there before rolls them.
fn must_ask(next: &Plan, intent: &Intent) -> bool {
    let moves = match &next.recorded {
        Some(recorded) => *recorded != next.revision,
        None => matches!(next.change, Change::Write | Change::Repair),
    };
    match intent {
        Intent::NotNeeded => false,
        Intent::Recorded(revision) => moves && revision.as_ref() != Some(&next.revision),
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
        (_, Change::Restore) => What::Restored,
        (_, Change::Write) => What::Updated,
        (_, Change::Repair) => What::Repaired,
    };
    Outcome {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        revision: plan.revision,
        live_revision: plan.live_revision,
        what,
        undid: plan.change.undoes(),
        changed_at: managers::changed_at(meta, &manager),
        conflict: plan.conflict,
        unknown_keys: plan.unknown_keys,
        left: plan.left,
    }
}
