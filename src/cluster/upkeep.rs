//! Everything done to a target Secret besides writing it: its owner, its release, its end.
//!
//! None of these reads bytes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::{
    ClusterError,
    apply_error::{ApplyError, explain},
    secrets::Secrets,
};
use crate::core::{
    managers,
    ownership::{self, Claim},
    target_meta,
};

/// How often one request starts over when others keep changing the Secret.
const TRIES: usize = 5;

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

/// Leaves the Secret `claim` names to nobody: the bytes stay, our records, label and owner reference go, so
/// that neither we nor the garbage collector touch it again. True if it was ours.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn release(secrets: &Secrets, claim: &Claim<'_>) -> Result<bool, ApplyError> {
    for _ in 0..TRIES {
        let Some(live) = ours(secrets, claim).await? else {
            return Ok(false);
        };
        let patch = target_meta::released(claim, &live).patch(&live);
        match secrets
            .patch_metadata(claim.namespace, &claim.target.name, &patch)
            .await
        {
            Ok(_) => return Ok(true),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(error) => return Err(explain(claim, error)),
        }
    }
    Err(ClusterError::Conflict.into())
}

/// Deletes the Secret `claim` names if it is ours. True if it was.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn delete(secrets: &Secrets, claim: &Claim<'_>) -> Result<bool, ApplyError> {
    for _ in 0..TRIES {
        let Some(live) = ours(secrets, claim).await? else {
            return Ok(false);
        };
        match secrets.delete(claim.namespace, &live).await {
            Ok(gone) => return Ok(gone),
            Err(ClusterError::Conflict) => {}
            Err(error) => return Err(explain(claim, error)),
        }
    }
    Err(ClusterError::Conflict.into())
}

async fn ours(secrets: &Secrets, claim: &Claim<'_>) -> Result<Option<ObjectMeta>, ApplyError> {
    let live = secrets
        .get_meta(claim.namespace, &claim.target.name)
        .await
        .map_err(|error| explain(claim, error))?;
    Ok(live.filter(|live| ownership::is_ours(claim, live)))
}
