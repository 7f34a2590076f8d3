//! Preflight: a program tries the candidate before it is written. Decided in `core::preflight`.
//!
//! In this order, so that a crash between any two is made good by the next pass: the record (Pending), the
//! candidate's Secret, the Job; at the end the verdict in the status, then Job and Secret go.

mod record;
mod trial;

use std::time::{Duration, Instant};

use super::{Observed, Stop, apply, fetch::Read};
use crate::{
    api::preflight::{PreflightOutcome as Outcome, PreflightStatus},
    controllers::context::Context,
    core::{
        Finding, Recipe, Rendered,
        preflight::{self, Next, Seen},
        recipe::PreflightRecipe,
        revision,
    },
};
use record::{clear, cleared, forget, leave_nothing, looked_at, write_down};
use trial::Trial;

/// How the binding's preflight stands at the start of a pass.
#[derive(Debug, Default)]
pub struct Standing {
    /// The record, as the status has it now.
    record: Option<PreflightStatus>,
    /// The Job of an open record exists.
    there: bool,
    /// It has just been found that the program could not run.
    trouble: Option<Finding>,
}

/// Looks at an open preflight; nothing is read from AWS meanwhile, unless there is or may be something new.
pub async fn follow(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<Standing, Stop> {
    let record = observed.status.preflight.clone();
    match (&recipe.preflight, record) {
        (_, None) => Ok(Standing::default()),
        (None, Some(_)) => {
            forget(context, observed).await?;
            Ok(Standing::default())
        }
        (Some(program), Some(record)) if preflight::is_open(&record) => {
            look(context, observed, recipe, program, record).await
        }
        (Some(_), record) => Ok(Standing {
            record,
            ..Standing::default()
        }),
    }
}

/// Returns once the candidate may be written.
pub async fn pass(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    rendered: &Rendered,
    standing: Standing,
) -> Result<(), Stop> {
    let Some(program) = &recipe.preflight else {
        return Ok(());
    };
    let candidate = apply::revision_of(context, observed, recipe, rendered);
    let written = observed.status.secret.as_ref();
    if written.is_some_and(|s| s.name == recipe.target.name && s.revision == candidate) {
        return abandon(context, observed).await;
    }
    if !context.settings.allow_preflight {
        return Err(Stop::Failed(preflight::not_allowed()));
    }
    let (name, uid) = (&observed.key.name, &observed.uid);
    let job = preflight::job_name(&context.install_key, name, uid, &candidate, program);
    let record = standing.record.as_ref();
    if let Some(trouble) = standing.trouble
        && record.is_some_and(|record| record.job == job)
    {
        return Err(Stop::Failed(trouble));
    }
    let refresh = observed.refresh.as_deref();
    match (
        preflight::next(record, &job, refresh, standing.there),
        record,
    ) {
        (Next::Write, _) => leave_nothing(context, observed, &job).await,
        (Next::Refuse, Some(record)) => {
            leave_nothing(context, observed, &job).await?;
            Err(Stop::Rejected(preflight::refused(record, program.timeout)))
        }
        (Next::Wait, _) => Err(later(Duration::ZERO)),
        (Next::Start | Next::Refuse, _) => {
            let fresh = PreflightStatus {
                candidate,
                job,
                refresh: observed.refresh.clone(),
                ..PreflightStatus::default()
            };
            let trial = Trial {
                context,
                observed,
                recipe,
                program,
                read,
                rendered,
            };
            trial.start(fresh).await
        }
    }
}

/// Nothing will come of an open preflight any more: no candidate, or none that has to be tried.
pub async fn abandon(context: &Context, observed: &Observed) -> Result<(), Stop> {
    match &observed.status.preflight {
        Some(record) if preflight::is_open(record) => forget(context, observed).await,
        _ => Ok(()),
    }
}

fn later(waited: Duration) -> Stop {
    Stop::Later(Instant::now() + preflight::look_again(waited))
}

async fn look(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    program: &PreflightRecipe,
    record: PreflightStatus,
) -> Result<Standing, Stop> {
    let namespace = &observed.key.namespace;
    let seen = context.jobs.look(namespace, &record.job).await;
    let Some(seen) = seen.map_err(Stop::Cluster)? else {
        return Ok(Standing {
            record: Some(record),
            ..Standing::default()
        });
    };
    let waited = looked_at(context, observed, &record.job).elapsed();
    let ran = record.outcome == Outcome::Running;
    let judged = preflight::judge(&seen, ran, waited, program.timeout);
    let now = PreflightStatus {
        outcome: judged.outcome,
        exit_code: judged.exit_code,
        reason: judged.reason,
        ..record.clone()
    };
    if !preflight::is_open(&now) {
        return conclude(context, observed, recipe, program, &seen, now).await;
    }
    if now != record {
        write_down(context, observed, program, &now).await?;
    }
    // A newer candidate would take its place.
    let refresh = observed.refresh.is_some() && observed.refresh != now.refresh;
    if !(observed.asked || observed.moved || refresh) {
        return Err(later(waited));
    }
    Ok(Standing {
        record: Some(now),
        there: true,
        trouble: None,
    })
}

/// The verdict is recorded, then what it was found with goes.
async fn conclude(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    program: &PreflightRecipe,
    seen: &Seen,
    mut record: PreflightStatus,
) -> Result<Standing, Stop> {
    if program.show_message && record.outcome == Outcome::Failed {
        record.message = said(context, observed, recipe, seen, &record).await?;
    }
    write_down(context, observed, program, &record).await?;
    let (job, outcome) = (&record.job, record.outcome);
    tracing::info!(binding = %observed.key, %job, ?outcome, reason = %record.reason, "a preflight has ended");
    clear(context, observed).await?;
    cleared(context, observed, job);
    let namespace = &observed.key.namespace;
    let trouble = (outcome == Outcome::Unavailable)
        .then(|| preflight::unavailable(&record, namespace, &program.image));
    Ok(Standing {
        record: Some(record),
        there: false,
        trouble,
    })
}

/// What the program said, as far as it can be told that it holds nothing of the candidate.
async fn said(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    seen: &Seen,
    record: &PreflightStatus,
) -> Result<String, Stop> {
    let (namespace, target) = (&observed.key.namespace, &recipe.target.name);
    let name = preflight::candidate_name(target);
    let found = context.secrets.get(namespace, &name).await;
    let (Some(live), Some(pod)) = (found.map_err(Stop::Cluster)?, &seen.pod) else {
        return Ok(String::new());
    };
    let word = revision::revision(&context.install_key, namespace, target, &live.data);
    if word.as_str() != record.candidate {
        return Ok(String::new());
    }
    Ok(preflight::shown(&pod.message, &live.data))
}
