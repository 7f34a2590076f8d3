//! Readers that come in a row without having been announced: batches leave within a bound, and all are answered.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use keyferry::source::{Freshness, Hub, Reading};
use keyferry_testkit::aws::{Call, Outcome};

use crate::{following::*, kit::*};

/// What "applied while running" means here: so many batches in so long.
const BURST: usize = 3;
const REUSE: Duration = Duration::from_secs(1);
/// Entries, each with several readers that do not come together.
const ENTRIES: usize = 60;
const READERS: usize = 300;
/// Six batches full.
const ALL: usize = 120;
/// Between two readers: all of them take longer than a value is reused.
const APART: Duration = Duration::from_millis(10);

async fn bed() -> Bed {
    let bed = Bed::with(|s| {
        s.reads.gather = Duration::from_millis(5);
        s.reads.pace = Duration::from_millis(20);
        s.reads.burst = BURST;
        s.reads.reuse = REUSE;
    })
    .await;
    for n in 0..ALL {
        bed.region().create(&entry(n), &entry(n)).unwrap();
    }
    bed
}

fn entry(n: usize) -> String {
    format!("e{n:03}")
}

/// Reads every entry, once and all at the same moment. The most batches that came together, all of them full.
async fn all_together(of_many: bool) -> usize {
    let bed = bed().await;
    let hub = bed.hub().await;
    let reading = Reading {
        of_many,
        ..Freshness::Reuse.into()
    };
    let read = async |n| {
        let read = hub.read(&name(&entry(n)), reading).await;
        assert_eq!(text(&read), entry(n));
    };
    join_all((0..ALL).map(read)).await;
    let calls = reads(&bed);
    assert_eq!(calls.len(), ALL / 20, "each batch is full");
    most_at_once(&calls)
}

/// One reader after the other, none waiting for those before it.
async fn in_a_row(hub: &Arc<Hub>) {
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..READERS {
        let (hub, entry) = (Arc::clone(hub), entry(n % ENTRIES));
        readers.spawn(async move {
            let read = hub.read(&name(&entry), Freshness::Reuse).await;
            assert_eq!(text(&read), entry);
        });
        tokio::time::sleep(APART).await;
    }
    assert_eq!(readers.join_all().await.len(), READERS, "all are answered");
}

/// The calls that read values, by when they came.
fn reads(bed: &Bed) -> Vec<Call> {
    let mut calls = bed.aws.calls();
    calls.retain(|call| call.operation.ends_with("GetSecretValue"));
    assert!(calls.iter().all(|call| call.outcome == Outcome::Ok));
    calls
}

/// The most reads within any time of reuse; what a busy machine moves together is given back.
fn most_at_once(calls: &[Call]) -> usize {
    let slack = REUSE / 5;
    let within = |first: &Call| {
        let near = calls.iter().filter(|call| call.at >= first.at);
        near.filter(|call| call.at - first.at < REUSE - slack)
            .count()
    };
    calls.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn many_who_come_in_a_row_share_as_many_batches_as_may_leave() {
    let bed = bed().await;
    let hub = bed.hub().await;
    in_a_row(&hub).await;
    let calls = reads(&bed);
    let most = most_at_once(&calls);
    assert!(most <= BURST, "{most} of {} calls together", calls.len());
    assert!(calls.len() > BURST, "it took longer than a value is reused");
}

#[tokio::test]
async fn many_who_come_together_share_them_too() {
    let most = all_together(false).await;
    assert!(most <= BURST, "{most} together");
}

#[tokio::test]
async fn one_reader_of_many_entries_waits_for_nobody() {
    let most = all_together(true).await;
    assert!(most > BURST, "{most} together");
}

#[tokio::test]
async fn what_is_followed_may_be_read_once_in_that_time() {
    let bed = bed().await;
    let followers = Followers::of(&bed).await;
    // A hundred entries are five batches.
    for n in 0..100 {
        let known = at("any");
        followers.follow("all", &[], LONG);
        followers.follow(&format!("b{n}"), &[(name(&format!("f{n}")), known)], LONG);
    }
    in_a_row(&followers.hub).await;
    let calls = reads(&bed);
    let most = most_at_once(&calls);
    assert!(most > BURST, "{most}: more than without followers");
    assert!(most <= 5, "{most} of {} calls together", calls.len());
}
