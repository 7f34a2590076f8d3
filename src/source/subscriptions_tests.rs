#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    core::SecretId,
    source::{
        round::{Means, Plan, round},
        settings::SweepMode,
    },
};

const BATCH: usize = 20;
const ROUND: usize = 10 * BATCH;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ask(name: &str) -> EntryAsk {
    EntryAsk {
        id: SecretId::Name(name.into()),
        version: VersionSelector::Current,
    }
}

fn at(version: &str) -> Known {
    Known::Version(version.into())
}

fn who(name: &str) -> Subscriber {
    Subscriber::new("ns", name)
}

fn interest(names: &[&str], interval: u64) -> Interest {
    Interest {
        entries: names.iter().map(|name| (ask(name), at("v1"))).collect(),
        interval: s(interval),
        ..Interest::default()
    }
}

fn item(name: &str) -> Item {
    Item::Entry(ask(name))
}

/// The reads of one round, which are found as they were.
fn look(table: &mut Subscriptions, now: Instant) -> Vec<EntryAsk> {
    let means = Means {
        mode: SweepMode::Batch,
        may_list: true,
        may_describe: true,
        pages: 1,
    };
    let Plan { read, .. } = round(table, means, now, |_| true);
    for ask in &read {
        assert_eq!(table.found(&Item::Entry(ask.clone()), &at("v1"), now), []);
    }
    read
}

/// Rounds from `start` to `end`, each as long as its batches take when so many leave in a second: when it began
/// and what it read.
fn looks(
    table: &mut Subscriptions,
    start: Instant,
    end: Instant,
    batches: u32,
) -> Vec<(Instant, Vec<EntryAsk>)> {
    let (mut looks, mut free) = (Vec::new(), start);
    loop {
        let now = table.next_due().unwrap().max(free);
        if now > end {
            return looks;
        }
        let read = look(table, now);
        free = now + s(1) * u32::try_from(read.len().div_ceil(BATCH)).unwrap() / batches;
        looks.push((now, read));
    }
}

/// The longest time without a look at entries whose name begins so, from the first look on, and their looks.
fn longest_gap(looks: &[(Instant, Vec<EntryAsk>)], prefix: &str) -> (Duration, usize) {
    let (mut last, mut gap, mut count) = (HashMap::new(), Duration::ZERO, 0);
    for (at, read) in looks {
        for ask in read {
            let SecretId::Name(name) = &ask.id else {
                continue;
            };
            if name.starts_with(prefix) {
                count += 1;
                let before = last.insert(name, *at).unwrap_or(*at);
                gap = gap.max(at.duration_since(before));
            }
        }
    }
    (gap, count)
}

#[test]
fn short_intervals_are_kept_beside_thousands_of_long_ones_and_batches_stay_full() {
    let start = Instant::now();
    let end = start + s(600);
    for (minute, seconds, fives) in [(1000, 1, 0), (3000, 20, 0), (1000, 20, 2000)] {
        let mut table = Subscriptions::new(start, 0.4);
        for (prefix, count, interval) in [("m", minute, 60), ("s", seconds, 10), ("f", fives, 300)]
        {
            for n in 0..count {
                let name = format!("{prefix}{n:05}");
                table.subscribe(&who(&name), interest(&[&name], interval), start);
            }
        }
        let looks = looks(&mut table, start, end, 20);
        let case = format!("{minute} {seconds} {fives}");
        assert!(looks.iter().all(|(_, read)| read.len() <= ROUND), "{case}");
        let (gap, count) = longest_gap(&looks, "s");
        assert!(gap <= s(12), "{case}: {gap:?} between looks at 10 s");
        assert!(
            count >= 59 * seconds && count <= 60 * seconds,
            "{case}: {count}"
        );
        // The others wait for their sweep's end, and nobody is looked at twice at one tick.
        for (prefix, entries, interval) in [("m", minute, 60), ("f", fives, 300)] {
            let (gap, count) = longest_gap(&looks, prefix);
            let sweep = Duration::from_millis(50) * u32::try_from(entries / BATCH).unwrap();
            assert!(
                gap <= s(interval).mul_f64(1.1) + sweep,
                "{case}: {gap:?} of {interval}"
            );
            let rounds = 600 / usize::try_from(interval).unwrap();
            assert!(count <= rounds * entries, "{case}: {count} looks");
        }
    }
}

#[test]
fn more_than_can_be_read_starves_nobody() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.0);
    // Half as much again as a batch a second brings.
    for (prefix, count, interval) in [("s", 150, 10), ("m", 900, 60)] {
        for n in 0..count {
            let name = format!("{prefix}{n:05}");
            table.subscribe(&who(&name), interest(&[&name], interval), start);
        }
    }
    let looks = looks(&mut table, start, start + s(900), 1);
    // Both are late alike, each in its own measure.
    for (prefix, most) in [("s", 40), ("m", 120)] {
        let (gap, _) = longest_gap(&looks, prefix);
        assert!(gap <= s(most), "{prefix}: {gap:?}");
        let read = looks.iter().flat_map(|(_, read)| read);
        let names: HashSet<&EntryAsk> = read
            .filter(|ask| matches!(&ask.id, SecretId::Name(name) if name.starts_with(prefix)))
            .collect();
        assert_eq!(names.len(), if prefix == "s" { 150 } else { 900 });
    }
}

#[test]
fn what_has_just_become_due_goes_before_longer_intervals_that_wait_already() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.0);
    // Due at 60 and at 70.
    for (name, interval, seen) in [("a", 60, 30), ("z", 10, 62)] {
        table.subscribe(&who(name), interest(&[name], interval), start);
        table.found(&item(name), &at("v1"), start + s(seen));
    }
    let due = table.due(start + s(70) + Duration::from_millis(100));
    let due: Vec<Item> = due.into_iter().map(|(item, _)| item).collect();
    assert_eq!(due, [item("z"), item("a")]);
}

#[test]
fn two_thousand_entries_in_step_are_a_hundred_full_batches_an_interval() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.7);
    for n in 0..2000 {
        let name = format!("e{n:04}");
        // Half of them are on record, so that the first interval is not one tick.
        let recorded = Interest {
            recorded: n % 2 == 0,
            ..interest(&[&name], 60)
        };
        table.subscribe(&who(&name), recorded, start);
    }
    let looks = looks(&mut table, start, start + s(400), 20);
    let after = looks.iter().filter(|(at, _)| *at > start + s(100));
    let sizes: Vec<usize> = after.map(|(_, read)| read.len()).collect();
    // Each ten rounds of ten batches.
    assert!(sizes.iter().all(|size| *size == ROUND), "{sizes:?}");
    assert_eq!(sizes.len() % 10, 0, "{sizes:?}");
}

#[test]
fn a_thousand_subscribers_of_two_hundred_entries_read_at_any_time_are_ten_full_batches() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.3);
    for n in 0..1000_u64 {
        let name = format!("e{}", n % 200);
        table.subscribe(
            &who(&n.to_string()),
            interest(&[&name], 60),
            start + Duration::from_millis(n * 37),
        );
    }
    // After the first interval they all come at one tick, for ever.
    let mut looks = Vec::new();
    while looks.len() < 6 {
        let now = table.next_due().unwrap();
        looks.push((now.duration_since(start), look(&mut table, now).len()));
    }
    assert!(
        looks[1..].iter().all(|(_, items)| *items == 200),
        "{looks:?}"
    );
    let steps: Vec<Duration> = looks[1..].windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(steps.iter().all(|step| *step == s(60)), "{steps:?}");
}

#[test]
fn an_item_is_never_older_than_its_interval_and_a_tenth() {
    let start = Instant::now();
    for phase in [0.0, 0.31, 0.99] {
        let mut table = Subscriptions::new(start, phase);
        for n in 0..120_u64 {
            let now = start + s(n);
            table.subscribe(&who("a"), interest(&["e"], 60), now);
            table.found(&item("e"), &at("v1"), now);
            let wait = table.next_due().unwrap().duration_since(now);
            assert!(wait >= s(6) && wait <= s(66), "{n}: {wait:?}");
        }
    }
}

#[test]
fn the_shortest_interval_counts_and_only_for_its_own_entries() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.5);
    for n in 0..1000_u64 {
        table.subscribe(
            &who(&n.to_string()),
            interest(&[&format!("e{n}")], 300),
            start,
        );
    }
    table.subscribe(&who("quick"), interest(&["e7"], 10), start);
    let mut looks: HashMap<EntryAsk, usize> = HashMap::new();
    loop {
        let now = table.next_due().unwrap();
        if now > start + s(3000) {
            break;
        }
        for ask in look(&mut table, now) {
            *looks.entry(ask).or_default() += 1;
        }
    }
    assert_eq!(looks[&ask("e7")], 300);
    let others: usize = looks.values().sum::<usize>() - 300;
    // Ten rounds of 999; a batch may take others along that are nearly due.
    assert!(
        (999 * 10..=999 * 11).contains(&others),
        "{others} looks at the others"
    );
    table.unsubscribe(&who("quick"));
    assert_eq!(table.interval(&item("e7")), Some(s(300)));
}

#[test]
fn those_are_told_whose_version_is_another_one() {
    let now = Instant::now();
    let mut table = Subscriptions::new(now, 0.0);
    let mut other = interest(&["e"], 60);
    other.entries[0].1 = at("v2");
    let mut failing = interest(&["e"], 60);
    failing.entries[0].1 = Known::Failed;
    table.subscribe(&who("one"), interest(&["e"], 60), now);
    table.subscribe(&who("two"), other, now);
    table.subscribe(&who("failing"), failing, now);
    for (found, told) in [
        (at("v1"), vec!["two", "failing"]),
        (at("v2"), vec!["one", "failing"]),
        (Known::Missing, vec!["one", "two", "failing"]),
        (Known::Failed, vec!["one", "two"]),
    ] {
        let expected: Vec<_> = told.iter().map(|name| who(name)).collect();
        assert_eq!(
            table.waiting_for(&item("e"), &found),
            expected.len(),
            "{found:?}"
        );
        assert_eq!(table.found(&item("e"), &found, now), expected, "{found:?}");
    }
    assert_eq!(table.found(&item("unknown"), &at("v1"), now), []);
}

#[test]
fn what_comes_from_a_record_is_looked_at_at_once() {
    let now = Instant::now();
    let mut table = Subscriptions::new(now, 0.5);
    let recorded = Interest {
        recorded: true,
        ..interest(&["e"], 60)
    };
    table.subscribe(&who("a"), recorded, now);
    assert_eq!(table.due(now), [(item("e"), s(60))]);
}

#[test]
fn a_subscription_is_replaced_and_what_nobody_uses_is_forgotten() {
    let now = Instant::now();
    let mut table = Subscriptions::new(now, 0.0);
    table.subscribe(&who("a"), interest(&["x", "y"], 60), now);
    table.subscribe(&who("b"), interest(&["y"], 60), now);
    table.subscribe(&who("a"), interest(&["z"], 60), now);
    let mut left = table.pick(|_| true);
    left.sort();
    assert_eq!(left, [item("y"), item("z")]);
    table.unsubscribe(&who("a"));
    table.unsubscribe(&who("b"));
    table.unsubscribe(&who("never"));
    assert!(table.is_empty());
    assert_eq!(table.next_due(), None);
}

#[test]
fn a_version_id_is_never_looked_at_again_unless_it_is_missing() {
    let now = Instant::now();
    let mut table = Subscriptions::new(now, 0.0);
    let pinned = |name: &str| EntryAsk {
        version: VersionSelector::Id("v1".into()),
        ..ask(name)
    };
    let interest = Interest {
        entries: vec![
            (pinned("read"), at("v1")),
            (pinned("missing"), Known::Missing),
        ],
        interval: s(60),
        ..Interest::default()
    };
    table.subscribe(&who("a"), interest, now);
    assert_eq!(table.pick(|_| true), [Item::Entry(pinned("missing"))]);
}

#[test]
fn a_look_that_is_put_off_is_told_after_two_intervals() {
    let start = Instant::now();
    let mut table = Subscriptions::new(start, 0.0);
    table.subscribe(&who("a"), interest(&["e"], 60), start);
    assert!(!table.put_off(&item("e"), start + s(70), start + s(60)));
    assert_eq!(table.next_due(), Some(start + s(70)));
    assert!(table.put_off(&item("e"), start + s(130), start + s(121)));
    assert_eq!(table.oldest(start + s(121)), Some(s(121)));
}
