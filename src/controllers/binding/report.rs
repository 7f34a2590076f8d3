//! Report: the status that follows from the pass, events about its transitions, and the next time.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Applied, Observed, Restored, Stop, apply, companion};
use crate::{
    api::{
        Reason,
        status::{ExternalSecretBindingStatus as Status, condition},
    },
    cluster::{ObjectKey, ReportError},
    controllers::{context::Context, enrol},
    core::{
        Class, Recipe,
        conditions::{self, InSync, Outcome, Pass},
        events,
        schedule::{self, GRACE},
    },
    telemetry::conditions::ConditionStatus,
};

/// Refresh interval that retries are bounded by when the spec gives none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

/// Past the opening of a window, whose time is told in whole seconds.
const AFTER_OPENING: Duration = Duration::from_secs(1);

/// Writes the status and plans the next pass; `followed`: the sweep asks for it.
pub async fn report(
    context: &Context,
    observed: &Observed,
    recipe: Option<&Recipe>,
    outcome: Result<Applied, Stop>,
    followed: bool,
    started: Instant,
) -> Option<Instant> {
    let interval = recipe.map_or(DEFAULT_INTERVAL, |recipe| recipe.refresh_interval);
    let opens = opens(&outcome);
    let delay = match &outcome {
        Ok(applied) => after_success(context, observed, applied, interval),
        Err(_) if opens.is_some() => opens,
        Err(stop) => after_stop(context, observed, stop, interval)?,
    };
    measure(context, &outcome, started);
    let written = match &outcome {
        Err(Stop::Cluster(_) | Stop::Status(_) | Stop::Terminating | Stop::Later(_)) => Ok(None),
        _ => write(context, observed, recipe, &outcome, delay)
            .await
            .map(Some),
    };
    let own = delay.filter(|_| !followed);
    let delay = match written {
        Ok(Some(status)) => {
            context.remember(&observed.key, |memory| memory.unwritten.succeeded());
            bounded_by_grace(context, &status, recipe, own)
        }
        Ok(None) => delay,
        Err(ReportError::Gone) => return None,
        Err(error) => {
            tracing::warn!(binding = %observed.key, %error, "status not written, the pass is repeated");
            let class = Class::Transient;
            let attempt = context.remember(&observed.key, |memory| memory.unwritten.failed(class));
            Some(schedule::retry_delay(class, attempt, interval, None))
        }
    };
    let spread = |delay| match opens == Some(delay) {
        true => delay,
        false => context.jittered(delay),
    };
    let due = delay.map(|delay| Instant::now() + spread(delay));
    context.remember(&observed.key, |memory| {
        memory.due = due;
        memory.passed = true;
    });
    due
}

/// How long a new value waits for its window: to the moment, unlike a retry.
fn opens(outcome: &Result<Applied, Stop>) -> Option<Duration> {
    match outcome {
        Err(Stop::Rejected(finding)) if finding.reason == Reason::WaitingForWindow => {
            Some(finding.retry_after? + AFTER_OPENING)
        }
        _ => None,
    }
}

/// Whether time alone has it tried again: what waits for a window or for another version says so itself.
fn is_tried_again(outcome: &Result<Applied, Stop>) -> bool {
    let waits = [Reason::WaitingForWindow, Reason::RolledBack];
    !matches!(outcome, Err(Stop::Rejected(finding)) if waits.contains(&finding.reason))
}

/// Records consumers that have come or gone while everything else is as it was.
pub async fn enrolled(context: &Context, observed: &Observed, recipe: Option<&Recipe>) {
    let Some(recipe) = recipe else {
        return;
    };
    let enrolment = match apply::re_enrol(context, observed, recipe).await {
        Ok(Some(enrolment)) => enrolment,
        Ok(None) => return,
        Err(stop) => {
            tracing::warn!(binding = %observed.key, ?stop, "consumers not listed");
            context.remember(&observed.key, |memory| memory.enrol = true);
            return;
        }
    };
    let now = context.now();
    let change = |_: &_, status: &Status| enrolment.record(status, &recipe.target.name, now);
    publish(
        context,
        observed,
        context
            .statuses
            .update(&observed.key, &observed.uid, change)
            .await,
    )
    .await
    .ok();
    enrolment.wake(context, &observed.key.namespace);
}

fn after_success(
    context: &Context,
    observed: &Observed,
    applied: &Applied,
    interval: Duration,
) -> Option<Duration> {
    if applied.failover.is_some() {
        let class = Class::Transient;
        let attempt = context.remember(&observed.key, |memory| memory.attempts.failed(class));
        return Some(schedule::retry_delay(class, attempt, interval, None));
    }
    if applied.conflict.is_none() {
        context.remember(&observed.key, |memory| {
            memory.attempts.succeeded();
            memory.audited.clear();
        });
    }
    // A key that somebody else holds (Merge) is looked at again by a pass of its own.
    Some(interval)
}

/// When to try again; the outer None: never, and nothing to report.
fn after_stop(
    context: &Context,
    observed: &Observed,
    stop: &Stop,
    interval: Duration,
) -> Option<Option<Duration>> {
    let (class, asked) = match stop {
        Stop::Terminating | Stop::Later(_) => return None,
        Stop::Suspended | Stop::Spec(_) => return Some(None),
        Stop::Failed(finding) | Stop::Rejected(finding) => {
            (schedule::class(finding.reason), finding.retry_after)
        }
        Stop::Cluster(error) => {
            tracing::warn!(binding = %observed.key, %error, "the API server did not do its part");
            (error.class(), None)
        }
        Stop::Status(error) => {
            tracing::warn!(binding = %observed.key, %error, "status not written");
            (Class::Transient, None)
        }
    };
    let attempt = context.remember(&observed.key, |memory| memory.attempts.failed(class));
    Some(Some(schedule::retry_delay(class, attempt, interval, asked)))
}

async fn write(
    context: &Context,
    observed: &Observed,
    recipe: Option<&Recipe>,
    outcome: &Result<Applied, Stop>,
    delay: Option<Duration>,
) -> Result<Status, ReportError> {
    let now = context.now();
    let next_try = delay.filter(|_| is_tried_again(outcome));
    let (restored, rollback) = context.remember(&observed.key, |memory| {
        (memory.restored.take(), memory.answered.take())
    });
    let part = |outcome| Pass {
        generation: observed.generation,
        outcome,
        now,
        stale_after: recipe.map_or(Duration::from_secs(3600), |recipe| recipe.stale_after),
        next_try,
        refresh: observed.refresh.clone(),
        rollback: rollback.clone(),
    };
    let compute = |_: &_, status: &Status| {
        let mut next = match outcome {
            Ok(applied) => with_consumers(&in_sync(status, applied, &part), applied, now),
            Err(Stop::Failed(finding) | Stop::Spec(finding)) => {
                conditions::after_pass(status, &part(Outcome::Failed(finding)))
            }
            Err(Stop::Rejected(finding)) => {
                conditions::after_pass(status, &part(Outcome::Rejected(finding)))
            }
            Err(_) => conditions::after_pass(status, &part(Outcome::Suspended)),
        };
        if let Some(restored) = &restored {
            put_back(&mut next, restored, now);
        }
        match recipe.is_some_and(|recipe| recipe.rollout.is_none()) {
            true => conditions::taken_out(&next, now),
            false => next,
        }
    };
    let update = async {
        let _place = context.writes.acquire().await;
        context
            .statuses
            .update(&observed.key, &observed.uid, compute)
            .await
    };
    let status = publish(context, observed, update.await).await?;
    if let Ok(Applied {
        enrolment: Some(enrolment),
        ..
    }) = outcome
    {
        enrolment.wake(context, &observed.key.namespace);
    } else {
        enrol::wake_open(context, &observed.key.namespace, &status);
    }
    companion::tidy(context, &observed.key, &status).await;
    Ok(status)
}

fn put_back(next: &mut Status, restored: &Restored, now: jiff::Timestamp) {
    let before = next.secret.replace(restored.secret.clone());
    if before.is_some_and(|before| before.revision != restored.secret.revision) {
        next.last_change_time = Some(Time(now));
    }
    if let Some(sources) = &restored.sources {
        next.sources.clone_from(sources);
    }
}

fn in_sync<'a>(
    status: &Status,
    applied: &'a Applied,
    part: &impl Fn(Outcome<'a>) -> Pass<'a>,
) -> Status {
    let facts = InSync {
        identity: applied.identity.clone(),
        secret: applied.secret.clone(),
        sources: applied.sources.clone(),
        note: applied.notes.join(" "),
        failover: applied.failover.clone(),
    };
    let status = conditions::after_pass(status, &part(Outcome::InSync(facts)));
    match &applied.conflict {
        Some(finding) => conditions::after_pass(&status, &part(Outcome::Failed(finding))),
        None => status,
    }
}

fn with_consumers(status: &Status, applied: &Applied, now: jiff::Timestamp) -> Status {
    match (&applied.recipe.rollout, &applied.enrolment) {
        (None, _) => conditions::without_rollouts(status, now),
        (Some(_), Some(enrolment)) => enrolment.record(status, &applied.recipe.target.name, now),
        (Some(_), None) => status.clone(),
    }
}

async fn publish(
    context: &Context,
    observed: &Observed,
    written: Result<(Status, Status), ReportError>,
) -> Result<Status, ReportError> {
    let (before, after) = written?;
    announce(context, &observed.key, &observed.uid, &before, &after).await;
    Ok(after)
}

/// The condition metric of a binding.
pub fn show_conditions(context: &Context, key: &ObjectKey, status: &Status) {
    let conditions = status
        .conditions
        .iter()
        .map(|c| (c.type_.as_str(), ConditionStatus::from_word(&c.status)));
    context
        .metrics
        .conditions()
        .set(&key.namespace, &key.name, conditions);
}

/// Events and the condition metric of a status that was written.
pub async fn announce(
    context: &Context,
    key: &ObjectKey,
    uid: &str,
    before: &Status,
    after: &Status,
) {
    show_conditions(context, key, after);
    if before != after {
        context
            .metrics
            .kubernetes_write("externalsecretbindings/status", "patch");
        let notes = events::transitions(before, after);
        let now = context.now();
        context.events.publish(key, uid, &notes, now).await;
    }
}

fn measure(context: &Context, outcome: &Result<Applied, Stop>, started: Instant) {
    let reason = match outcome {
        Ok(applied) => applied
            .conflict
            .as_ref()
            .map_or(Reason::Synced, |finding| finding.reason),
        Err(Stop::Failed(finding) | Stop::Rejected(finding) | Stop::Spec(finding)) => {
            finding.reason
        }
        Err(Stop::Suspended) => Reason::Suspended,
        Err(_) => return,
    };
    context
        .metrics
        .sync_ended(reason == Reason::Synced, reason, started.elapsed());
    if let Err(Stop::Failed(finding)) = outcome {
        tracing::debug!(reason = %finding.reason, "pass failed");
    }
}

/// A state that changes by time alone (Stalled after the grace, Stale after staleAfter) is looked at
/// when it is due, not at the next refresh.
fn bounded_by_grace(
    context: &Context,
    status: &Status,
    recipe: Option<&Recipe>,
    delay: Option<Duration>,
) -> Option<Duration> {
    let Some(since) = status.failing_since.as_ref() else {
        return delay;
    };
    let failing = Duration::try_from(context.now().duration_since(since.0)).unwrap_or_default();
    let reconciling = status
        .conditions
        .iter()
        .any(|c| c.type_ == condition::RECONCILING);
    let limit = if reconciling {
        Some(GRACE)
    } else {
        recipe.map(|recipe| recipe.stale_after)
    };
    let left = limit
        .and_then(|limit| limit.checked_sub(failing))
        .filter(|left| !left.is_zero());
    // Past the moment, also with the jitter that is taken off.
    let left = left.map(|left| left.mul_f64(1.12) + Duration::from_secs(1));
    [delay, left].into_iter().flatten().min()
}
