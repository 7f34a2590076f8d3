//! Apply: the Secret becomes what was rendered; before existing bytes are replaced the intent is recorded.

use std::time::Instant;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Observed, Stop, fetch::Read, report};
use crate::{
    api::{
        binding::{CreationPolicy, DeletionPolicy},
        names,
        status::{SecretStatus, SourceStatus, condition},
    },
    cluster::{
        BindingObject, ClusterError,
        apply::{self, Intent, Outcome, Seen, What, Write, Written},
        apply_error::ApplyError,
        upkeep,
    },
    controllers::{
        context::Context,
        enrol::{self, Enrolment},
    },
    core::{
        Finding, Recipe, Rendered, Revision, VersionSelector,
        change::{self, Glimpse, Wanted},
        events,
        ownership::Claim,
        parse::check_target,
        rollout::Change,
        sources::{SourceVersion, version_mark},
        write_plan::LiveSecret,
    },
    telemetry::audit,
};

/// What a pass came to when nothing stopped it.
#[derive(Debug)]
pub struct Applied {
    /// The caller's ARN.
    pub identity: String,
    /// The Secret as it is now.
    pub secret: SecretStatus,
    /// The versions it was made from.
    pub sources: Vec<SourceStatus>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Keys that were left to somebody else (Merge).
    pub conflict: Option<Finding>,
    /// The consumers as they were listed now; None: they were not listed.
    pub enrolment: Option<Enrolment>,
    /// The recipe that was carried out.
    pub recipe: Recipe,
}

/// Carries the pass's result into the Secret.
pub async fn apply(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    rendered: &Rendered,
) -> Result<Applied, Stop> {
    check_target(&recipe.target).map_err(Stop::Failed)?;
    let claim = claim(observed, recipe);
    let versions = versions(read);
    let wanted = Wanted {
        claim,
        key: &context.install_key,
        data: &rendered.data,
        read: &versions,
        existed: observed
            .status
            .secret
            .as_ref()
            .is_some_and(|s| s.name == recipe.target.name),
        now: context.now(),
    };
    let sources = source_statuses(context, read);
    let applied = |secret, conflict, enrolment, former: Vec<String>| Applied {
        identity: read.caller.arn.clone(),
        secret,
        sources: sources.clone(),
        notes: notes(recipe, rendered).chain(former).collect(),
        conflict,
        enrolment,
        recipe: recipe.clone(),
    };
    if let Some(secret) = settled(observed, recipe, &wanted) {
        let enrolment = enrol::refresh(context, observed, recipe, &claim, &secret.revision).await?;
        let notes = leave_former_targets(context, observed, recipe).await?;
        return Ok(applied(secret, None, enrolment, notes));
    }
    hold_with_finalizer(context, observed, recipe).await?;
    let (outcome, before) = write(context, observed, recipe, wanted).await?;
    book(context, observed, recipe, &outcome, &sources);
    let left = events::keys_left(&recipe.target.name, &outcome.left);
    let (key, uid) = (&observed.key, &observed.uid);
    context.events.publish(key, uid, left.as_slice()).await;
    let secret = SecretStatus {
        name: recipe.target.name.clone(),
        revision: outcome.revision.as_str().to_owned(),
        key_count: i64::try_from(rendered.data.len()).unwrap_or(i64::MAX),
        resource_version: outcome.resource_version.clone(),
    };
    let enrolment = match (&recipe.rollout, before) {
        (None, _) => None,
        // Listed before the write, and acknowledged.
        (Some(_), Before::Recorded) => None,
        (Some(rollout), Before::Nothing) => {
            let change = settled_change(&outcome);
            let listing = enrol::list(context, observed, rollout, &recipe.target, &change);
            Some(listing.await.map_err(Stop::Cluster)?)
        }
    };
    let notes = leave_former_targets(context, observed, recipe).await?;
    Ok(applied(secret, outcome.conflict, enrolment, notes))
}

/// A Secret of ours that names an owner that is gone (the binding was recreated or restored from a
/// backup) is the garbage collector's next victim: its owner is put right before AWS is asked.
pub async fn keep_from_garbage_collector(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<(), Stop> {
    let owner = observed
        .secret
        .as_ref()
        .and_then(|row| row.owner_uid.as_ref());
    if owner.is_none_or(|uid| *uid == observed.uid) {
        return Ok(());
    }
    let _place = context.writes.acquire().await;
    upkeep::rewrite_stale_owner(&context.secrets, &claim(observed, recipe))
        .await
        .map_err(stop)?;
    Ok(())
}

/// The revision that `rendered` has in the binding's Secret.
pub fn revision_of(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    rendered: &Rendered,
) -> String {
    let (namespace, target) = (&observed.key.namespace, &recipe.target.name);
    crate::core::revision::revision(&context.install_key, namespace, target, &rendered.data)
        .as_str()
        .to_owned()
}

/// Which workloads use the Secret has changed, nothing else: no read of AWS is needed for that.
pub async fn re_enrol(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<Option<Enrolment>, Stop> {
    let Some(secret) = &observed.status.secret else {
        return Ok(None);
    };
    enrol::refresh(
        context,
        observed,
        recipe,
        &claim(observed, recipe),
        &secret.revision,
    )
    .await
}

/// The binding goes: its keys leave a merged Secret, then the finalizer goes. An owned Secret is the
/// garbage collector's, a retained one is let go.
pub async fn clean_up(context: &Context, observed: &Observed) -> Option<Instant> {
    if !observed.has_finalizer {
        return None;
    }
    let ended = async {
        if let Ok(spec) = &observed.spec {
            let (namespace, name) = (&observed.key.namespace, &observed.key.name);
            if let Ok(recipe) = crate::core::parse(namespace, name, spec, &context.settings.parse) {
                upkeep::merge_remove(&context.secrets, &claim(observed, &recipe)).await?;
            }
        }
        set_finalizer(context, observed, false)
            .await
            .map_err(ApplyError::from)
    };
    match ended.await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(binding = %observed.key, %error, "clean-up not finished, tried again");
            Some(Instant::now() + context.jittered(std::time::Duration::from_secs(5)))
        }
    }
}

fn claim<'a>(observed: &'a Observed, recipe: &'a Recipe) -> Claim<'a> {
    Claim {
        namespace: &observed.key.namespace,
        binding: &observed.key.name,
        binding_uid: &observed.uid,
        target: &recipe.target,
    }
}

/// The Secret's record when nothing needs to be looked at.
fn settled(observed: &Observed, recipe: &Recipe, wanted: &Wanted<'_>) -> Option<SecretStatus> {
    let recorded = observed
        .status
        .secret
        .as_ref()
        .filter(|s| s.name == recipe.target.name)?;
    let row = observed.secret.as_ref()?;
    let synced = observed
        .status
        .conditions
        .iter()
        .any(|c| c.type_ == condition::SYNCED && c.status == "True");
    let same_spec = observed.status.observed_generation == Some(observed.generation);
    let glimpse = Glimpse {
        resource_version: &row.resource_version,
        revision: row.revision.as_deref()?,
        digest: row.digest.as_deref()?,
    };
    let settled =
        synced && same_spec && change::settled(wanted, glimpse, &recorded.resource_version);
    settled.then(|| recorded.clone())
}

/// Whether the consumers were recorded before the write.
enum Before {
    Recorded,
    Nothing,
}

async fn write(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    wanted: Wanted<'_>,
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
            apply::write(&context.secrets, write).await.map_err(stop)
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
            record_intent(
                context,
                observed,
                rollout,
                recipe,
                &revision,
                live_revision.as_ref(),
                &live,
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

/// Which workloads run with which revision, and which they shall run with, before bytes change.
async fn record_intent(
    context: &Context,
    observed: &Observed,
    rollout: &crate::core::recipe::RolloutRecipe,
    recipe: &Recipe,
    next: &Revision,
    live_revision: Option<&Revision>,
    live: &LiveSecret,
) -> Result<(), Stop> {
    let replaced = enrol::replacements(&live.head.meta, &claim(observed, recipe), next.as_str());
    let change = Change {
        live: live_revision.map(Revision::as_str),
        next: next.as_str(),
        replaced_at: replaced.live_since,
        next_left_at: replaced.next_left_at,
    };
    let enrolment = enrol::list(context, observed, rollout, &recipe.target, &change)
        .await
        .map_err(Stop::Cluster)?;
    let now = context.now();
    let (before, after) = {
        let _place = context.writes.acquire().await;
        let update = context
            .statuses
            .update(&observed.key, &observed.uid, |_, status| {
                enrolment.record(status, &recipe.target.name, now)
            });
        update.await.map_err(Stop::Status)?
    };
    // No later status differs from this one in what is told here: that a rollout begins, or why none does.
    report::announce(context, &observed.key, &observed.uid, &before, &after).await;
    enrolment.wake(context, &observed.key.namespace);
    Ok(())
}

/// After a write without a recorded intent the bytes in use are those that are there now.
fn settled_change(outcome: &Outcome) -> Change<'_> {
    let created = outcome.what == What::Created;
    Change {
        live: (!created).then_some(outcome.revision.as_str()),
        next: outcome.revision.as_str(),
        replaced_at: None,
        next_left_at: None,
    }
}

fn stop(error: ApplyError) -> Stop {
    match error {
        ApplyError::Finding(finding) => Stop::Failed(finding),
        ApplyError::Cluster(error) => Stop::Cluster(error),
    }
}

/// Counts and tells what was written.
fn book(
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

/// A merged Secret outlives its bindings: the finalizer holds the binding until its keys are out.
async fn hold_with_finalizer(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<(), Stop> {
    let target = &recipe.target;
    let needed =
        target.creation == CreationPolicy::Merge && target.deletion == DeletionPolicy::Delete;
    if needed == observed.has_finalizer {
        return Ok(());
    }
    set_finalizer(context, observed, needed)
        .await
        .map_err(Stop::Cluster)
}

async fn set_finalizer(
    context: &Context,
    observed: &Observed,
    wanted: bool,
) -> Result<(), ClusterError> {
    let api: Api<BindingObject> =
        Api::namespaced(context.statuses.client(), &observed.key.namespace);
    let object = match api.get(&observed.key.name).await {
        Ok(object) => object,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(_) => return Err(ClusterError::Unavailable("read the binding")),
    };
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != names::FINALIZER_MERGE);
    if wanted {
        finalizers.push(names::FINALIZER_MERGE.to_owned());
    }
    let patch = json!({"metadata": {
        "resourceVersion": object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let params = PatchParams {
        field_manager: Some(names::METADATA_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch(&observed.key.name, &params, &Patch::Merge(&patch))
        .await
    {
        Ok(object) => {
            context.views.put_binding(object);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(ClusterError::Conflict),
        Err(_) => Err(ClusterError::Unavailable("write the finalizer")),
    }
}

/// Secrets that the binding wrote under another name: with a rollout they go once nobody uses them,
/// without one they stay and belong to nobody. Returns what a person should know about them.
async fn leave_former_targets(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<Vec<String>, Stop> {
    let mut notes = Vec::new();
    for former in context.views.secrets_of(&observed.key) {
        if former.name == recipe.target.name {
            continue;
        }
        let mut target = recipe.target.clone();
        target.name.clone_from(&former.name);
        let claim = Claim {
            target: &target,
            ..claim(observed, recipe)
        };
        let (namespace, name) = (&former.namespace, &former.name);
        if recipe.rollout.is_none() {
            upkeep::release(&context.secrets, &claim)
                .await
                .map_err(stop)?;
            notes.push(format!("The former Secret {name} stays and belongs to nobody: kubectl delete secret {name} -n {namespace}."));
        } else if enrol::in_use(context, &former)
            .await
            .map_err(Stop::Cluster)?
        {
            notes.push(format!(
                "The former Secret {name} goes once nothing uses it."
            ));
        } else {
            upkeep::delete(&context.secrets, &claim)
                .await
                .map_err(stop)?;
            tracing::info!(binding = %observed.key, secret = %former, "a Secret of a former name was deleted");
        }
    }
    Ok(notes)
}

fn notes<'a>(recipe: &Recipe, rendered: &'a Rendered) -> impl Iterator<Item = String> + use<'a> {
    let raised = recipe.refresh_interval_raised_from.map(|written| {
        format!(
            "This install raises refreshInterval from {} to {}.",
            crate::core::duration::human(written),
            crate::core::duration::human(recipe.refresh_interval)
        )
    });
    raised.into_iter().chain(rendered.notes.iter().cloned())
}

fn versions(read: &Read) -> Vec<SourceVersion<'_>> {
    let single = read.values.entries.iter().filter_map(|(ask, result)| {
        let entry = result.as_ref().ok()?;
        let selected = match &ask.version {
            VersionSelector::Current => "",
            VersionSelector::Stage(text) | VersionSelector::Id(text) => text,
        };
        Some((entry, selected))
    });
    let members = read
        .values
        .listings
        .values()
        .filter_map(|result| result.as_ref().ok());
    let members = members.flatten().map(|entry| (entry, ""));
    let mut all: Vec<SourceVersion<'_>> = single
        .chain(members)
        .map(|(entry, selector)| SourceVersion {
            arn: &entry.arn,
            selector,
            version_id: &entry.version_id,
            created: entry.created.map(|time| time.as_second()),
        })
        .collect();
    all.sort_by(|a, b| (a.arn, a.selector).cmp(&(b.arn, b.selector)));
    all.dedup_by(|a, b| (a.arn, a.selector) == (b.arn, b.selector));
    all
}

fn source_statuses(context: &Context, read: &Read) -> Vec<SourceStatus> {
    let single = read
        .values
        .entries
        .values()
        .filter_map(|result| result.as_ref().ok());
    let members = read
        .values
        .listings
        .values()
        .filter_map(|result| result.as_ref().ok())
        .flatten();
    let mut all: Vec<SourceStatus> = single
        .chain(members)
        .map(|entry| SourceStatus {
            secret: entry.name.clone(),
            version_id: version_mark(&context.install_key, &entry.version_id),
            region: read.region.clone(),
        })
        .collect();
    all.sort_by(|a, b| (&a.secret, &a.version_id).cmp(&(&b.secret, &b.version_id)));
    all.dedup();
    all
}
