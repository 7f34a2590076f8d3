//! One pass over a binding: observe, decide, fetch, render, apply, report.

mod acceptance;
mod apply;
mod asked;
mod back;
mod companion;
mod failover;
mod fetch;
mod finalizer;
mod follow;
mod former;
mod gatekeeper;
mod identity;
mod observe;
mod preflight;
mod rejected;
mod report;
mod restore;
mod versions;
mod write;

use std::{borrow::Cow, time::Instant};

use super::context::Context;
use crate::{
    api::ExternalSecretBindingSpec,
    cluster::{
        ClusterError, ObjectKey, ReportError,
        apply_error::{ApplyError, forbidden},
    },
    core::{self, Finding, Recipe, Rendered, gate, render},
};

pub use apply::Applied;
pub use back::Restored;
pub use companion::{recall, tidy};
pub use follow::{first_look, subscriber};
pub use observe::Observed;
pub use report::announce;

/// Why a pass came to no result, or to none that is reported.
#[derive(Debug)]
pub enum Stop {
    /// `spec.suspend` is true.
    Suspended,
    /// The spec cannot be carried out until it changes.
    Spec(Finding),
    /// A read, the rendering or a write failed.
    Failed(Finding),
    /// The gate refused the candidate.
    Rejected(Finding),
    /// The API server did not do what it should: nothing for the status, only tried again.
    Cluster(ClusterError),
    /// The status could not be written: the pass is tried again.
    Status(ReportError),
    /// The namespace is going away: silence.
    Terminating,
    /// Too early: nothing to report, looked at again then.
    Later(Instant),
}

/// Makes the binding's Secret what its sources say. Returns when it is due again.
pub async fn reconcile(context: &Context, key: ObjectKey) -> Option<Instant> {
    let observed = observe::observe(context, &key)?;
    if observed.deleting {
        context.sources.unsubscribe(&subscriber(&key));
        return finalizer::clean_up(context, &observed).await;
    }
    companion::tidy(context, &key, &observed.status).await;
    let recipe = decide(context, &observed);
    if let Some(at) = asked::send_back(context, &observed, recipe.as_ref().ok()).await {
        return Some(at);
    }
    if let Some(ended) = go_back(context, &observed).await {
        return ended;
    }
    if let Some(due) = observe::undisturbed(context, &observed, recipe.as_ref().ok()) {
        report::enrolled(context, &observed, recipe.as_ref().ok()).await;
        return due;
    }
    let started = Instant::now();
    let (read, outcome) = match &recipe {
        Ok(recipe) => pass(context, &observed, recipe).await,
        Err(stop) => {
            let left = preflight::abandon(context, &observed).await;
            (None, left.and(Err(stop.repeat())))
        }
    };
    if let Err(Stop::Later(at)) = outcome {
        context.remember(&key, |memory| memory.due = Some(at));
        return Some(at);
    }
    let recipe = recipe.as_ref().ok();
    follow::follow(context, &observed, recipe, read.as_ref());
    let followed = follow::is_followed(&outcome, read.as_ref());
    report::report(context, &observed, recipe, outcome, followed, started).await
}

/// A rollback that is open is brought to its end. None: there is none. Else when the binding is due again.
async fn go_back(context: &Context, observed: &Observed) -> Option<Option<Instant>> {
    let (recipe, stop) = back::go_back(context, observed).await?;
    if let Stop::Later(at) = stop {
        return Some(Some(at));
    }
    let started = Instant::now();
    Some(report::report(context, observed, Some(&recipe), Err(stop), false, started).await)
}

async fn pass(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> (Option<fetch::Read>, Result<Applied, Stop>) {
    if let Err(stop) = apply::keep_from_garbage_collector(context, observed, recipe).await {
        return (None, Err(stop));
    }
    let standing = match preflight::follow(context, observed, recipe).await {
        Ok(standing) => standing,
        Err(stop) => return (None, Err(stop)),
    };
    match fetch::fetch(context, observed, recipe).await {
        Ok(read) => {
            let outcome = carry(context, observed, recipe, &read, standing).await;
            (Some(read), outcome)
        }
        Err(stop) => (None, Err(stop)),
    }
}

/// Carries what was read into the Secret.
async fn carry(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &fetch::Read,
    standing: preflight::Standing,
) -> Result<Applied, Stop> {
    asked::go_back(context, observed, recipe, read).await?;
    let tried = match candidate(context, observed, recipe, read).await {
        Ok((read, rendered)) => {
            let tried = preflight::pass(context, observed, recipe, &read, &rendered, standing);
            tried.await.map(|()| (read, rendered))
        }
        Err(stop @ (Stop::Failed(_) | Stop::Rejected(_))) => {
            preflight::abandon(context, observed).await.and(Err(stop))
        }
        Err(stop) => return Err(stop),
    };
    match tried {
        Ok((read, rendered)) => apply::apply(context, observed, recipe, &read, &rendered).await,
        Err(Stop::Later(at)) => Err(Stop::Later(at)),
        Err(stop) => {
            let restored = restore::restore(context, observed, recipe, read).await;
            context.remember(&observed.key, |memory| memory.restored = restored);
            Err(stop)
        }
    }
}

/// The versions and the complete data, if they may be written.
async fn candidate<'a>(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &'a fetch::Read,
) -> Result<(Cow<'a, fetch::Read>, Rendered), Stop> {
    let judged = rejected::judge(context, observed, recipe, read).await?;
    acceptance::accept(context, observed, recipe, &judged.read).await?;
    let rendered = render::render(recipe, &judged.read.values).map_err(Stop::Failed)?;
    gate::check_with_origins(&recipe.gate, &rendered.data, &rendered.origins)
        .map_err(Stop::Rejected)?;
    let revision = apply::revision_of(context, observed, recipe, &rendered);
    judged.refuse(context, observed, &revision)?;
    Ok((judged.read, rendered))
}

fn decide(context: &Context, observed: &Observed) -> Result<Recipe, Stop> {
    let suspended = |spec: &ExternalSecretBindingSpec| spec.suspend == Some(true);
    if observed.spec.as_ref().is_ok_and(suspended) {
        return Err(Stop::Suspended);
    }
    parse(context, observed)
}

fn parse(context: &Context, observed: &Observed) -> Result<Recipe, Stop> {
    let (namespace, name) = (&observed.key.namespace, &observed.key.name);
    let spec = observed.spec.as_ref();
    spec.map_err(Clone::clone)
        .and_then(|spec| core::parse(namespace, name, spec, &context.settings.parse))
        .map_err(Stop::Spec)
}

impl Stop {
    /// A right that is missing is told; whatever else the API server answers is only tried again.
    pub fn of(namespace: &str, error: ClusterError) -> Self {
        match error {
            ClusterError::Forbidden {
                verb,
                resource,
                why,
            } => Self::Failed(forbidden(namespace, verb, resource, &why)),
            error => Self::Cluster(error),
        }
    }

    /// What `decide` stopped with, for the report.
    fn repeat(&self) -> Self {
        match self {
            Self::Spec(finding) => Self::Spec(finding.clone()),
            _ => Self::Suspended,
        }
    }
}

impl From<ApplyError> for Stop {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Finding(finding) => Self::Failed(finding),
            ApplyError::Cluster(error) => Self::Cluster(error),
        }
    }
}
