//! Which versions of which entries a pass has read, in the two forms they are recorded in.

use super::fetch::Read;
use crate::{
    api::status::SourceStatus,
    controllers::context::Context,
    core::{
        VersionSelector,
        sources::{SourceVersion, version_mark},
    },
};

/// For the Secret's own record: each entry and selector once, in a fixed order.
pub fn of(read: &Read) -> Vec<SourceVersion<'_>> {
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

/// For the status and the audit trail: each entry and version once, in a fixed order.
pub fn as_shown(context: &Context, read: &Read) -> Vec<SourceStatus> {
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
