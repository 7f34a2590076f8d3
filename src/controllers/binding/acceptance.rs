//! Acceptance: reads of AWS are eventually consistent. A version that the Secret has left before, or one older
//! than its own, is carried only once AWS says twice that it is the one meant: never old, new, old.

use std::time::Instant;

use super::{
    Observed, Stop, failover,
    fetch::{self, Read},
    versions,
};
use crate::{
    controllers::context::Context,
    core::{
        Class, EntryAsk, Recipe, VersionSelector,
        annotations::Marks,
        schedule,
        sources::{SourceVersion, version_mark},
        write_plan,
    },
};

/// Returns once every version may be carried.
pub async fn accept(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Result<(), Stop> {
    if let Some(outage) = &read.instead_of {
        return failover::accept(context, observed, recipe, read, outage).await;
    }
    for (ask, version) in doubtful(context, observed, recipe, read).await? {
        if !read.hub.confirm(&ask, &version).await {
            tracing::info!(binding = %observed.key, "AWS answered with an old version: asked again");
            return Err(Stop::Later(again(context, observed, recipe)));
        }
    }
    Ok(())
}

/// When to ask again after an old answer: soon, and ever more rarely while AWS stays behind.
fn again(context: &Context, observed: &Observed, recipe: &Recipe) -> Instant {
    let class = Class::Conflict;
    let attempt = context.remember(&observed.key, |memory| memory.attempts.failed(class));
    let delay = schedule::retry_delay(class, attempt, recipe.refresh_interval, None);
    Instant::now() + context.jittered(delay)
}

/// The reads that may be old answers, as they would be asked again.
async fn doubtful(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Result<Vec<(EntryAsk, String)>, Stop> {
    let versions = versions::of(read);
    let moved = moved(context, observed, &versions);
    if moved.is_empty() || !is_written(observed, recipe) {
        return Ok(Vec::new());
    }
    let known = marks(context, observed, recipe).await?.sources;
    let doubted = moved
        .into_iter()
        .filter(|source| known.doubts(&context.install_key, source));
    // A version id that is asked for by itself is never an old answer.
    let asked = doubted.filter_map(|source| {
        let version = match source.selector {
            "" => VersionSelector::Current,
            label => VersionSelector::Stage(label.to_owned()),
        };
        let is_label = version == VersionSelector::Current
            || read.values.entries.keys().any(|ask| ask.version == version);
        let ask = fetch::ask(source.arn, version).filter(|_| is_label)?;
        Some((ask, source.version_id.to_owned()))
    });
    Ok(asked.collect())
}

/// The versions that the status does not record.
pub fn moved<'a>(
    context: &Context,
    observed: &Observed,
    read: &[SourceVersion<'a>],
) -> Vec<SourceVersion<'a>> {
    let recorded = &observed.status.sources;
    let is_recorded = |version_id: &str| {
        let mark = version_mark(&context.install_key, version_id);
        recorded.iter().any(|source| source.version_id == mark)
    };
    let moved = read.iter().filter(|source| !is_recorded(source.version_id));
    moved.copied().collect()
}

/// Whether the status speaks of the Secret that the recipe names.
pub fn is_written(observed: &Observed, recipe: &Recipe) -> bool {
    let secret = observed.status.secret.as_ref();
    secret.is_some_and(|secret| secret.name == recipe.target.name)
}

/// What is recorded on the Secret.
pub async fn marks(context: &Context, observed: &Observed, recipe: &Recipe) -> Result<Marks, Stop> {
    let meta = context
        .secrets
        .get_meta(&observed.key.namespace, &recipe.target.name)
        .await
        .map_err(Stop::Cluster)?;
    let annotations = meta.and_then(|meta| meta.annotations).unwrap_or_default();
    let claim = observed.claim(recipe);
    Ok(Marks::parse(&annotations, write_plan::scope(&claim)))
}
