//! Sweeps: what is asked of AWS when entries are due, and who is told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keyferry::{
    core::{EntryAsk, VersionSelector},
    source::{Freshness, Interest, Known, Operation, SourceEvent, Subscriber, Sweep, SweepMode},
};
use keyferry_testkit::aws::{Fault, SecretValue, StaleScope};

use crate::{following::*, kit::*};

const READ: &str = "secretsmanager:GetSecretValue";
const BATCH: &str = "secretsmanager:BatchGetSecretValue";
const LIST: &str = "secretsmanager:ListSecrets";
const DESCRIBE: &str = "secretsmanager:DescribeSecret";

/// Three full batches, two for each of thirty bindings.
const ENTRIES: usize = 60;

fn entry(n: usize) -> String {
    format!("e{n:02}")
}

async fn bed(mode: SweepMode) -> Bed {
    let bed = Bed::with(|s| s.reads.sweep = mode).await;
    for n in 0..ENTRIES {
        bed.region().create(&entry(n), "1").unwrap();
    }
    bed
}

/// What all bindings know.
fn known(followers: &Followers<'_>) -> BTreeMap<String, Known> {
    let entries = (0..ENTRIES).map(entry);
    entries
        .map(|entry| (entry.clone(), followers.at(&entry)))
        .collect()
}

/// Thirty bindings with two entries each, and one that shares e03 and e40 with two of them. All is due.
fn resume_all(followers: &Followers<'_>, known: &BTreeMap<String, Known>, interval: Duration) {
    let of = |n: usize| (name(&entry(n)), known[&entry(n)].clone());
    for n in 0..ENTRIES / 2 {
        let pair = [of(2 * n), of(2 * n + 1)];
        followers.resume(&format!("b{n:02}"), &pair, interval);
    }
    followers.resume("both", &[of(3), of(40)], interval);
}

fn described(bed: &Bed) -> u64 {
    bed.aws.count("DescribeSecret")
}

#[tokio::test]
async fn what_moved_is_read_once_and_told_to_its_users_in_every_mode() {
    use SweepMode::{Auto, Batch, Describe, List};
    // Mode, interval, calls of a quiet sweep: listings, descriptions, batches; calls more for what moved.
    for (mode, seconds, (listings, descriptions, batches), more) in [
        (Auto, 300, (1, 0, 0), 1),
        (Auto, 60, (0, 0, 3), 0),
        (List, 60, (1, 0, 0), 1),
        (Describe, 60, (0, 60, 0), 1),
        (Batch, 300, (0, 0, 3), 0),
    ] {
        let case = format!("{mode:?} {seconds}");
        let interval = Duration::from_secs(seconds);
        let bed = bed(mode).await;
        let followers = Followers::of(&bed).await;
        let before = known(&followers);
        for moved in ["e03", "e40"] {
            bed.region().put(moved, "2").unwrap();
        }
        let told = followers
            .round(|| resume_all(&followers, &before, interval))
            .await;
        assert_eq!(told, ["b01", "b20", "both"], "{case}");
        assert_eq!(followers.last_sweep(), Sweep { items: 60, told: 3 });
        assert_eq!(bed.calls(), (0, batches + more, listings), "{case}");
        assert_eq!(described(&bed), descriptions, "{case}");
        assert_eq!(bed.aws.reads_of("e03"), 1, "{case}");
        assert_eq!(bed.aws.reads_of("e05"), u64::from(batches > 0), "{case}");
        // Two readers each come for what was read.
        for moved in ["e03", "e03", "e40", "e40"] {
            let read = followers.hub.read(&name(moved), Freshness::Reuse).await;
            assert_eq!(text(&read), "2", "{case}");
        }
        assert_eq!(bed.calls(), (0, batches + more, listings), "{case}");

        bed.aws.reset_counts();
        let now = known(&followers);
        let told = followers
            .round(|| resume_all(&followers, &now, interval))
            .await;
        assert!(told.is_empty(), "{case}: {told:?}");
        assert_eq!(bed.calls(), (0, batches, listings), "{case}");
        assert_eq!(described(&bed), descriptions, "{case}");
    }
}

#[tokio::test]
async fn a_listing_that_costs_more_calls_than_batches_is_not_repeated() {
    let bed = Bed::start().await;
    for n in 0..205 {
        bed.region().create(&format!("e{n:03}"), "1").unwrap();
    }
    let followers = Followers::of(&bed).await;
    let entries: Vec<_> = (0..25)
        .map(|n| format!("e{n:03}"))
        .map(|entry| (name(&entry), followers.at(&entry)))
        .collect();
    followers
        .round(|| followers.resume("a", &entries, LONG))
        .await;
    assert_eq!(bed.calls(), (0, 0, 3));
    followers
        .round(|| followers.resume("a", &entries, LONG))
        .await;
    assert_eq!(bed.calls(), (0, 2, 3));
}

#[tokio::test]
async fn looks_come_by_themselves_and_together() {
    let bed = bed(SweepMode::Batch).await;
    let followers = Followers::of(&bed).await;
    let second = Duration::from_secs(1);
    let known = known(&followers);
    for n in 0..40 {
        let entries = [(name(&entry(n)), known[&entry(n)].clone())];
        followers.follow(&format!("b{n:02}"), &entries, second);
    }
    let story = async {
        until(|| followers.sweeps() == 3).await;
        bed.region().put("e07", "2").unwrap();
        until(|| followers.is_any_told()).await;
    };
    followers.sweeping(story).await;
    assert_eq!(followers.told(), ["b07"]);
    let (singles, batches, listings) = bed.calls();
    let sweeps = u64::try_from(followers.sweeps()).unwrap();
    assert_eq!((singles, batches, listings), (0, 2 * sweeps, 0));
}

/// What the sweeps looked at, one number for each round.
fn rounds(bed: &Bed) -> Vec<usize> {
    let events = bed.events.lock();
    let rounds = events.iter().filter_map(|event| match event {
        SourceEvent::Swept(sweep) => Some(sweep.items),
        _ => None,
    });
    rounds.collect()
}

#[tokio::test]
async fn what_becomes_due_in_a_long_sweep_is_looked_at_in_its_next_round() {
    let bed = Bed::with(|s| s.reads.sweep = SweepMode::Batch).await;
    let entries: Vec<String> = (0..419).map(|n| format!("e{n:03}")).collect();
    for entry in entries.iter().map(String::as_str).chain(["quick"]) {
        bed.region().create(entry, "1").unwrap();
    }
    let followers = Followers::of(&bed).await;
    let known: Vec<_> = entries
        .iter()
        .map(|entry| (name(entry), followers.at(entry)))
        .collect();
    let quick = [(name("quick"), followers.at("quick"))];
    let hang = bed.aws.hang(|fault| fault.on("BatchGetSecretValue"));
    let story = async {
        followers.resume("slow", &known, LONG);
        until(|| bed.aws.count("BatchGetSecretValue") > 0).await;
        followers.resume("quick", &quick, Duration::from_secs(10));
        hang.release();
        until(|| followers.sweeps() == 3).await;
    };
    followers.sweeping(story).await;
    assert_eq!(rounds(&bed), [200, 200, 20]);
    let batches = bed.aws.ids_of("BatchGetSecretValue");
    assert!(batches.iter().all(|ids| ids.len() == 20), "all are full");
    let place = batches
        .iter()
        .position(|ids| ids.iter().any(|id| id == "quick"));
    assert!(
        place.is_some_and(|place| (10..20).contains(&place)),
        "{place:?} of {}",
        batches.len()
    );
    assert_eq!(bed.calls(), (0, 21, 0), "nothing is looked at twice");
}

#[tokio::test]
async fn a_hub_is_swept_twenty_times_a_second_at_most() {
    let bed = Bed::with(|s| {
        s.reads.sweep = SweepMode::Batch;
        (s.reads.gather, s.reads.pace) = (Duration::ZERO, Duration::ZERO);
    })
    .await;
    bed.region().create("a", "1").unwrap();
    let followers = Followers::of(&bed).await;
    let known = [(name("a"), followers.at("a"))];
    let begun = std::time::Instant::now();
    let story = async {
        // Always due.
        followers.follow("a", &known, Duration::from_millis(1));
        until(|| followers.sweeps() == 5).await;
    };
    followers.sweeping(story).await;
    let most = begun.elapsed().as_millis() / 50 + 1;
    assert!(followers.sweeps() as u128 <= most, "more than {most}");
}

#[tokio::test]
async fn a_throttle_of_sts_is_tried_again_and_told_to_nobody() {
    let bed = Bed::with(|s| {
        s.reads.sweep = SweepMode::Batch;
        s.identity_failure_hold = Duration::ZERO;
    })
    .await;
    bed.region().create("a", "1").unwrap();
    let before = bed.region().current_version("a").unwrap();
    bed.region().put("a", "2").unwrap();
    // As after a start: nobody has credentials yet.
    let hub = bed.sources.hub(&operator()).await.unwrap();
    let throttle = Fault::throttled(Some(1)).on("AssumeRoleWithWebIdentity");
    bed.aws.fault(throttle.times(1));
    let interest = Interest {
        entries: vec![(name("a"), at(&before))],
        interval: LONG,
        recorded: true,
        ..Interest::default()
    };
    bed.sources
        .subscribe(&Subscriber::new("ns", "a"), &hub, interest);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let sweep = bed.sources.sweep(|who| tell.send(who.clone()).unwrap());
    tokio::select! {
        () = sweep => panic!("sweeps never end"),
        _ = told.recv() => {}
    }
    let assumed = bed.aws.count("AssumeRoleWithWebIdentity");
    assert_eq!((assumed, bed.aws.reads_of("a")), (2, 1));
}

#[tokio::test]
async fn a_denied_way_is_given_up_once_and_another_serves() {
    let every = [READ, BATCH, LIST, DESCRIBE];
    // Mode, the right that lacks, calls of the first sweep: listings, descriptions, batches, single reads;
    // of the next ones.
    for (mode, lacks, operation, first, next) in [
        (
            SweepMode::List,
            LIST,
            Operation::ListSecrets,
            [1, 0, 3, 0],
            [0, 0, 3, 0],
        ),
        // As many as go at once: the others know by then.
        (
            SweepMode::Describe,
            DESCRIBE,
            Operation::DescribeSecret,
            [0, 8, 3, 0],
            [0, 0, 3, 0],
        ),
        (
            SweepMode::Batch,
            BATCH,
            Operation::BatchGetSecretValue,
            [0, 0, 3, 60],
            [0, 0, 0, 60],
        ),
    ] {
        let bed = bed(mode).await;
        let followers = Followers::of(&bed).await;
        let rights: Vec<&str> = every.into_iter().filter(|right| *right != lacks).collect();
        bed.aws.put_role(operator_role().allow(&rights, &["*"]));
        let before = known(&followers);
        bed.region().put("e03", "2").unwrap();
        for (round, expected) in [first, next, next].into_iter().enumerate() {
            bed.aws.reset_counts();
            let told = followers
                .round(|| resume_all(&followers, &before, LONG))
                .await;
            assert_eq!(told, ["b01", "both"], "{mode:?} {round}");
            let (singles, batches, listings) = bed.calls();
            let calls = [listings, described(&bed), batches, singles];
            assert_eq!(calls, expected, "{mode:?} {round}");
        }
        let given_up = |event: &SourceEvent| matches!(event, SourceEvent::WayDenied(_));
        assert_eq!(bed.counted(given_up), 1, "{mode:?}");
        assert_eq!(bed.counted(|e| *e == SourceEvent::WayDenied(operation)), 1);
    }
}

#[tokio::test]
async fn descriptions_have_places_like_reads() {
    let bed = bed(SweepMode::Describe).await;
    let followers = Followers::of(&bed).await;
    let known = known(&followers);
    let hang = bed.aws.hang(|fault| fault.on("DescribeSecret"));
    let story = async {
        resume_all(&followers, &known, LONG);
        until(|| described(&bed) >= 8).await;
        // Whatever else was on its way arrives.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let at_once = described(&bed);
        hang.release();
        until(|| followers.sweeps() == 1).await;
        at_once
    };
    assert_eq!(followers.sweeping(story).await, 8);
    assert_eq!(described(&bed), 60);
}

#[tokio::test]
async fn a_listing_that_lags_costs_reads_and_tells_nobody() {
    let bed = bed(SweepMode::List).await;
    let followers = Followers::of(&bed).await;
    let before = known(&followers);
    bed.region().hold_lists();
    bed.region().put("e03", "2").unwrap();
    // Not seen yet.
    let told = followers
        .round(|| resume_all(&followers, &before, LONG))
        .await;
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(bed.calls(), (0, 0, 1));
    // Known from an event, and the listing still shows what was: the read decides.
    let now = known(&followers);
    for times in 1..3 {
        let told = followers.round(|| resume_all(&followers, &now, LONG)).await;
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(bed.aws.reads_of("e03"), times);
        assert_eq!(bed.calls(), (times, 0, 1 + times), "nothing else is read");
    }
    bed.region().release_lists();
    let told = followers
        .round(|| resume_all(&followers, &before, LONG))
        .await;
    assert_eq!(told, ["b01", "both"]);
    // An entry that is listed nowhere is read too.
    bed.region().force_delete("e10").unwrap();
    let told = followers.round(|| resume_all(&followers, &now, LONG)).await;
    assert_eq!(told, ["b05"]);
}

#[tokio::test]
async fn a_read_that_lags_is_told_with_what_it_found() {
    let bed = Bed::with(|s| s.reads.confirm = Duration::from_millis(50)).await;
    bed.region().create("a", "old").unwrap();
    let old = bed.region().current_version("a").unwrap();
    let new = bed.region().put("a", "new").unwrap();
    let followers = Followers::of(&bed).await;
    let interest = [(name("a"), at(&new))];
    bed.region()
        .serve_previous("a", Some(1), StaleScope::Values)
        .unwrap();
    let told = followers
        .round(|| followers.resume("a", &interest, LONG))
        .await;
    assert_eq!(told, ["a"]);
    let read = followers.hub.read(&name("a"), Freshness::Reuse).await;
    assert_eq!(read.unwrap().version_id, old);
    // The one who was told asks before it goes back.
    assert!(!followers.hub.confirm(&name("a"), &old).await);
    let told = followers
        .round(|| followers.resume("a", &interest, LONG))
        .await;
    assert!(told.is_empty(), "{told:?}");
}

fn labelled(entry: &str, label: &str) -> EntryAsk {
    EntryAsk {
        version: VersionSelector::Stage(label.into()),
        ..name(entry)
    }
}

fn pinned(entry: &str, version: &str) -> EntryAsk {
    EntryAsk {
        version: VersionSelector::Id(version.into()),
        ..name(entry)
    }
}

#[tokio::test]
async fn another_label_is_seen_without_a_read_and_a_version_id_is_left_alone() {
    let bed = Bed::with(|s| s.reads.sweep = SweepMode::Batch).await;
    let region = bed.region();
    region.create("a", "current").unwrap();
    let versions = ["1", "2"].map(|n| n.repeat(36));
    for (version, labels) in versions.iter().zip([["blue"], ["green"]]) {
        region
            .put_with_version("a", version, SecretValue::text("v"), Some(&labels))
            .unwrap();
    }
    let followers = Followers::of(&bed).await;
    let blue = [(labelled("a", "blue"), at(&versions[0]))];
    let read_once = [(pinned("a", &versions[1]), at(&versions[1]))];
    let resume = || {
        followers.resume("blue", &blue, LONG);
        followers.resume("pinned", &read_once, LONG);
    };
    let told = followers.round(resume).await;
    assert!(told.is_empty(), "{told:?}");
    assert_eq!((described(&bed), bed.calls()), (1, (0, 0, 0)));
    region.move_label("a", "blue", &versions[1]).unwrap();
    let told = followers.round(resume).await;
    assert_eq!(told, ["blue"]);
    assert_eq!((described(&bed), bed.calls()), (2, (1, 0, 0)));
    assert_eq!(followers.last_sweep().items, 1);
    // One that is not there yet is read until it is: labels would not tell.
    let awaited = "3".repeat(36);
    let missing = [(pinned("a", &awaited), Known::Missing)];
    let resume = || followers.resume("awaiting", &missing, LONG);
    region
        .put_with_version("a", &awaited, SecretValue::text("v"), Some(&["red"]))
        .unwrap();
    assert_eq!(followers.round(resume).await, ["awaiting"]);
    assert_eq!((described(&bed), bed.calls()), (2, (2, 0, 0)));
}

#[tokio::test]
async fn a_throttle_is_told_only_when_it_lasts() {
    let bed = Bed::with(|s| s.reads.sweep = SweepMode::Batch).await;
    bed.region().create("a", "1").unwrap();
    let followers = Followers::of(&bed).await;
    let interval = Duration::from_secs(2);
    let before = [(name("a"), followers.at("a"))];
    let refused = || bed.counted(|e| *e == SourceEvent::Throttled);

    // It passes: what moved meanwhile is told, and nothing else.
    bed.aws.fault(Fault::throttled(Some(1)).times(1));
    bed.region().put("a", "2").unwrap();
    let story = async {
        followers.resume("a", &before, interval);
        until(|| followers.is_any_told()).await;
    };
    followers.sweeping(story).await;
    assert_eq!((followers.told(), refused()), (vec!["a".to_owned()], 1));
    assert_eq!(bed.calls(), (2, 0, 0));

    // It lasts: the third refusal is later than two intervals.
    bed.aws.fault(Fault::throttled(Some(1)));
    let now = [(name("a"), followers.at("a"))];
    let story = async {
        followers.resume("a", &now, interval);
        until(|| refused() == 2).await;
        assert!(!followers.is_any_told());
        until(|| followers.is_any_told()).await;
    };
    followers.sweeping(story).await;
    assert_eq!(followers.told(), ["a"]);
    assert!(refused() >= 4, "{} refusals", refused());
}

#[tokio::test]
async fn a_prefix_is_listed_once_for_all_and_told_when_a_member_comes_or_moves() {
    let bed = Bed::start().await;
    let region = bed.region();
    let create = |entry: &str| {
        region.create(entry, "1").unwrap();
        region.current_version(entry).unwrap()
    };
    let (one, two) = (create("p/1"), create("p/2"));
    create("q/1");
    let followers = Followers::of(&bed).await;
    let prefix = under("p/");
    let round = async |known: &Known| {
        let resume = || {
            for who in ["a", "b"] {
                followers.resume_prefix(who, &prefix, known.clone());
            }
        };
        followers.round(resume).await
    };
    let known = members([("p/1", one.clone()), ("p/2", two)]);
    assert!(round(&known).await.is_empty());
    assert_eq!(bed.calls(), (0, 0, 1));
    let moved = region.put("p/2", "2").unwrap();
    assert_eq!(round(&known).await, ["a", "b"]);
    let new = create("p/3");
    let known = members([("p/1", one.clone()), ("p/2", moved.clone())]);
    assert_eq!(round(&known).await, ["a", "b"]);
    let known = members([("p/1", one), ("p/2", moved), ("p/3", new)]);
    assert!(round(&known).await.is_empty());
    assert_eq!(bed.calls(), (0, 0, 4), "a look reads no value");
    let trouble = bed.aws.fault(Fault::cut_body().on("ListSecrets"));
    assert_eq!(
        round(&known).await,
        ["a", "b"],
        "a listing that fails is told"
    );
    trouble.clear();
    assert!(round(&known).await.is_empty());
}

#[tokio::test]
async fn a_hub_that_somebody_follows_is_kept() {
    let bed = Bed::with(|s| s.idle_hub = Duration::ZERO).await;
    bed.region().create("a", "1").unwrap();
    let who = Subscriber::new("ns", "a");
    let interest = Interest {
        entries: vec![(name("a"), Known::Missing)],
        interval: LONG,
        ..Interest::default()
    };
    let hub = bed.hub().await;
    let kept = Arc::downgrade(&hub);
    // Nobody but the hub itself knows of this one.
    hub.subscribe(&who, interest.clone());
    drop(hub);
    bed.sources.tidy();
    let hub = kept.upgrade().expect("a hub");
    hub.unsubscribe(&who);
    bed.sources.subscribe(&who, &hub, interest);
    drop(hub);
    bed.sources.tidy();
    assert!(kept.upgrade().is_some());
    bed.sources.unsubscribe(&who);
    bed.sources.tidy();
    assert!(kept.upgrade().is_none());
}

#[tokio::test]
async fn what_is_followed_and_its_age_can_be_told() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    let followers = Followers::of(&bed).await;
    assert_eq!(bed.sources.oldest(), None);
    let interest = [(name("a"), followers.at("a"))];
    followers.follow("one", &interest, LONG);
    followers.follow("two", &interest, LONG);
    let pause = Duration::from_millis(300);
    tokio::time::sleep(pause).await;
    assert!(bed.sources.oldest().unwrap() >= pause);
    let followed = bed.sources.followed();
    assert_eq!(followed, (2, 1, 0));
    let begun = std::time::Instant::now();
    followers
        .round(|| followers.resume("one", &interest, LONG))
        .await;
    let age = bed.sources.oldest().unwrap();
    assert!(age <= begun.elapsed(), "{age:?}");
    followers
        .round(|| followers.resume_prefix("two", &under("p/"), members([])))
        .await;
    let followed = bed.sources.followed();
    assert_eq!(followed, (2, 1, 1));
}
