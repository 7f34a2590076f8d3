//! Rejected: versions with which a workload did not become healthy, or that somebody took back, are not tried again
//! until one of them moves on, or somebody asks for it by a refresh.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Observed, Stop, acceptance, back, fetch::Read, restore, versions};
use crate::{
    api::status::SourceStatus,
    cluster::ObjectKey,
    controllers::context::Context,
    core::{
        Finding, Recipe,
        annotations::{Marks, Rejected},
        sources::version_mark,
    },
};

/// What may be carried of a read.
pub struct Judged<'a> {
    /// The read, with rejected versions replaced by those of before.
    pub read: Cow<'a, Read>,
    /// Bytes that were taken back.
    failed: Vec<Rejected>,
}

impl Judged<'_> {
    /// The same bytes as ones that failed, under whatever version, fail again.
    pub fn refuse(
        &self,
        context: &Context,
        observed: &Observed,
        revision: &str,
    ) -> Result<(), Stop> {
        let Some(failed) = self.failed.iter().find(|r| r.revision == revision) else {
            return Ok(());
        };
        let known = &observed.status.sources;
        let is_rejected = |s: &SourceStatus| !known.contains(s);
        let finding = finding(context, observed, &self.read, failed.asked, is_rejected);
        Err(Stop::Rejected(finding))
    }
}

/// Takes rejected versions out of a read. An entry beside them that has moved is carried with those of before; when
/// none has, there is nothing to do.
pub async fn judge<'a>(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &'a Read,
) -> Result<Judged<'a>, Stop> {
    let former = former(context, observed, recipe);
    let any = observed.secret.as_ref().is_some_and(|row| row.rejected) || former.is_some();
    // What a replica may bring is judged by itself.
    if !any || observed.refresh.is_some() || read.instead_of.is_some() {
        return Ok(Judged {
            read: Cow::Borrowed(read),
            failed: Vec::new(),
        });
    }
    let target = former.as_ref().unwrap_or(recipe);
    let marks = acceptance::marks(context, observed, target).await?;
    let failed = marks.rejected.clone();
    let key = &context.install_key;
    let versions = versions::of(read);
    let current: BTreeMap<String, String> = versions
        .iter()
        .map(|v| (v.tag(key), version_mark(key, v.version_id)))
        .collect();
    let standing: Vec<&Rejected> = marks
        .rejected
        .iter()
        .filter(|r| r.stands(&current))
        .collect();
    if standing.is_empty() {
        return Ok(Judged {
            read: Cow::Borrowed(read),
            failed,
        });
    }
    let rejects = |mark: &str| {
        let mut marks = standing.iter().flat_map(|r| r.versions.values());
        marks.any(|rejected| rejected == mark)
    };
    let asked = standing.iter().all(|r| r.asked);
    let refused = || {
        let is_rejected = |s: &SourceStatus| rejects(&s.version_id);
        Stop::Rejected(finding(context, observed, read, asked, is_rejected))
    };
    if former.is_none() && !others_moved(&marks, &standing, &current) {
        return Err(refused());
    }
    let earlier = restore::at_recorded_versions(observed, read, |version_id| {
        rejects(&version_mark(key, version_id))
    });
    match earlier.await {
        Some(values) => Ok(Judged {
            read: Cow::Owned(Read {
                values,
                rejected: match former {
                    Some(_) => standing.into_iter().cloned().collect(),
                    None => Vec::new(),
                },
                ..read.clone()
            }),
            failed,
        }),
        // The versions of before are gone at AWS: the bytes that serve stay as they are.
        None => Err(refused()),
    }
}

/// The recipe under the name of the Secret that was written, while the one that it names was not written yet. What was
/// rejected there is rejected here.
fn former(context: &Context, observed: &Observed, recipe: &Recipe) -> Option<Recipe> {
    let written = observed.status.secret.as_ref();
    let written = written.filter(|written| written.name != recipe.target.name)?;
    let key = ObjectKey::new(&observed.key.namespace, &written.name);
    let row = context.views.secret(&key)?;
    row.rejected.then(|| {
        let mut former = recipe.clone();
        former.target.name.clone_from(&written.name);
        former
    })
}

fn others_moved(marks: &Marks, standing: &[&Rejected], current: &BTreeMap<String, String>) -> bool {
    let recorded = marks.sources.versions();
    let is_rejected = |tag: &String| standing.iter().any(|r| r.versions.contains_key(tag));
    current
        .iter()
        .any(|(tag, mark)| !is_rejected(tag) && recorded.get(tag) != Some(mark))
}

/// What the status says: as it did, where it did, so that nothing is written again.
fn finding(
    context: &Context,
    observed: &Observed,
    read: &Read,
    asked: bool,
    is_rejected: impl Fn(&SourceStatus) -> bool,
) -> Finding {
    let sources = &observed.status.sources;
    let shown = versions::as_shown(context, read);
    let moved: Vec<&SourceStatus> = shown.iter().filter(|s| is_rejected(s)).collect();
    let serving = observed.status.secret.as_ref();
    let serving = serving.map_or("", |secret| secret.revision.as_str());
    back::rejected(&moved, sources.len(), serving, asked)
}
