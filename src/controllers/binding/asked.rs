//! Asked: a person wants earlier bytes back, by the annotation `keyferry.dev/rollback`.
//!
//! Each request is tried once: what cannot be done is said, not done later.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Observed, Restored, Stop, acceptance, apply, back, companion,
    fetch::Read,
    preflight,
    restore::{Others, replaced},
    versions, write,
};
use crate::{
    api::{
        Reason,
        status::{ExternalSecretBindingStatus as Status, SourceStatus},
    },
    controllers::{context::Context, enrol},
    core::{
        Entry, EntryAsk, Finding, Recipe, Rendered, Revision, VersionSelector,
        annotations::RevisionOutcome,
        change::{Back, Wanted},
        earlier::{self, Earlier},
        events::Note,
        reference::parse_reference,
        render, rollout,
        sources::{Sources, version_mark},
    },
    source::Freshness,
};

/// Until the watch shows the status that was written.
const SOON: Duration = Duration::from_millis(200);

/// While a rollout is open or held, the bytes of before are kept: its workloads are sent back, and the bytes follow as
/// after a failure, without AWS. None: that is not what is asked for.
pub async fn send_back(
    context: &Context,
    observed: &Observed,
    recipe: Option<&Recipe>,
) -> Option<Instant> {
    let (asked, recipe) = (observed.rollback.as_ref()?, recipe?);
    let word = earlier::revision_asked(asked)?;
    recipe.rollout.as_ref()?;
    let serving = observed.status.secret.as_ref()?.revision.as_str();
    if serving.starts_with(word) || !rollout::needs_previous(&observed.status.rollouts) {
        return None;
    }
    let claim = observed.claim(recipe);
    let kept = companion::kept(context, &claim).await.ok()??;
    if !kept.revision.as_str().starts_with(word) {
        return None;
    }
    let now = context.now();
    let change = |_: &_, status: &Status| {
        let mut next = status.clone();
        if rollout::send_back(&mut next.rollouts, serving) {
            next.last_handled_rollback = Some(asked.clone());
        }
        enrol::summed_up(&next, &recipe.target.name, None, now)
    };
    let (key, uid) = (&observed.key, &observed.uid);
    match context.statuses.update(key, uid, change).await {
        Ok((before, after)) => {
            super::announce(context, key, uid, &before, &after).await;
            (after.last_handled_rollback.as_ref() == Some(asked)).then(|| Instant::now() + SOON)
        }
        Err(error) => {
            tracing::warn!(binding = %key, %error, "status not written, the rollback is tried again");
            Some(Instant::now() + SOON)
        }
    }
}

/// Writes the bytes of the revision that is asked for, made again from the versions that it was made from. Ok: nothing
/// was asked for, or it cannot be done, which is said.
pub async fn go_back(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
) -> Result<(), Stop> {
    let Some(asked) = &observed.rollback else {
        return Ok(());
    };
    let made = make(context, observed, recipe, read, asked).await?;
    let (was, made) = match made {
        Ok(made) => made,
        Err(why) => {
            refuse(context, observed, asked, &why).await;
            return Ok(());
        }
    };
    preflight::abandon(context, observed).await?;
    let finding = put(context, observed, recipe, &was, &made).await?;
    context.remember(&observed.key, |memory| {
        memory.answered = Some(asked.clone())
    });
    Err(Stop::Rejected(finding))
}

/// Earlier bytes, and what they are made from.
struct Made {
    read: Read,
    rendered: Rendered,
    revision: Revision,
}

/// The revision that serves, and the bytes that are asked for, or why there are none.
async fn make(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    asked: &str,
) -> Result<Result<(Revision, Made), String>, Stop> {
    let Some(word) = earlier::revision_asked(asked) else {
        return Ok(Err(
            "its value is to be a revision, a slash and a word of your own.".to_owned(),
        ));
    };
    let marks = acceptance::marks(context, observed, recipe).await?;
    let Some(serving) = &marks.revision else {
        return Ok(Err("there is no Secret yet.".to_owned()));
    };
    let earlier = match earlier::find(word, &marks, &recipe.target.name) {
        Ok(earlier) => earlier,
        Err(why) => return Ok(Err(why)),
    };
    let made = made_again(context, observed, recipe, read, earlier).await;
    Ok(made.map(|made| (serving.clone(), made)))
}

async fn made_again(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    earlier: Earlier,
) -> Result<Made, String> {
    let word = earlier.revision.short();
    let others = others(context, read, &earlier.versions).await;
    let others = others.map_err(|why| format!("revision {word} cannot be made again: {why}"))?;
    let then = Read {
        values: replaced(read, &others),
        ..read.clone()
    };
    if versions::of(&then) == versions::of(read) {
        let name = &recipe.target.name;
        return Err(format!("Secret {name} is at revision {word} already."));
    }
    let rendered = render::render(recipe, &then.values)
        .map_err(|why| format!("revision {word} cannot be made again: {why}"))?;
    if apply::revision_of(context, observed, recipe, &rendered) != earlier.revision.as_str() {
        return Err(format!(
            "revision {word} cannot be made again: the binding was edited since, or an entry has gone."
        ));
    }
    Ok(Made {
        read: then,
        rendered,
        revision: earlier.revision,
    })
}

/// The entries that were at other versions then, as they were.
async fn others(
    context: &Context,
    read: &Read,
    then: &BTreeMap<String, String>,
) -> Result<Others, String> {
    let key = &context.install_key;
    let mut others = Others::new();
    for (selector, entry) in versions::entries(read) {
        let place = (selector.to_owned(), entry.arn.clone());
        match then.get(&versions::source(selector, entry).tag(key)) {
            Some(mark) if *mark == version_mark(key, &entry.version_id) => {}
            Some(mark) => {
                let version = version(context, read, entry, mark).await?;
                others.insert(place, Some(version));
            }
            None => {
                others.insert(place, None);
            }
        }
    }
    Ok(others)
}

/// A version by its mark: by its id, if the mark is one, else the previous version if that is the one.
async fn version(
    context: &Context,
    read: &Read,
    entry: &Entry,
    mark: &str,
) -> Result<Arc<Entry>, String> {
    let gone = || format!("a version of {} is not known any more.", entry.name);
    let id = parse_reference(&entry.arn).map_err(|_| gone())?.ask.id;
    let version = match mark.len() {
        36 => VersionSelector::Id(mark.to_owned()),
        _ => VersionSelector::Stage("AWSPREVIOUS".to_owned()),
    };
    let ask = EntryAsk { id, version };
    let found = read.hub.read(&ask, Freshness::Reuse).await;
    let found = found.map_err(|finding| finding.to_string())?;
    let is_it = version_mark(&context.install_key, &found.version_id) == mark;
    is_it.then_some(found).ok_or_else(gone)
}

async fn put(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    was: &Revision,
    made: &Made,
) -> Result<Finding, Stop> {
    let key = &context.install_key;
    let sources = Sources::default().advance(key, &versions::of(&made.read));
    let shown = versions::as_shown(context, &made.read);
    let wanted = Wanted {
        claim: observed.claim(recipe),
        key,
        data: &made.rendered.data,
        read: &[],
        back: Some(Back {
            sources: &sources,
            revision: &made.revision,
            failed: was,
            asked: true,
        }),
        forgive: false,
        inherited: &[],
        outcome: RevisionOutcome::RolledBack,
        existed: true,
        now: context.now(),
    };
    let (outcome, _) = write::write(context, observed, recipe, wanted, None).await?;
    write::book(context, observed, recipe, &outcome, &shown);
    let now = &observed.status.sources;
    let moved: Vec<&SourceStatus> = now.iter().filter(|s| !shown.contains(s)).collect();
    let finding = back::rejected(&moved, now.len(), made.revision.as_str(), true);
    let restored = Restored {
        secret: write::status(recipe, &outcome, &made.rendered.data),
        sources: Some(shown),
    };
    context.remember(&observed.key, |memory| memory.restored = Some(restored));
    Ok(finding)
}

/// Says why nothing was done: as an event, and in the status as long as the annotation stands.
async fn refuse(context: &Context, observed: &Observed, asked: &str, why: &str) {
    let text = format!("The rollback that keyferry.dev/rollback asks for was not done: {why}");
    let note = Note::new(true, Reason::RollbackFailed, "Rollback", &text);
    let (key, uid) = (&observed.key, &observed.uid);
    let now = context.now();
    context.events.publish(key, uid, &[note], now).await;
    context.remember(key, |memory| {
        memory.refused = Some((asked.to_owned(), text));
        memory.answered = Some(asked.to_owned());
    });
}
