//! Companion: the bytes of before are kept while a rollout is open, so that going back needs no AWS.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Observed, Stop};
use crate::{
    api::{
        Reason,
        names::{LABEL_PART_OF, SUFFIX_PREVIOUS},
        status::ExternalSecretBindingStatus as Status,
    },
    cluster::{ClusterError, ObjectKey, secrets::Secrets},
    controllers::{context::Context, queue::Urgency},
    core::{
        Finding, Revision,
        companion::{self, Companion},
        ownership::Claim,
        rollout,
        secret_type::TYPE_OPAQUE,
        write_plan::LiveSecret,
    },
    telemetry::audit,
};

/// Pause before a deletion is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the live bytes, of that revision, which are about to be replaced. Where an earlier rollout has not shown yet
/// that it is well, the bytes of before that one stay: they are the last good ones.
pub async fn keep(
    context: &Context,
    observed: &Observed,
    claim: &Claim<'_>,
    live: &LiveSecret,
    revision: &Revision,
) -> Result<(), Stop> {
    let (binding, before) = (&observed.key, &observed.status);
    let name = companion::name(&claim.target.name);
    let known = is_known(context, binding, &name);
    if known && rollout::needs_previous(&before.rollouts) {
        return Ok(());
    }
    let Some(wanted) = companion::of(claim, live, revision, &before.sources) else {
        return Ok(());
    };
    let _place = context.writes.acquire().await;
    let op = put(&context.secrets, claim, &name, &wanted).await?;
    context.metrics.kubernetes_write("secrets", op);
    audit::secret_written(audit::SecretWrite {
        namespace: claim.namespace,
        binding: claim.binding,
        secret: &name,
        op,
        revision: wanted.revision.as_str(),
        sources: &wanted.shown,
    });
    note(context, binding.clone(), name);
    Ok(())
}

/// Says whether it was created or updated.
async fn put(
    secrets: &Secrets,
    claim: &Claim<'_>,
    name: &str,
    wanted: &Companion,
) -> Result<&'static str, Stop> {
    let namespace = claim.namespace;
    let created = secrets
        .create(
            namespace,
            &wanted.meta(claim, None),
            TYPE_OPAQUE,
            &wanted.data,
        )
        .await;
    match created {
        Ok(_) => return Ok("create"),
        Err(ClusterError::AlreadyExists) => {}
        Err(ClusterError::NamespaceTerminating) => return Err(Stop::Terminating),
        Err(error) => return Err(Stop::of(namespace, error)),
    }
    let stop = |error| Stop::of(namespace, error);
    let found = secrets.get_meta(namespace, name).await;
    let found = found.map_err(stop)?.unwrap_or_default();
    if !companion::is_ours(claim, &found) {
        return Err(Stop::Failed(taken(claim, name)));
    }
    let meta = wanted.meta(claim, Some(&found));
    let replaced = secrets.replace(namespace, name, &meta, TYPE_OPAQUE, &wanted.data);
    replaced.await.map(|_| "update").map_err(stop)
}

fn taken(claim: &Claim<'_>, name: &str) -> Finding {
    Finding::new(
        Reason::TargetConflict,
        format!(
            "Secret {}/{name} exists and is not keyferry's; it is where the previous bytes are kept during a rollout.",
            claim.namespace
        ),
        "Remove it, or choose another target.name. Nothing was written.",
    )
}

/// Learns which companions an earlier run has left. What cannot be listed is none: it is tidied away by the next
/// rollout. `namespaces`: those that are watched; empty: all.
pub async fn recall(context: &Context, namespaces: &[String]) {
    let mut scopes: Vec<Option<&str>> = namespaces.iter().map(|n| Some(n.as_str())).collect();
    if scopes.is_empty() {
        scopes.push(None);
    }
    for scope in scopes {
        match context.secrets.all_parts(scope).await {
            Ok(found) => found.into_iter().for_each(|part| note_part(context, part)),
            Err(error) => {
                tracing::warn!(%error, "Secrets left by open rollouts could not be listed");
            }
        }
    }
}

/// Candidates of preflights carry the same label.
fn note_part(context: &Context, part: ObjectMeta) {
    let binding = part.labels.unwrap_or_default().remove(LABEL_PART_OF);
    let name = part.name.filter(|name| name.ends_with(SUFFIX_PREVIOUS));
    if let (Some(namespace), Some(binding), Some(name)) = (part.namespace, binding, name) {
        note(context, ObjectKey::new(&namespace, &binding), name);
    }
}

fn note(context: &Context, binding: ObjectKey, name: String) {
    let mut companions = context.companions.lock();
    companions.entry(binding).or_default().insert(name);
}

/// The bytes of before; None: there are none.
pub async fn kept(context: &Context, claim: &Claim<'_>) -> Result<Option<Companion>, Stop> {
    let name = companion::name(&claim.target.name);
    let found = context.secrets.get(claim.namespace, &name).await;
    let found = found.map_err(|error| Stop::of(claim.namespace, error))?;
    let ours = found.filter(|found| companion::is_ours(claim, &found.head.meta));
    Ok(ours.and_then(Companion::parse))
}

/// Deletes what is kept once every workload is well. What cannot be deleted is tried again, by a pass that is asked
/// for.
pub async fn tidy(context: &Context, binding: &ObjectKey, status: &Status) {
    if rollout::needs_previous(&status.rollouts) {
        return;
    }
    let Some(names) = context.companions.lock().remove(binding) else {
        return;
    };
    for name in names {
        if let Err(error) = delete(context, binding, &name).await {
            tracing::warn!(%binding, name, %error, "the bytes of before were not deleted, tried again");
            note(context, binding.clone(), name);
            let at = Instant::now() + context.jittered(RETRY);
            let queue = &context.binding_queue;
            queue.add(binding.clone(), at, Urgency::Routine);
        }
    }
}

async fn delete(context: &Context, binding: &ObjectKey, name: &str) -> Result<(), ClusterError> {
    let namespace = &binding.namespace;
    let Some(meta) = context.secrets.get_meta(namespace, name).await? else {
        return Ok(());
    };
    let _place = context.writes.acquire().await;
    if context.secrets.delete(namespace, &meta).await? {
        context.metrics.kubernetes_write("secrets", "delete");
    }
    Ok(())
}

fn is_known(context: &Context, binding: &ObjectKey, name: &str) -> bool {
    let companions = context.companions.lock();
    companions
        .get(binding)
        .is_some_and(|names| names.contains(name))
}
