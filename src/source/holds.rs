//! Failed reads, remembered until they are worth repeating: a thousand bindings of one entry that fails are
//! one call and not a thousand. Pure: times come in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::core::{
    Class, EntryAsk, Finding,
    schedule::{Attempts, class, retry_delay},
};

/// A hold ends this much before its readers' own retry, whose jitter takes off a tenth at most.
const SHORTER: f64 = 0.85;
/// A failure that nobody came back for is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// The failures of one hub.
#[derive(Debug, Default)]
pub(super) struct Holds(HashMap<EntryAsk, Held>);

#[derive(Debug)]
struct Held {
    finding: Finding,
    attempts: Attempts,
    until: Instant,
}

impl Holds {
    /// The failure that still stands, with what is left of its wait.
    pub fn get(&self, ask: &EntryAsk, now: Instant) -> Option<Finding> {
        let held = self.0.get(ask)?;
        let left = held
            .until
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())?;
        Some(Finding {
            retry_after: Some(left),
            ..held.finding.clone()
        })
    }

    /// Every failure that still stands, and until when.
    pub fn standing(&self, now: Instant) -> impl Iterator<Item = (&EntryAsk, Instant)> {
        let standing = self.0.iter().filter(move |(_, held)| held.until > now);
        standing.map(|(ask, held)| (ask, held.until))
    }

    /// A read has failed. `interval` bounds the wait for what a person may have mended meanwhile.
    pub fn failed(&mut self, ask: &EntryAsk, finding: &Finding, interval: Duration, now: Instant) {
        let class = class(finding.reason);
        if class == Class::Invalid {
            return;
        }
        let mut attempts = self
            .0
            .get(ask)
            .map(|held| held.attempts)
            .unwrap_or_default();
        let attempt = attempts.failed(class);
        let wait = retry_delay(class, attempt, interval, finding.retry_after);
        let held = Held {
            finding: finding.clone(),
            attempts,
            until: now + wait.mul_f64(SHORTER),
        };
        self.0.insert(ask.clone(), held);
    }

    /// A read was answered.
    pub fn answered(&mut self, ask: &EntryAsk) {
        self.0.remove(ask);
    }

    /// Drops what is long over.
    pub fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, held| held.until + FORGOTTEN > now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{
        api::Reason,
        core::{SecretId, VersionSelector},
    };

    const INTERVAL: Duration = Duration::from_secs(300);

    fn ask() -> EntryAsk {
        EntryAsk {
            id: SecretId::Name("e".into()),
            version: VersionSelector::Current,
        }
    }

    fn failure(reason: Reason) -> Finding {
        Finding::new(reason, "fact", "cure")
    }

    #[test]
    fn a_failure_stands_longer_each_time_and_goes_with_the_first_answer() {
        let start = Instant::now();
        let mut holds = Holds::default();
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..4 {
            holds.failed(&ask(), &failure(Reason::AccessDenied), INTERVAL, now);
            let left = holds.get(&ask(), now).unwrap().retry_after.unwrap();
            waits.push(left.as_millis());
            now += left;
            assert_eq!(holds.get(&ask(), now), None, "it is worth a call again");
        }
        assert_eq!(waits, [8_500, 17_000, 34_000, 68_000]);
        holds.failed(&ask(), &failure(Reason::AccessDenied), INTERVAL, now);
        holds.answered(&ask());
        assert_eq!(holds.get(&ask(), now), None);
    }

    #[test]
    fn hours_of_outage_are_at_most_one_call_in_four_minutes() {
        let start = Instant::now();
        let (mut holds, mut now, mut calls) = (Holds::default(), start, 0);
        while now < start + Duration::from_secs(6 * 3600) {
            if holds.get(&ask(), now).is_none() {
                calls += 1;
                holds.failed(&ask(), &failure(Reason::AwsUnavailable), INTERVAL, now);
            }
            holds.tidy(now);
            now += Duration::from_secs(1);
        }
        assert!((80..=100).contains(&calls), "{calls} calls in six hours");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_no_failed_read() {
        let now = Instant::now();
        let mut holds = Holds::default();
        holds.failed(&ask(), &failure(Reason::NotJson), INTERVAL, now);
        assert_eq!(holds.get(&ask(), now), None);
    }

    #[test]
    fn what_aws_asks_is_waited_for() {
        let now = Instant::now();
        let mut holds = Holds::default();
        let asked = Finding {
            retry_after: Some(Duration::from_secs(100)),
            ..failure(Reason::Throttled)
        };
        holds.failed(&ask(), &asked, INTERVAL, now);
        let left = holds.get(&ask(), now).unwrap().retry_after.unwrap();
        assert_eq!(left, Duration::from_secs(85));
    }
}
