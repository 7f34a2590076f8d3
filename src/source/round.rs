//! What one round of a sweep looks at, and in which way. Pure.

use std::time::{Duration, Instant};

use super::{
    settings::SweepMode,
    subscriptions::{Item, Subscriptions},
    wire::CURRENT,
};
use crate::core::{
    EntryAsk, PrefixAsk, Store, VersionSelector,
    sweep_mode::{BATCH, LIST_FROM},
};

/// Batches of one round: half a second of AWS's quota at the default share. What has become due meanwhile waits
/// for the round, not for the whole sweep.
const BATCHES: usize = 10;
/// Entries of one round in full batches; as many are looked at one by one.
const ROUND: usize = BATCHES * BATCH;

/// What is asked for in a sweep, by the way it is asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// By one listing of the account.
    pub list: Vec<EntryAsk>,
    /// By DescribeSecret: labels without values.
    pub describe: Vec<EntryAsk>,
    /// By reading.
    pub read: Vec<EntryAsk>,
    /// Prefixes to list.
    pub prefixes: Vec<PrefixAsk>,
}

impl Plan {
    /// How many entries are looked at.
    pub fn entries(&self) -> usize {
        self.list.len() + self.describe.len() + self.read.len()
    }

    /// Leaves what is more than a round to the next one; but one listing serves all that it is made for.
    fn bounded(mut self) -> Self {
        self.describe.truncate(ROUND);
        self.prefixes.truncate(BATCHES);
        let (mut batched, mut single) = (ROUND, ROUND);
        self.read.retain(|ask| {
            let room = if is_batched(ask) {
                &mut batched
            } else {
                &mut single
            };
            let fits = *room > 0;
            *room -= usize::from(fits);
            fits
        });
        self
    }

    /// How many more its last batch takes.
    fn room(&self) -> usize {
        let batched = self.read.iter().filter(|ask| is_batched(ask)).count();
        batched.next_multiple_of(BATCH) - batched
    }
}

/// What a hub may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    pub mode: SweepMode,
    pub may_list: bool,
    pub may_describe: bool,
    /// Pages of the last listing; 1 before the first one.
    pub pages: usize,
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
        if label(&ask).is_none() {
            // Labels tell nothing of a version that is asked for by its id.
            plan.read.push(ask);
        } else if lists && listable(&interval) {
            plan.list.push(ask);
        } else if means.may_describe && (!is_batched(&ask) || means.mode == SweepMode::Describe) {
            plan.describe.push(ask);
        } else {
            plan.read.push(ask);
        }
    }
    plan
}

/// The most pressing of what is due, as much as one round takes. Its last batch is topped up with what is nearly
/// due and `free` to be read.
pub(super) fn round(
    table: &Subscriptions,
    means: Means,
    now: Instant,
    free: impl Fn(&EntryAsk) -> bool,
) -> Plan {
    let (mut entries, mut prefixes) = (Vec::new(), Vec::new());
    for (item, interval) in table.due(now) {
        match item {
            Item::Entry(ask) => entries.push((ask, interval)),
            Item::Prefix(ask) => prefixes.push(ask),
        }
    }
    let ways = plan(entries, means);
    let mut plan = Plan { prefixes, ..ways }.bounded();
    let room = plan.room();
    if room > 0 {
        let nearly = table.nearly_due(now).into_iter();
        let nearly = nearly.filter(|ask| is_batched(ask) && free(ask));
        plan.read.extend(nearly.take(room).cloned());
    }
    plan
}

/// Only current values of secrets come in batches of theirs.
pub(super) fn is_batched(ask: &EntryAsk) -> bool {
    ask.id.store() == Store::Secrets && ask.version == VersionSelector::Current
}

/// The label that an ask follows; None for a version id, and for a parameter: its labels are not told without its
/// value.
pub(super) fn label(ask: &EntryAsk) -> Option<&str> {
    match &ask.version {
        _ if ask.id.store() == Store::Parameters => None,
        VersionSelector::Current => Some(CURRENT),
        VersionSelector::Stage(stage) => Some(stage),
        VersionSelector::Id(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{ParameterId, SecretId};

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
        // Of parameters neither listings nor DescribeSecret know anything.
        let mut parameter = asks(2, 300);
        for (ask, _) in &mut parameter {
            ask.id = SecretId::Parameter(ParameterId::Name("/p".into()));
        }
        for mode in [SweepMode::List, SweepMode::Describe] {
            let plan = super::plan(parameter.clone(), Means { mode, ..means });
            assert_eq!(plan.read.len(), 2, "{mode:?}");
            assert_eq!(plan.room(), 0, "they take no place in a batch of secrets");
        }
        let mut pinned = asks(1, 300);
        pinned[0].0.version = VersionSelector::Id("v1".into());
        for mode in [SweepMode::List, SweepMode::Describe] {
            let plan = super::plan(pinned.clone(), Means { mode, ..means });
            assert_eq!(plan.read.len(), 1, "{mode:?}");
        }
    }
}
