//! Apply: the Secret becomes what was rendered; before existing bytes are replaced the intent is recorded.

use super::{
    Observed, Stop,
    fetch::Read,
    finalizer,
    former::{self, Former},
    versions,
    write::{self, Before},
};
use crate::{
    api::status::{SecretStatus, SourceStatus, condition},
    cluster::{
        apply::{Outcome, What},
        upkeep,
    },
    controllers::{
        context::Context,
        enrol::{self, Enrolment},
    },
    core::{
        Finding, Recipe, Rendered,
        change::{self, Glimpse, Wanted},
        events,
        parse::check_target,
        rollout::{self, Change},
    },
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
    /// The region that stood in for the binding's own.
    pub failover: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// A Secret of a former name is to be looked at again: nobody tells when it is no longer used.
    pub former_in_use: bool,
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
    let claim = observed.claim(recipe);
    let versions = versions::of(read);
    let wanted = Wanted {
        claim,
        key: &context.install_key,
        data: &rendered.data,
        read: &versions,
        back: None,
        forgive: observed.refresh.is_some(),
        inherited: &read.rejected,
        outcome: rollout::outcome(&observed.status.rollouts),
        existed: observed
            .status
            .secret
            .as_ref()
            .is_some_and(|s| s.name == recipe.target.name),
        now: context.now(),
    };
    let sources = versions::as_shown(context, read);
    let applied = |secret, conflict, enrolment, former: Former| Applied {
        identity: read.caller.arn.clone(),
        secret,
        sources: sources.clone(),
        failover: read.instead_of.as_ref().map(|_| read.region.clone()),
        notes: notes(recipe, rendered)
            .chain(refused(context, observed))
            .chain(former.notes)
            .collect(),
        former_in_use: former.in_use,
        conflict,
        enrolment,
        recipe: recipe.clone(),
    };
    if let Some(secret) = settled(observed, recipe, &wanted) {
        let enrolment = enrol::refresh(context, observed, recipe, &claim, &secret.revision).await?;
        let former = former::leave(context, observed, recipe).await?;
        return Ok(applied(secret, None, enrolment, former));
    }
    finalizer::hold(context, observed, recipe).await?;
    let (outcome, before) = write::write(context, observed, recipe, wanted, None).await?;
    write::book(context, observed, recipe, &outcome, &sources);
    let left = events::keys_left(&recipe.target.name, &outcome.left);
    let (key, uid) = (&observed.key, &observed.uid);
    let now = context.now();
    context.events.publish(key, uid, left.as_slice(), now).await;
    let secret = write::status(recipe, &outcome, &rendered.data);
    let enrolment = match (&recipe.rollout, before) {
        (None, _) => None,
        // Listed before the write, and acknowledged.
        (Some(_), Before::Recorded) => None,
        (Some(rollout), Before::Nothing) => {
            let change = settled_change(&outcome);
            let listing = enrol::list(context, observed, rollout, &recipe.target, &change);
            let listing = listing.await;
            Some(listing.map_err(|error| Stop::of(&observed.key.namespace, error))?)
        }
    };
    let former = former::leave(context, observed, recipe).await?;
    Ok(applied(secret, outcome.conflict, enrolment, former))
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
    upkeep::rewrite_stale_owner(&context.secrets, &observed.claim(recipe)).await?;
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
        &observed.claim(recipe),
        &secret.revision,
    )
    .await
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

/// Why a rollback that was asked for was not done.
fn refused(context: &Context, observed: &Observed) -> Option<String> {
    context.remember(&observed.key, |memory| {
        memory.refused.as_ref().map(|(_, text)| text.clone())
    })
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
