//! When AWS is slow, broken or says no.

use std::time::Duration;

use keyferry::{
    api::Reason,
    source::{Freshness, Outcome, SourceEvent},
};
use keyferry_testkit::aws::Fault;

use crate::kit::*;

const CANARY: &str = "canary-value-5b1d9c";

#[tokio::test]
async fn a_throttle_keeps_what_aws_asks_us_to_wait() {
    let bed = Bed::impatient().await;
    let hub = bed.hub().await;
    bed.aws.fault(Fault::throttled(Some(60)));
    for read in read_all(&hub, &[name("a"), name("b")]).await {
        let finding = refused(read);
        assert_eq!(
            (finding.reason, finding.retry_after),
            (Reason::Throttled, Some(Duration::from_secs(60)))
        );
    }
    let finding = refused(hub.read(&name("c"), Freshness::Anew).await);
    assert_eq!(finding.reason, Reason::Throttled);
    let left = finding.retry_after.unwrap();
    assert!((3..=60).contains(&left.as_secs()), "{left:?}");
    assert_eq!(bed.calls(), (0, 1, 0), "AWS is not asked again before");
    assert_eq!(bed.counted(|e| *e == SourceEvent::Throttled), 1);
    let requests = |e: &SourceEvent| {
        matches!(
            e,
            SourceEvent::Request {
                outcome: Outcome::Throttled,
                ..
            }
        )
    };
    assert_eq!(bed.counted(requests), 1);
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_as_unavailable() {
    let bed = Bed::impatient().await;
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.on("GetSecretValue"));
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(finding.reason, Reason::AwsUnavailable);
    assert!(
        finding
            .fact
            .contains("did not answer GetSecretValue within"),
        "{finding}"
    );
    hang.release();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Anew).await), "1");
}

#[tokio::test]
async fn an_entry_that_hangs_holds_the_others_up_only_once() {
    let bed = Bed::impatient().await;
    let asks: Vec<_> = (0..10).map(|n| name(&format!("e{n}"))).collect();
    for n in 0..10 {
        bed.region().create(&format!("e{n}"), "good").unwrap();
    }
    let hub = bed.hub().await;
    let hang = bed.aws.hang(|fault| fault.entry("e3"));
    let first = read_all(&hub, &asks).await;
    assert!(
        first
            .into_iter()
            .all(|read| refused(read).reason == Reason::AwsUnavailable)
    );
    let (mut good, mut bad) = (0, 0);
    for read in read_all(&hub, &asks).await {
        match read {
            Ok(_) => good += 1,
            Err(finding) => {
                assert_eq!(finding.reason, Reason::AwsUnavailable);
                bad += 1;
            }
        }
    }
    assert_eq!((good, bad), (9, 1));
    hang.release();
    bed.aws.reset_counts();
    assert!(read_all(&hub, &asks).await.iter().all(Result::is_ok));
    assert_eq!(
        bed.calls(),
        (1, 1, 0),
        "those that answered are batched again, the late one is read by itself"
    );
    bed.aws.reset_counts();
    assert!(read_all(&hub, &asks).await.iter().all(Result::is_ok));
    assert_eq!(bed.calls(), (0, 1, 0));
}

#[tokio::test]
async fn broken_answers_are_unavailability_and_show_no_value() {
    let faults: [(Fault, &str); 4] = [
        (Fault::cut_body(), ""),
        (Fault::not_json(200), "cannot be read (HTTP 200)"),
        (Fault::not_json(403), "cannot be read (HTTP 403)"),
        (
            Fault::error(500, "InternalServiceError"),
            "(InternalServiceError)",
        ),
    ];
    for (fault, says) in faults {
        let bed = Bed::with(|s| s.reads.reuse = Duration::ZERO).await;
        bed.region().create("a", CANARY).unwrap();
        bed.region().create("b", CANARY).unwrap();
        let hub = bed.hub().await;
        let shown = format!("{fault:?}");
        let set = bed.aws.fault(fault);
        let mut reads = vec![hub.read(&name("a"), Freshness::Anew).await];
        reads.extend(read_all(&hub, &[name("a"), name("b")]).await);
        for read in reads {
            let finding = refused(read);
            assert_eq!(finding.reason, Reason::AwsUnavailable, "{shown}: {finding}");
            assert!(finding.fact.contains(says), "{shown}: {finding}");
            assert!(!format!("{finding:?}").contains("canary"), "{shown}");
        }
        set.clear();
        assert_eq!(
            text(&hub.read(&name("a"), Freshness::Anew).await),
            CANARY,
            "{shown}"
        );
    }
}

#[tokio::test]
async fn nobody_listening_is_unavailability() {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let bed = Bed::with(|s| s.secrets_manager_endpoint = Some(format!("http://{gone}"))).await;
    let hub = bed.hub().await;
    let finding = refused(hub.read(&name("a"), Freshness::Anew).await);
    assert_eq!(finding.reason, Reason::AwsUnavailable);
    assert!(finding.fact.contains("cannot be reached"), "{finding}");
}

#[tokio::test]
async fn a_key_that_refuses_is_told_from_an_entry_that_is_denied() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    bed.aws
        .fault(Fault::error(400, "DecryptionFailure").entry("a"));
    assert_eq!(
        refused(hub.read(&name("a"), Freshness::Anew).await).reason,
        Reason::KmsAccessDenied
    );
}
