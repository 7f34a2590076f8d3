//! Bindings that follow entries, as tests of sweeps and hints see them: who was told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keyferry::{
    core::{EntryAsk, PrefixAsk},
    source::{Hub, Interest, Known, SourceEvent, Subscriber, Sweep},
};
use parking_lot::Mutex;

use crate::kit::*;

/// Long enough for listings to count, and never over within a test.
pub const LONG: Duration = Duration::from_secs(300);

/// The bindings of one hub.
pub struct Followers<'b> {
    pub bed: &'b Bed,
    pub hub: Arc<Hub>,
    told: Mutex<Vec<String>>,
}

impl<'b> Followers<'b> {
    pub async fn of(bed: &'b Bed) -> Self {
        Self {
            bed,
            hub: bed.hub().await,
            told: Mutex::default(),
        }
    }

    /// The version that is current now.
    pub fn at(&self, entry: &str) -> Known {
        at(&self.bed.region().current_version(entry).unwrap())
    }

    /// A binding in step with its entries; they are due after an interval.
    pub fn follow(&self, who: &str, entries: &[(EntryAsk, Known)], interval: Duration) {
        self.subscribe(
            who,
            Interest {
                entries: entries.to_vec(),
                interval,
                ..Interest::default()
            },
        );
    }

    /// The same, as after a start: its entries are due now.
    pub fn resume(&self, who: &str, entries: &[(EntryAsk, Known)], interval: Duration) {
        self.subscribe(
            who,
            Interest {
                entries: entries.to_vec(),
                interval,
                recorded: true,
                ..Interest::default()
            },
        );
    }

    /// A binding that uses a prefix; it is due now.
    pub fn resume_prefix(&self, who: &str, prefix: &PrefixAsk, known: Known) {
        self.subscribe(
            who,
            Interest {
                prefixes: vec![(prefix.clone(), known)],
                interval: LONG,
                recorded: true,
                ..Interest::default()
            },
        );
    }

    fn subscribe(&self, who: &str, interest: Interest) {
        let who = Subscriber::new("ns", who);
        self.bed.sources.subscribe(&who, &self.hub, interest);
    }

    pub fn tell(&self, who: &Subscriber) {
        self.told.lock().push(who.parts().1.to_owned());
    }

    /// Who was told since the last time, sorted.
    pub fn told(&self) -> Vec<String> {
        let mut told = std::mem::take(&mut *self.told.lock());
        told.sort();
        told
    }

    pub fn is_any_told(&self) -> bool {
        !self.told.lock().is_empty()
    }

    /// Sweeps while `story` goes on.
    pub async fn sweeping<T>(&self, story: impl Future<Output = T>) -> T {
        tokio::select! {
            () = self.bed.sources.sweep(|who| self.tell(who)) => panic!("sweeps never end"),
            told = story => told,
        }
    }

    /// One sweep of all that `due` makes due; who is told.
    pub async fn round(&self, due: impl FnOnce()) -> Vec<String> {
        let before = self.sweeps();
        let swept = async {
            due();
            until(|| self.sweeps() > before).await;
        };
        self.sweeping(swept).await;
        self.told()
    }

    pub fn sweeps(&self) -> usize {
        self.bed.counted(|e| matches!(e, SourceEvent::Swept(_)))
    }

    /// What the last sweep looked at, and how many it told.
    pub fn last_sweep(&self) -> Sweep {
        let events = self.bed.events.lock();
        let swept = events.iter().rev().find_map(|event| match event {
            SourceEvent::Swept(sweep) => Some(*sweep),
            _ => None,
        });
        swept.expect("a sweep")
    }
}

pub fn at(version: &str) -> Known {
    Known::Version(version.into())
}

pub fn members<const N: usize>(members: [(&str, String); N]) -> Known {
    let members = members.map(|(name, version)| (name.to_owned(), version));
    Known::Members(Arc::new(BTreeMap::from(members)))
}

pub fn under(prefix: &str) -> PrefixAsk {
    PrefixAsk {
        store: Default::default(),
        prefix: prefix.into(),
        tags: BTreeMap::default(),
    }
}
