//! Fetch: all reads of a pass at once, each checked against the policies before and after.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use parking_lot::Mutex;

use super::{Observed, Stop, failover, gatekeeper::Gatekeeper, identity};
use crate::{
    api::Reason,
    controllers::context::Context,
    core::{
        Entry, EntryAsk, Fetched, Finding, PrefixAsk, Recipe, Store, VersionSelector,
        annotations::Rejected, parse_parameter, recorded, sweep_mode::BATCH,
    },
    source::{Caller, Freshness, Hub, Lane, Reading, Standing},
};

/// Refreshes that are asked for one after the other, as `kubectl annotate --all` does, share a read.
const REFRESH_TOGETHER: Duration = Duration::from_millis(500);

/// A member of a prefix leaves when it is found deleted twice, so far apart.
const VANISHED: Duration = Duration::from_secs(10);

/// What a pass has read, and as whom.
#[derive(Clone)]
pub struct Read {
    /// The results.
    pub values: Fetched,
    /// Who read.
    pub caller: Caller,
    /// Region of the reads.
    pub region: String,
    /// Reads of the binding's own region, as the same caller.
    pub hub: Arc<Hub>,
    /// Why that region was stood in for by another one.
    pub instead_of: Option<Finding>,
    /// What was rejected under a former name of the Secret, and still is.
    pub rejected: Vec<Rejected>,
}

/// Reads everything the recipe names.
pub async fn fetch(context: &Context, observed: &Observed, recipe: &Recipe) -> Result<Read, Stop> {
    let failed = |finding| Stop::Failed(observed.addressed(finding));
    let gatekeeper = Gatekeeper::new(context, observed, recipe).map_err(failed)?;
    gatekeeper.before_any_call(recipe).map_err(failed)?;
    let identity = identity::identity(context, observed, recipe).map_err(failed)?;
    let hub = context.sources.hub(&identity).await.map_err(failed)?;
    let own = read_at_home(context, observed, recipe, gatekeeper, &hub).await;
    match failover::wanted(recipe, &own) {
        None => own,
        Some(outage) => {
            failover::serve(context, observed, recipe, &identity, &hub, outage, own).await
        }
    }
}

/// Reads everything in the binding's own region.
async fn read_at_home(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    gatekeeper: Gatekeeper<'_>,
    hub: &Arc<Hub>,
) -> Result<Read, Stop> {
    let failed = |finding| Stop::Failed(observed.addressed(finding));
    let caller = hub.caller().await.map_err(failed)?;
    let gatekeeper = gatekeeper.with(&caller.account, hub.region());
    let reader = Reader::new(context, observed, recipe, gatekeeper, hub);
    let asks = recipe.asks();
    if let Some(at) = reader.refresh_after(&asks) {
        return Err(Stop::Later(at));
    }
    let entries = join_all(asks.iter().map(|ask| reader.read_of(asks.len(), ask)));
    let prefixes = recipe.prefixes();
    let listings = join_all(prefixes.iter().map(|ask| reader.list(ask)));
    let (entries, listings) = futures::join!(entries, listings);
    if let Some(at) = reader.later.lock().take() {
        return Err(Stop::Later(at));
    }
    let values = Fetched {
        entries: asks.into_iter().zip(entries).collect(),
        listings: prefixes.into_iter().zip(listings).collect(),
    };
    Ok(Read {
        values,
        caller,
        region: hub.region().to_owned(),
        hub: hub.clone(),
        instead_of: None,
        rejected: Vec::new(),
    })
}

/// Every entry that was read.
pub fn good(values: &Fetched) -> impl Iterator<Item = &Arc<Entry>> {
    let listings = values.listings.values().filter_map(|r| r.as_ref().ok());
    let entries = values.entries.values().filter_map(|r| r.as_ref().ok());
    entries.chain(listings.flatten())
}

/// A refresh that a person asked for is read anew, and while reads fail nothing from before it answers it;
/// after an edit or a cure a failure of a moment ago says nothing; everything else is content with what was
/// just read for others.
fn reading(observed: &Observed, recipe: &Recipe) -> Reading {
    let since = observed.refresh_since;
    let failing = since.filter(|_| observed.status.failing_since.is_some());
    let reuse = failing.map_or(Freshness::Reuse, Freshness::ReuseSince);
    let (freshness, lane) = match (&observed.refresh, observed.asked) {
        (Some(_), _) => {
            let since = since.unwrap_or_else(Instant::now);
            (Freshness::Since(since), Lane::Urgent)
        }
        (None, true) => (Freshness::Anew, Lane::Urgent),
        // A first sync goes before refreshes, also when it is tried again.
        (None, false) if observed.status.secret.is_none() => (reuse, Lane::Urgent),
        (None, false) => (reuse, Lane::Routine),
    };
    Reading {
        freshness,
        lane,
        interval: recipe.refresh_interval,
        of_many: false,
    }
}

/// Reads through one hub for one binding.
pub struct Reader<'a> {
    context: &'a Context,
    observed: &'a Observed,
    gatekeeper: Gatekeeper<'a>,
    hub: &'a Arc<Hub>,
    reading: Reading,
    /// A member of a prefix may have left: to be looked at again then.
    later: Mutex<Option<Instant>>,
}

impl<'a> Reader<'a> {
    /// A reader whose `gatekeeper` knows the caller and the region of `hub`.
    pub fn new(
        context: &'a Context,
        observed: &'a Observed,
        recipe: &Recipe,
        gatekeeper: Gatekeeper<'a>,
        hub: &'a Arc<Hub>,
    ) -> Self {
        Self {
            context,
            observed,
            gatekeeper,
            hub,
            reading: reading(observed, recipe),
            later: Mutex::default(),
        }
    }

    /// Reads one entry, if the policies allow it before and after.
    pub async fn read(&self, ask: &EntryAsk) -> Result<Arc<Entry>, Finding> {
        self.read_of(1, ask).await
    }

    /// Reads one of so many entries.
    async fn read_of(&self, many: usize, ask: &EntryAsk) -> Result<Arc<Entry>, Finding> {
        self.gatekeeper.entry(&ask.id)?;
        let reading = Reading {
            of_many: many >= BATCH,
            ..self.reading
        };
        let entry = self
            .hub
            .read(ask, reading)
            .await
            .map_err(|finding| self.denied(ask, finding))?;
        self.gatekeeper.answer(&entry)?;
        Ok(entry)
    }

    /// When a refresh may be read; None: now.
    fn refresh_after(&self, asks: &BTreeSet<EntryAsk>) -> Option<Instant> {
        self.observed.refresh.as_ref()?;
        let asks: Vec<EntryAsk> = asks.iter().cloned().collect();
        let since = self.observed.refresh_since?;
        let together = since + REFRESH_TOGETHER;
        if together > Instant::now() {
            return Some(together);
        }
        self.hub.refresh_after(&asks, since)
    }

    /// Whether the policies allow everything under a prefix.
    pub fn may_list(&self, ask: &PrefixAsk) -> Result<(), Finding> {
        self.gatekeeper.prefix(ask)
    }

    /// Every member under a prefix with its current value. Listings lag behind by minutes: a member
    /// that the Secret was made from is asked for by name before it may be missed.
    pub async fn list(&self, ask: &PrefixAsk) -> Result<Vec<Arc<Entry>>, Finding> {
        self.may_list(ask)?;
        let listed = self
            .hub
            .list(ask, self.reading)
            .await
            .map_err(|finding| self.observed.addressed(finding))?;
        let mut asks: HashMap<String, EntryAsk> = listed
            .iter()
            .filter(|member| member.current_version_id.is_some())
            .filter_map(|member| Some((member.name.clone(), current(&member.arn)?)))
            .collect();
        for name in self.missed(ask, &asks) {
            let Some(missed) = named(ask.store, &name) else {
                continue;
            };
            if !self.has_left(&name, &missed, &ask.tags).await? {
                asks.insert(name, missed);
            }
        }
        let many = asks.len();
        let reads = asks
            .iter()
            .map(|(name, ask)| async move { (name, ask, self.read_of(many, ask).await) });
        let mut members = Vec::new();
        for (name, member, result) in join_all(reads).await {
            match result {
                Ok(entry) => members.push(entry),
                // Listings show for minutes what is gone.
                Err(finding)
                    if finding.is_gone() && self.has_left(name, member, &ask.tags).await? => {}
                Err(finding) => return Err(finding),
            }
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }

    /// Members that the Secret was made from and that are not listed.
    fn missed(&self, ask: &PrefixAsk, listed: &HashMap<String, EntryAsk>) -> Vec<String> {
        recorded::under(&self.observed.status.sources, ask)
            .map(|(name, _)| name.to_owned())
            .filter(|name| !listed.contains_key(name))
            .collect()
    }

    /// True when AWS said twice, some time apart, that a member is deleted, or once that it lacks a tag.
    async fn has_left(
        &self,
        name: &str,
        ask: &EntryAsk,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, Finding> {
        let standing = self.hub.standing(ask, tags).await;
        let standing = standing.map_err(|finding| self.denied(ask, finding))?;
        if standing == Standing::OtherTags {
            return Ok(true);
        }
        let now = Instant::now();
        let again = self.context.remember(&self.observed.key, |memory| {
            let name = ask.id.store().called(name);
            if standing == Standing::There {
                memory.vanished.remove(&name);
                return None;
            }
            Some(*memory.vanished.entry(name).or_insert(now) + VANISHED)
        });
        match again {
            None => Ok(false),
            Some(at) if at <= now => Ok(true),
            Some(at) => {
                *self.later.lock() = Some(at);
                Ok(true)
            }
        }
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
        self.observed.addressed(finding)
    }
}

pub use crate::core::parameter::ask;

/// The current version of what a name or ARN means.
pub fn current(reference: &str) -> Option<EntryAsk> {
    ask(reference, VersionSelector::Current)
}

/// The current version of an entry by its name.
fn named(store: Store, name: &str) -> Option<EntryAsk> {
    match store {
        Store::Secrets => current(name),
        Store::Parameters => parse_parameter(name).ok(),
    }
}
