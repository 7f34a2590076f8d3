//! Write: the request that changes the Secret, and what must be on record before it.

use std::time::Duration;

use super::{Observed, Stop, companion, report};
use crate::{
    api::{
        Reason,
        status::{ExternalSecretBindingStatus as Status, SecretStatus, SourceStatus},
    },
    cluster::{
        ClusterError,
        apply::{self, Intent, Outcome, Seen, What, Write, Written},
    },
    controllers::{
        context::Context,
        enrol::{self, Enrolment},
    },
    core::{
        Finding, Recipe, Revision,
        change::{Data, Wanted},
        recipe::RolloutRecipe,
        window,
        write_plan::LiveSecret,
    },
    telemetry::audit,
};

/// Whether the consumers were recorded before the write.
pub enum Before {
    /// They were, and the API server has acknowledged it.
    Recorded,
    /// They were not: no bytes were replaced.
    Nothing,
}

/// Writes the Secret. Where bytes are replaced that workloads run with, the intent and the bytes of before come
/// first. `rejected`: on the way back, which versions are.
pub async fn write(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    wanted: Wanted<'_>,
    rejected: Option<&str>,
) -> Result<(Outcome, Before), Stop> {
    let repairs = context.remember(&observed.key, |memory| memory.repairs.clone());
    let views = &context.views;
    let namespace = observed.key.namespace.clone();
    let exists = move |name: &str| {
        views
            .binding(&crate::cluster::ObjectKey::new(&namespace, name))
            .is_some()
    };
    let attempt = |seen: Seen, intent: Intent| {
        let write = Write {
            wanted,
            seen,
            intent,
            binding_exists: &exists,
            repairs: &repairs,
        };
        async move {
            let _place = context.writes.acquire().await;
            apply::write(&context.secrets, write)
                .await
                .map_err(Stop::from)
        }
    };
    let absent = observed.secret.is_none() && observed.status.secret.is_none();
    let seen = if absent { Seen::Absent } else { Seen::Unknown };
    let Some(rollout) = &recipe.rollout else {
        return match attempt(seen, Intent::NotNeeded).await? {
            Written::Done(outcome) => Ok((outcome, Before::Nothing)),
            Written::NamespaceTerminating => Err(Stop::Terminating),
            Written::AskFirst { .. } => Err(Stop::Cluster(ClusterError::Conflict)),
        };
    };
    match attempt(seen, Intent::Recorded(None)).await? {
        Written::Done(outcome) => Ok((outcome, Before::Nothing)),
        Written::NamespaceTerminating => Err(Stop::Terminating),
        Written::AskFirst {
            revision,
            live_revision,
            live,
        } => {
            let ahead = Ahead {
                next: &revision,
                now: live_revision.as_ref(),
                live: &live,
            };
            prepare(
                context, observed, recipe, rollout, &wanted, &ahead, rejected,
            )
            .await?;
            match attempt(Seen::Live(live), Intent::Recorded(Some(revision))).await? {
                Written::Done(outcome) => Ok((outcome, Before::Recorded)),
                Written::NamespaceTerminating => Err(Stop::Terminating),
                // The Secret changed between the two: the next pass records what is true then.
                Written::AskFirst { .. } => Err(Stop::Cluster(ClusterError::Conflict)),
            }
        }
    }
}

/// What a person is told while new bytes wait for a window. Going back and an explicit refresh do not.
fn closed(
    context: &Context,
    observed: &Observed,
    rollout: &RolloutRecipe,
    wanted: &Wanted<'_>,
) -> Option<Finding> {
    let now = context.now();
    let at = window::opens(&rollout.windows, now)?;
    if wanted.back.is_some() || observed.refresh.is_some() {
        return None;
    }
    let mut finding = Finding::new(
        Reason::WaitingForWindow,
        format!("A new value waits for the window that opens at {at}."),
        "To have it now, ask for it with the annotation keyferry.dev/refresh.",
    );
    finding.retry_after = Duration::try_from(at.duration_since(now)).ok();
    Some(finding)
}

/// A write that replaces bytes.
struct Ahead<'a> {
    next: &'a Revision,
    now: Option<&'a Revision>,
    live: &'a LiveSecret,
}

/// What comes before bytes are replaced: a window that is open, which workloads run with which revision and which
/// they shall run with, acknowledged by the API server, and the bytes of before.
async fn prepare(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    rollout: &RolloutRecipe,
    wanted: &Wanted<'_>,
    ahead: &Ahead<'_>,
    rejected: Option<&str>,
) -> Result<(), Stop> {
    if let Some(closed) = closed(context, observed, rollout, wanted) {
        return Err(Stop::Rejected(closed));
    }
    let (claim, now) = (&wanted.claim, ahead.now.map(Revision::as_str));
    let change = enrol::change(&ahead.live.head.meta, claim, now, ahead.next.as_str());
    let enrolment = enrol::list(context, observed, rollout, &recipe.target, &change).await;
    let mut enrolment = enrolment.map_err(|error| Stop::of(&observed.key.namespace, error))?;
    if let Some(rejected) = rejected {
        enrolment.name_rejected(rejected);
    }
    record_intent(context, observed, recipe, &enrolment).await?;
    // Bytes that come from the companion are there.
    match ahead.now.filter(|_| rejected.is_none()) {
        Some(now) => companion::keep(context, observed, claim, ahead.live, now).await,
        None => Ok(()),
    }
}

async fn record_intent(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    enrolment: &Enrolment,
) -> Result<(), Stop> {
    let now = context.now();
    let (key, uid) = (&observed.key, &observed.uid);
    let change = |_: &_, status: &Status| enrolment.record(status, &recipe.target.name, now);
    let (before, after) = {
        let _place = context.writes.acquire().await;
        let update = context.statuses.update(key, uid, change);
        update.await.map_err(Stop::Status)?
    };
    // No later status differs from this one in what is told here: that a rollout begins, or why none does.
    report::announce(context, key, uid, &before, &after).await;
    enrolment.wake(context, &key.namespace);
    Ok(())
}

/// The Secret after a write, as the status shows it.
pub fn status(recipe: &Recipe, outcome: &Outcome, data: &Data) -> SecretStatus {
    SecretStatus {
        name: recipe.target.name.clone(),
        revision: outcome.revision.as_str().to_owned(),
        key_count: i64::try_from(data.len()).unwrap_or(i64::MAX),
        resource_version: outcome.resource_version.clone(),
    }
}

/// Counts and tells what was written.
pub fn book(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    outcome: &Outcome,
    sources: &[SourceStatus],
) {
    if outcome.undid {
        let now = context.now();
        context.remember(&observed.key, |memory| memory.repairs.record(now));
    }
    let op = match outcome.what {
        What::Unchanged => return,
        What::Created => "create",
        What::Updated | What::Repaired => "update",
        What::MetadataOnly | What::Restored => "patch",
    };
    context.metrics.secret_written(op);
    audit::secret_written(audit::SecretWrite {
        namespace: &observed.key.namespace,
        binding: &observed.key.name,
        secret: &recipe.target.name,
        op,
        revision: outcome.revision.as_str(),
        sources,
    });
}
