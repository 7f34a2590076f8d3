//! Back: a workload did not become healthy, and all agree to go back. The Secret gets the bytes of before, from the
//! companion: AWS is not asked.

use std::time::{Duration, Instant};

use super::{Observed, Stop, companion, parse, write};
use crate::{
    api::{
        Reason,
        status::{RolloutState, RolloutStatus, SecretStatus, SourceStatus},
    },
    cluster::ObjectKey,
    controllers::{context::Context, enrol},
    core::{
        Finding, Recipe, Revision,
        annotations::RevisionOutcome,
        change::{Back, Wanted},
        companion::Companion,
        revision, rollout,
        sources::shown_version,
    },
};

/// While pods go back nothing is to be done here; the workload loop tells when they are.
const PAUSE: Duration = Duration::from_secs(60);

/// The Secret and its sources after bytes were put back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The Secret.
    pub secret: SecretStatus,
    /// The versions its bytes are made from; None: those that the status has.
    pub sources: Option<Vec<SourceStatus>>,
}

/// Goes back where a workload waits for that. None: none does, or nothing is rolled any more.
pub async fn go_back(context: &Context, observed: &Observed) -> Option<(Recipe, Stop)> {
    let mut entries = observed.status.rollouts.iter();
    let failed = entries.find(|e| rollout::is_rolling_back(e))?;
    // Also of a binding that was suspended meanwhile.
    let mut recipe = parse(context, observed).ok()?;
    recipe.rollout.as_ref()?;
    // What was begun under a name is brought to its end under it.
    if let Some(secret) = &observed.status.secret {
        recipe.target.name.clone_from(&secret.name);
    }
    let stop = match restore(context, observed, &recipe, failed).await {
        Ok(stop) | Err(stop) => stop,
    };
    Some((recipe, stop))
}

async fn restore(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    failed: &RolloutStatus,
) -> Result<Stop, Stop> {
    let claim = observed.claim(recipe);
    let Some(kept) = companion::kept(context, &claim).await? else {
        return nothing_to_go_back_to(context, observed, recipe).await;
    };
    let recorded = observed.status.secret.as_ref();
    let restored = recorded.is_some_and(|s| s.revision == kept.revision.as_str());
    let target = ObjectKey::new(&observed.key.namespace, &recipe.target.name);
    let as_left = || {
        let row = context.views.secret(&target)?;
        Some(row.resource_version == recorded?.resource_version)
    };
    if restored && as_left() == Some(true) {
        return Ok(Stop::Later(Instant::now() + PAUSE));
    }
    let Some(bad) = Revision::parse(&failed.failed_revision) else {
        return nothing_to_go_back_to(context, observed, recipe).await;
    };
    let asked = rollout::was_asked(failed);
    let origin = Origin::Kept { asked };
    let finding = put(context, observed, recipe, kept, &bad, origin).await?;
    Ok(Stop::Rejected(finding))
}

/// Where earlier bytes come from.
#[derive(Clone, Copy)]
pub enum Origin {
    /// The companion: workloads go back to them, because of a failure or because a person asked for it.
    Kept {
        /// A person did.
        asked: bool,
    },
    /// AWS: a person asked for them.
    MadeAgain,
}

/// Puts earlier bytes into the Secret in place of those of revision `was`, whose versions are rejected. Returns what
/// is said of that.
pub async fn put(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    earlier: Companion,
    was: &Revision,
    origin: Origin,
) -> Result<Finding, Stop> {
    let now = &observed.status.sources;
    let moved: Vec<&SourceStatus> = now.iter().filter(|s| !earlier.shown.contains(s)).collect();
    let (asked, told) = match origin {
        Origin::Kept { asked } => (asked, Some(format!("{} is rejected.", named(&moved)))),
        Origin::MadeAgain => (true, None),
    };
    let finding = rejected(&moved, now.len(), earlier.revision.as_str(), asked);
    let wanted = Wanted {
        claim: observed.claim(recipe),
        key: &context.install_key,
        data: &earlier.data,
        read: &[],
        back: Some(Back {
            sources: &earlier.sources,
            revision: &earlier.revision,
            failed: was,
            asked,
        }),
        forgive: false,
        inherited: &[],
        outcome: RevisionOutcome::RolledBack,
        existed: true,
        now: context.now(),
    };
    let (outcome, _) = write::write(context, observed, recipe, wanted, told.as_deref()).await?;
    write::book(context, observed, recipe, &outcome, &earlier.shown);
    let restored = Restored {
        secret: write::status(recipe, &outcome, &earlier.data),
        sources: Some(earlier.shown),
    };
    context.remember(&observed.key, |memory| memory.restored = Some(restored));
    Ok(finding)
}

/// Without the bytes of before a rollback is a hold.
async fn nothing_to_go_back_to(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<Stop, Stop> {
    let now = context.now();
    let change = |_: &_, status: &crate::api::status::ExternalSecretBindingStatus| {
        let mut next = status.clone();
        let live = status.secret.as_ref().map(|s| s.revision.as_str());
        // One that has the bytes of before already is seen to its end.
        let waits = |e: &&mut RolloutStatus| rollout::is_owed(e, live);
        for entry in next.rollouts.iter_mut().filter(waits) {
            // It keeps the revision that failed: nobody tries this once more.
            entry.state = RolloutState::Held;
            entry.wanted.clone_from(&entry.delivered);
            entry.message.push_str(" The bytes of before are not kept any more: nothing was undone. Put a corrected value; we notice at once.");
        }
        enrol::summed_up(&next, &recipe.target.name, None, now)
    };
    let update = context
        .statuses
        .update(&observed.key, &observed.uid, change);
    let (before, after) = update.await.map_err(Stop::Status)?;
    super::announce(context, &observed.key, &observed.uid, &before, &after).await;
    if after.rollouts.iter().any(rollout::is_rolling_back) {
        return Ok(Stop::Later(Instant::now() + PAUSE));
    }
    // One of them may be about a workload that is gone.
    context.remember(&observed.key, |memory| memory.enrol = true);
    Ok(Stop::Later(Instant::now()))
}

/// Versions that were rejected, of so many sources, while a revision serves. `asked`: by a person.
pub fn rejected(moved: &[&SourceStatus], of: usize, serving: &str, asked: bool) -> Finding {
    let why = match asked {
        true => "keyferry.dev/rollback asked for it",
        false => "a workload did not become healthy with it",
    };
    Finding::new(
        Reason::RolledBack,
        format!(
            "{} was rejected: {why}. Serving revision {} ({} of {of} sources at an older version).",
            named(moved),
            revision::shown(serving),
            moved.len()
        ),
        "Put a corrected value, or try this one again with the annotation keyferry.dev/refresh; we notice at once.",
    )
}

fn named(moved: &[&SourceStatus]) -> String {
    let one =
        |s: &&&SourceStatus| format!("Version {} of {}", shown_version(&s.version_id), s.shown());
    match (moved.first().map(|s| one(&s)), moved.len()) {
        (None, _) => "The last change".to_owned(),
        (Some(first), 1) => first,
        (Some(first), n) => format!("{first} and {} more", n - 1),
    }
}
