//! Failover: the same entries from a region with replicas, while the binding's own region does not answer.
//!
//! All of a pass comes from one region. What a replica lacks is never taken for gone: then the region does not serve.

use std::{collections::HashMap, sync::Arc};

use futures::future::join_all;

use super::{
    Observed, Stop, acceptance,
    fetch::{self, Read, Reader},
    gatekeeper::Gatekeeper,
    versions,
};
use crate::{
    api::Reason,
    controllers::context::Context,
    core::{
        Entry, EntryAsk, Fetched, Finding, PrefixAsk, Recipe, conditions,
        failover::{self, Verdict},
        recorded,
    },
    source::{Hub, IdentityAsk},
};

/// Why the binding's own region has to be stood in for; None: it has answered, or nothing may stand in for it.
pub fn wanted(recipe: &Recipe, own: &Result<Read, Stop>) -> Option<Finding> {
    if recipe.identity.failover.is_empty() {
        return None;
    }
    let failures: Vec<&Finding> = match own {
        Ok(read) => failures(recipe, read).collect(),
        Err(Stop::Failed(finding)) => vec![finding],
        Err(_) => return None,
    };
    // The same one each time, whatever the order of the reads.
    let first = failures.iter().min_by_key(|finding| &finding.fact)?;
    failover::is_called_for(failures.iter().copied()).then(|| (*first).clone())
}

/// What went wrong; an entry that may be missing and is has not.
fn failures<'a>(recipe: &'a Recipe, read: &'a Read) -> impl Iterator<Item = &'a Finding> {
    let may_be_missing = |ask: &EntryAsk, finding: &Finding| {
        finding.reason == Reason::SecretNotFound && recorded::is_optional(recipe, ask)
    };
    let entries = read.values.entries.iter().filter_map(move |(ask, result)| {
        let finding = result.as_ref().err()?;
        (!may_be_missing(ask, finding)).then_some(finding)
    });
    let listings = read.values.listings.values();
    entries.chain(listings.filter_map(|result| result.as_ref().err()))
}

/// Reads everything from the first region that has everything; else `own` stands, with what was said elsewhere.
pub async fn serve(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    identity: &IdentityAsk,
    home: &Arc<Hub>,
    outage: Finding,
    own: Result<Read, Stop>,
) -> Result<Read, Stop> {
    let mut said = Vec::new();
    for region in &recipe.identity.failover {
        if region == home.region() {
            continue;
        }
        let replica = Replica {
            context,
            observed,
            recipe,
            home,
            region,
        };
        match replica.read(identity).await {
            Ok(read) => {
                return Ok(Read {
                    instead_of: Some(outage),
                    rejected: Vec::new(),
                    ..read
                });
            }
            Err(finding) => said.push(format!("Failover to {region}: {}", finding.fact)),
        }
    }
    context.metrics.aws().failed_over("unserved");
    let words = said.join(" ");
    match own {
        Ok(read) => Ok(keep(read, &words)),
        Err(_) => Err(Stop::Failed(with_words(outage, &words))),
    }
}

/// What was asked at home stays what the sweep watches.
fn keep(mut read: Read, words: &str) -> Read {
    let values = &mut read.values;
    let entries = values.entries.values_mut().filter_map(|r| r.as_mut().err());
    let listings = values
        .listings
        .values_mut()
        .filter_map(|r| r.as_mut().err());
    for finding in entries.chain(listings) {
        *finding = with_words(finding.clone(), words);
    }
    read
}

fn with_words(mut finding: Finding, words: &str) -> Finding {
    if !words.is_empty() {
        finding.fact = format!("{} {words}", finding.fact);
    }
    finding
}

/// Returns once every version that a replica has may be carried.
pub async fn accept(
    context: &Context,
    observed: &Observed,
    recipe: &Recipe,
    read: &Read,
    outage: &Finding,
) -> Result<(), Stop> {
    let versions = versions::of(read);
    let moved = acceptance::moved(context, observed, &versions);
    let refused = if moved.is_empty() && acceptance::is_written(observed, recipe) {
        None
    } else {
        let marks = acceptance::marks(context, observed, recipe).await?;
        let mut verdicts = moved.iter().map(|source| {
            (
                source,
                failover::judge(&context.install_key, &marks, source),
            )
        });
        verdicts.find(|(_, verdict)| *verdict != Verdict::Good)
    };
    let Some((source, verdict)) = refused else {
        context.metrics.aws().failed_over("served");
        return Ok(());
    };
    context.metrics.aws().failed_over("refused");
    let name = fetch::good(&read.values).find(|entry| entry.arn == source.arn);
    let name = name.map_or("an entry", |entry| entry.name.as_str());
    let words = format!(
        "Failover to {}: its version of \"{name}\" {}.",
        read.region,
        verdict.in_words()
    );
    Err(Stop::Failed(with_words(outage.clone(), &words)))
}

/// A region that may stand in.
struct Replica<'a> {
    context: &'a Context,
    observed: &'a Observed,
    recipe: &'a Recipe,
    home: &'a Arc<Hub>,
    region: &'a str,
}

impl Replica<'_> {
    async fn read(&self, identity: &IdentityAsk) -> Result<Read, Finding> {
        let (context, recipe) = (self.context, self.recipe);
        let gatekeeper = Gatekeeper::new(context, self.observed, recipe)?;
        // Before any call to that region, its STS included.
        gatekeeper.before_calls_to(self.region, recipe)?;
        let there = IdentityAsk {
            region: Some(self.region.to_owned()),
            sts_region: Some(self.region.to_owned()),
            ..identity.clone()
        };
        let hub = context.sources.hub(&there).await?;
        let caller = hub.caller().await?;
        let gatekeeper = gatekeeper.with(&caller.account, self.region);
        let reader = Reader::new(context, self.observed, recipe, gatekeeper, &hub);
        let (asks, prefixes) = (recipe.asks(), recipe.prefixes());
        let entries = join_all(asks.iter().map(|ask| self.entry(&reader, ask)));
        let listings = join_all(prefixes.iter().map(|ask| self.members(&reader, ask)));
        let (entries, listings) = futures::join!(entries, listings);
        let mut values = Fetched::default();
        for (ask, result) in asks.into_iter().zip(entries) {
            let result = self.unless_missing(&ask, result)?;
            values.entries.insert(ask, result);
        }
        for (ask, members) in prefixes.into_iter().zip(listings) {
            values.listings.insert(ask, Ok(members?));
        }
        Ok(Read {
            values,
            caller,
            region: self.region.to_owned(),
            hub: self.home.clone(),
            instead_of: None,
            rejected: Vec::new(),
        })
    }

    async fn entry(&self, reader: &Reader<'_>, ask: &EntryAsk) -> Result<Arc<Entry>, Finding> {
        let entry = reader.read(&failover::ask_in(self.region, ask)).await?;
        Ok(Arc::new(failover::as_of(self.home.region(), &entry)))
    }

    /// An entry that may be missing and that the Secret was never made from is missing here, too.
    fn unless_missing(
        &self,
        ask: &EntryAsk,
        result: Result<Arc<Entry>, Finding>,
    ) -> Result<Result<Arc<Entry>, Finding>, Finding> {
        let sources = &self.observed.status.sources;
        match result {
            Err(finding)
                if finding.reason == Reason::SecretNotFound
                    && recorded::is_optional(self.recipe, ask)
                    && !recorded::holds(sources, &ask.id) =>
            {
                Ok(Err(finding))
            }
            Err(finding) => Err(finding),
            Ok(entry) => Ok(Ok(entry)),
        }
    }

    /// The members that the Secret was made from; before a first sync those that the region lists. Who joins and
    /// who leaves is the primary's to say.
    async fn members(
        &self,
        reader: &Reader<'_>,
        ask: &PrefixAsk,
    ) -> Result<Vec<Arc<Entry>>, Finding> {
        let sources = self.observed.status.sources.iter();
        let known: HashMap<&str, EntryAsk> = sources
            .filter(|source| source.secret.starts_with(&ask.prefix))
            .filter_map(|source| Some((source.secret.as_str(), fetch::current(&source.secret)?)))
            .collect();
        if known.is_empty() {
            let listed = reader.list(ask).await?;
            let home = |entry: &Arc<Entry>| Arc::new(failover::as_of(self.home.region(), entry));
            return Ok(listed.iter().map(home).collect());
        }
        let (status, generation) = (&self.observed.status, self.observed.generation);
        if !ask.tags.is_empty() || !conditions::is_realised(status, generation) {
            return Err(members_unknown(ask));
        }
        reader.may_list(ask)?;
        let reads = join_all(known.values().map(|ask| self.entry(reader, ask)));
        let mut members = reads.await.into_iter().collect::<Result<Vec<_>, _>>()?;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }
}

/// The record does not tell which entries carry certain tags, nor what a new spec has under a prefix.
fn members_unknown(ask: &PrefixAsk) -> Finding {
    let fact = format!(
        "which entries belong to \"{}*\" is for the binding's own region to say.",
        ask.prefix
    );
    Finding::new(Reason::AwsUnavailable, fact, "")
}
