//! What a hint of the events queue leads to, for entries that somebody follows.

use std::time::Duration;

use futures::future::join_all;
use keyferry::{
    core::PrefixAsk,
    source::{
        Freshness, Known,
        events::{Handled, Hint, HintId, HintKind},
    },
};
use keyferry_testkit::aws::{Fault, StaleScope};

use crate::{following::*, kit::*};

fn hint(name: &str, version: Option<&str>, kind: HintKind) -> Hint {
    Hint {
        account: ACCOUNT.into(),
        region: REGION.into(),
        secret: HintId::Name(name.into()),
        label: (kind == HintKind::Moved).then(|| "AWSCURRENT".to_owned()),
        version_id: version.map(str::to_owned),
        kind,
    }
}

impl Followers<'_> {
    async fn hinted(&self, hint: &Hint) -> Handled {
        self.bed.sources.hint(hint, |who| self.tell(who)).await
    }
}

fn described(bed: &Bed) -> u64 {
    bed.aws.count("DescribeSecret")
}

/// Entry `a`, its former and its current version, and two followers who have the current one.
async fn followed(bed: &Bed) -> (Followers<'_>, String, String) {
    bed.region().create("a", "1").unwrap();
    let first = bed.region().current_version("a").unwrap();
    let second = bed.region().put("a", "2").unwrap();
    let followers = Followers::of(bed).await;
    for who in ["one", "two"] {
        followers.follow(who, &[(name("a"), at(&second))], LONG);
    }
    (followers, first, second)
}

#[tokio::test]
async fn a_moved_entry_is_read_alone_and_told_to_its_followers() {
    let bed = Bed::start().await;
    let (followers, _, _) = followed(&bed).await;
    bed.region().create("other", "1").unwrap();
    followers.follow("other", &[(name("other"), followers.at("other"))], LONG);
    let third = bed.region().put("a", "3").unwrap();
    let moved = hint("a", Some(&third), HintKind::Moved);
    assert_eq!(followers.hinted(&moved).await, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    assert_eq!(bed.calls(), (1, 0, 0));
    for _ in 0..2 {
        let read = followers.hub.read(&name("a"), Freshness::Reuse).await;
        assert_eq!(text(&read), "3");
    }
    assert_eq!(bed.calls(), (1, 0, 0), "they share what the hint has read");
    // One of them has it now, the other has not come yet.
    followers.follow("one", &[(name("a"), at(&third))], LONG);
    assert_eq!(followers.hinted(&moved).await, Handled::Done);
    assert_eq!(followers.told(), ["two"]);
    // Nobody asks for this one.
    let unknown = hint("b", Some(&third), HintKind::Moved);
    assert_eq!(followers.hinted(&unknown).await, Handled::Unknown);
    assert_eq!((bed.calls(), described(&bed)), ((2, 0, 0), 0));
}

#[tokio::test]
async fn a_version_that_all_have_costs_nothing() {
    let bed = Bed::start().await;
    let (followers, _, second) = followed(&bed).await;
    for _ in 0..3 {
        let handled = followers
            .hinted(&hint("a", Some(&second), HintKind::Moved))
            .await;
        assert_eq!(handled, Handled::Done);
    }
    assert_eq!((bed.calls(), described(&bed)), ((0, 0, 0), 0));
    assert!(followers.told().is_empty());
}

#[tokio::test]
async fn a_replay_of_an_old_version_costs_one_read_and_tells_nobody() {
    let bed = Bed::start().await;
    let (followers, first, _) = followed(&bed).await;
    let handled = followers
        .hinted(&hint("a", Some(&first), HintKind::Moved))
        .await;
    assert_eq!(handled, Handled::Done);
    assert_eq!((bed.calls(), described(&bed)), ((1, 0, 0), 3));
    assert!(followers.told().is_empty());
}

#[tokio::test]
async fn a_version_that_the_label_has_left_twice_since_costs_one_read_and_tells_nobody() {
    let bed = Bed::start().await;
    let (followers, first, second) = followed(&bed).await;
    // Away from the second, back to it, and away for good: all of it is known when its events come.
    bed.region().move_label("a", "AWSCURRENT", &first).unwrap();
    bed.region().move_label("a", "AWSCURRENT", &second).unwrap();
    let third = bed.region().put("a", "3").unwrap();
    for who in ["one", "two"] {
        followers.follow(who, &[(name("a"), at(&third))], LONG);
    }
    let late = [&second, &first, &second, &third].map(|v| hint("a", Some(v), HintKind::Moved));
    let handled = join_all(late.iter().map(|late| followers.hinted(late))).await;
    assert_eq!(handled, [Handled::Done; 4]);
    assert!(followers.told().is_empty());
    let (reads, batches, _) = bed.calls();
    assert!(
        (1..=3).contains(&reads),
        "{reads}: a read each, none for what is known"
    );
    assert_eq!(batches, 0);
    // Not known yet when the oldest event comes: it leads to what is current now, and its own event to nothing.
    let fourth = bed.region().put("a", "4").unwrap();
    let late = hint("a", Some(&second), HintKind::Moved);
    assert_eq!(followers.hinted(&late).await, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    for who in ["one", "two"] {
        followers.follow(who, &[(name("a"), at(&fourth))], LONG);
    }
    let own = hint("a", Some(&fourth), HintKind::Moved);
    assert_eq!(followers.hinted(&own).await, Handled::Done);
    assert!(followers.told().is_empty());
    assert_eq!(bed.calls(), (reads + 1, 0, 0));
}

#[tokio::test]
async fn a_version_that_can_be_read_only_later_is_waited_for_and_told_once() {
    let bed = Bed::start().await;
    let (followers, _, _) = followed(&bed).await;
    bed.region()
        .hold_reads("a", None, StaleScope::Everything)
        .unwrap();
    let third = bed.region().put("a", "3").unwrap();
    let moved = hint("a", Some(&third), HintKind::Moved);
    let arrives = async {
        until(|| described(&bed) == 1).await;
        bed.region().release_reads("a");
    };
    let (handled, ()) = tokio::join!(followers.hinted(&moved), arrives);
    assert_eq!(handled, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    assert_eq!((bed.calls(), described(&bed)), ((2, 0, 0), 2));
    let read = followers.hub.read(&name("a"), Freshness::Reuse).await;
    assert_eq!(text(&read), "3");
}

#[tokio::test]
async fn without_the_right_to_describe_the_last_read_decides() {
    let bed = Bed::start().await;
    let (followers, _, _) = followed(&bed).await;
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:GetSecretValue"], &["*"]));
    bed.region()
        .hold_reads("a", Some(1), StaleScope::Values)
        .unwrap();
    let third = bed.region().put("a", "3").unwrap();
    let handled = followers
        .hinted(&hint("a", Some(&third), HintKind::Moved))
        .await;
    assert_eq!(handled, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    assert_eq!(bed.calls(), (2, 0, 0));
}

#[tokio::test]
async fn a_deleted_entry_is_told_and_told_again_when_it_is_back() {
    let bed = Bed::start().await;
    let (followers, _, second) = followed(&bed).await;
    bed.region().delete("a", 7).unwrap();
    let deleted = hint("a", None, HintKind::Deleted);
    assert_eq!(followers.hinted(&deleted).await, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    for who in ["one", "two"] {
        followers.follow(who, &[(name("a"), Known::Failed)], LONG);
    }
    assert_eq!(followers.hinted(&deleted).await, Handled::Done);
    assert!(followers.told().is_empty());
    bed.region().restore("a").unwrap();
    let back = hint("a", None, HintKind::Appeared);
    assert_eq!(followers.hinted(&back).await, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    let read = followers.hub.read(&name("a"), Freshness::Reuse).await;
    assert_eq!(read.unwrap().version_id, second);
    assert_eq!(bed.calls(), (3, 0, 0));
}

#[tokio::test]
async fn a_hint_whose_read_has_no_outcome_is_worth_another_try() {
    let bed = Bed::start().await;
    let (followers, _, _) = followed(&bed).await;
    let third = bed.region().put("a", "3").unwrap();
    let moved = hint("a", Some(&third), HintKind::Moved);
    for fault in [
        Fault::error(500, "InternalServiceError"),
        Fault::throttled(None),
    ] {
        bed.aws.fault(fault.times(1));
        assert_eq!(followers.hinted(&moved).await, Handled::Failed);
        assert!(followers.told().is_empty());
    }
    assert_eq!(followers.hinted(&moved).await, Handled::Done);
    assert_eq!(followers.told(), ["one", "two"]);
    // A refusal is an outcome.
    bed.aws.fault(Fault::denied());
    let moved = hint("a", None, HintKind::Moved);
    assert_eq!(followers.hinted(&moved).await, Handled::Done);
}

#[tokio::test]
async fn events_have_half_of_the_places() {
    let bed = Bed::start().await;
    let followers = Followers::of(&bed).await;
    let names: Vec<String> = (0..12).map(|n| format!("e{n}")).collect();
    for entry in &names {
        bed.region().create(entry, "1").unwrap();
        followers.follow(entry, &[(name(entry), at("former"))], LONG);
    }
    let hang = bed.aws.hang(|fault| fault.on("GetSecretValue"));
    let hints: Vec<Hint> = names
        .iter()
        .map(|entry| hint(entry, None, HintKind::Moved))
        .collect();
    let handled = futures::future::join_all(hints.iter().map(|hint| followers.hinted(hint)));
    let story = async {
        until(|| bed.calls().0 >= 4).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let at_once = bed.calls().0;
        hang.release();
        at_once
    };
    let (handled, at_once) = tokio::join!(handled, story);
    assert_eq!(at_once, 4, "of eight");
    assert!(handled.iter().all(|handled| *handled == Handled::Done));
    assert_eq!(followers.told().len(), 12);
}

async fn listed(followers: &Followers<'_>, prefix: &PrefixAsk) -> Vec<String> {
    let listed = followers.hub.list(prefix, Freshness::Fresh).await.unwrap();
    listed.iter().map(|member| member.name.clone()).collect()
}

#[tokio::test]
async fn a_member_that_listings_do_not_show_yet_is_added_until_they_do() {
    let bed = Bed::start().await;
    let region = bed.region();
    region.create("p/old", "1").unwrap();
    let old = region.current_version("p/old").unwrap();
    let followers = Followers::of(&bed).await;
    let prefix = under("p/");
    let follow = async |known: Known| {
        let resume = || followers.resume_prefix("a", &prefix, known.clone());
        followers.round(resume).await
    };
    assert!(follow(members([("p/old", old.clone())])).await.is_empty());

    region.hold_lists();
    region.create("p/new", "1").unwrap();
    region.create("q/new", "1").unwrap();
    bed.aws.reset_counts();
    let appeared = hint("p/new", None, HintKind::Appeared);
    assert_eq!(followers.hinted(&appeared).await, Handled::Done);
    assert_eq!(followers.told(), ["a"]);
    assert_eq!(bed.calls(), (1, 0, 1));
    assert_eq!(listed(&followers, &prefix).await, ["p/new", "p/old"]);
    // Known now: neither a sweep nor a duplicate tells it again.
    let new = region.current_version("p/new").unwrap();
    let both = members([("p/new", new), ("p/old", old.clone())]);
    assert!(follow(both).await.is_empty());
    assert_eq!(followers.hinted(&appeared).await, Handled::Done);
    assert!(followers.told().is_empty());
    // A new version of it, which listings do not show either.
    let newer = region.put("p/new", "2").unwrap();
    let moved = hint("p/new", Some(&newer), HintKind::Moved);
    assert_eq!(followers.hinted(&moved).await, Handled::Done);
    assert_eq!(followers.told(), ["a"]);
    region.release_lists();
    assert_eq!(listed(&followers, &prefix).await, ["p/new", "p/old"]);
    let both = members([("p/new", newer), ("p/old", old)]);
    assert!(follow(both).await.is_empty());
    // Outside the prefix nothing is asked.
    bed.aws.reset_counts();
    let elsewhere = hint("q/new", None, HintKind::Appeared);
    assert_eq!(followers.hinted(&elsewhere).await, Handled::Unknown);
    assert_eq!(bed.calls(), (0, 0, 0));
    // One that goes is everybody's affair at once: a listing shows it for minutes.
    let deleted = hint("p/new", None, HintKind::Deleted);
    assert_eq!(followers.hinted(&deleted).await, Handled::Done);
    assert_eq!(followers.told(), ["a"]);
}
