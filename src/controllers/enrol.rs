//! Enrol: the workloads that use a binding's Secret get their entries in its status.
//!
//! Called by the binding loop around writes and by the workload loop when consumers come and go; the
//! decisions are `core::rollout`'s.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    binding::{Observed, Stop},
    context::{Context, WorkloadKey},
};
use crate::{
    api::{
        binding::CreationPolicy,
        names,
        status::{ExternalSecretBindingStatus as Status, RolloutStatus},
    },
    cluster::{ClusterError, ObjectKey, workloads::WorkloadError},
    core::{
        Recipe,
        annotations::Marks,
        conditions, managers,
        ownership::Claim,
        recipe::{RolloutRecipe, TargetRecipe},
        rollout::{self, Change, Consumer, Kind, Pods, TooManyTargets, marker},
        write_plan,
    },
};

/// The consumers of a Secret, planned for.
#[derive(Clone, Debug)]
pub struct Enrolment {
    entries: Vec<RolloutStatus>,
    too_many: Option<TooManyTargets>,
}

impl Enrolment {
    /// The status with these entries and what follows from them.
    pub fn record(&self, status: &Status, secret: &str, now: Timestamp) -> Status {
        let mut next = status.clone();
        next.rollouts.clone_from(&self.entries);
        summed_up(&next, secret, self.too_many, now)
    }

    /// Has those that go back say which versions are rejected.
    pub fn name_rejected(&mut self, versions: &str) {
        let back = |e: &&mut RolloutStatus| rollout::is_rolling_back(e);
        for entry in self.entries.iter_mut().filter(back) {
            if !entry.message.contains(versions) {
                entry.message = format!("{} {versions}", entry.message);
            }
        }
    }

    /// Asks for a step of every workload in it.
    pub fn wake(&self, context: &Context, namespace: &str) {
        wake(context, namespace, &self.entries);
    }
}

/// The status with column and conditions that follow from its entries.
pub fn summed_up(
    status: &Status,
    secret: &str,
    too_many: Option<TooManyTargets>,
    now: Timestamp,
) -> Status {
    let summary = rollout::summarize(secret, &status.rollouts, too_many);
    conditions::with_rollouts(status, &summary, now)
}

/// Lists the consumers afresh and plans their entries for a change of the Secret.
pub async fn list(
    context: &Context,
    observed: &Observed,
    rollout: &RolloutRecipe,
    target: &TargetRecipe,
    change: &Change<'_>,
) -> Result<Enrolment, ClusterError> {
    let key = &observed.key;
    // Entries about a Secret of another name say nothing of this one.
    let written = observed.status.secret.as_ref();
    let same = written.is_none_or(|secret| secret.name == target.name);
    let previous: &[RolloutStatus] = match same {
        true => &observed.status.rollouts,
        false => &[],
    };
    let workloads = context
        .workloads
        .list_consumers(&key.namespace)
        .await
        .map_err(unavailable)?;
    let consumers = match rollout::select(rollout, &target.name, &workloads) {
        Ok(consumers) => consumers,
        Err(too_many) => {
            return Ok(Enrolment {
                entries: Vec::new(),
                too_many: Some(too_many),
            });
        }
    };
    let pods = pods(context, previous, &consumers, change).await?;
    let marker_key = marker::key_of(target, &key.name);
    let mut entries = rollout::plan_intent(previous, &consumers, &marker_key, change, &pods);
    rollout::add_cautions(&mut entries, &consumers, &target.name, rollout);
    Ok(Enrolment {
        entries,
        too_many: None,
    })
}

async fn pods(
    context: &Context,
    previous: &[RolloutStatus],
    consumers: &[Consumer<'_>],
    change: &Change<'_>,
) -> Result<Pods, ClusterError> {
    let mut pods = Pods::new();
    for workload in rollout::pods_needed(previous, consumers, change) {
        let found = context
            .workloads
            .pods_of(workload)
            .await
            .map_err(unavailable)?;
        pods.insert((workload.kind, workload.name.clone()), found);
    }
    Ok(pods)
}

/// Lists the consumers anew where that is owed although the Secret is settled: some have come or gone,
/// the rollout was never looked at, or an intent is open for bytes that were never written.
pub async fn refresh(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    claim: &Claim<'_>,
    revision: &str,
) -> Result<Option<Enrolment>, Stop> {
    let asked = context.remember(&observed.key, |memory| std::mem::take(&mut memory.enrol));
    let Some(rollout) = &recipe.rollout else {
        return Ok(None);
    };
    let elsewhere = |entry: &RolloutStatus| {
        !entry.wanted.is_empty() && marker::revision_of(&entry.wanted) != revision
    };
    let status = &observed.status;
    let owed = asked || status.rollout_summary.is_none() || status.rollouts.iter().any(elsewhere);
    if !owed {
        return Ok(None);
    }
    let meta = context
        .secrets
        .get_meta(claim.namespace, &claim.target.name)
        .await
        .map_err(|error| Stop::of(claim.namespace, error))?;
    let change = change(&meta.unwrap_or_default(), claim, Some(revision), revision);
    let listing = list(context, observed, rollout, &recipe.target, &change).await;
    listing
        .map(Some)
        .map_err(|error| Stop::of(claim.namespace, error))
}

/// A change of a Secret from `live` to `next`, with its times as the Secret's metadata tells them: those
/// of the API server where it kept one, else those in the history.
pub fn change<'a>(
    meta: &ObjectMeta,
    claim: &Claim<'_>,
    live: Option<&'a str>,
    next: &'a str,
) -> Change<'a> {
    let annotations = meta.annotations.clone().unwrap_or_default();
    let history = Marks::parse(&annotations, write_plan::scope(claim)).history;
    let manager = match claim.target.creation {
        CreationPolicy::Merge => managers::merge_manager(claim.binding),
        _ => names::FIELD_MANAGER.to_owned(),
    };
    let replaced_at = (history.len() > 1)
        .then(|| managers::changed_at(meta, &manager).or(history.first().map(|item| item.time)))
        .flatten();
    let left = history
        .iter()
        .skip(1)
        .position(|item| item.revision == next);
    Change {
        live,
        next,
        replaced_at,
        next_left_at: left.and_then(|at| history.get(at)).map(|item| item.time),
    }
}

/// True when a workload, CronJob, Job or Pod of the namespace uses the Secret now.
pub async fn in_use(context: &Context, secret: &ObjectKey) -> Result<bool, ClusterError> {
    let (namespace, name) = (&secret.namespace, &secret.name);
    let workloads = context
        .workloads
        .list_consumers(namespace)
        .await
        .map_err(unavailable)?;
    if workloads
        .iter()
        .any(|workload| workload.secrets.contains(name))
    {
        return Ok(true);
    }
    context
        .workloads
        .pods_use(namespace, name)
        .await
        .map_err(unavailable)
}

/// A listing that failed is the API server's trouble: the pass is tried again.
pub fn unavailable(error: WorkloadError) -> ClusterError {
    tracing::warn!(%error, "workloads could not be read");
    match error {
        WorkloadError::Timeout => ClusterError::Timeout,
        WorkloadError::Stale | WorkloadError::WrongUid => ClusterError::Conflict,
        WorkloadError::Forbidden {
            verb,
            resource,
            why,
        } => ClusterError::Forbidden {
            verb,
            resource,
            why: why.to_owned(),
        },
        _ => ClusterError::Unavailable("read workloads"),
    }
}

/// Asks for a step of every workload whose rollout is open; while one goes back, of all.
pub fn wake_open(context: &Context, namespace: &str, status: &Status) {
    let any = status.rollouts.iter().any(rollout::is_rolling_back);
    let open = |entry: &&RolloutStatus| any || entry.delivered != entry.wanted;
    wake(context, namespace, status.rollouts.iter().filter(open));
}

fn wake<'a>(
    context: &Context,
    namespace: &str,
    entries: impl IntoIterator<Item = &'a RolloutStatus>,
) {
    for entry in entries {
        if let Some(kind) = Kind::parse(&entry.kind) {
            context.workload_queue.now(WorkloadKey {
                namespace: namespace.to_owned(),
                kind,
                name: entry.name.clone(),
            });
        }
    }
}
