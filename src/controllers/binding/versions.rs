//! Which versions of which entries a pass has read, in the two forms they are recorded in.

use std::sync::Arc;

use super::fetch::Read;
use crate::{
    api::status::SourceStatus,
    controllers::context::Context,
    core::{
        Entry, EntryAsk, Store, VersionSelector,
        sources::{SourceVersion, version_mark},
    },
};

/// Each entry that was read, with its selector: stage or id, empty for the current version.
pub fn entries(read: &Read) -> impl Iterator<Item = (&str, &Arc<Entry>)> {
    let single = read.values.entries.iter().filter_map(|(ask, result)| {
        let entry = result.as_ref().ok()?;
        Some((selector(ask), entry))
    });
    let listings = read.values.listings.values();
    let members = listings.filter_map(|result| result.as_ref().ok());
    single.chain(members.flatten().map(|entry| ("", entry)))
}

/// Stage or id that is asked for, empty for the current version.
pub fn selector(ask: &EntryAsk) -> &str {
    match &ask.version {
        VersionSelector::Current => "",
        VersionSelector::Stage(text) | VersionSelector::Id(text) => text,
    }
}

/// An entry as the Secret's record knows it.
pub fn source<'a>(selector: &'a str, entry: &'a Entry) -> SourceVersion<'a> {
    SourceVersion {
        arn: &entry.arn,
        selector,
        version_id: &entry.version_id,
        created: entry.created.map(|time| time.as_second()),
    }
}

/// For the Secret's own record: each entry and selector once, in a fixed order.
pub fn of(read: &Read) -> Vec<SourceVersion<'_>> {
    let mut all: Vec<SourceVersion<'_>> = entries(read)
        .map(|(selector, entry)| source(selector, entry))
        .collect();
    all.sort_by(|a, b| (a.arn, a.selector).cmp(&(b.arn, b.selector)));
    all.dedup_by(|a, b| (a.arn, a.selector) == (b.arn, b.selector));
    all
}

/// For the status and the audit trail: each entry and version once, in a fixed order.
pub fn as_shown(context: &Context, read: &Read) -> Vec<SourceStatus> {
    let mut all: Vec<SourceStatus> = entries(read)
        .map(|(_, entry)| {
            let (secret, parameter) = match entry.store() {
                Store::Secrets => (entry.name.clone(), String::new()),
                Store::Parameters => (String::new(), entry.name.clone()),
            };
            SourceStatus {
                secret,
                parameter,
                version_id: version_mark(&context.install_key, &entry.version_id),
                region: read.region.clone(),
            }
        })
        .collect();
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    all.dedup();
    all
}

fn order(source: &SourceStatus) -> (&str, &str, &str) {
    (&source.secret, &source.parameter, &source.version_id)
}
