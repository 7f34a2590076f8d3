//! Outcome: what a step of a workload came to is recorded and told, and those are woken whom it concerns.

use std::time::Duration;

use jiff::Timestamp;

use super::{RETRY, Speaker};
use crate::{
    api::{
        binding::WorkloadKind,
        status::{ExternalSecretBindingStatus as Status, RolloutStatus},
    },
    cluster::{ReportError, apply_error::forbidden, workloads::WorkloadError},
    controllers::{
        binding,
        context::{Context, WorkloadKey},
        enrol,
    },
    core::rollout::{self, Kind, Step},
};

/// Pause after a step that a right is missing for.
const RETRY_REFUSED: Duration = Duration::from_secs(10);

/// A right that is missing is told where something waits for it. Returns the pause before the next step.
pub(super) async fn refused(
    context: &Context,
    key: &WorkloadKey,
    speakers: &[Speaker],
    error: &WorkloadError,
) -> Duration {
    let WorkloadError::Forbidden {
        verb,
        resource,
        why,
    } = error
    else {
        return RETRY;
    };
    let finding = forbidden(&key.namespace, verb, resource, why);
    for speaker in speakers {
        if let Some(said) = rollout::forbidden::refused(&speaker.entry, &finding)
            && let Err(error) = record(context, key, speaker, Some(&said)).await
        {
            tracing::warn!(binding = %speaker.binding, %error, "rollout not recorded, tried again");
        }
    }
    RETRY_REFUSED
}

/// Records what a step came to. An error is the pause before the next one.
pub(super) async fn record_all(
    context: &Context,
    key: &WorkloadKey,
    speakers: &[Speaker],
    step: &Step,
) -> Result<(), Duration> {
    let mut pause = Ok(());
    for (speaker, (_, outcome)) in speakers.iter().zip(&step.entries) {
        if let Err(error) = record(context, key, speaker, outcome.as_ref()).await {
            tracing::warn!(binding = %speaker.binding, %error, "rollout not recorded, tried again");
            pause = Err(RETRY);
        }
    }
    pause
}

async fn record(
    context: &Context,
    key: &WorkloadKey,
    speaker: &Speaker,
    outcome: Option<&RolloutStatus>,
) -> Result<(), ReportError> {
    if outcome == Some(&speaker.entry) {
        return Ok(());
    }
    let now = context.now();
    let update = context
        .statuses
        .update(&speaker.binding, &speaker.uid, |_, status| {
            let mut next = status.clone();
            if rollout::record(&mut next.rollouts, &speaker.entry, outcome) {
                enrol::summed_up(&next, &speaker.target, None, now)
            } else {
                status.clone()
            }
        });
    match update.await {
        Ok((before, after)) => {
            let ended = outcome.filter(|outcome| rollout::has_ended(&speaker.entry, outcome));
            if let (Some(kind), Some(outcome)) = (rolled(key.kind), ended) {
                let took = took(&speaker.entry, now);
                context
                    .metrics
                    .rollout_ended(kind, outcome.state.as_str(), took);
            }
            binding::announce(context, &speaker.binding, &speaker.uid, &before, &after).await;
            pass_on(context, speaker, outcome, &after).await;
            Ok(())
        }
        Err(ReportError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the binding's other workloads, its Secret and the bytes of before have to do with the outcome.
async fn pass_on(
    context: &Context,
    speaker: &Speaker,
    outcome: Option<&RolloutStatus>,
    after: &Status,
) {
    binding::tidy(context, &speaker.binding, after).await;
    enrol::wake_open(context, &speaker.binding.namespace, after);
    if outcome.is_none() {
        // A workload that is named is told to be missing; another of that name may be there already.
        context.remember(&speaker.binding, |memory| memory.enrol = true);
    }
    // While one goes back nothing else is done: what waited for that goes on.
    if outcome.is_none() || rollout::concerns_binding(&speaker.entry, &after.rollouts) {
        context.binding_queue.now(speaker.binding.clone());
    }
}

/// Since its marker was set.
fn took(entry: &RolloutStatus, now: Timestamp) -> Duration {
    let since = entry.started_at.as_ref().map_or(now, |at| at.0);
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn rolled(kind: Kind) -> Option<WorkloadKind> {
    match kind {
        Kind::Deployment => Some(WorkloadKind::Deployment),
        Kind::StatefulSet => Some(WorkloadKind::StatefulSet),
        Kind::DaemonSet => Some(WorkloadKind::DaemonSet),
        Kind::CronJob | Kind::Job => None,
    }
}
