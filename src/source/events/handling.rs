//! What a hint leads to: a read of the entries it is about, for all who use them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;

use super::{Handled, Hint, HintKind, matches, matches_prefix, matching::name_of};
use crate::{
    api::Reason,
    core::{Entry, EntryAsk, Finding, PrefixAsk, SecretId, VersionSelector},
    source::{
        Freshness, Hub, Lane, Listed, Reading, Sources, Subscriber,
        hub::{Keep, ReadResult},
        round::label,
        subscriptions::{Item, Known},
        sweep::members,
    },
};

/// An event may come before the version it speaks of can be read: pauses before further looks.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
];

impl Sources {
    /// Reads what a hint is about, for all who use it, and has them told of what has moved.
    pub async fn hint(&self, hint: &Hint, tell: impl Fn(&Subscriber)) -> Handled {
        let hubs = self.hubs();
        let handled = join_all(hubs.iter().map(|hub| hub.hint(hint, &tell))).await;
        let worst = |handled| match handled {
            Handled::Unknown => 0,
            Handled::Done => 1,
            Handled::Failed => 2,
        };
        handled
            .into_iter()
            .max_by_key(|handled| worst(*handled))
            .unwrap_or(Handled::Unknown)
    }
}

impl Hub {
    async fn hint(self: &Arc<Self>, hint: &Hint, tell: &impl Fn(&Subscriber)) -> Handled {
        let own = self.calls.credentials.known_account();
        let region = self.region().to_owned();
        let items = self.lock().subscriptions.pick(|item| match item {
            Item::Entry(ask) => matches(hint, ask, own.as_deref(), &region),
            Item::Prefix(ask) => matches_prefix(hint, ask, own.as_deref(), &region),
        });
        if items.is_empty() {
            return Handled::Unknown;
        }
        let looks = items.into_iter().map(|item| async {
            match item {
                Item::Entry(ask) => self.entry_hinted(hint, ask, tell).await,
                Item::Prefix(ask) => self.member_hinted(hint, ask, tell).await,
            }
        });
        let failed = join_all(looks).await.contains(&Handled::Failed);
        if failed {
            Handled::Failed
        } else {
            Handled::Done
        }
    }

    async fn entry_hinted(
        self: &Arc<Self>,
        hint: &Hint,
        ask: EntryAsk,
        tell: &impl Fn(&Subscriber),
    ) -> Handled {
        let item = Item::Entry(ask.clone());
        if let Some(version) = &hint.version_id
            && self.is_known(&item, version)
        {
            // Everybody has that version: a duplicate, or we were quicker.
            return Handled::Done;
        }
        let result = self.read_as_hinted(hint, &ask).await;
        if is_no_outcome(&result) {
            return Handled::Failed;
        }
        let (found, now) = (Known::of(&result), Instant::now());
        let told = self.lock().subscriptions.found(&item, &found, now);
        told.iter().for_each(tell);
        Handled::Done
    }

    /// Whether all who use an entry have this version of it.
    fn is_known(&self, item: &Item, version: &str) -> bool {
        let found = Known::Version(version.into());
        self.lock().subscriptions.waiting_for(item, &found) == 0
    }

    async fn read_for_hint(self: &Arc<Self>, ask: &EntryAsk) -> ReadResult {
        let _place = self.event_permits.acquire().await;
        let interval = self
            .lock()
            .subscriptions
            .interval(&Item::Entry(ask.clone()));
        let reading = Reading {
            freshness: Freshness::Fresh,
            lane: Lane::Urgent,
            interval: interval.unwrap_or(Duration::MAX),
            of_many: false,
        };
        self.flight_alone(ask, reading, Keep::IfWanted).await
    }

    /// Reads until the version of the hint is there, or the labels say that the hint is older than what was read.
    async fn read_as_hinted(self: &Arc<Self>, hint: &Hint, ask: &EntryAsk) -> ReadResult {
        let mut result = self.read_for_hint(ask).await;
        for (number, pause) in PAUSES.into_iter().enumerate() {
            if !is_behind(hint, &result) {
                break;
            }
            tokio::time::sleep(pause).await;
            // Where labels may not be looked at, the last read decides.
            let last = number + 1 == PAUSES.len();
            if self.shows(hint, ask).await.unwrap_or(last) {
                result = self.read_for_hint(ask).await;
            }
        }
        result
    }

    /// Whether the version of the hint carries the label asked for; None: AWS does not tell.
    async fn shows(&self, hint: &Hint, ask: &EntryAsk) -> Option<bool> {
        let (Some(version), Some(label)) = (&hint.version_id, label(ask)) else {
            return Some(false);
        };
        let described = self.described(ask).await.ok()?;
        Some(described.carries(version, label))
    }

    /// A member of a prefix moved, came or went. Listings learn that minutes later.
    async fn member_hinted(
        self: &Arc<Self>,
        hint: &Hint,
        ask: PrefixAsk,
        tell: &impl Fn(&Subscriber),
    ) -> Handled {
        let item = Item::Prefix(ask.clone());
        if hint.kind != HintKind::Deleted && ask.tags.is_empty() {
            match self.announce(hint, &ask).await {
                Ok(()) => {}
                Err(finding) if passes(&finding) => return Handled::Failed,
                Err(_) => {}
            }
        }
        let listed = match self.list(&ask, Freshness::Fresh).await {
            Ok(listed) => listed,
            Err(finding) if passes(&finding) => return Handled::Failed,
            Err(_) => return Handled::Done,
        };
        let mut told = self.lock().subscriptions.everybody(&item);
        if hint.kind != HintKind::Deleted {
            let (found, now) = (members(&listed), Instant::now());
            told = self.lock().subscriptions.found(&item, &found, now);
        }
        told.iter().for_each(tell);
        Handled::Done
    }

    /// Adds an entry to what is listed under a prefix until listings show it.
    async fn announce(self: &Arc<Self>, hint: &Hint, ask: &PrefixAsk) -> Result<(), Finding> {
        let id = match &hint.secret {
            super::HintId::Arn(arn) | super::HintId::TypedArn(arn) => SecretId::Arn(arn.clone()),
            super::HintId::Name(name) => SecretId::Name(name.clone()),
        };
        debug_assert!(name_of(&hint.secret).starts_with(&ask.prefix));
        let entry = EntryAsk {
            id,
            version: VersionSelector::Current,
        };
        let result = self.read_as_hinted(hint, &entry).await;
        let behind = is_behind(hint, &result);
        let read = result?;
        // An old answer would hide what listings show meanwhile, unless it is the hint that is old.
        let old = behind && self.shows(hint, &entry).await == Some(true);
        if read.name.starts_with(&ask.prefix) && !old {
            let now = Instant::now();
            self.lock().announce(ask, listed(&read), now);
        }
        Ok(())
    }
}

fn listed(entry: &Entry) -> Listed {
    Listed {
        name: entry.name.clone(),
        arn: entry.arn.clone(),
        current_version_id: Some(entry.version_id.clone()),
    }
}

/// Whether a read shows another version than the hint promises.
fn is_behind(hint: &Hint, result: &ReadResult) -> bool {
    hint.version_id
        .as_ref()
        .is_some_and(|version| match result {
            Ok(entry) => entry.version_id != *version,
            Err(finding) => Known::without(finding) == Known::Missing,
        })
}

/// A read that ended without telling anything about the entry.
fn is_no_outcome(result: &ReadResult) -> bool {
    result.as_ref().is_err_and(passes)
}

fn passes(finding: &Finding) -> bool {
    matches!(
        finding.reason,
        Reason::Throttled | Reason::AwsUnavailable | Reason::NoCredentials
    )
}
