//! The share of AWS's quotas, and what a throttle does to it.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use keyferry::{
    api::Reason,
    core::{EntryAsk, PrefixAsk, VersionSelector},
    source::{Freshness, IdentityAsk, Outcome, SourceEvent},
};
use keyferry_testkit::aws::{FakeAws, Fault, Role};

use crate::kit::*;

const READS: &str = "GetSecretValue";

/// An ask that is never part of a batch.
fn by_label(entry: &str) -> EntryAsk {
    EntryAsk {
        version: VersionSelector::Stage("AWSCURRENT".into()),
        ..name(entry)
    }
}

/// How many reads had arrived at a moment between `before` and `after`.
struct Sample {
    before: Instant,
    after: Instant,
    reads: u64,
}

impl Sample {
    fn of(aws: &FakeAws) -> Self {
        let before = Instant::now();
        let reads = aws.count(READS);
        let after = Instant::now();
        Self {
            before,
            after,
            reads,
        }
    }
}

/// Samples until the last `span` has brought as many reads as `enough` wants, or for a minute.
async fn watch(
    aws: &FakeAws,
    samples: &mut Vec<Sample>,
    span: Duration,
    enough: impl Fn(u64) -> bool,
) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        let now = Sample::of(aws);
        let whole = now.before.duration_since(start) >= span;
        let since = samples
            .iter()
            .rfind(|s| now.before.duration_since(s.after) >= span);
        let brought = since.map(|s| now.reads - s.reads);
        samples.push(now);
        if whole && brought.is_some_and(&enough) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// The most reads that arrived within a second.
fn peak(samples: &[Sample]) -> u64 {
    let second = Duration::from_secs(1);
    let of = |(at, from): (usize, &Sample)| {
        let within = samples[at..]
            .iter()
            .take_while(|s| s.after.duration_since(from.before) <= second);
        within.last().map_or(0, |s| s.reads - from.reads)
    };
    samples.iter().enumerate().map(of).max().unwrap_or_default()
}

#[tokio::test]
async fn a_throttled_account_is_asked_ever_less_and_recovers_without_a_burst() {
    // Four reads a second.
    let bed = Bed::with(|s| {
        s.quota_share = 0.0004;
        s.attempts = Some(3);
    })
    .await;
    let hub = bed.hub().await;
    let asks: Vec<_> = (0..6).map(|n| by_label(&format!("e{n}"))).collect();
    for n in 0..6 {
        bed.region().create(&format!("e{n}"), "1").unwrap();
    }
    let over = AtomicBool::new(false);
    let readers = asks.iter().map(|ask| async {
        while !over.load(Relaxed) {
            if let Err(finding) = hub.read(ask, Freshness::Fresh).await {
                assert_eq!(finding.reason, Reason::Throttled);
            }
        }
    });
    let story = async {
        let mut samples = vec![];
        let trouble = bed.aws.fault(Fault::throttled(None));
        // One a second; a moment may hold one more.
        let slow = watch(&bed.aws, &mut samples, Duration::from_secs(3), |n| n <= 4).await;
        trouble.clear();
        let fast = watch(&bed.aws, &mut samples, Duration::from_secs(2), |n| n >= 7).await;
        over.store(true, Relaxed);
        (slow, fast, peak(&samples))
    };
    let (_, (slow, fast, peak)) = tokio::join!(futures::future::join_all(readers), story);
    assert!(slow, "calls went on under throttling");
    assert!(fast, "calls stayed slow after it");
    // One that was late may arrive beside those of the next second.
    assert!(peak <= 5, "{peak} reads within a second");
}

#[tokio::test]
async fn what_passes_is_tried_again_and_seen_by_nobody() {
    for (fault, throttles) in [
        (Fault::error(503, "ServiceUnavailable"), 0),
        (Fault::cut_body(), 0),
        (Fault::throttled(None), 1),
    ] {
        let bed = Bed::with(|s| s.attempts = Some(3)).await;
        bed.region().create("a", "1").unwrap();
        let hub = bed.hub().await;
        let shown = format!("{fault:?}");
        bed.aws.fault(fault.times(1));
        let read = hub.read(&name("a"), Freshness::Anew).await;
        assert_eq!(text(&read), "1", "{shown}");
        assert_eq!(bed.calls(), (2, 0, 0), "{shown}");
        let counted = (
            bed.counted(|e| matches!(e, SourceEvent::Retried(_))),
            bed.counted(|e| *e == SourceEvent::Throttled),
            bed.counted(
                |e| matches!(e, SourceEvent::Request { outcome, .. } if *outcome != Outcome::Ok),
            ),
        );
        assert_eq!(counted, (1, throttles, 0), "{shown}");
    }
}

#[tokio::test]
async fn attempts_end() {
    let bed = Bed::with(|s| s.attempts = Some(2)).await;
    let hub = bed.hub().await;
    bed.aws.fault(Fault::error(500, "InternalServiceError"));
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(finding.reason, Reason::AwsUnavailable);
    assert_eq!(bed.calls(), (2, 0, 0));
    bed.aws.clear_faults();
    bed.aws.reset_counts();
    refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(bed.calls(), (1, 0, 0), "what will not pass is asked once");
}

#[tokio::test]
async fn what_a_call_waits_for_is_shared_by_an_account_and_by_nobody_else() {
    let roles = [
        "arn:aws:iam::111122223333:role/estate-reader",
        "arn:aws:iam::444455556666:role/estate-reader",
    ];
    let bed = Bed::start().await;
    for (role, account) in roles.into_iter().zip([ACCOUNT, OTHER]) {
        let role = Role::new(role)
            .trust_principal(OPERATOR)
            .allow_session_tag("keyferry-namespace", "*");
        bed.aws.put_role(role.allow(&["*"], &["*"]));
        for region in [REGION, "us-east-1"] {
            let region = bed.aws.account(account).region(region);
            region.create("a", account).unwrap();
        }
    }
    let hub = bed.hub().await;
    bed.aws.fault(Fault::throttled(Some(3600)).times(1));
    let asked = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(asked.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(bed.calls(), (1, 0, 0));

    let [same, other] = roles.map(|role| IdentityAsk {
        role_arn: Some(role.into()),
        ..operator()
    });
    let elsewhere = IdentityAsk {
        region: Some("us-east-1".into()),
        ..operator()
    };
    let everything = PrefixAsk {
        store: Default::default(),
        prefix: String::new(),
        tags: Default::default(),
    };
    // Another credential of the account: not even sent.
    let hub = bed.sources.hub(&same).await.unwrap();
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(finding.reason, Reason::Throttled, "{finding}");
    assert!(finding.fact.contains("share"), "{finding}");
    assert!(
        finding
            .retry_after
            .is_some_and(|wait| wait > Duration::from_secs(60))
    );
    assert!(
        hub.list(&everything, Freshness::Anew).await.is_err(),
        "all of its operations"
    );
    assert_eq!(bed.calls(), (1, 0, 0));

    for (ask, account) in [(other, OTHER), (elsewhere, ACCOUNT)] {
        let hub = bed.sources.hub(&ask).await.unwrap();
        let read = hub.read(&name("a"), Freshness::Anew).await;
        assert_eq!(text(&read), account);
    }
    assert_eq!(bed.calls(), (3, 0, 0));
}
