//! Looks at what is due: which entries have moved since their subscribers read them. One look serves all
//! subscribers, and only what has moved is read for them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{
    bucket::Lane,
    failure::Failure,
    hub::{Hub, Keep, ReadResult},
    listing::{self, Labels},
    metrics::{Operation, Outcome, SourceEvent, Sweep},
    reading::Reading,
    round::{Means, Plan, label, round},
    subscriptions::{Item, Known, Subscriber},
    wire::{answers, looks_complete, parse_arn},
};
use crate::{
    api::Reason,
    core::{Entry, EntryAsk, Finding, PrefixAsk, SecretId, sweep_mode::LIST_FROM},
};

/// A look that AWS had no time for is repeated after this, or what it asks for.
const PAUSE: Duration = Duration::from_secs(5);

impl Known {
    /// What a read has found.
    pub fn of(result: &ReadResult) -> Self {
        result.as_ref().map_or_else(Self::without, Self::read)
    }

    fn read(entry: &Arc<Entry>) -> Self {
        Self::Version(entry.version_id.as_str().into())
    }

    pub(super) fn without(finding: &Finding) -> Self {
        match finding.reason {
            Reason::SecretNotFound | Reason::StageMissing => Self::Missing,
            _ => Self::Failed,
        }
    }
}

impl Hub {
    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lock().subscriptions.next_due()
    }

    /// One round of looks at what is due; returns who is to be told. What is left is still due: the next round
    /// weighs it against what has become due meanwhile.
    pub(super) async fn sweep(self: &Arc<Self>) -> HashSet<Subscriber> {
        let session = self.calls.credentials.session().await;
        // One time for the round: what is looked at together is due together again.
        let now = Instant::now();
        if let Err(finding) = session {
            return self.nothing_seen(&finding, now);
        }
        let mut plan = self.plan_round(now);
        let (looked_at, prefixes) = (plan.entries(), std::mem::take(&mut plan.prefixes));
        let (entries, prefixes) =
            futures::join!(self.look(plan, now), self.look_under(prefixes, now));
        let told: HashSet<Subscriber> = entries.into_iter().chain(prefixes).collect();
        self.metrics.record(SourceEvent::Swept(Sweep {
            items: looked_at,
            told: told.len(),
        }));
        told
    }

    /// A read that failed a moment ago is not repeated by the sweep either.
    fn plan_round(&self, now: Instant) -> Plan {
        let means = self.means();
        let mut state = self.lock();
        state.stand_off(now);
        let free = |ask: &EntryAsk| state.holds.get(ask, now).is_none();
        round(&state.subscriptions, means, now, free)
    }

    /// Without credentials nothing can be looked at.
    fn nothing_seen(&self, finding: &Finding, now: Instant) -> HashSet<Subscriber> {
        let due = self.lock().subscriptions.due(now);
        let told = due
            .iter()
            .flat_map(|(item, _)| self.seen(item, Err(finding), now));
        told.collect()
    }

    /// Takes in what a look found. One that AWS had no time for is put off; it is told only when it lasts.
    fn seen(&self, item: &Item, found: Result<Known, &Finding>, now: Instant) -> Vec<Subscriber> {
        let mut state = self.lock();
        if let Err(finding) = found
            && finding.reason == Reason::Throttled
        {
            let again = Instant::now() + finding.retry_after.unwrap_or(PAUSE);
            if !state.subscriptions.put_off(item, again, now) {
                return Vec::new();
            }
        }
        let found = found.unwrap_or_else(Known::without);
        state.subscriptions.found(item, &found, now)
    }

    async fn look(self: &Arc<Self>, mut plan: Plan, now: Instant) -> Vec<Subscriber> {
        let mut told = Vec::new();
        if !plan.list.is_empty() {
            let labels = self.labels(&plan.list).await;
            told.extend(self.compare(&mut plan.read, plan.list, labels, now));
        }
        let described = join_all(plan.describe.into_iter().map(|ask| async move {
            let labels = self.describe(&ask).await;
            (ask, labels)
        }));
        for (ask, labels) in described.await {
            told.extend(self.compare(&mut plan.read, vec![ask], labels, now));
        }
        let reads = plan.read.into_iter().map(|ask| async move {
            let interval = self
                .lock()
                .subscriptions
                .interval(&Item::Entry(ask.clone()));
            let reading = Reading::sweep(interval.unwrap_or(LIST_FROM));
            let result = self.flight(&ask, reading, Keep::IfWanted).await;
            let found = result.as_ref().map(Known::read);
            self.seen(&Item::Entry(ask), found, now)
        });
        told.extend(join_all(reads).await.into_iter().flatten());
        told
    }

    fn means(&self) -> Means {
        let (mut state, now) = (self.lock(), Instant::now());
        Means {
            mode: self.settings.sweep,
            may_list: state.is_allowed(Operation::ListSecrets, now),
            may_describe: state.is_allowed(Operation::DescribeSecret, now),
            pages: state.pages.max(1),
        }
    }

    /// What labels tell: entries at the version that everybody knows are done, the others are read.
    fn compare(
        &self,
        to_read: &mut Vec<EntryAsk>,
        asks: Vec<EntryAsk>,
        labels: Option<Vec<Labels>>,
        now: Instant,
    ) -> Vec<Subscriber> {
        let own = self.calls.credentials.known_account();
        // Names are unique in an account and region.
        let labels = labels.iter().flatten();
        let by_name: HashMap<&str, &Labels> = labels.map(|l| (l.name.as_str(), l)).collect();
        let (mut state, mut told) = (self.lock(), Vec::new());
        for ask in asks {
            let found = names(&ask.id)
                .iter()
                .filter_map(|name| by_name.get(name.as_str()))
                .find(|entry| is_labelled(&ask.id, entry, own.as_deref()))
                .and_then(|entry| entry.version(label(&ask)?))
                .map(|version| Known::Version(version.into()));
            let item = Item::Entry(ask.clone());
            match found {
                Some(found) if state.subscriptions.waiting_for(&item, &found) == 0 => {
                    told.extend(state.subscriptions.found(&item, &found, now));
                }
                // Moved, missing from a listing that lags, or nothing to compare with.
                _ => to_read.push(ask),
            }
        }
        told
    }

    async fn look_under(
        self: &Arc<Self>,
        prefixes: Vec<PrefixAsk>,
        now: Instant,
    ) -> Vec<Subscriber> {
        let looks = prefixes.into_iter().map(|ask| async move {
            let listed = self.list(&ask, Reading::sweep(LIST_FROM)).await;
            let found = listed.as_ref().map(|listed| members(listed));
            self.seen(&Item::Prefix(ask), found, now)
        });
        join_all(looks).await.into_iter().flatten().collect()
    }

    /// The labels of the account's entries; None: the listing tells nothing this time.
    async fn labels(&self, asks: &[EntryAsk]) -> Option<Vec<Labels>> {
        let wanted = asks.iter().flat_map(|ask| names(&ask.id)).collect();
        match listing::labels(&self.calls, &wanted).await {
            Ok((labels, pages)) => {
                self.lock().pages = pages;
                Some(labels)
            }
            Err(failure) => {
                self.note_denied(&failure, Operation::ListSecrets);
                None
            }
        }
    }

    async fn describe(&self, ask: &EntryAsk) -> Option<Vec<Labels>> {
        let wire = self.lock().wire(&ask.id);
        let place = self.places(Lane::Routine).acquire().await;
        // Those that wait for a place need not find out too.
        if !self.means().may_describe {
            return None;
        }
        let described = self.calls.describe(&wire, Lane::Routine).await;
        drop(place);
        match described {
            Ok(described) if described.deleted => None,
            Ok(described) => Some(vec![Labels {
                name: described.name,
                arn: described.arn,
                versions: described.versions,
            }]),
            Err(failure) => {
                self.note_denied(&failure, Operation::DescribeSecret);
                None
            }
        }
    }

    /// A way that is denied is not tried again for a while.
    pub(super) fn note_denied(&self, failure: &Failure, operation: Operation) {
        if failure.outcome() != Outcome::Denied {
            return;
        }
        let until = Instant::now() + self.settings.denied_hold;
        if self.lock().deny(operation, until) {
            self.metrics.record(SourceEvent::WayDenied(operation));
            tracing::warn!(
                target: "keyferry::source",
                region = self.region(),
                action = operation.action(),
                "denied: entries are looked at in another way"
            );
        }
    }
}

/// The names an id may stand for.
fn names(id: &SecretId) -> Vec<String> {
    match id {
        SecretId::Name(name) => vec![name.clone()],
        // No listing of secrets shows it.
        SecretId::Parameter(_) => Vec::new(),
        SecretId::Arn(arn) => {
            let whole = arn.resource.clone();
            let bare = looks_complete(&whole)
                .then(|| whole.get(..whole.len() - 7).map(str::to_owned))
                .flatten();
            std::iter::once(whole).chain(bare).collect()
        }
    }
}

fn is_labelled(id: &SecretId, labels: &Labels, own: Option<&str>) -> bool {
    parse_arn(&labels.arn).is_some_and(|arn| answers(id, &arn, &labels.name, own))
}

/// The members of a prefix as a listing shows them.
pub(super) fn members(listed: &[listing::Listed]) -> Known {
    let members: BTreeMap<String, String> = listed
        .iter()
        .filter_map(|member| Some((member.name.clone(), member.current_version_id.clone()?)))
        .collect();
    Known::Members(Arc::new(members))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_of_an_arn_are_tried_with_and_without_what_looks_like_its_suffix() {
        let arn = |resource: &str| {
            SecretId::Arn(
                parse_arn(&format!(
                    "arn:aws:secretsmanager:us-east-1:111122223333:secret:{resource}"
                ))
                .unwrap(),
            )
        };
        assert_eq!(names(&arn("jwt-secret")), ["jwt-secret", "jwt"]);
        assert_eq!(names(&arn("jwt")), ["jwt"]);
        assert_eq!(names(&SecretId::Name("a-AbCdEf".into())), ["a-AbCdEf"]);
    }

    #[test]
    fn a_lasting_failure_is_told_apart_from_a_missing_entry() {
        let failed = |reason| Known::of(&Err(Finding::new(reason, "", "")));
        assert_eq!(failed(Reason::SecretNotFound), Known::Missing);
        assert_eq!(failed(Reason::StageMissing), Known::Missing);
        assert_eq!(failed(Reason::AccessDenied), Known::Failed);
        assert_eq!(failed(Reason::MarkedForDeletion), Known::Failed);
    }
}
