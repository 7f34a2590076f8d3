//! One step of a workload's rollout: the second loop, the only writer of markers.
//!
//! What to do is `core::rollout::step`'s decision over all bindings that speak of the workload.

mod outcome;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::context::{Context, WorkloadKey};
use crate::{
    api::{binding::CreationPolicy, status::RolloutStatus},
    cluster::{ObjectKey, WorkloadRef, workloads::WorkloadError},
    core::{
        annotations::{Marks, Scope},
        parse,
        recipe::RolloutRecipe,
        rollout::{self, Claim, Look, PodInfo, Progress, Step, Turn, Workload, marker},
        window,
    },
};

/// Pause after a write that was refused or lost.
const RETRY: Duration = Duration::from_secs(1);

/// What one binding says about the workload, with what it takes to answer it.
struct Speaker {
    binding: ObjectKey,
    uid: String,
    marker_key: String,
    entry: RolloutStatus,
    target: String,
    creation: CreationPolicy,
    secret_holds_wanted: bool,
    seen_at: Timestamp,
    rollout: RolloutRecipe,
    turn: Turn,
    opens: Option<Timestamp>,
    bad: Option<(Timestamp, Timestamp)>,
}

/// Brings the workload one step on. Returns when it must be looked at again.
pub async fn roll(context: &Context, key: WorkloadKey) -> Option<Instant> {
    let now = (context.nature.now)();
    let mut speakers = speakers(context, &key, now);
    if speakers.is_empty() {
        context.rollouts.lock().remove(&key);
        return None;
    }
    let row = context.rows.lock().get(&key).cloned();
    if let Some(row) = row {
        let claims: Vec<Claim<'_>> = speakers.iter().map(|s| s.claim(Some(&row))).collect();
        let progress = progress(context, &key, &row, now);
        let look = Look {
            progress: Some(&progress),
            ..Look::default()
        };
        let step = rollout::step(Some(&row), &claims, look, now);
        if step.is_idle(&claims) {
            return later(step.requeue_after);
        }
    }
    match advance(context, &key, &mut speakers, now).await {
        Ok(requeue) => later(requeue),
        Err(error) => {
            tracing::warn!(kind = %key.kind, namespace = key.namespace, name = key.name, %error, "workload not looked after, tried again");
            later(Some(
                outcome::refused(context, &key, &speakers, &error).await,
            ))
        }
    }
}

/// The step on an object that is read for it, with its pods where they matter.
async fn advance(
    context: &Context,
    key: &WorkloadKey,
    speakers: &mut [Speaker],
    now: Timestamp,
) -> Result<Option<Duration>, WorkloadError> {
    let workloads = &context.workloads;
    let fresh = match workloads.get(key.kind, &key.namespace, &key.name).await {
        Ok(workload) => Some(workload),
        Err(WorkloadError::NotFound) => None,
        Err(error) => return Err(error),
    };
    for speaker in speakers.iter_mut() {
        speaker.bad = bad_times(context, speaker).await?;
    }
    let speakers = &*speakers;
    let claims: Vec<Claim<'_>> = speakers.iter().map(|s| s.claim(fresh.as_ref())).collect();
    let progress = fresh
        .as_ref()
        .map(|workload| progress(context, key, workload, now));
    let look = Look {
        progress: progress.as_ref(),
        ..Look::default()
    };
    let mut step = rollout::step(fresh.as_ref(), &claims, look, now);
    if let Some(workload) = fresh.as_ref().filter(|_| step.needs_pods) {
        let pods = workloads.pods_of(workload).await?;
        let suspects = suspects(context, key, speakers, &pods);
        let look = Look {
            pods: Some(&pods),
            suspects: Some(&suspects),
            ..look
        };
        step = rollout::step(Some(workload), &claims, look, now);
    }
    carry_out(context, key, fresh.as_ref(), &step).await?;
    match outcome::record_all(context, key, speakers, &step).await {
        Ok(()) => Ok(step.requeue_after),
        Err(pause) => Ok(Some(pause)),
    }
}

/// When the Secret held the bytes that failed, of a workload that goes back to those of before.
async fn bad_times(
    context: &Context,
    speaker: &Speaker,
) -> Result<Option<(Timestamp, Timestamp)>, WorkloadError> {
    if speaker.turn != Turn::Back {
        return Ok(None);
    }
    let (namespace, name) = (&speaker.binding.namespace, &speaker.target);
    let meta = context.secrets.get_meta(namespace, name).await;
    let meta = meta
        .map_err(|_| WorkloadError::Timeout)?
        .unwrap_or_default();
    let annotations = meta.annotations.unwrap_or_default();
    let marks = Marks::parse(&annotations, speaker.scope());
    Ok(marks.replaced_between(marker::revision_of(&speaker.entry.wanted)))
}

/// By binding that goes back, the pods there were when its Secret was first seen to hold the bytes of before again.
fn suspects(
    context: &Context,
    key: &WorkloadKey,
    speakers: &[Speaker],
    pods: &[PodInfo],
) -> BTreeMap<String, BTreeSet<String>> {
    let mut memory = context.rollouts.lock();
    let known = &mut memory.entry(key.clone()).or_default().suspects;
    let back = speakers.iter().filter(|s| s.secret_holds_wanted);
    let back = back.filter_map(|s| Some((&s.binding.name, s.bad?.1)));
    back.map(|(binding, until)| {
        let now = || (until, pods.iter().map(|pod| pod.uid.clone()).collect());
        let first = known.entry(binding.clone()).or_insert_with(now);
        if first.0 != until {
            *first = now();
        }
        (binding.clone(), first.1.clone())
    })
    .collect()
}

impl Speaker {
    fn claim(&self, workload: Option<&Workload>) -> Claim<'_> {
        Claim {
            binding: &self.binding.name,
            key: &self.marker_key,
            entry: &self.entry,
            secret_holds_wanted: self.secret_holds_wanted,
            seen_at: self.seen_at,
            timeout: self.rollout.timeout,
            min_interval: self.rollout.min_interval,
            on_failure: self.rollout.on_failure,
            turn: self.turn.clone(),
            opens: self.opens,
            caution: workload.map_or(String::new(), |w| w.caution(&self.target, &self.rollout)),
            bad: self.bad,
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::of(self.creation, &self.binding.name)
    }
}

/// Every binding with an entry about the workload.
fn speakers(context: &Context, key: &WorkloadKey, now: Timestamp) -> Vec<Speaker> {
    let mut memory = context.rollouts.lock();
    let memory = memory.entry(key.clone()).or_default();
    let bindings = context.views.bindings_in(&key.namespace).into_iter();
    let about = |w: &WorkloadRef| w.kind == key.kind.as_str() && w.name == key.name;
    bindings
        .filter(|(_, row)| row.rolls && !row.deleting && row.workloads.iter().any(about))
        .filter_map(|(binding, row)| {
            let status = row.status();
            let spec = row.spec().ok()?;
            let recipe = parse(
                &binding.namespace,
                &binding.name,
                &spec,
                &context.settings.parse,
            )
            .ok()?;
            let (rollout, mut target) = (recipe.rollout?, recipe.target);
            let about = |e: &RolloutStatus| e.kind == key.kind.as_str() && e.name == key.name;
            let at = status.rollouts.iter().position(about)?;
            let entry = status.rollouts.get(at)?.clone();
            // The entries are about the Secret that was written, whatever the spec says by now.
            if let Some(secret) = &status.secret {
                target.name.clone_from(&secret.name);
            }
            let holds = status
                .secret
                .is_some_and(|s| s.revision == marker::revision_of(&entry.wanted));
            let seen = memory
                .seen
                .entry(binding.name.clone())
                .or_insert((String::new(), now));
            if seen.0 != entry.wanted {
                *seen = (entry.wanted.clone(), now);
            }
            Some(Speaker {
                marker_key: marker::key_of(&target, &binding.name),
                creation: target.creation,
                uid: row.uid.clone(),
                target: target.name,
                secret_holds_wanted: holds,
                seen_at: seen.1,
                turn: rollout::turn(&status.rollouts, at, rollout.order),
                opens: window::opens(&rollout.windows, now),
                bad: None,
                rollout,
                binding,
                entry,
            })
        })
        .collect()
}

/// Progress as remembered, after one more look.
fn progress(context: &Context, key: &WorkloadKey, workload: &Workload, now: Timestamp) -> Progress {
    let mut memory = context.rollouts.lock();
    let memory = memory.entry(key.clone()).or_default();
    let progress = Progress::observe(memory.progress.take(), workload, now);
    memory.progress = Some(progress.clone());
    progress
}

/// Sets the markers, or deletes the pod that stands in the way.
async fn carry_out(
    context: &Context,
    key: &WorkloadKey,
    workload: Option<&Workload>,
    step: &Step,
) -> Result<(), WorkloadError> {
    let Some(workload) = workload else {
        return Ok(());
    };
    if let Some(markers) = &step.apply {
        let _place = context.writes.acquire().await;
        context.workloads.apply_markers(workload, markers).await?;
        context.metrics.kubernetes_write(key.kind.plural(), "patch");
        tracing::info!(workload = %workload.label(), namespace = key.namespace, "markers set");
    }
    if let Some(pod) = &step.delete {
        let _place = context.writes.acquire().await;
        context.workloads.delete_pod(&key.namespace, pod).await?;
        context.metrics.kubernetes_write("pods", "delete");
        tracing::info!(workload = %workload.label(), namespace = key.namespace, pod = pod.name, "a pod that must not stay was deleted");
    }
    Ok(())
}

fn later(after: Option<Duration>) -> Option<Instant> {
    after.map(|after| Instant::now() + after)
}
