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
    let (namespace, name) = (claim.namespace, &claim.target.name);
    let is_stale = |live: &_| ownership::has_stale_owner(claim, live);
    let rewritten = on_the_live(secrets, claim, is_stale, |live| async move {
        let owners = ownership::owner_references(claim, &live);
        let patch = json!({"metadata": {"resourceVersion": live.resource_version, "ownerReferences": owners}});
        secrets.patch_metadata(namespace, name, &patch).await
    });
    rewritten.await.map(|done| done.is_some())
}

/// Takes the keys and records of a Merge binding out of the Secret. Nothing to do is success.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn merge_remove(secrets: &Secrets, claim: &Claim<'_>) -> Result<(), ApplyError> {
    let manager = managers::merge_manager(claim.binding);
    let has_part = |live: &_| managers::is_manager(live, &manager);
    let removed = on_the_live(secrets, claim, has_part, |live| async move {
        let part = None;
        secrets
            .apply(claim.namespace, claim.binding, &live, part)
            .await
    });
    removed.await.map(drop)
}

/// Leaves the Secret `claim` names to nobody: the bytes stay, our records, label and owner reference go, so
/// that neither we nor the garbage collector touch it again. True if it was ours.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn release(secrets: &Secrets, claim: &Claim<'_>) -> Result<bool, ApplyError> {
    let (namespace, name) = (claim.namespace, &claim.target.name);
    let is_ours = |live: &_| ownership::is_ours(claim, live);
    let released = on_the_live(secrets, claim, is_ours, |live| async move {
        let patch = target_meta::released(claim, &live).patch(&live);
        secrets.patch_metadata(namespace, name, &patch).await
    });
    released.await.map(|done| done.is_some())
}

/// Deletes the Secret `claim` names if it is ours. True if it was.
///
/// # Errors
/// `OperatorForbidden`, or the API server's trouble.
pub async fn delete(secrets: &Secrets, claim: &Claim<'_>) -> Result<bool, ApplyError> {
    let is_ours = |live: &_| ownership::is_ours(claim, live);
    let deleted = on_the_live(secrets, claim, is_ours, |live| async move {
        secrets.delete(claim.namespace, &live).await
    });
    deleted.await.map(|gone| gone == Some(true))
}

/// Sends one request about the Secret as it is, anew when others changed it meanwhile. None: there is
/// no Secret, or none that the request `concerns`.
async fn on_the_live<T, F: Future<Output = Result<T, ClusterError>>>(
    secrets: &Secrets,
    claim: &Claim<'_>,
    concerns: impl Fn(&ObjectMeta) -> bool,
    request: impl Fn(ObjectMeta) -> F,
) -> Result<Option<T>, ApplyError> {
    for _ in 0..TRIES {
        let live = secrets.get_meta(claim.namespace, &claim.target.name);
        let live = live.await.map_err(|error| explain(claim, error))?;
        let Some(live) = live.filter(&concerns) else {
            return Ok(None);
        };
        match request(live).await {
            Ok(done) => return Ok(Some(done)),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(error) => return Err(explain(claim, error)),
        }
    }
    Err(ClusterError::Conflict.into())
}
