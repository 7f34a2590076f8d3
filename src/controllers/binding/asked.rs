//! Asked: a person wants earlier bytes back, by the annotation `keyferry.dev/rollback`.
//!
//! Each request is tried once: what cannot be done is said, not done later.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Observed, Stop, acceptance, apply,
    back::{self, Origin},
    companion,
    fetch::{self, Read},
    preflight,
    restore::{Others, replaced},
    versions,
};
use crate::{
    api::{Reason, status::ExternalSecretBindingStatus as Status},
    controllers::{context::Context, enrol},
    core::{
        Entry, Recipe, Revision, Store, VersionSelector,
        companion::Companion,
        earlier::{self, Earlier},
        events::Note,
        render, rollout,
        sources::{Sources, is_version_id, version_mark},
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
    let (was, earlier) = match made {
        Ok(made) => made,
        Err(why) => {
            refuse(context, observed, asked, &why).await;
            return Ok(());
        }
    };
    preflight::abandon(context, observed).await?;
    let finding = back::put(context, observed, recipe, earlier, &was, Origin::MadeAgain).await?;
    context.remember(&observed.key, |memory| {
        memory.answered = Some(asked.clone())
    });
    Err(Stop::Rejected(finding))
}

/// The revision that serves, and the bytes that are asked for, or why there are none.
async fn make(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    asked: &str,
) -> Result<Result<(Revision, Companion), String>, Stop> {
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
) -> Result<Companion, String> {
    let word = earlier.revision.short();
    let cannot = |why: &dyn Display| format!("revision {word} cannot be made again: {why}");
    let others = others(context, read, &earlier.versions).await;
    let others = others.map_err(|why| cannot(&why))?;
    let then = Read {
        values: replaced(read, &others),
        ..read.clone()
    };
    let versions = versions::of(&then);
    if versions == versions::of(read) {
        let name = &recipe.target.name;
        return Err(format!("Secret {name} is at revision {word} already."));
    }
    let rendered = render::render(recipe, &then.values).map_err(|why| cannot(&why))?;
    if apply::revision_of(context, observed, recipe, &rendered) != earlier.revision.as_str() {
        let why = "the binding was edited since, or an entry has gone.";
        return Err(cannot(&why));
    }
    Ok(Companion {
        data: rendered.data,
        sources: Sources::default().advance(&context.install_key, &versions),
        shown: versions::as_shown(context, &then),
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
    let gone = || format!("a version of {} is not known any more.", entry.called());
    let version = match is_version_id(mark) {
        true => VersionSelector::Id(mark.to_owned()),
        false if entry.store() == Store::Parameters => return Err(gone()),
        false => VersionSelector::Stage("AWSPREVIOUS".to_owned()),
    };
    let ask = fetch::ask(&entry.arn, version).ok_or_else(gone)?;
    let found = read.hub.read(&ask, Freshness::Reuse).await;
    let found = found.map_err(|finding| finding.to_string())?;
    let is_it = version_mark(&context.install_key, &found.version_id) == mark;
    is_it.then_some(found).ok_or_else(gone)
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
