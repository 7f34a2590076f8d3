#![allow(clippy::unwrap_used, clippy::expect_used)]
use aws_config::BehaviorVersion;
use aws_credential_types::Credentials as Keys;
use futures::{FutureExt, future::BoxFuture};
use keyferry_testkit::aws::{FakeAws, Options};

use std::time::Duration;

use super::*;
use crate::{
    core::Finding,
    source::{
        bucket::Clock,
        budget::Budgets,
        credentials::{Origin, Session},
        http::{self, Route},
        identity::Caller,
        line::backoff,
        metrics::Outcome,
    },
};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";
const KEY: &str = "AKIATESTTESTTESTTEST";

/// A user's keys.
struct User;

impl Origin for User {
    fn obtain(&self) -> BoxFuture<'_, Result<Session, Finding>> {
        let caller = Caller::parse(&format!("arn:aws:iam::{ACCOUNT}:user/reader"));
        let keys = Keys::new(KEY, "any", None, None, "test");
        async move { Ok(Session::new(keys, caller)) }.boxed()
    }

    fn whose(&self) -> BoxFuture<'_, Result<Caller, Finding>> {
        async { panic!("it is known") }.boxed()
    }
}

async fn fake() -> FakeAws {
    let aws = FakeAws::start(Options {
        quota_scale: None,
        ..Options::default()
    })
    .await
    .unwrap();
    aws.user(KEY, ACCOUNT);
    aws
}

async fn calls(aws: &FakeAws, share: f64) -> Calls {
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http::client(None, Route::Direct).unwrap())
        .no_credentials()
        .load()
        .await;
    let patience = Duration::from_secs(60);
    let pace = Pace {
        budgets: Arc::new(Budgets::new(share, Clock::monotonic())),
        patience,
        chance: || 0.5,
    };
    let credentials = Credentials::new(|_| Box::new(User), Duration::ZERO, patience);
    let endpoint = aws.endpoint();
    Calls::new(
        &sdk,
        Some(&endpoint),
        REGION,
        Arc::new(credentials),
        SourceMetrics::default(),
        pace,
    )
}

#[tokio::test]
async fn urgent_reads_go_before_routine_ones_that_came_first() {
    let aws = fake().await;
    let entries: Vec<_> = (0..50)
        .map(|n| (format!("routine-{n}"), Lane::Routine))
        .chain((0..10).map(|n| (format!("urgent-{n}"), Lane::Urgent)))
        .collect();
    for (name, _) in &entries {
        aws.account(ACCOUNT)
            .region(REGION)
            .create(name, "1")
            .unwrap();
    }
    // 20 reads a second.
    let calls = calls(&aws, 0.002).await;
    let read = |(name, lane): &(String, Lane)| {
        let (name, lane, calls) = (name.clone(), *lane, &calls);
        async move { calls.get(&name, &VersionSelector::Current, lane).await }
    };
    let routine = futures::future::join_all(entries[..50].iter().map(read));
    let urgent = async {
        while aws.count("GetSecretValue") < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = aws.count("GetSecretValue");
        let urgent = futures::future::join_all(entries[50..].iter().map(read)).await;
        assert!(urgent.iter().all(Result::is_ok));
        before
    };
    let (routine, before) = tokio::join!(routine, urgent);
    assert!(routine.iter().all(Result::is_ok), "none is lost");

    let log = aws.calls();
    let reads: Vec<_> = log
        .iter()
        .filter(|c| c.operation == "GetSecretValue")
        .collect();
    let last = reads
        .iter()
        .rposition(|c| c.ids[0].starts_with("urgent"))
        .unwrap();
    let overtaken = reads.len() - 1 - last;
    // One that already had its turn may still arrive.
    let allowed = usize::try_from(before).unwrap() + 1;
    assert!(50 - overtaken <= allowed, "{overtaken} came after");
}

#[tokio::test]
async fn an_entry_is_described_with_its_labels_and_its_end() {
    let aws = fake().await;
    let region = aws.account(ACCOUNT).region(REGION);
    let old = region.create("db", "1").unwrap();
    let old = region.current_version("db").unwrap_or(old);
    region.put("db", "2").unwrap();
    let new = region.current_version("db").unwrap();
    let calls = calls(&aws, 0.2).await;
    let described = calls.describe("db", Lane::Routine).await.unwrap();
    assert_eq!(Some(described.arn), region.arn("db"));
    assert_eq!(described.name, "db");
    assert!(!described.deleted);
    let labelled = [(new, "AWSCURRENT"), (old, "AWSPREVIOUS")];
    let labelled = labelled.map(|(id, label)| (id, vec![label.to_owned()]));
    assert_eq!(described.versions, labelled.into());

    region.delete("db", 7).unwrap();
    assert!(calls.describe("db", Lane::Routine).await.unwrap().deleted);
    let missing = calls.describe("none", Lane::Routine).await.unwrap_err();
    assert_eq!(missing.outcome(), Outcome::NotFound);
}

#[test]
fn waits_between_attempts_double() {
    for (retry, chance, wanted) in [(0, 0.5, 200), (1, 0.5, 400), (2, 0.5, 800), (0, 0.0, 180)] {
        assert_eq!(
            backoff(retry, chance),
            Duration::from_millis(wanted),
            "{retry}, {chance}"
        );
    }
}
