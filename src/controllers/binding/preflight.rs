//! Preflight: a program tries the candidate before it is written. Decided in `core::preflight`.
//!
//! In this order, so that a crash between any two is made good by the next pass: the record (Pending), the
//! candidate's Secret, the Job; at the end the verdict in the status, then Job and Secret go.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Observed, Stop, apply, fetch::Read, report, versions};
use crate::{
    api::{
        Reason,
        binding::CreationPolicy,
        names,
        preflight::{PreflightOutcome as Outcome, PreflightStatus},
    },
    cluster::ClusterError,
    controllers::context::{Context, PreflightMemory},
    core::{
        Finding, Recipe, Rendered, conditions,
        preflight::{self, JobPlan, Next, Seen},
        recipe::PreflightRecipe,
        revision,
        secret_type::TYPE_OPAQUE,
    },
    telemetry::audit,
};

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
            start(context, observed, recipe, program, read, rendered, fresh).await
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

/// Since when the Job is looked at.
fn looked_at(context: &Context, observed: &Observed, job: &str) -> Instant {
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

async fn start(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    program: &PreflightRecipe,
    read: &Read,
    rendered: &Rendered,
    mut record: PreflightStatus,
) -> Result<(), Stop> {
    if is_live(context, observed, recipe, rendered).await? {
        return Ok(());
    }
    clear(context, observed).await?;
    write_down(context, observed, program, &record).await?;
    let made = make(context, observed, recipe, program, read, rendered, &record).await;
    let Err(error) = made else {
        looked_at(context, observed, &record.job);
        return Err(later(Duration::ZERO));
    };
    let Some(finding) = explained(observed, &error) else {
        return Err(match error {
            ClusterError::NamespaceTerminating => Stop::Terminating,
            error => Stop::Cluster(error),
        });
    };
    (record.outcome, record.reason) = (Outcome::Unavailable, "NotMade".to_owned());
    write_down(context, observed, program, &record).await?;
    clear(context, observed).await?;
    cleared(context, observed, &record.job);
    Err(Stop::Failed(finding))
}

/// True when the Secret holds these very bytes, whatever they are called.
async fn is_live(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    rendered: &Rendered,
) -> Result<bool, Stop> {
    let (namespace, name) = (&observed.key.namespace, &recipe.target.name);
    let found = context.secrets.get(namespace, name).await;
    let Some(live) = found.map_err(Stop::Cluster)? else {
        return Ok(false);
    };
    let mut ours = rendered.data.iter();
    Ok(match recipe.target.creation {
        CreationPolicy::Owner => live.data == rendered.data,
        CreationPolicy::Adopt | CreationPolicy::Merge => {
            ours.all(|(key, value)| live.data.get(key) == Some(value))
        }
    })
}

async fn make(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    program: &PreflightRecipe,
    read: &Read,
    rendered: &Rendered,
    record: &PreflightStatus,
) -> Result<(), ClusterError> {
    let (namespace, binding) = (&observed.key.namespace, &observed.key.name);
    let secret = preflight::candidate_name(&recipe.target.name);
    let meta = candidate_meta(observed, &secret);
    let _place = context.writes.acquire().await;
    let created = context
        .secrets
        .create(namespace, &meta, TYPE_OPAQUE, &rendered.data);
    created.await?;
    context.metrics.kubernetes_write("secrets", "create");
    audit::secret_written(audit::SecretWrite {
        namespace,
        binding,
        secret: &secret,
        op: "create",
        revision: &record.candidate,
        sources: &versions::as_shown(context, read),
    });
    let job = preflight::job(&JobPlan {
        name: &record.job,
        namespace,
        binding,
        binding_uid: &observed.uid,
        secret: &secret,
        recipe: program,
    });
    match context.jobs.create(namespace, &job).await {
        Ok(()) => context.metrics.kubernetes_write("jobs", "create"),
        Err(ClusterError::AlreadyExists) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// No label of ours but the one: the watch of target Secrets does not see it.
fn candidate_meta(observed: &Observed, secret: &str) -> ObjectMeta {
    let label = (
        names::LABEL_PART_OF.to_owned(),
        observed.key.name.to_owned(),
    );
    let owner = preflight::owner(&observed.key.name, &observed.uid);
    ObjectMeta {
        name: Some(secret.to_owned()),
        namespace: Some(observed.key.namespace.clone()),
        labels: Some([label].into()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// What a person can act on.
fn explained(observed: &Observed, error: &ClusterError) -> Option<Finding> {
    let namespace = &observed.key.namespace;
    match error {
        ClusterError::Forbidden {
            verb,
            resource,
            why,
        } if why.starts_with("RBAC") => Some(Finding::new(
            Reason::OperatorForbidden,
            format!("The operator may not {verb} {resource} in namespace {namespace}: {why}."),
            format!(
                "Grant its ServiceAccount {verb} on {resource} there (chart value allowPreflight)."
            ),
        )),
        ClusterError::Forbidden { .. } | ClusterError::Invalid { .. } | ClusterError::TooLarge => {
            Some(preflight::not_made(&error.to_string(), namespace))
        }
        // Ours were cleared away just before.
        ClusterError::AlreadyExists => Some(preflight::not_made(
            "the name of the candidate's Secret is taken by somebody else's",
            namespace,
        )),
        _ => None,
    }
}

/// The record goes into the status, with the condition that says what is under way.
async fn write_down(
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
async fn forget(context: &Context, observed: &Observed) -> Result<(), Stop> {
    clear(context, observed).await?;
    context.remember(&observed.key, |memory| memory.preflight = None);
    let _place = context.writes.acquire().await;
    let update = context
        .statuses
        .update(&observed.key, &observed.uid, |_, status| {
            let mut without = status.clone();
            without.preflight = None;
            without
        });
    update.await.map(drop).map_err(Stop::Status)
}

/// Clears away what a crash after the verdict has left, once.
async fn leave_nothing(context: &Context, observed: &Observed, job: &str) -> Result<(), Stop> {
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

fn cleared(context: &Context, observed: &Observed, job: &str) {
    let memory = PreflightMemory {
        job: job.to_owned(),
        since: Instant::now(),
        cleared: true,
    };
    context.remember(&observed.key, |all| all.preflight = Some(memory));
}

/// Deletes every Job and candidate Secret of the binding, also those of a target that was renamed.
async fn clear(context: &Context, observed: &Observed) -> Result<(), Stop> {
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
