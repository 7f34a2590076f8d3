//! Listing the entries under a prefix: every page or an error, never a part.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_secretsmanager::types::{Filter, SecretListEntry};

use super::{
    bucket::Lane,
    calls::{Calls, name_filter, tag_filter},
    failure::Failure,
    parameter_calls::ParameterCalls,
    wire::CURRENT,
};
use crate::core::PrefixAsk;

/// More pages than the quota of 500,000 entries can fill: the listing does not end.
const MOST_PAGES: usize = 5_100;

/// More pages of ten than the quota of 100,000 parameters can fill, some of them short.
const MOST_PARAMETER_PAGES: usize = 20_000;

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Friendly name.
    pub name: String,
    /// Full ARN.
    pub arn: String,
    /// The version that carries AWSCURRENT; None for an entry without a value.
    pub current_version_id: Option<String>,
}

/// Every entry under the prefix that carries all tags, sorted by name. ListSecrets may miss changes of the
/// last five minutes (source: its API reference).
pub(super) async fn list(
    calls: &Calls,
    ask: &PrefixAsk,
    lane: Lane,
) -> Result<Vec<Listed>, Failure> {
    let mut filters = vec![name_filter(&ask.prefix)];
    filters.extend(ask.tags.keys().map(|key| tag_filter(key)));
    let mut found = Vec::new();
    pages(calls, &filters, lane, |entry| {
        found.extend(member(entry, ask))
    })
    .await?;
    // Pages may shift while they are read: what comes twice is as the later page shows it. An entry that was made
    // anew meanwhile has another ARN, but names are unique in an account and region.
    found.reverse();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

/// Every parameter under a path, sorted by name, with its latest version.
pub(super) async fn parameters(
    calls: &ParameterCalls,
    path: &str,
    lane: Lane,
) -> Result<Vec<Listed>, Failure> {
    let (mut found, mut seen, mut token) = (BTreeMap::new(), HashSet::new(), None::<String>);
    for _ in 1..=MOST_PARAMETER_PAGES {
        let (page, next) = calls.page(path, token.as_deref(), lane).await?;
        let members = page.into_iter().filter(|p| p.name.starts_with(path));
        found.extend(members.map(|listed| (listed.name.clone(), listed)));
        match next.filter(|next| !next.is_empty()) {
            None => return Ok(found.into_values().collect()),
            // A token that comes twice leads nowhere.
            Some(next) if !seen.insert(next.clone()) => return Err(Failure::Unreadable(200)),
            next => token = next,
        }
    }
    Err(Failure::Unreadable(200))
}

/// The labels of every entry of the account and region that is not marked for deletion, and how many pages
/// they were. `wanted` keeps those that matter, by name.
pub(super) async fn labels(
    calls: &Calls,
    wanted: &HashSet<String>,
) -> Result<(Vec<Labels>, usize), Failure> {
    let mut found = Vec::new();
    let pages = pages(calls, &[], Lane::Routine, |entry| {
        let matters = entry.name().is_some_and(|name| wanted.contains(name));
        if matters && entry.deleted_date.is_none() {
            found.extend(Labels::of(entry));
        }
    })
    .await?;
    Ok((found, pages))
}

/// Which versions of an entry carry which labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// Friendly name.
    pub name: String,
    /// Full ARN.
    pub arn: String,
    /// Version id to its labels.
    pub versions: BTreeMap<String, Vec<String>>,
}

impl Labels {
    fn of(entry: SecretListEntry) -> Option<Self> {
        Some(Self {
            name: entry.name?,
            arn: entry.arn?,
            versions: entry
                .secret_versions_to_stages
                .unwrap_or_default()
                .into_iter()
                .collect(),
        })
    }

    /// The version that carries a label.
    pub fn version(&self, label: &str) -> Option<&str> {
        let mut versions = self.versions.iter();
        let carries = |labels: &[String]| labels.iter().any(|other| other == label);
        versions
            .find(|(_, labels)| carries(labels))
            .map(|(id, _)| id.as_str())
    }
}

/// Goes through all pages of a listing; how many they were.
async fn pages(
    calls: &Calls,
    filters: &[Filter],
    lane: Lane,
    mut each: impl FnMut(SecretListEntry),
) -> Result<usize, Failure> {
    let (mut seen, mut token) = (HashSet::new(), None::<String>);
    for number in 1..=MOST_PAGES {
        let page = calls.list(filters, token.as_deref(), lane).await?;
        page.entries.into_iter().for_each(&mut each);
        match page.next.filter(|next| !next.is_empty()) {
            None => return Ok(number),
            // A token that comes twice leads nowhere.
            Some(next) if !seen.insert(next.clone()) => return Err(Failure::Unreadable(200)),
            next => token = next,
        }
    }
    Err(Failure::Unreadable(200))
}

/// Looks again: AWS's filters match more than was asked, and deleted entries may be listed.
fn member(entry: SecretListEntry, ask: &PrefixAsk) -> Option<Listed> {
    let tagged = ask.tags.iter().all(|(key, value)| {
        let mut tags = entry.tags().iter();
        tags.any(|tag| tag.key() == Some(key.as_str()) && tag.value() == Some(value.as_str()))
    });
    if !tagged || entry.deleted_date.is_some() {
        return None;
    }
    let versions = entry.secret_versions_to_stages.unwrap_or_default();
    let current = versions
        .into_iter()
        .find(|(_, stages)| stages.iter().any(|s| s == CURRENT));
    Some(Listed {
        name: entry.name.filter(|name| name.starts_with(&ask.prefix))?,
        arn: entry.arn?,
        current_version_id: current.map(|(id, _)| id),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use aws_sdk_secretsmanager::{primitives::DateTime, types::Tag};

    use super::*;

    #[test]
    fn members_are_looked_at_again() {
        let ask = PrefixAsk {
            store: Default::default(),
            prefix: "a/".into(),
            tags: [("team".to_owned(), "x".to_owned())].into(),
        };
        let tag = |k: &str, v: &str| Tag::builder().key(k).value(v).build();
        let entry = |name: &str| {
            SecretListEntry::builder()
                .name(name)
                .arn(format!("arn:{name}"))
                .secret_versions_to_stages("old", vec!["AWSPREVIOUS".into()])
                .secret_versions_to_stages("new", vec!["custom".into(), "AWSCURRENT".into()])
        };
        let good = entry("a/b").tags(tag("other", "x")).tags(tag("team", "x"));
        let listed = member(good.clone().build(), &ask).unwrap();
        assert_eq!(
            listed,
            Listed {
                name: "a/b".into(),
                arn: "arn:a/b".into(),
                current_version_id: Some("new".into())
            }
        );
        for (why, refused) in [
            (
                "value of another key",
                entry("a/b").tags(tag("other", "x")).tags(tag("team", "y")),
            ),
            ("other prefix", entry("A/b").tags(tag("team", "x"))),
            ("deleted", good.deleted_date(DateTime::from_secs(1))),
        ] {
            assert!(member(refused.build(), &ask).is_none(), "{why}");
        }
    }
}
