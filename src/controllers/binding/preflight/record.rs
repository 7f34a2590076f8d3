//! What a preflight leaves behind: its record in the status, and what is to be cleared away.

use std::time::Instant;

use super::{Observed, Stop};
use crate::{
    api::{names, preflight::PreflightStatus},
    controllers::{
        binding::report,
        context::{Context, PreflightMemory},
    },
    core::{conditions, preflight, recipe::PreflightRecipe},
};

/// Since when the Job is looked at.
pub(super) fn looked_at(context: &Context, observed: &Observed, job: &str) -> Instant {
    context.remember(&observed.key, |memory| {
        let known = memory.preflight.as_ref().filter(|known| known.job == job);
        let since = known.map_or_else(Instant::now, |known| known.since);
        memory.preflight = Some(PreflightMemory {
            job: job.to_owned(),
            since,
            cleared: false,
        });
        since
    })
}

/// The record goes into the status, with the condition that says what is under way.
pub(super) async fn write_down(
    context: &Context,
    observed: &Observed,
    program: &PreflightRecipe,
    record: &PreflightStatus,
) -> Result<(), Stop> {
    let (key, now) = (&observed.key, context.now());
    let says = preflight::under_way(record, &key.namespace, program.timeout);
    let written = {
        let _place = context.writes.acquire().await;
        let update = context.statuses.update(key, &observed.uid, |_, status| {
            conditions::with_preflight(status, record, &says, observed.generation, now)
        });
        update.await
    };
    let (before, after) = written.map_err(Stop::Status)?;
    report::announce(context, key, &observed.uid, &before, &after).await;
    Ok(())
}

/// Job, pods and Secret go, then the record.
pub(super) async fn forget(context: &Context, observed: &Observed) -> Result<(), Stop> {
    clear(context, observed).await?;
    context.remember(&observed.key, |memory| memory.preflight = None);
    let _place = context.writes.acquire().await;
    let update = context
        .statuses
        .update(&observed.key, &observed.uid, |_, status| {
            conditions::without_preflight(status)
        });
    update.await.map(drop).map_err(Stop::Status)
}

/// Clears away what a crash after the verdict has left, once.
pub(super) async fn leave_nothing(
    context: &Context,
    observed: &Observed,
    job: &str,
) -> Result<(), Stop> {
    let done = context.remember(&observed.key, |memory| {
        let known = memory.preflight.as_ref();
        known.is_some_and(|known| known.job == job && known.cleared)
    });
    if !done {
        clear(context, observed).await?;
        cleared(context, observed, job);
    }
    Ok(())
}

pub(super) fn cleared(context: &Context, observed: &Observed, job: &str) {
    let memory = PreflightMemory {
        job: job.to_owned(),
        since: Instant::now(),
        cleared: true,
    };
    context.remember(&observed.key, |all| all.preflight = Some(memory));
}

/// Deletes every Job and candidate Secret of the binding, also those of a target that was renamed.
pub(super) async fn clear(context: &Context, observed: &Observed) -> Result<(), Stop> {
    let (namespace, binding) = (&observed.key.namespace, &observed.key.name);
    let _place = context.writes.acquire().await;
    let cleared = async {
        for _ in 0..context.jobs.clear(namespace, binding).await? {
            context.metrics.kubernetes_write("jobs", "delete");
        }
        for part in context.secrets.parts_of(namespace, binding).await? {
            let name = part.name.clone().unwrap_or_default();
            if name.ends_with(names::SUFFIX_CANDIDATE) {
                context.secrets.delete(namespace, &part).await?;
                context.metrics.kubernetes_write("secrets", "delete");
            }
        }
        Ok(())
    };
    cleared.await.map_err(Stop::Cluster)
}
