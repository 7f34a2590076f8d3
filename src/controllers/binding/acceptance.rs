//! Acceptance: reads of AWS are eventually consistent. A version that the Secret has left before, or one older
//! than its own, is carried only once AWS says twice that it is the one meant: never old, new, old.

use std::time::{Duration, Instant};

use super::{Observed, Stop, fetch::Read, versions};
use crate::{
    controllers::context::Context,
    core::{
        EntryAsk, Recipe, VersionSelector, annotations::Marks, parse_reference,
        sources::version_mark, write_plan,
    },
};

/// An old answer is asked for again after this.
const AGAIN: Duration = Duration::from_secs(3);

/// Returns once every version may be carried.
pub async fn accept(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Result<(), Stop> {
    for (ask, version) in doubtful(context, observed, recipe, read).await? {
        if !read.hub.confirm(&ask, &version).await {
            tracing::info!(binding = %observed.key, "AWS answered with an old version: asked again");
            return Err(Stop::Later(Instant::now() + AGAIN));
        }
    }
    Ok(())
}

/// The reads that may be old answers, as they would be asked again.
async fn doubtful(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Result<Vec<(EntryAsk, String)>, Stop> {
    let status = &observed.status;
    let is_recorded = |version_id: &str| {
        let mark = version_mark(&context.install_key, version_id);
        status
            .sources
            .iter()
            .any(|source| source.version_id == mark)
    };
    let moved: Vec<_> = versions::of(read)
        .into_iter()
        .filter(|source| !is_recorded(source.version_id))
        .collect();
    let written = status
        .secret
        .as_ref()
        .is_some_and(|secret| secret.name == recipe.target.name);
    if moved.is_empty() || !written {
        return Ok(Vec::new());
    }
    let meta = context
        .secrets
        .get_meta(&observed.key.namespace, &recipe.target.name)
        .await
        .map_err(Stop::Cluster)?;
    let annotations = meta.and_then(|meta| meta.annotations).unwrap_or_default();
    let claim = observed.claim(recipe);
    let known = Marks::parse(&annotations, write_plan::scope(&claim)).sources;
    let doubted = moved
        .into_iter()
        .filter(|source| known.doubts(&context.install_key, source));
    // A version id that is asked for by itself is never an old answer.
    let asked = doubted.filter_map(|source| {
        let id = parse_reference(source.arn).ok()?.ask.id;
        let labels = read
            .values
            .entries
            .keys()
            .filter_map(|ask| match &ask.version {
                VersionSelector::Stage(stage) => Some(stage.as_str()),
                _ => None,
            });
        let version = match source.selector {
            "" => VersionSelector::Current,
            selector => {
                let mut labels = labels.filter(|label| *label == selector);
                VersionSelector::Stage(labels.next()?.to_owned())
            }
        };
        Some((EntryAsk { id, version }, source.version_id.to_owned()))
    });
    Ok(asked.collect())
}
