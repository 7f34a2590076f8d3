//! Listings whose pages shift while they are read: entries come twice or not at all.

use keyferry::{
    core::PrefixAsk,
    source::{Freshness, Known, Sweep, SweepMode},
};
use keyferry_testkit::aws::Region;

use crate::{following::*, kit::*};

/// Entries of a page.
const PAGE: usize = 5;

/// Does something after the next listing's first page.
async fn between_pages(bed: &Bed, happens: impl FnOnce(&Region)) {
    let seen = bed.aws.count("ListSecrets");
    let second = bed.aws.hang(|fault| fault.on("ListSecrets").after(1));
    until(|| bed.aws.count("ListSecrets") == seen + 2).await;
    happens(&bed.region());
    drop(second);
}

fn prefix(prefix: &str) -> PrefixAsk {
    PrefixAsk {
        store: Default::default(),
        prefix: prefix.into(),
        tags: Default::default(),
    }
}

/// Twelve entries `e00` to `e11` after two that only move them.
async fn bed(mode: SweepMode) -> Bed {
    let bed = Bed::with(|s| s.reads.sweep = mode).await;
    for name in ["moves-1", "moves-2"] {
        bed.region().create(name, "x").unwrap();
    }
    for n in 0..12 {
        bed.region().create(&entry(n), "1").unwrap();
    }
    bed.region().shift_pages(PAGE);
    bed
}

fn entry(n: usize) -> String {
    format!("e{n:02}")
}

#[tokio::test]
async fn an_entry_that_a_sweeps_listing_skips_is_read_and_a_duplicate_is_no_error() {
    let bed = bed(SweepMode::List).await;
    let followers = Followers::of(&bed).await;
    let mut known: Vec<Known> = (0..12).map(|n| followers.at(&entry(n))).collect();
    let resume = |known: &[Known]| {
        for (n, known) in known.iter().enumerate() {
            followers.resume(
                &format!("b{n:02}"),
                &[(name(&entry(n)), known.clone())],
                LONG,
            );
        }
    };
    // The first page ends with e02; what follows moves up, and e03 is on no page.
    let (told, ()) = tokio::join!(
        followers.round(|| resume(&known)),
        between_pages(&bed, |region| region.delete("moves-1", 7).unwrap())
    );
    assert!(told.is_empty(), "nobody is told of a gap: {told:?}");
    assert_eq!(followers.last_sweep(), Sweep { items: 12, told: 0 });
    assert_eq!(bed.calls(), (1, 0, 3), "what is on no page is read");
    assert_eq!(bed.aws.reads_of("e03"), 1);
    // It has moved meanwhile, and again nothing shows it.
    bed.region().restore("moves-1").unwrap();
    bed.region().put("e03", "2").unwrap();
    let (told, ()) = tokio::join!(
        followers.round(|| resume(&known)),
        between_pages(&bed, |region| region.delete("moves-1", 7).unwrap())
    );
    assert_eq!(told, ["b03"]);
    known[3] = followers.at("e03");
    // Now e03 ends the first page and begins the second: at its old version first, then at its new one.
    bed.aws.reset_counts();
    let (told, ()) = tokio::join!(
        followers.round(|| resume(&known)),
        between_pages(&bed, |region| {
            region.restore("moves-1").unwrap();
            region.put("e03", "3").unwrap();
        })
    );
    let rest = followers.round(|| resume(&known)).await;
    assert_eq!(
        [told, rest].concat().first().map(String::as_str),
        Some("b03")
    );
    assert_eq!(bed.aws.reads_of("e05"), 0, "the others are not read");
    let read = followers.hub.read(&name("e03"), Freshness::Reuse).await;
    assert_eq!(text(&read), "3");
}

#[tokio::test]
async fn a_member_that_comes_twice_is_one_and_another_of_its_name_takes_its_place() {
    let bed = bed(SweepMode::Auto).await;
    let hub = bed.hub().await;
    let ask = prefix("e");
    let names = |listed: &[keyferry::source::Listed]| -> Vec<String> {
        listed.iter().map(|member| member.name.clone()).collect()
    };
    let all: Vec<String> = (0..12).map(entry).collect();
    bed.region().delete("e00", 7).unwrap();
    let (listed, ()) = tokio::join!(
        hub.list(&ask, Freshness::Fresh),
        between_pages(&bed, |region| region.restore("e00").unwrap())
    );
    // e05 twice; e00 came too late.
    assert_eq!(names(&listed.unwrap()), all[1..]);
    // Deleted for good and made anew while it is listed: on the first page and on the last.
    bed.aws.clear_faults();
    let old = bed.region().arn("e00").unwrap();
    let (listed, ()) = tokio::join!(
        hub.list(&ask, Freshness::Fresh),
        between_pages(&bed, |region| drop(
            region.force_delete_recreate("e00", "2").unwrap()
        ))
    );
    let listed = listed.unwrap();
    let of_name: Vec<_> = listed.iter().filter(|m| m.name == "e00").collect();
    assert_eq!(of_name.len(), 1, "{of_name:?}");
    assert_ne!(of_name[0].arn, old);
}
