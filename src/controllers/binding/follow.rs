//! Follow: what the sweep is to watch for a binding between its passes, and what is known at a start.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Applied, Observed, Stop, decide, fetch::Read, finalizer, gatekeeper::Gatekeeper, identity,
    observe, report,
};
use crate::{
    api::{Reason, status::condition},
    cluster::ObjectKey,
    controllers::context::Context,
    core::{Class, EntryAsk, Recipe, recorded, schedule},
    source::{Hub, Interest, Known, Subscriber},
};

/// Who a binding is to the sources.
pub fn subscriber(key: &ObjectKey) -> Subscriber {
    Subscriber::new(&key.namespace, &key.name)
}

/// Has the sweep watch what a pass has read; what may not be read is not watched.
pub fn follow(
    context: &Context,
    observed: &Observed,
    recipe: Option<&Recipe>,
    read: Option<&Read>,
) {
    let who = subscriber(&observed.key);
    match (recipe, read) {
        (Some(recipe), Some(read)) => {
            let interest = interest(recipe, read);
            context.sources.subscribe(&who, &read.hub, interest);
        }
        _ => context.sources.unsubscribe(&who),
    }
}

/// True when the next pass is the sweep's to ask for: another one at a time of its own would find the same.
pub fn is_followed(outcome: &Result<Applied, Stop>, read: Option<&Read>) -> bool {
    let settled = match outcome {
        Ok(applied) => applied.conflict.is_none() && !applied.former_in_use,
        // The window opens without anything having moved.
        Err(Stop::Rejected(finding)) => finding.reason != Reason::WaitingForWindow,
        Err(Stop::Failed(finding)) => schedule::class(finding.reason) == Class::Invalid,
        Err(_) => false,
    };
    // While a failover region serves, the binding's own is asked again at the pace of retries.
    settled && read.is_some_and(|read| read.instead_of.is_none())
}

fn interest(recipe: &Recipe, read: &Read) -> Interest {
    let entries = read.values.entries.iter();
    let allowed = entries.filter(
        |(_, result)| !matches!(result, Err(finding) if finding.reason == Reason::AccessNotAllowed),
    );
    // Where another region serves, whatever its own answers is news: that it does.
    let stood_in = read.instead_of.is_some();
    let prefixes = read.values.listings.iter().filter_map(|(ask, result)| {
        let known = match result {
            Ok(_) if stood_in => Known::Failed,
            Ok(members) => {
                let members = members
                    .iter()
                    .map(|entry| (entry.name.clone(), entry.version_id.clone()));
                Known::Members(Arc::new(members.collect::<BTreeMap<_, _>>()))
            }
            Err(finding) if finding.reason == Reason::AccessNotAllowed => return None,
            Err(_) => Known::Failed,
        };
        Some((ask.clone(), known))
    });
    Interest {
        entries: allowed
            .map(|(ask, result)| {
                let known = if stood_in {
                    Known::Failed
                } else {
                    Known::of(result)
                };
                (ask.clone(), known)
            })
            .collect(),
        prefixes: prefixes.collect(),
        interval: recipe.refresh_interval,
        recorded: false,
    }
}

/// Looks at every binding there is before the first read. Those in sync are only watched: their versions are on
/// record. The reads of the others are planned, so that they share calls; returns whom a pass is due, those
/// with the same entries next to each other.
pub async fn first_look(context: &Context) -> Vec<ObjectKey> {
    let mut due = Vec::new();
    for key in context.views.binding_keys() {
        let Some(observed) = observe::observe(context, &key) else {
            continue;
        };
        let Ok(recipe) = decide(context, &observed) else {
            due.push((Vec::new(), key, None));
            continue;
        };
        if resume(context, &observed, &recipe).await {
            // Its rollout may be open, and its consumers may have come or gone.
            if recipe.rollout.is_some() {
                due.push((Vec::new(), key, None));
            }
            continue;
        }
        context.remember(&key, |memory| memory.asked = true);
        let hub = may_read(context, &observed, &recipe).await;
        let asks: Vec<EntryAsk> = recipe.asks().into_iter().collect();
        due.push((asks, key, hub));
    }
    due.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    for (asks, _, hub) in &due {
        if let Some(hub) = hub {
            hub.plan(asks.iter().cloned());
        }
    }
    due.into_iter().map(|(_, key, _)| key).collect()
}

/// Where a binding reads, if it may read all its entries.
async fn may_read(context: &Context, observed: &Observed, recipe: &Recipe) -> Option<Arc<Hub>> {
    let gatekeeper = Gatekeeper::new(context, observed, recipe).ok()?;
    gatekeeper.before_any_call(recipe).ok()?;
    let mut asks = recipe.asks().into_iter();
    if !asks.all(|ask| gatekeeper.entry(&ask.id).is_ok()) {
        return None;
    }
    let identity = identity::identity(context, observed, recipe).ok()?;
    context.sources.hub(&identity).await.ok()
}

/// Takes up a binding that was in sync when the operator stopped and is as it was left. True when nothing more
/// is to be done than to look whether its versions have moved.
async fn resume(context: &Context, observed: &Observed, recipe: &Recipe) -> bool {
    let Some(entries) = is_as_left(context, observed, recipe)
        .then(|| recorded::versions(recipe, &observed.status.sources))
        .flatten()
    else {
        return false;
    };
    let Ok(identity) = identity::identity(context, observed, recipe) else {
        return false;
    };
    let Ok(hub) = context.sources.hub(&identity).await else {
        return false;
    };
    let mut sources = observed.status.sources.iter();
    if !sources.all(|source| source.region == hub.region())
        || !still_allowed(context, observed, recipe)
    {
        return false;
    }
    let version = |version: Option<String>| {
        version.map_or(Known::Missing, |version| Known::Version(version.into()))
    };
    let interest = Interest {
        entries: entries
            .entries
            .into_iter()
            .map(|(ask, found)| (ask, version(found)))
            .collect(),
        prefixes: entries
            .prefixes
            .into_iter()
            .map(|(ask, members)| (ask, Known::Members(Arc::new(members))))
            .collect(),
        interval: recipe.refresh_interval,
        recorded: true,
    };
    context
        .sources
        .subscribe(&subscriber(&observed.key), &hub, interest);
    context.remember(&observed.key, |memory| {
        memory.asked = false;
        memory.passed = true;
    });
    report::show_conditions(context, &observed.key, &observed.status);
    true
}

/// In sync at this generation, and neither the Secret nor the binding was touched since.
fn is_as_left(context: &Context, observed: &Observed, recipe: &Recipe) -> bool {
    let status = &observed.status;
    let synced = status
        .conditions
        .iter()
        .any(|c| c.type_ == condition::SYNCED && c.status == "True");
    let target = &recipe.target;
    let (Some(recorded), Some(row)) = (&status.secret, &observed.secret) else {
        return false;
    };
    let own_key = row
        .digest
        .as_ref()
        .and_then(|digest| digest.split('.').next())
        .is_some_and(|id| id == context.install_key.id());
    synced
        && own_key
        && status.observed_generation == Some(observed.generation)
        && status.failing_since.is_none()
        && observed.refresh.is_none()
        && observed.rollback.is_none()
        && !observed.deleting
        && observed.has_finalizer == finalizer::is_needed(recipe)
        && recorded.name == target.name
        && row.resource_version == recorded.resource_version
        && row.revision.as_ref() == Some(&recorded.revision)
        && row
            .owner_uid
            .as_ref()
            .is_none_or(|uid| *uid == observed.uid)
        && context.views.secrets_of(&observed.key).len() == 1
}

/// Whether the policies, which may have changed, still allow what the binding reads. No call is made for that.
pub fn still_allowed(context: &Context, observed: &Observed, recipe: &Recipe) -> bool {
    let account = observed
        .status
        .identity
        .as_ref()
        .and_then(|arn| arn.split(':').nth(4));
    let served = observed.status.sources.first().map(|s| s.region.as_str());
    let (Some(account), Some(served)) = (account, served) else {
        return false;
    };
    let own = recipe.identity.region.as_deref();
    let own = own.or(context.sources.own_region()).unwrap_or(served);
    // Both, where a failover region serves.
    [served, own].into_iter().all(|region| {
        Gatekeeper::new(context, observed, recipe).is_ok_and(|gatekeeper| {
            let gatekeeper = gatekeeper.with(account, region);
            recipe
                .asks()
                .iter()
                .all(|ask| gatekeeper.entry(&ask.id).is_ok())
                && recipe
                    .prefixes()
                    .iter()
                    .all(|ask| gatekeeper.prefix(ask).is_ok())
        })
    })
}
