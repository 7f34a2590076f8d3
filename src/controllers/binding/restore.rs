//! Restore: somebody changed or deleted the Secret while its sources give nothing that may be written.
//! Then the recorded versions are read, and the bytes go back only if they are the recorded ones.

use std::sync::Arc;

use super::{Observed, Restored, Stop, apply, fetch::Read};
use crate::{
    controllers::context::Context,
    core::{Entry, EntryAsk, Fetched, Recipe, VersionSelector, reference::parse_reference, render},
    source::Freshness,
};

/// Puts the last good bytes back. None: nothing was disturbed, or the recorded versions do not give
/// the recorded revision any more.
pub async fn restore(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Option<Restored> {
    let recorded = observed
        .status
        .secret
        .as_ref()
        .filter(|s| s.name == recipe.target.name)?;
    let as_left = |version: &str| version == recorded.resource_version;
    if observed
        .secret
        .as_ref()
        .is_some_and(|row| as_left(&row.resource_version))
    {
        return None;
    }
    let earlier = Read {
        values: at_recorded_versions(observed, read, |_| true).await?,
        ..read.clone()
    };
    let rendered = render::render(recipe, &earlier.values).ok()?;
    if apply::revision_of(context, observed, recipe, &rendered) != recorded.revision {
        return None;
    }
    match apply::apply(context, observed, recipe, &earlier, &rendered).await {
        Ok(applied) => {
            tracing::info!(binding = %observed.key, "the last good bytes were put back");
            Some(Restored {
                secret: applied.secret,
                sources: None,
            })
        }
        Err(Stop::Failed(finding)) => {
            tracing::warn!(binding = %observed.key, %finding, "the last good bytes could not be put back");
            None
        }
        Err(_) => None,
    }
}

/// What was read, with the entries whose version `chosen` picks at the version that the status records for them.
pub async fn at_recorded_versions(
    observed: &Observed,
    read: &Read,
    chosen: impl Fn(&str) -> bool,
) -> Option<Fetched> {
    let mut earlier = Fetched::default();
    for (ask, result) in &read.values.entries {
        let entry = match result {
            Ok(entry) if chosen(&entry.version_id) => {
                Ok(at_recorded_version(observed, read, entry).await?)
            }
            Ok(entry) => Ok(Arc::clone(entry)),
            Err(finding) => Err(finding.clone()),
        };
        earlier.entries.insert(ask.clone(), entry);
    }
    for (ask, result) in &read.values.listings {
        let mut members = Vec::new();
        for entry in result.as_ref().ok()? {
            members.push(match chosen(&entry.version_id) {
                true => at_recorded_version(observed, read, entry).await?,
                false => Arc::clone(entry),
            });
        }
        earlier.listings.insert(ask.clone(), Ok(members));
    }
    Some(earlier)
}

async fn at_recorded_version(
    observed: &Observed,
    read: &Read,
    entry: &Arc<Entry>,
) -> Option<Arc<Entry>> {
    let sources = observed
        .status
        .sources
        .iter()
        .filter(|source| source.secret == entry.name);
    let versions: Vec<&str> = sources.map(|source| source.version_id.as_str()).collect();
    if versions.contains(&entry.version_id.as_str()) {
        return Some(Arc::clone(entry));
    }
    let [version] = versions.as_slice() else {
        return None;
    };
    let id = parse_reference(&entry.arn).ok()?.ask.id;
    let ask = EntryAsk {
        id,
        version: VersionSelector::Id((*version).to_owned()),
    };
    read.hub.read(&ask, Freshness::Reuse).await.ok()
}
