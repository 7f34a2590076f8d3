//! Faults, quotas, the call log and the waiting.

use std::time::Duration;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use keyferry_testkit::aws::{Fault, Outcome, QuotaGroup, Role, Service};

use crate::kit::*;

#[tokio::test]
async fn errors_hit_operations_and_entries() {
    let aws = start().await;
    let sm = client(&aws);
    for name in ["a", "b"] {
        here(&aws).create(name, name).unwrap();
    }
    let fault = Fault::error(500, "InternalServiceError")
        .on("GetSecretValue")
        .entry("a");
    let fault = aws.fault(fault.times(2));
    assert_eq!(read(&sm, "b").await.as_deref(), Ok("b"));
    let failed = sm.get_secret_value().secret_id("a").send().await;
    assert_eq!(status(failed), 500);
    let batch = || {
        sm.batch_get_secret_value()
            .secret_id_list("a")
            .secret_id_list("b")
            .send()
    };
    let got = batch().await.unwrap();
    assert_eq!(got.errors()[0].error_code(), Some("InternalServiceError"));
    assert_eq!(got.secret_values().len(), 1);
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("a"), "used up");
    fault.clear();

    let denied = aws.fault(Fault::denied().on("BatchGetSecretValue"));
    assert_eq!(code(batch().await), "AccessDeniedException");
    denied.clear();
    let endpoint_policy = aws.fault(Fault::denied().entry("a").whole_call());
    assert_eq!(code(batch().await), "AccessDeniedException");
    endpoint_policy.clear();
    let lost = aws.fault(Fault::omitted().entry("a"));
    let got = batch().await.unwrap();
    assert_eq!((got.secret_values().len(), got.errors().len()), (1, 0));
    lost.clear();
    assert_eq!(batch().await.unwrap().secret_values().len(), 2);
}

#[tokio::test]
async fn throttling_can_bring_retry_after() {
    let aws = start().await;
    let sm = client(&aws);
    aws.fault(Fault::throttled(Some(7)).times(1));
    let error = sm.list_secrets().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ThrottlingException"));
    let header = error.raw_response().unwrap().headers().get("retry-after");
    assert_eq!(header, Some("7"));
    assert!(sm.list_secrets().send().await.is_ok());
}

#[tokio::test]
async fn replies_can_be_cut_or_unreadable() {
    let aws = start().await;
    let sm = client(&aws);
    here(&aws).create("a", &"v".repeat(10_000)).unwrap();
    let cut = aws.fault(Fault::cut_body());
    let error = sm
        .get_secret_value()
        .secret_id("a")
        .send()
        .await
        .unwrap_err();
    assert!(!matches!(error, SdkError::ServiceError(_)));
    assert_eq!(aws.calls().pop().unwrap().outcome, Outcome::Broken);
    cut.clear();
    aws.fault(Fault::not_json(503).times(1));
    let error = sm
        .get_secret_value()
        .secret_id("a")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (
            error.code(),
            error.raw_response().unwrap().status().as_u16()
        ),
        (None, 503)
    );
}

#[tokio::test]
async fn pages_can_be_empty() {
    let aws = start().await;
    let sm = client(&aws);
    here(&aws).create("a", "v").unwrap();
    aws.fault(Fault::empty_page().on("ListSecrets").times(1));
    let page = sm.list_secrets().send().await.unwrap();
    assert!(page.secret_list().is_empty());
    let next = sm.list_secrets().next_token(page.next_token().unwrap());
    assert_eq!(next.send().await.unwrap().secret_list().len(), 1);
}

#[tokio::test]
async fn calls_hang_until_released() {
    let aws = start().await;
    let sm = client(&aws);
    here(&aws).create("a", "v").unwrap();
    let hang = aws.hang(|fault| fault.on("GetSecretValue").entry("a"));
    let reader = sm.clone();
    let waiting = tokio::spawn(async move { read(&reader, "a").await });
    aws.wait_for(|log| log.count("GetSecretValue") == 1)
        .await
        .unwrap();
    assert_eq!(aws.calls()[0].outcome, Outcome::Pending);
    assert!(sm.describe_secret().secret_id("a").send().await.is_ok());
    assert!(!waiting.is_finished());
    hang.release();
    assert_eq!(waiting.await.unwrap().as_deref(), Ok("v"));
    assert_eq!(aws.calls()[0].outcome, Outcome::Ok);

    let _hang = aws.hang(|fault| fault.on("GetSecretValue"));
    let gone = tokio::spawn(async move { read(&sm, "a").await });
    aws.wait_for(|log| log.count("GetSecretValue") == 2)
        .await
        .unwrap();
    gone.abort();
    let abandoned = |log: &keyferry_testkit::aws::CallLog| {
        log.calls().any(|call| call.outcome == Outcome::Abandoned)
    };
    aws.wait_for(abandoned).await.unwrap();
}

#[tokio::test]
async fn delayed_calls_are_answered() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    aws.fault(Fault::delayed(Duration::from_millis(5)));
    assert_eq!(read(&client(&aws), "a").await.as_deref(), Ok("v"));
}

#[tokio::test]
async fn quotas_throttle_by_account_and_region() {
    let aws = start().await;
    let sm = client(&aws);
    aws.set_quota(QuotaGroup::List, 1.0);
    aws.set_quota(QuotaGroup::Sts, 1.0);
    aws.scale_quotas(Some(0.001));
    let list = || sm.list_secrets().send();
    assert!(list().await.is_ok(), "a bucket never holds less than one");
    assert_eq!(code(list().await), "ThrottlingException");
    let east = client_as(&aws, keys(KEY), "us-east-1");
    assert!(east.list_secrets().send().await.is_ok());
    let sts = sts_as(&aws, keys(KEY));
    assert!(sts.get_caller_identity().send().await.is_ok());
    assert_eq!(code(sts.get_caller_identity().send().await), "Throttling");
    aws.scale_quotas(None);
    for _ in 0..20 {
        assert!(list().await.is_ok());
    }
}

#[tokio::test]
async fn faults_hit_one_region_or_one_role() {
    let aws = start().await;
    let sm = client(&aws);
    aws.fault(Fault::error(503, "ServiceUnavailable").region("us-east-1"));
    aws.fault(Fault::denied().principal("*/somebody-else"));
    assert!(sm.list_secrets().send().await.is_ok());
    let east = client_as(&aws, keys(KEY), "us-east-1");
    assert_eq!(code(east.list_secrets().send().await), "ServiceUnavailable");
}

#[tokio::test]
async fn sts_faults_are_worded_in_xml() {
    let aws = start().await;
    aws.fault(Fault::error(500, "InternalFailure").on("GetCallerIdentity"));
    let sts = sts_as(&aws, keys(KEY));
    assert_eq!(
        code(sts.get_caller_identity().send().await),
        "InternalFailure"
    );
}

#[tokio::test]
async fn the_log_tells_who_asked_what() {
    let aws = start().await;
    let sm = client(&aws);
    let arn = here(&aws).create("a", "v").unwrap();
    aws.put_role(Role::new("arn:aws:iam::111122223333:role/r"));
    read(&sm, &arn).await.unwrap();
    let by_label = sm.get_secret_value().secret_id("a").version_stage("GREEN");
    assert!(by_label.send().await.is_err());
    let calls = aws.calls();
    assert_eq!((calls[0].seq, calls[1].seq), (1, 2));
    assert_eq!(calls[0].service, Service::SecretsManager);
    assert_eq!(
        (calls[0].region.as_str(), calls[0].account.as_str()),
        (REGION, ACCOUNT)
    );
    assert_eq!(
        (calls[0].ids.as_slice(), calls[0].access_key_id.as_str()),
        ([arn].as_slice(), KEY)
    );
    assert_eq!(calls[1].versions, ["GREEN"]);
    let code = "ResourceNotFoundException".to_owned();
    assert_eq!(calls[1].outcome, Outcome::Failed { status: 400, code });
    assert_eq!((aws.reads_of("a"), here(&aws).reads_of("a")), (2, 2));
    assert_eq!(aws.account(OTHER).region(REGION).reads_of("a"), 0);
    aws.reset_counts();
    assert_eq!((aws.count("GetSecretValue"), aws.reads_of("a")), (0, 0));
    assert!(aws.calls().is_empty());
    let never = aws
        .wait_within(Duration::from_millis(10), |log| log.total() > 0)
        .await;
    assert!(never.is_err());
}

#[tokio::test]
async fn batches_and_peaks_are_counted() {
    let aws = start().await;
    let sm = client(&aws);
    for ids in [&["a", "b"][..], &["c"]] {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let batch = sm.batch_get_secret_value();
        batch.set_secret_id_list(Some(ids)).send().await.unwrap();
    }
    assert_eq!(
        aws.ids_of("BatchGetSecretValue"),
        [vec!["a", "b"], vec!["c"]]
    );
    let east = client_as(&aws, keys(KEY), "us-east-1");
    east.list_secrets().send().await.unwrap();
    let expected = [("BatchGetSecretValue", 2), ("ListSecrets", 1)];
    let expected = expected.map(|(name, n)| (name.to_owned(), n));
    assert_eq!(aws.counts(), expected.into());
    let lists = aws.peak(|call| call.operation == "ListSecrets");
    let foreign = aws.peak(|call| call.account == OTHER);
    assert_eq!((lists, foreign), (1, 0));
    aws.reset_counts();
    assert_eq!((aws.peak(|_| true), aws.counts().len()), (0, 0));
}

#[tokio::test]
async fn the_environment_points_an_sdk_here() {
    let aws = start().await;
    let env = aws.env();
    let get = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    assert_eq!(get("AWS_ENDPOINT_URL"), Some(aws.endpoint().as_str()));
    assert_eq!(get("AWS_REGION"), Some(REGION));
    assert_eq!(get("AWS_EC2_METADATA_DISABLED"), Some("true"));
}
