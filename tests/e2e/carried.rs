//! What of a replica may be carried while a region does not answer, and what may not.

use keyferry_testkit::aws::Fault;
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, holds, is},
    reasons::assert_says,
    replicas::{TOKYO, a_second_later},
    world::{REGION, SHARED, role_arn},
};

crate::tests![tests:
    a_fault_of_the_region_changes_the_status_only_and_it_comes_back,
    a_refusal_and_a_missing_entry_are_answers,
    an_older_replica_is_not_carried,
    a_newer_replica_is_carried_once,
    a_rejected_version_is_not_taken_from_a_replica,
    a_region_that_no_policy_allows_is_not_called,
    with_the_regions_sts_down_the_role_is_assumed_in_the_other_region,
];

async fn a_fault_of_the_region_changes_the_status_only_and_it_comes_back(case: Case) {
    let value = case.value();
    case.replicated(&value).await;
    let before = case.secret("app").await;
    let writes = case.secret_writes(SHARED);
    case.break_region("e");
    case.served_by(TOKYO).await;
    case.mend("e");
    let status = case.served_by(REGION).await;
    assert!(status["failover"].is_null());
    let after = case.secret("app").await;
    assert_eq!(
        after.metadata.resource_version, before.metadata.resource_version,
        "neither bytes nor annotations depend on the region"
    );
    assert_eq!(case.secret_writes(SHARED), writes);
    let unsynced = case.statuses("app");
    let synced = |status: &Value| condition(&json!({"status": status}), "Synced")["status"].clone();
    let since_first = unsynced.iter().skip_while(|s| synced(s) != "True");
    assert!(since_first.into_iter().all(|s| synced(s) == "True"));
}

async fn a_refusal_and_a_missing_entry_are_answers(case: Case) {
    case.put("e", &case.value());
    case.replicate("e");
    case.fault("e", Fault::denied().region(REGION));
    let only_there = case.entry("only-there");
    case.tokyo().create(&only_there, &case.value()).unwrap();
    case.binding("app", case.falling_back(case.one("K", "e")))
        .await;
    case.binding("gone", case.falling_back(case.one("K", "only-there")))
        .await;
    case.failing("app", "AccessDenied").await;
    case.failing("gone", "SecretNotFound").await;
    case.refresh("app").await;
    case.refresh("gone").await;
    for entry in [case.entry("e"), only_there] {
        assert_eq!(case.tokyo().reads_of(&entry), 0, "{entry} was asked for");
    }
    case.mend("e");
    case.synced("app").await;
}

async fn an_older_replica_is_not_carried(case: Case) {
    case.put("e", &case.value());
    case.replicate("e");
    a_second_later().await;
    let value = case.value();
    case.put("e", &value);
    case.binding("app", case.falling_back(case.one("K", "e")))
        .await;
    case.synced("app").await;
    let good = case.secret("app").await;
    case.break_region("e");
    let status = case.failing("app", "AwsUnavailable").await;
    let words = ["Failover to ap-northeast-1", "\"{ns}/e\" is not newer"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    assert!(is(
        &json!({"status": status}),
        "Ready",
        "True",
        "AwsUnavailable"
    ));
    case.refresh("app").await;
    case.assert_kept(&good).await;
    // Once the replica has caught up, it serves.
    case.replicate("e");
    case.served_by(TOKYO).await;
    let kept = case.secret("app").await;
    assert_eq!(
        kept.metadata.resource_version,
        good.metadata.resource_version
    );
    case.mend("e");
    case.served_by(REGION).await;
}

async fn a_newer_replica_is_carried_once(case: Case) {
    case.replicated(&case.value()).await;
    case.break_region("e");
    case.served_by(TOKYO).await;
    let writes = case.secret_writes(SHARED);
    a_second_later().await;
    let value = case.value();
    case.put("e", &value);
    case.replicate("e");
    case.until_secret("app", "the newer value", |s| holds(s, "K", &value))
        .await;
    assert_eq!(case.secret_writes(SHARED), writes + 1);
    case.mend("e");
    case.served_by(REGION).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    assert_eq!(case.secret_writes(SHARED), writes + 1, "once");
}

async fn a_rejected_version_is_not_taken_from_a_replica(case: Case) {
    case.replicated(&case.value()).await;
    case.break_region("e");
    case.served_by(TOKYO).await;
    a_second_later().await;
    let version = case.put("e", &case.value());
    let good = case.secret("app").await;
    let sources = &good.metadata.annotations.as_ref().unwrap()["keyferry.dev/sources"];
    let sources: Value = serde_json::from_str(sources).unwrap();
    let tag = sources.as_object().unwrap().keys().next().unwrap().clone();
    let rejected = json!([{"revision": "bad", "versions": {tag: version}}]).to_string();
    let patch = json!({"metadata": {"annotations": {"keyferry.dev/rejected": rejected}}});
    case.patch_secret("app", "somebody", patch).await;
    case.replicate("e");
    let status = case.failing("app", "AwsUnavailable").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &["\"{ns}/e\" was rejected before"],
    );
    case.refresh("app").await;
    case.assert_kept(&good).await;
    case.mend("e");
}

async fn a_region_that_no_policy_allows_is_not_called(case: Case) {
    let owner = case.sibling("owner").await;
    let entry = owner.entry("e");
    let value = owner.value();
    owner.put("e", &value);
    owner.replicate("e");
    owner.break_region("e");
    let role = role_arn(&case.namespace);
    case.trusting_role();
    let allowed =
        |regions: &[&str]| json!({"secrets": [&entry], "regions": regions, "roleArns": [&role]});
    case.allow("more", allowed(&[REGION])).await;
    let mut spec = case.falling_back(owner.one("K", "e"));
    spec["source"]["roleArn"] = json!(role);
    case.binding("app", spec).await;
    let status = case.failing("app", "AwsUnavailable").await;
    let words = ["Failover to ap-northeast-1", "in region ap-northeast-1"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    case.refresh("app").await;
    assert_eq!(case.tokyo().reads_of(&entry), 0);
    assert_eq!(case.assumed(TOKYO), 0, "nor is its STS");
    case.allow("more", allowed(&[REGION, TOKYO])).await;
    case.served_by(TOKYO).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    owner.mend("e");
}

async fn with_the_regions_sts_down_the_role_is_assumed_in_the_other_region(case: Case) {
    let (value, role) = (case.value(), role_arn(&case.namespace));
    case.put("e", &value);
    case.replicate("e");
    case.trusting_role();
    case.allow("roles", json!({"roleArns": [&role]})).await;
    let down = Fault::error(503, "ServiceUnavailable")
        .on("AssumeRole")
        .region(REGION)
        .entry(&role);
    let down = case.world.aws.fault(down);
    let mut spec = case.falling_back(case.one("K", "e"));
    spec["source"]["roleArn"] = json!(role);
    for name in ["app", "second"] {
        case.binding(name, spec.clone()).await;
        case.synced(name).await;
    }
    case.served_by(TOKYO).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    assert_eq!(case.assumed(TOKYO), 1, "one session for both bindings");
    down.clear();
    case.served_by(REGION).await;
    assert_eq!(case.assumed(TOKYO), 1);
}
