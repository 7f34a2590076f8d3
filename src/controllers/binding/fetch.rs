//! Fetch: all reads of a pass at once, each checked against the policies before and after.

use std::{collections::HashMap, sync::Arc};

use futures::future::join_all;

use super::{Observed, Stop, gatekeeper::Gatekeeper};
use crate::{
    api::Reason,
    cluster::ObjectKey,
    controllers::context::Context,
    core::{
        Entry, EntryAsk, Fetched, Finding, PrefixAsk, Recipe, VersionSelector,
        reference::parse_reference,
    },
    source::{Caller, Freshness, Hub, IdentityAsk, ServiceAccountIdentity, addressed},
};

/// What a pass has read, and as whom.
#[derive(Clone)]
pub struct Read {
    /// The results.
    pub values: Fetched,
    /// Who read.
    pub caller: Caller,
    /// Region of the reads.
    pub region: String,
    /// Where more can be read as the same caller.
    pub hub: Arc<Hub>,
}

/// Reads everything the recipe names.
pub async fn fetch(context: &Context, observed: &Observed, recipe: &Recipe) -> Result<Read, Stop> {
    let failed = |finding| {
        Stop::Failed(addressed(
            finding,
            &observed.key.namespace,
            &observed.key.name,
        ))
    };
    let gatekeeper = Gatekeeper::new(context, observed, recipe).map_err(failed)?;
    gatekeeper.before_any_call(recipe).map_err(failed)?;
    let identity = identity(context, observed, recipe).map_err(failed)?;
    let hub = context.sources.hub(&identity).await.map_err(failed)?;
    let caller = hub.caller().await.map_err(failed)?;
    let reader = Reader {
        context,
        observed,
        gatekeeper: gatekeeper.with(&caller.account, hub.region()),
        hub: &hub,
        freshness: if observed.refresh.is_some() {
            Freshness::Fresh
        } else {
            Freshness::Reuse
        },
    };
    let asks = recipe.asks();
    let entries = join_all(asks.iter().map(|ask| reader.read(ask)));
    let prefixes = recipe.prefixes();
    let listings = join_all(prefixes.iter().map(|ask| reader.list(ask)));
    let (entries, listings) = futures::join!(entries, listings);
    let values = Fetched {
        entries: asks.into_iter().zip(entries).collect(),
        listings: prefixes.into_iter().zip(listings).collect(),
    };
    Ok(Read {
        values,
        caller,
        region: hub.region().to_owned(),
        hub,
    })
}

/// Who asks, from the recipe and the ServiceAccount as the watch has it.
fn identity(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
) -> Result<IdentityAsk, Finding> {
    let wanted = &recipe.identity;
    let service_account = match &wanted.service_account {
        Some(name) => Some(service_account(context, &observed.key.namespace, name)?),
        None => None,
    };
    Ok(IdentityAsk {
        namespace: observed.key.namespace.clone(),
        region: wanted.region.clone(),
        service_account,
        role_arn: wanted.role_arn.clone(),
        external_id: wanted.external_id.clone(),
        session_tags: wanted.session_tags.clone(),
    })
}

fn service_account(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<ServiceAccountIdentity, Finding> {
    if !context.settings.allow_service_accounts {
        return Err(Finding::new(
            Reason::AccessNotAllowed,
            format!(
                "This install does not let bindings read as a ServiceAccount (asked {namespace}/{name})."
            ),
            "A cluster admin can allow it with --allow-service-account-identity; or leave source.serviceAccountName out.",
        ));
    }
    let row = context
        .views
        .service_account(&ObjectKey::new(namespace, name))
        .ok_or_else(|| {
            Finding::new(
                Reason::AssumeRoleFailed,
                format!("ServiceAccount {namespace}/{name} does not exist."),
                "Create it; we notice at once.",
            )
        })?;
    let role_arn = row.role_arn.clone().ok_or_else(|| {
        Finding::new(
            Reason::AssumeRoleFailed,
            format!(
                "ServiceAccount {namespace}/{name} has no annotation {}.",
                crate::api::names::ANNOTATION_ROLE_ARN
            ),
            "Add it; we notice at once.",
        )
    })?;
    Ok(ServiceAccountIdentity {
        name: name.to_owned(),
        uid: row.uid.clone(),
        role_arn,
    })
}

struct Reader<'a> {
    context: &'a Context,
    observed: &'a Observed,
    gatekeeper: Gatekeeper<'a>,
    hub: &'a Arc<Hub>,
    freshness: Freshness,
}

impl Reader<'_> {
    async fn read(&self, ask: &EntryAsk) -> Result<Arc<Entry>, Finding> {
        self.gatekeeper.entry(&ask.id)?;
        let entry = self
            .hub
            .read(ask, self.freshness)
            .await
            .map_err(|finding| self.denied(ask, finding))?;
        self.gatekeeper.answer(&entry)?;
        Ok(entry)
    }

    /// Every member under a prefix with its current value. Listings lag behind by minutes: a member
    /// that the Secret was made from is asked for by name before it may be missed, and leaves only
    /// when two passes in a row were told that it is deleted.
    async fn list(&self, ask: &PrefixAsk) -> Result<Vec<Arc<Entry>>, Finding> {
        self.gatekeeper.prefix(ask)?;
        let listed = self
            .hub
            .list(ask)
            .await
            .map_err(|finding| self.addressed(finding))?;
        let mut asks: HashMap<String, EntryAsk> = listed
            .iter()
            .filter(|member| member.current_version_id.is_some())
            .filter_map(|member| Some((member.name.clone(), current(&member.arn)?)))
            .collect();
        let known = self
            .observed
            .status
            .sources
            .iter()
            .map(|source| &source.secret);
        let missed: Vec<String> = known
            .filter(|name| {
                ask.tags.is_empty() && name.starts_with(&ask.prefix) && !asks.contains_key(*name)
            })
            .cloned()
            .collect();
        asks.extend(
            missed
                .iter()
                .filter_map(|name| Some((name.clone(), current(name)?))),
        );
        let reads = asks
            .iter()
            .map(|(name, ask)| async move { (name, self.read(ask).await) });
        let mut members = Vec::new();
        for (name, result) in join_all(reads).await {
            match result {
                Ok(entry) => {
                    self.context.remember(&self.observed.key, |m| {
                        m.vanished.retain(|other| other != name)
                    });
                    members.push(entry);
                }
                Err(finding) if missed.contains(name) && self.has_left(name, &finding) => {}
                Err(finding) => return Err(finding),
            }
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }

    /// True when a member that is no longer listed was found deleted by the pass before, too.
    fn has_left(&self, name: &str, finding: &Finding) -> bool {
        let gone = matches!(
            finding.reason,
            Reason::SecretNotFound | Reason::MarkedForDeletion
        );
        gone && self.context.remember(&self.observed.key, |memory| {
            let before = memory.vanished.iter().any(|other| other == name);
            if !before {
                memory.vanished.push(name.to_owned());
            }
            before
        })
    }

    /// A read that AWS denies goes on the audit trail like one that the policies refuse.
    fn denied(&self, ask: &EntryAsk, finding: Finding) -> Finding {
        if matches!(
            finding.reason,
            Reason::AccessDenied | Reason::KmsAccessDenied
        ) {
            self.gatekeeper
                .audit(finding.reason, ask.id.display(), &finding.fact);
        }
        self.addressed(finding)
    }

    fn addressed(&self, finding: Finding) -> Finding {
        addressed(
            finding,
            &self.observed.key.namespace,
            &self.observed.key.name,
        )
    }
}

fn current(reference: &str) -> Option<EntryAsk> {
    let id = parse_reference(reference).ok()?.ask.id;
    Some(EntryAsk {
        id,
        version: VersionSelector::Current,
    })
}
