//! Who reads: one STS call per lifetime, identities kept apart, refusals that name whom to trust.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use keyferry::{
    api::Reason,
    source::{Freshness, IdentityAsk, ServiceAccountIdentity, SourceEvent},
};
use keyferry_testkit::aws::{Fault, Role};

use crate::kit::*;

const READER: &str = "arn:aws:iam::111122223333:role/estate-reader";
const WEB: &str = "AssumeRoleWithWebIdentity";

fn as_account(uid: &str) -> IdentityAsk {
    let account = ServiceAccountIdentity {
        name: "backend".into(),
        uid: uid.into(),
        role_arn: READER.into(),
    };
    IdentityAsk {
        service_account: Some(account),
        ..operator()
    }
}

fn as_role(external_id: Option<&str>, tag: Option<&str>) -> IdentityAsk {
    IdentityAsk {
        role_arn: Some(READER.into()),
        external_id: external_id.map(str::to_owned),
        session_tags: tag
            .map(|value| ("team".to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
        ..operator()
    }
}

fn reader() -> Role {
    Role::new(READER)
        .allow(&["*"], &["*"])
        .allow_session_tag("keyferry-namespace", "*")
        .allow_session_tag("team", "*")
}

#[tokio::test]
async fn fifty_first_reads_are_one_sts_call_and_the_identity_is_known_from_it() {
    let bed = Bed::start().await;
    let asks: Vec<_> = (0..50).map(|n| name(&format!("e{n}"))).collect();
    for n in 0..50 {
        bed.region().create(&format!("e{n}"), "x").unwrap();
    }
    let hub = bed.sources.hub(&operator()).await.unwrap();
    assert!(read_all(&hub, &asks).await.iter().all(Result::is_ok));
    let caller = hub.caller().await.unwrap();
    assert_eq!(
        caller.arn,
        "arn:aws:sts::111122223333:assumed-role/operator/keyferry-prod"
    );
    assert_eq!(
        (caller.account.as_str(), caller.role_name.as_str()),
        (ACCOUNT, "operator")
    );
    assert_eq!(
        (bed.aws.count(WEB), bed.aws.count("GetCallerIdentity")),
        (1, 0)
    );
}

#[tokio::test]
async fn regions_share_credentials_and_namespaces_share_the_operators_hub() {
    let bed = Bed::start().await;
    let elsewhere = IdentityAsk {
        region: Some("us-east-1".into()),
        ..operator()
    };
    let there = IdentityAsk {
        namespace: "pay".into(),
        ..operator()
    };
    bed.region().create("db", "here").unwrap();
    bed.aws
        .account(ACCOUNT)
        .region("us-east-1")
        .create("db", "elsewhere")
        .unwrap();
    let mut texts = Vec::new();
    for ask in [operator(), elsewhere, there] {
        let hub = bed.sources.hub(&ask).await.unwrap();
        texts.push(text(&hub.read(&name("db"), Freshness::Reuse).await));
    }
    assert_eq!(texts, ["here", "elsewhere", "here"]);
    assert_eq!(bed.aws.count(WEB), 1);
    assert_eq!(bed.calls(), (2, 0, 0), "the third was the first's hub");
}

#[tokio::test]
async fn expired_sessions_are_rebuilt_once() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    bed.aws.expire_sessions();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
    assert_eq!((bed.aws.count(WEB), bed.calls()), (1, (2, 0, 0)));
    assert_eq!(bed.counted(|e| *e == SourceEvent::CredentialsRebuilt), 1);

    bed.aws.reset_counts();
    bed.aws
        .fault(Fault::error(400, "ExpiredTokenException").on("GetSecretValue"));
    let finding = refused(hub.read(&name("a"), Freshness::Reuse).await);
    assert_eq!(finding.reason, Reason::NoCredentials);
    assert_eq!(
        (bed.aws.count(WEB), bed.calls()),
        (1, (2, 0, 0)),
        "once, not for ever"
    );
}

#[tokio::test]
async fn the_token_file_is_read_at_each_refresh() {
    let bed = Bed::with(|s| s.reads.reuse = std::time::Duration::ZERO).await;
    bed.region().create("a", "1").unwrap();
    let hub = bed.hub().await;
    std::fs::write(&bed.token_file, "rotated-away").unwrap();
    bed.aws.expire_sessions();
    let finding = refused(hub.read(&name("a"), Freshness::Reuse).await);
    assert_eq!(finding.reason, Reason::AssumeRoleFailed);
    assert!(!finding.to_string().contains("rotated-away"), "{finding}");
}

#[tokio::test]
async fn a_role_that_trusts_nobody_is_one_sts_call_for_everybody() {
    let bed = Bed::start().await;
    bed.aws.put_role(
        Role::new(OPERATOR)
            .trust_service_account("other", "other")
            .allow(&["*"], &["*"]),
    );
    let hub = bed.sources.hub(&operator()).await.unwrap();
    for read in read_all(&hub, &vec![name("a"); 50]).await {
        let finding = refused(read);
        assert_eq!(finding.reason, Reason::AssumeRoleFailed);
        assert_eq!(
            finding.fact,
            format!("Role {OPERATOR} does not trust the operator's ServiceAccount.")
        );
    }
    assert_eq!((bed.aws.count(WEB), bed.calls()), (1, (0, 0, 0)));
}

#[tokio::test]
async fn a_token_with_the_wrong_audience_is_named_as_that() {
    let bed = Bed::start().await;
    std::fs::write(
        &bed.token_file,
        bed.issuer.token("keyferry", "keyferry", "kubernetes"),
    )
    .unwrap();
    let hub = bed.sources.hub(&operator()).await.unwrap();
    let finding = hub.caller().await.unwrap_err();
    assert_eq!(finding.reason, Reason::AssumeRoleFailed);
    assert!(finding.fact.contains("wrong audience"), "{finding}");
    assert!(finding.fact.contains(OPERATOR), "{finding}");
}

#[tokio::test]
async fn a_failure_is_held_and_then_tried_again() {
    let bed = Bed::with(|s| s.identity_failure_hold = std::time::Duration::ZERO).await;
    bed.aws
        .put_role(Role::new(OPERATOR).trust_service_account("other", "other"));
    let hub = bed.sources.hub(&operator()).await.unwrap();
    assert!(hub.caller().await.is_err());
    bed.aws.put_role(operator_role());
    assert!(
        hub.caller().await.is_ok(),
        "clears by itself once the role trusts us"
    );
}

#[tokio::test]
async fn a_service_account_reads_with_its_own_role_and_session_name() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    bed.aws
        .put_role(reader().trust_service_account("estate", "backend"));
    let hub = bed.sources.hub(&as_account("uid-1")).await.unwrap();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
    let arn = hub.caller().await.unwrap().arn;
    assert_eq!(
        arn,
        "arn:aws:sts::111122223333:assumed-role/estate-reader/keyferry-prod-estate"
    );
    assert_eq!(
        (bed.aws.count(WEB), bed.issuer.requested.load(Relaxed)),
        (1, 1)
    );

    bed.aws
        .put_role(reader().trust_service_account("estate", "other"));
    let recreated = bed.sources.hub(&as_account("uid-2")).await.unwrap();
    let finding = refused(recreated.read(&name("a"), Freshness::Reuse).await);
    assert_eq!(finding.reason, Reason::AssumeRoleFailed);
    assert_eq!(
        finding.fact,
        format!("Role {READER} does not trust ServiceAccount estate/backend.")
    );
}

#[tokio::test]
async fn a_role_on_top_is_assumed_with_external_id_and_tags() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    bed.aws.put_role(
        reader()
            .trust_principal(OPERATOR)
            .external_id("shared-word"),
    );
    let hub = bed
        .sources
        .hub(&as_role(Some("shared-word"), Some("blue")))
        .await
        .unwrap();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
    let call = bed
        .aws
        .calls()
        .into_iter()
        .find(|call| call.operation == "AssumeRole")
        .unwrap();
    assert_eq!(call.external_id.as_deref(), Some("shared-word"));
    let pairs = [("keyferry-namespace", "estate"), ("team", "blue")];
    let tags: BTreeMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(call.tags, tags);
    assert_eq!(call.session_name, "keyferry-prod-estate");
    assert_eq!((bed.aws.count(WEB), bed.aws.count("AssumeRole")), (1, 1));

    let wrong = bed
        .sources
        .hub(&as_role(Some("guess"), Some("blue")))
        .await
        .unwrap();
    let finding = refused(wrong.read(&name("a"), Freshness::Reuse).await);
    assert_eq!(finding.reason, Reason::AssumeRoleFailed);
    let who = "arn:aws:sts::111122223333:assumed-role/operator/keyferry-prod";
    assert_eq!(
        finding.fact,
        format!("{who} may not assume role {READER} with that external id.")
    );
    assert!(
        !finding.to_string().contains("guess"),
        "an external id is for STS alone"
    );
}

#[tokio::test]
async fn a_base_that_expired_is_renewed_before_the_role_on_top() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    bed.aws.put_role(reader().trust_principal(OPERATOR));
    bed.hub().await;
    bed.aws.expire_sessions();
    let hub = bed.sources.hub(&as_role(None, None)).await.unwrap();
    assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
    assert_eq!((bed.aws.count(WEB), bed.aws.count("AssumeRole")), (1, 2));
}

#[tokio::test]
async fn other_external_ids_or_tags_never_share_a_read() {
    let bed = Bed::start().await;
    bed.region().create("a", "1").unwrap();
    bed.aws.put_role(reader().trust_principal(OPERATOR));
    let mut asks = vec![
        as_role(None, None),
        as_role(Some("one"), None),
        as_role(Some("two"), None),
    ];
    asks.extend([as_role(None, Some("blue")), as_role(None, Some("green"))]);
    asks.push(IdentityAsk {
        namespace: "pay".into(),
        ..as_role(None, None)
    });
    for _ in 0..2 {
        for ask in &asks {
            let hub = bed.sources.hub(ask).await.unwrap();
            assert_eq!(text(&hub.read(&name("a"), Freshness::Reuse).await), "1");
        }
    }
    assert_eq!(bed.aws.count("AssumeRole"), 6);
    assert_eq!(
        bed.calls(),
        (6, 0, 0),
        "one read for each; the second round reused its own"
    );
    let keys: std::collections::BTreeSet<String> = bed
        .aws
        .calls()
        .into_iter()
        .filter(|call| call.operation == "GetSecretValue")
        .map(|call| call.access_key_id)
        .collect();
    assert_eq!(keys.len(), 6, "each with its own session");
}
