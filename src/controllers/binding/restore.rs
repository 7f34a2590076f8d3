//! Restore: somebody changed or deleted the Secret while its sources give nothing that may be written.
//! Then the recorded versions are read, and the bytes go back only if they are the recorded ones.

use std::{collections::HashMap, sync::Arc};

use super::{
    Observed, Restored, Stop, apply,
    fetch::{self, Read},
    versions,
};
use crate::{
    controllers::context::Context,
    core::{Entry, Fetched, Recipe, Store, VersionSelector, render},
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
    if read.values.listings.values().any(Result::is_err) {
        return None;
    }
    let mut earlier = Others::new();
    for (selector, entry) in versions::entries(read) {
        if chosen(&entry.version_id) {
            let other = at_recorded_version(observed, read, entry).await?;
            earlier.insert((selector.to_owned(), entry.arn.clone()), Some(other));
        }
    }
    Some(replaced(read, &earlier))
}

/// By selector and ARN, other versions of entries; None: it was no member of its prefix then.
pub type Others = HashMap<(String, String), Option<Arc<Entry>>>;

/// What was read, with other versions of some of it.
pub fn replaced(read: &Read, others: &Others) -> Fetched {
    let other = |selector: &str, entry: &Arc<Entry>| {
        let other = others.get(&(selector.to_owned(), entry.arn.clone()));
        other.map_or_else(|| Some(Arc::clone(entry)), Clone::clone)
    };
    let mut earlier = read.values.clone();
    for (ask, result) in &mut earlier.entries {
        if let Ok(entry) = result
            && let Some(other) = other(versions::selector(ask), entry)
        {
            *entry = other;
        }
    }
    for members in earlier.listings.values_mut().flatten() {
        *members = members.iter().filter_map(|m| other("", m)).collect();
    }
    earlier
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
        .filter(|source| match entry.store() {
            Store::Secrets => source.secret == entry.name,
            Store::Parameters => source.parameter == entry.name,
        });
    let versions: Vec<&str> = sources.map(|source| source.version_id.as_str()).collect();
    if versions.contains(&entry.version_id.as_str()) {
        return Some(Arc::clone(entry));
    }
    let [version] = versions.as_slice() else {
        return None;
    };
    let ask = fetch::ask(&entry.arn, VersionSelector::Id((*version).to_owned()))?;
    read.hub.read(&ask, Freshness::Reuse).await.ok()
}
