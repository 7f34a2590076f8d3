//! First reads that were announced, failures that many share, refreshes and second looks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use keyferry::{
    api::Reason,
    core::EntryAsk,
    source::{Freshness, Hub, ReadSettings, SourceEvent},
};
use keyferry_testkit::aws::{Fault, StaleScope};
use rand::seq::SliceRandom;

use crate::kit::*;

const ENTRIES: usize = 200;
const READERS: usize = 1_000;

/// Five readers of each of two hundred entries, those of one entry next to each other.
fn readers() -> Vec<EntryAsk> {
    (0..READERS)
        .map(|n| name(&format!("e{:03}", n * ENTRIES / READERS)))
        .collect()
}

/// The same, each entry once before any comes again.
fn in_turn() -> Vec<EntryAsk> {
    (0..READERS)
        .map(|n| name(&format!("e{:03}", n % ENTRIES)))
        .collect()
}

fn value(entry: usize) -> String {
    format!("{entry:03}").repeat(BYTES / 3)
}

/// Bytes of a value.
const BYTES: usize = 300;

/// With room for so many values that wait for their readers.
async fn planned_bed(room: usize) -> (Bed, Arc<Hub>) {
    let bed = Bed::with(|s| {
        s.reads.gather = Duration::from_millis(20);
        s.reads.reuse_bytes = room * BYTES;
    })
    .await;
    for n in 0..ENTRIES {
        bed.region().create(&format!("e{n:03}"), &value(n)).unwrap();
    }
    let hub = bed.hub().await;
    (bed, hub)
}

/// Reads in this order, so many at once; every value is right.
async fn read_in_order(hub: &Arc<Hub>, asks: &[EntryAsk], at_once: usize) {
    let reads = stream::iter(asks).map(|ask| async move {
        let read = hub.read(ask, Freshness::Anew).await;
        let entry: usize = read.as_ref().unwrap().name[1..].parse().unwrap();
        assert!(*ask == name(&format!("e{entry:03}")) && text(&read) == value(entry));
    });
    let count = reads.buffer_unordered(at_once).count().await;
    assert_eq!(count, asks.len());
}

#[tokio::test]
async fn a_thousand_announced_readers_of_two_hundred_entries_are_ten_full_batches() {
    for (announced, at_once) in [
        (readers(), 1),
        (readers(), 64),
        (readers(), READERS),
        (in_turn(), 8),
        // The second batch is filled up while the first one is under way.
        (in_turn(), 25),
        (in_turn(), READERS),
    ] {
        let (bed, hub) = planned_bed(ENTRIES).await;
        // The first batches end last.
        bed.aws
            .fault(Fault::delayed(Duration::from_millis(200)).times(2));
        hub.plan(announced.clone());
        read_in_order(&hub, &announced, at_once).await;
        assert_eq!(bed.calls(), (0, 10, 0), "{at_once} at once");
        let batches = bed.aws.ids_of("BatchGetSecretValue");
        assert!(
            batches.iter().all(|ids| ids.len() == 20),
            "{at_once} at once"
        );
        let entries: BTreeSet<_> = batches.iter().flatten().collect();
        assert_eq!(entries.len(), ENTRIES, "{at_once} at once");
    }
}

#[tokio::test]
async fn readers_that_come_in_another_order_cost_no_call_more() {
    for at_once in [8, 64] {
        let (bed, hub) = planned_bed(ENTRIES).await;
        bed.aws
            .fault(Fault::delayed(Duration::from_millis(200)).times(2));
        hub.plan(readers());
        let mut coming = readers();
        coming.shuffle(&mut rand::rng());
        read_in_order(&hub, &coming, at_once).await;
        assert_eq!(bed.calls(), (0, 10, 0), "{at_once} at once");
    }
}

#[tokio::test]
async fn values_wait_within_their_bound() {
    assert_eq!(ReadSettings::default().reuse_bytes, 8 << 20);
    // Those that had to go are read again; no reader gets a wrong value or none.
    let (bed, hub) = planned_bed(ENTRIES / 2).await;
    hub.plan(in_turn());
    read_in_order(&hub, &in_turn(), ENTRIES).await;
    let (_, batches, _) = bed.calls();
    assert!(batches > 10, "{batches} batches");
    // Where the readers of an entry come together, few values have to wait at a time.
    let (bed, hub) = planned_bed(ENTRIES / 2).await;
    hub.plan(readers());
    read_in_order(&hub, &readers(), 64).await;
    assert_eq!(bed.calls(), (0, 10, 0));
}

#[tokio::test]
async fn an_entry_that_fails_is_one_call_for_all_and_one_more_when_its_time_is_over() {
    let bed = Bed::start().await;
    let hub = bed.hub().await;
    bed.aws.fault(Fault::error(500, "InternalServiceError"));
    let asks = vec![name("a"); READERS];
    for calls in 1..3 {
        let mut left = Duration::ZERO;
        for at_once in [READERS, 100] {
            let reads = stream::iter(&asks).map(|ask| hub.read(ask, Freshness::Reuse));
            let reads: Vec<_> = reads.buffer_unordered(at_once).collect().await;
            for read in reads {
                let finding = refused(read);
                assert_eq!(finding.reason, Reason::AwsUnavailable);
                left = finding.retry_after.unwrap_or_default();
            }
            assert_eq!(bed.calls(), (calls, 0, 0));
        }
        tokio::time::sleep(left).await;
    }
    // Whoever has mended something does not wait.
    refused(hub.read(&name("a"), Freshness::Reuse).await);
    bed.aws.clear_faults();
    bed.aws.reset_counts();
    bed.region().create("a", "1").unwrap();
    refused(hub.read(&name("a"), Freshness::Reuse).await);
    assert_eq!(bed.calls(), (0, 0, 0));
    assert_eq!(text(&hub.read(&name("a"), Freshness::Anew).await), "1");
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
    assert_eq!(bed.calls(), (1, 0, 0));
}

fn described(bed: &Bed) -> u64 {
    bed.aws.count("DescribeSecret")
}

async fn confirming_bed() -> Bed {
    let bed = Bed::with(|s| s.reads.confirm = Duration::from_millis(200)).await;
    bed.region().create("a", "1").unwrap();
    bed
}

#[tokio::test]
async fn a_version_is_confirmed_by_two_looks_for_all_who_ask() {
    let bed = confirming_bed().await;
    let current = bed.region().current_version("a").unwrap();
    let hub = bed.hub().await;
    let ask = name("a");
    let asked = {
        let (hub, ask, current) = (hub.clone(), ask.clone(), current.clone());
        tokio::spawn(async move { hub.confirm(&ask, &current).await })
    };
    until(|| described(&bed) == 1).await;
    assert!(!asked.is_finished(), "one look is not enough");
    assert!(asked.await.unwrap());
    assert_eq!((described(&bed), bed.calls()), (2, (0, 0, 0)));
    assert!(hub.confirm(&ask, &current).await);
    assert_eq!(described(&bed), 2, "it holds for the others");
    let next = bed.region().put("a", "2").unwrap();
    assert!(
        hub.confirm(&ask, &next).await,
        "another version is looked at"
    );
    assert_eq!(described(&bed), 4);
}

#[tokio::test]
async fn a_version_that_has_not_the_label_or_loses_it_is_not_confirmed() {
    let bed = confirming_bed().await;
    let hub = bed.hub().await;
    let ask = name("a");
    let first = bed.region().current_version("a").unwrap();
    bed.region()
        .hold_reads("a", Some(1), StaleScope::Everything)
        .unwrap();
    let second = bed.region().put("a", "2").unwrap();
    // The first look is an old answer, the second is not.
    assert!(!hub.confirm(&ask, &first).await);
    assert_eq!(described(&bed), 2);
    assert!(
        !hub.confirm(&ask, &first).await,
        "and that is not kept as confirmed"
    );
    assert_eq!(described(&bed), 3, "one look is enough to say no");
    // The label moves between the looks.
    let asked = {
        let (hub, ask, second) = (hub.clone(), ask.clone(), second.clone());
        tokio::spawn(async move { hub.confirm(&ask, &second).await })
    };
    until(|| described(&bed) == 4).await;
    bed.region().put("a", "3").unwrap();
    assert!(!asked.await.unwrap());
    bed.aws
        .fault(Fault::error(500, "InternalServiceError").on("DescribeSecret"));
    let third = bed.region().current_version("a").unwrap();
    assert!(!hub.confirm(&ask, &third).await, "no answer is no yes");
}

#[tokio::test]
async fn without_the_right_to_describe_a_version_is_confirmed_by_reads() {
    let bed = confirming_bed().await;
    let hub = bed.hub().await;
    let ask = name("a");
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:GetSecretValue"], &["*"]));
    let first = bed.region().current_version("a").unwrap();
    assert!(hub.confirm(&ask, &first).await);
    assert_eq!(bed.calls(), (2, 0, 0));
    let second = bed.region().put("a", "2").unwrap();
    let again = hub.confirm(&ask, &first).await;
    assert!(again, "it was confirmed a moment ago");
    bed.region()
        .serve_previous("a", Some(1), StaleScope::Values)
        .unwrap();
    assert!(!hub.confirm(&ask, &second).await);
    assert_eq!(bed.calls(), (3, 0, 0));
    let made = |e: &SourceEvent| matches!(e, SourceEvent::Decrypted { .. });
    assert_eq!(bed.counted(made), 3);
}
