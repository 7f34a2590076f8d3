//! Looks at what is due: which entries have moved since their subscribers read them. One look serves all
//! subscribers, and only what has moved is read for them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{
    batch::BATCH,
    bucket::Lane,
    failure::Failure,
    hub::{Hub, Keep, ReadResult, Reading},
    listing::{self, Labels},
    metrics::{Operation, Outcome, SourceEvent, Sweep},
    settings::SweepMode,
    subscriptions::{Item, Known, Subscriber},
    wire::{CURRENT, answers, looks_complete, parse_arn},
};
use crate::{
    api::Reason,
    core::{EntryAsk, Finding, PrefixAsk, SecretId, VersionSelector},
};

/// Listings lag behind by up to five minutes (source: ListSecrets, API reference): for shorter intervals they
/// say nothing.
const LIST_FROM: Duration = Duration::from_secs(300);
/// A look that AWS had no time for is repeated after this, or what it asks for.
const PAUSE: Duration = Duration::from_secs(5);

impl Known {
    /// What a read has found.
    pub fn of(result: &ReadResult) -> Self {
        match result {
            Ok(entry) => Self::Version(entry.version_id.as_str().into()),
            Err(finding) => Self::without(finding),
        }
    }

    pub(super) fn without(finding: &Finding) -> Self {
        match finding.reason {
            Reason::SecretNotFound | Reason::StageMissing => Self::Missing,
            _ => Self::Failed,
        }
    }
}

/// What is asked for in a sweep, by the way it is asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// By one listing of the account.
    list: Vec<EntryAsk>,
    /// By DescribeSecret: labels without values.
    describe: Vec<EntryAsk>,
    /// By reading.
    read: Vec<EntryAsk>,
}

/// What a hub may do.
#[derive(Clone, Copy, Debug)]
struct Means {
    mode: SweepMode,
    may_list: bool,
    may_describe: bool,
    /// Pages of the last listing; 1 before the first one.
    pages: usize,
}

/// Chooses the way for each ask. Values are read in batches; a listing shows the versions of a hundred entries
/// in one call and decrypts nothing, but lags.
fn plan(asks: Vec<(EntryAsk, Duration)>, means: Means) -> Plan {
    let mut plan = Plan::default();
    let listable = |interval: &Duration| means.mode == SweepMode::List || *interval >= LIST_FROM;
    let count = asks
        .iter()
        .filter(|(_, interval)| listable(interval))
        .count();
    let worth_it = means.mode == SweepMode::List || means.pages * BATCH < count;
    let lists =
        means.may_list && matches!(means.mode, SweepMode::Auto | SweepMode::List) && worth_it;
    for (ask, interval) in asks {
        let current = ask.version == VersionSelector::Current;
        if label(&ask).is_none() {
            // Labels tell nothing of a version that is asked for by its id.
            plan.read.push(ask);
        } else if lists && listable(&interval) {
            plan.list.push(ask);
        } else if means.may_describe && (!current || means.mode == SweepMode::Describe) {
            plan.describe.push(ask);
        } else {
            plan.read.push(ask);
        }
    }
    plan
}

impl Hub {
    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lock().subscriptions.next_due()
    }

    /// Looks at everything that is due; returns who is to be told.
    pub(super) async fn sweep(self: &Arc<Self>) -> HashSet<Subscriber> {
        let due = self.lock().subscriptions.due(Instant::now(), BATCH);
        if let Err(finding) = self.calls.credentials.session().await {
            return self.all_found(due, &finding);
        }
        let (mut entries, mut prefixes) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for item in due {
            let interval = self.lock().subscriptions.interval(&item);
            match (item, interval) {
                (Item::Entry(ask), Some(interval)) if !self.stands_off(&ask, now) => {
                    entries.push((ask, interval));
                }
                (Item::Prefix(ask), Some(_)) => prefixes.push(ask),
                _ => {}
            }
        }
        let looked_at = entries.len();
        let (entries, prefixes) = futures::join!(self.look(entries), self.look_under(prefixes));
        let told: HashSet<Subscriber> = entries.into_iter().chain(prefixes).collect();
        self.metrics.record(SourceEvent::Swept(Sweep {
            items: looked_at,
            told: told.len(),
        }));
        told
    }

    /// A read that failed a moment ago is not repeated by the sweep either.
    fn stands_off(&self, ask: &EntryAsk, now: Instant) -> bool {
        let mut state = self.lock();
        let left = state.holds.get(ask, now).and_then(|held| held.retry_after);
        if let Some(left) = left {
            let item = Item::Entry(ask.clone());
            state.subscriptions.put_off(&item, now + left, now);
        }
        left.is_some()
    }

    fn all_found(&self, due: Vec<Item>, finding: &Finding) -> HashSet<Subscriber> {
        let (mut state, now) = (self.lock(), Instant::now());
        let found = Known::without(finding);
        let told = due
            .iter()
            .flat_map(|item| state.subscriptions.found(item, &found, now));
        told.collect()
    }

    async fn look(self: &Arc<Self>, asks: Vec<(EntryAsk, Duration)>) -> Vec<Subscriber> {
        let mut plan = plan(asks, self.means());
        let mut told = Vec::new();
        if !plan.list.is_empty() {
            let labels = self.labels(&plan.list).await;
            self.compare(&mut plan.read, plan.list, labels, &mut told);
        }
        let described = join_all(plan.describe.into_iter().map(|ask| async move {
            let labels = self.describe(&ask).await;
            (ask, labels)
        }));
        for (ask, labels) in described.await {
            self.compare(&mut plan.read, vec![ask], labels, &mut told);
        }
        let reads = plan.read.into_iter().map(|ask| async move {
            let interval = self
                .lock()
                .subscriptions
                .interval(&Item::Entry(ask.clone()));
            let reading = Reading::sweep(interval.unwrap_or(LIST_FROM));
            let result = self.flight(&ask, reading, Keep::IfWanted).await;
            self.read_found(ask, &result)
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
        told: &mut Vec<Subscriber>,
    ) {
        let own = self.calls.credentials.known_account();
        // Names are unique in an account and region.
        let labels = labels.iter().flatten();
        let by_name: HashMap<&str, &Labels> = labels.map(|l| (l.name.as_str(), l)).collect();
        let (mut state, now) = (self.lock(), Instant::now());
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
    }

    /// Takes in what a read found. One that AWS had no time for is put off; it is told only when it lasts.
    fn read_found(&self, ask: EntryAsk, result: &ReadResult) -> Vec<Subscriber> {
        let (mut state, now, item) = (self.lock(), Instant::now(), Item::Entry(ask));
        if let Err(finding) = result
            && finding.reason == Reason::Throttled
        {
            let wait = finding.retry_after.unwrap_or(PAUSE);
            if !state.subscriptions.put_off(&item, now + wait, now) {
                return Vec::new();
            }
        }
        state.subscriptions.found(&item, &Known::of(result), now)
    }

    async fn look_under(self: &Arc<Self>, prefixes: Vec<PrefixAsk>) -> Vec<Subscriber> {
        let looks = prefixes.into_iter().map(|ask| async move {
            let listed = self.list(&ask, Reading::sweep(LIST_FROM)).await;
            let found = match &listed {
                Ok(listed) => members(listed),
                Err(finding) => Known::without(finding),
            };
            let (mut state, now) = (self.lock(), Instant::now());
            state.subscriptions.found(&Item::Prefix(ask), &found, now)
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

/// The label that an ask follows; None for a version id.
pub(super) fn label(ask: &EntryAsk) -> Option<&str> {
    match &ask.version {
        VersionSelector::Current => Some(CURRENT),
        VersionSelector::Stage(stage) => Some(stage),
        VersionSelector::Id(_) => None,
    }
}

/// The names an id may stand for.
fn names(id: &SecretId) -> Vec<String> {
    match id {
        SecretId::Name(name) => vec![name.clone()],
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

    fn asks(count: usize, seconds: u64) -> Vec<(EntryAsk, Duration)> {
        let ask = |n| EntryAsk {
            id: SecretId::Name(format!("e{n}")),
            version: VersionSelector::Current,
        };
        (0..count)
            .map(|n| (ask(n), Duration::from_secs(seconds)))
            .collect()
    }

    #[test]
    fn the_cheapest_way_that_is_allowed_is_chosen() {
        let means = Means {
            mode: SweepMode::Auto,
            may_list: true,
            may_describe: true,
            pages: 1,
        };
        // Mode, entries, interval, pages, may list, may describe: listed, described, read.
        let table = [
            (SweepMode::Auto, 200, 300, 2, true, true, [200, 0, 0]),
            (SweepMode::Auto, 200, 299, 2, true, true, [0, 0, 200]),
            (SweepMode::Auto, 20, 300, 1, true, true, [0, 0, 20]),
            (SweepMode::Auto, 200, 300, 10, true, true, [0, 0, 200]),
            (SweepMode::Auto, 200, 300, 2, false, true, [0, 0, 200]),
            (SweepMode::List, 3, 60, 99, true, true, [3, 0, 0]),
            (SweepMode::List, 3, 60, 1, false, true, [0, 0, 3]),
            (SweepMode::Describe, 30, 60, 1, true, true, [0, 30, 0]),
            (SweepMode::Describe, 30, 60, 1, true, false, [0, 0, 30]),
            (SweepMode::Batch, 200, 3600, 1, true, true, [0, 0, 200]),
        ];
        for (mode, entries, interval, pages, may_list, may_describe, expected) in table {
            let means = Means {
                mode,
                pages,
                may_list,
                may_describe,
            };
            let plan = plan(asks(entries, interval), means);
            let counts = [plan.list.len(), plan.describe.len(), plan.read.len()];
            assert_eq!(counts, expected, "{means:?} {entries} {interval}");
        }
        // A batch never shows another label.
        let mut staged = asks(2, 60);
        staged[0].0.version = VersionSelector::Stage("BLUE".into());
        let plan = plan(staged, means);
        assert_eq!((plan.describe.len(), plan.read.len()), (1, 1));
        let mut pinned = asks(1, 300);
        pinned[0].0.version = VersionSelector::Id("v1".into());
        for mode in [SweepMode::List, SweepMode::Describe] {
            let plan = super::plan(pinned.clone(), Means { mode, ..means });
            assert_eq!(plan.read.len(), 1, "{mode:?}");
        }
    }

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
