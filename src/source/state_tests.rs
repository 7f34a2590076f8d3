#![allow(clippy::unwrap_used, clippy::expect_used)]
use futures::FutureExt;

use super::*;
use crate::core::VersionSelector;
use crate::source::{Interest, Subscriber};

fn ask(name: &str) -> EntryAsk {
    EntryAsk {
        id: SecretId::Name(name.into()),
        version: VersionSelector::Current,
    }
}

fn state(now: Instant) -> State {
    State::new(&ReadSettings::default(), Arc::default(), 0.0, now)
}

#[test]
fn refreshes_of_an_entry_are_one_read_in_ten_seconds_for_all_who_wait() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = state(start);
    let (one, two) = ([ask("a")], [ask("a"), ask("b")]);
    assert_eq!(state.refresh_after(&one, start, start), None);
    // A thousand more, asked for a second later: all wait for the same moment, then share its read.
    for _ in 0..1000 {
        assert_eq!(state.refresh_after(&two, at(1), at(1)), Some(at(10)));
    }
    for _ in 0..1000 {
        assert_eq!(state.refresh_after(&two, at(1), at(10)), None);
    }
    assert_eq!(state.refresh_after(&one, at(11), at(11)), Some(at(20)));
    assert_eq!(state.refresh_after(&[ask("c")], at(11), at(11)), None);
}

#[test]
fn batches_are_filled_up_with_what_was_planned_and_nobody_reads_yet() {
    let now = Instant::now();
    let mut state = state(now);
    for n in 0..30 {
        state.planned.add(ask(&format!("e{n:02}")));
        state.planned.add(ask(&format!("e{n:02}")));
    }
    // The first has both of its readers: it needs nobody.
    state.planned.came(&ask("e00"));
    state.planned.came(&ask("e00"));
    let run = std::future::ready(Arc::default()).boxed().shared();
    let run = run.downgrade().unwrap();
    let mut plan = Plan::default();
    assert!(plan.add(&ask("own").id, "own".into(), None));
    let taken: Vec<EntryAsk> = state
        .fill_up(&mut plan, &run, None, now)
        .into_iter()
        .map(|(ask, _)| ask)
        .collect();
    assert_eq!((taken.len(), plan.wires().len()), (19, 20));
    assert_eq!((&taken[0], &taken[18]), (&ask("e01"), &ask("e19")));
}

#[test]
fn at_most_so_many_batches_leave_within_the_seconds_of_reuse() {
    let settings = ReadSettings::default();
    let start = Instant::now();
    let mut state = state(start);
    let mut turns: Vec<Duration> = (0..35).map(|_| state.turn(&settings, start)).collect();
    // One that comes later finds the others before it.
    let later = start + Duration::from_secs(14);
    turns.push(Duration::from_secs(14) + state.turn(&settings, later));
    // Five seconds and a little for the way.
    let expected: Vec<Duration> = (0..36)
        .map(|n| Duration::from_millis(n / 10 * 5_500))
        .collect();
    assert_eq!(turns, expected);
    let idle = start + Duration::from_secs(60);
    assert_eq!(state.turn(&settings, idle), Duration::ZERO);
    // What is followed may be read once.
    let who = Subscriber::new("estate", "all");
    let entries = (0..400).map(|n| (ask(&format!("e{n}")), Known::Missing));
    let interest = Interest {
        entries: entries.collect(),
        interval: Duration::from_secs(60),
        ..Interest::default()
    };
    state.subscriptions.subscribe(&who, interest, idle);
    let turns = (0..20).map(|_| state.turn(&settings, idle));
    assert_eq!(turns.filter(Duration::is_zero).count(), 19);
    // Announced readers do not wait.
    let mut state = self::state(start);
    state.planned.add(ask("a"));
    assert!((0..100).all(|_| state.turn(&settings, start).is_zero()));
}

#[test]
fn what_events_told_of_is_listed_until_listings_show_it() {
    let now = Instant::now();
    let mut state = state(now);
    let prefix = PrefixAsk {
        store: Default::default(),
        prefix: "p/".into(),
        tags: Default::default(),
    };
    let member = |name: &str, version: &str| Listed {
        name: name.into(),
        arn: format!("arn:{name}"),
        current_version_id: Some(version.into()),
    };
    state.announce(&prefix, member("p/new", "1"), now);
    state.announce(&prefix, member("p/b", "2"), now);
    let listing = vec![member("p/a", "1"), member("p/b", "1")];
    let merged = state.with_announced(&prefix, listing.clone(), now);
    assert_eq!(
        merged,
        [member("p/a", "1"), member("p/b", "2"), member("p/new", "1")]
    );
    assert_eq!(
        state.with_announced(&prefix, listing.clone(), now + ANNOUNCED),
        listing
    );
}
