//! The operations that change secrets, as SDK clients use them.

use std::time::Duration;

use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{ReplicaRegionType, Tag};
use keyferry_testkit::aws::{CURRENT, Fault, MAX_VALUE_BYTES, PREVIOUS, SecretValue, Statement};

use crate::kit::*;

#[tokio::test]
async fn secrets_are_created_written_and_updated() {
    let aws = start().await;
    let sm = client(&aws);
    let tag = Tag::builder().key("team").value("a").build();
    let create = sm.create_secret().name("prod/db").secret_string("1");
    let made = create.description("the db").tags(tag).send().await.unwrap();
    let region = here(&aws);
    assert_eq!(made.arn(), region.arn("prod/db").as_deref());
    assert_eq!(
        made.version_id(),
        region.current_version("prod/db").as_deref()
    );
    let again = sm
        .create_secret()
        .name("prod/db")
        .secret_string("2")
        .send()
        .await;
    assert_eq!(code(again), "ResourceExistsException");

    let put = sm
        .put_secret_value()
        .secret_id("prod/db")
        .secret_string("2")
        .send()
        .await
        .unwrap();
    assert_eq!(put.version_stages(), [CURRENT]);
    let token = "t".repeat(32);
    let pending = || {
        let call = sm
            .put_secret_value()
            .secret_id("prod/db")
            .client_request_token(&token);
        call.version_stages("AWSPENDING")
    };
    assert!(pending().secret_string("3").send().await.is_ok());
    assert!(pending().secret_string("3").send().await.is_ok());
    assert_eq!(
        code(pending().secret_string("4").send().await),
        "ResourceExistsException"
    );
    assert_eq!(read(&sm, "prod/db").await.as_deref(), Ok("2"));

    let update = sm
        .update_secret()
        .secret_id("prod/db")
        .secret_binary(Blob::new("5"));
    let updated = update.send().await.unwrap();
    assert_eq!(
        updated.version_id(),
        region.current_version("prod/db").as_deref()
    );
    let renamed = sm
        .update_secret()
        .secret_id("prod/db")
        .description("new")
        .send()
        .await
        .unwrap();
    assert_eq!(renamed.version_id(), None);
    let described = sm
        .describe_secret()
        .secret_id("prod/db")
        .send()
        .await
        .unwrap();
    assert_eq!(described.description(), Some("new"));
}

#[tokio::test]
async fn bad_names_and_values_are_refused() {
    let aws = start().await;
    let sm = client(&aws);
    let create =
        |name: &str, value: String| sm.create_secret().name(name).secret_string(value).send();
    let invalid = "ValidationException";
    assert_eq!(code(create("with space", "v".into()).await), invalid);
    assert_eq!(code(create("a:b", "v".into()).await), invalid);
    assert_eq!(code(create("a", String::new()).await), invalid);
    assert_eq!(
        code(create("a", "x".repeat(MAX_VALUE_BYTES + 1)).await),
        invalid
    );
    assert!(create("a", "x".repeat(MAX_VALUE_BYTES)).await.is_ok());
    let nothing = sm.put_secret_value().secret_id("a").send().await;
    assert_eq!(code(nothing), "InvalidRequestException");
}

#[tokio::test]
async fn labels_move_as_in_a_rotation_and_a_rollback() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    region.create("a", "1").unwrap();
    let first = region.current_version("a").unwrap();
    let put = sm.put_secret_value().secret_id("a").secret_string("2");
    let second = put.version_stages("AWSPENDING").send().await.unwrap();
    let second = second.version_id().unwrap();
    let stage = |to: &str, from: Option<&str>| {
        let call = sm
            .update_secret_version_stage()
            .secret_id("a")
            .version_stage(CURRENT);
        let call = call.move_to_version_id(to);
        call.set_remove_from_version_id(from.map(str::to_owned))
            .send()
    };
    assert_eq!(code(stage(second, None).await), "InvalidParameterException");
    stage(second, Some(&first)).await.unwrap();
    assert_eq!(region.version_at("a", PREVIOUS), Some(first.clone()));
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("2"));
    stage(&first, Some(second)).await.unwrap();
    assert_eq!(region.version_at("a", PREVIOUS).as_deref(), Some(second));
    region.move_label("a", CURRENT, second).unwrap();
    region.remove_label("a", "AWSPENDING").unwrap();
    assert_eq!(region.version_at("a", "AWSPENDING"), None);
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("2"));
}

#[tokio::test]
async fn deletion_has_a_window_and_can_be_taken_back() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    region.create("a", "1").unwrap();
    let delete = || sm.delete_secret().secret_id("a");
    let short = delete().recovery_window_in_days(6).send().await;
    assert_eq!(code(short), "InvalidParameterException");
    delete().recovery_window_in_days(7).send().await.unwrap();
    let refused = "InvalidRequestException";
    assert_eq!(read(&sm, "a").await.unwrap_err(), refused);
    let put = sm.put_secret_value().secret_id("a").secret_string("2");
    assert_eq!(code(put.send().await), refused);
    let create = sm.create_secret().name("a").secret_string("2");
    assert_eq!(code(create.send().await), refused);
    assert!(
        sm.describe_secret()
            .secret_id("a")
            .send()
            .await
            .unwrap()
            .deleted_date()
            .is_some()
    );
    sm.restore_secret().secret_id("a").send().await.unwrap();
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("1"));
    region.delete("a", 7).unwrap();
    aws.advance(Duration::from_secs(7 * 86_400 + 1));
    assert_eq!(
        read(&sm, "a").await.unwrap_err(),
        "ResourceNotFoundException"
    );
    region.create("b", "1").unwrap();
    let forced = sm
        .delete_secret()
        .secret_id("b")
        .force_delete_without_recovery(true);
    let both = forced.clone().recovery_window_in_days(7).send().await;
    assert_eq!(code(both), "InvalidParameterException");
    forced.send().await.unwrap();
    assert_eq!(region.arn("b"), None);
}

#[tokio::test]
async fn tags_come_and_go() {
    let aws = start().await;
    let sm = client(&aws);
    here(&aws).create("a", "1").unwrap();
    let tag = Tag::builder().key("k").value("v").build();
    sm.tag_resource()
        .secret_id("a")
        .tags(tag)
        .send()
        .await
        .unwrap();
    let tags = || async {
        let described = sm.describe_secret().secret_id("a").send().await.unwrap();
        described.tags().len()
    };
    assert_eq!(tags().await, 1);
    sm.untag_resource()
        .secret_id("a")
        .tag_keys("k")
        .send()
        .await
        .unwrap();
    assert_eq!(tags().await, 0);
}

#[tokio::test]
async fn a_customers_key_is_needed_for_writing_too() {
    let aws = start().await;
    let key = "arn:aws:kms:ap-northeast-2:111122223333:key/1";
    let rights = |more: &[&str]| {
        let actions = [&["secretsmanager:*"], more].concat();
        aws.user_with(
            "AKIAWRITER",
            ACCOUNT,
            vec![Statement::allow(&actions, &["*"])],
        );
    };
    let sm = client_as(&aws, keys("AKIAWRITER"), REGION);
    let make = || {
        sm.create_secret()
            .name("keyed")
            .secret_string("1")
            .kms_key_id(key)
            .send()
    };
    for too_few in [&[][..], &["kms:Decrypt"], &["kms:GenerateDataKey"]] {
        rights(too_few);
        assert_eq!(code(make().await), "AccessDeniedException", "{too_few:?}");
    }
    rights(&["kms:GenerateDataKey", "kms:Decrypt"]);
    assert!(make().await.is_ok());
    assert_eq!(here(&aws).key_of("keyed").as_deref(), Some(key));
    rights(&[]);
    here(&aws).create("plain", "1").unwrap();
    for (name, good) in [("plain", true), ("keyed", false)] {
        let put = sm
            .put_secret_value()
            .secret_id(name)
            .secret_string("2")
            .send()
            .await;
        let update = sm
            .update_secret()
            .secret_id(name)
            .secret_string("3")
            .send()
            .await;
        assert_eq!((put.is_ok(), update.is_ok()), (good, good), "{name}");
    }
}

#[tokio::test]
async fn tags_and_replicas_of_a_new_secret_have_rights_and_limits() {
    let aws = start().await;
    let sm = client(&aws);
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let replica = |region: &str| ReplicaRegionType::builder().region(region).build();
    let made = sm
        .create_secret()
        .name("db")
        .secret_string("1")
        .tags(tag("team", "a"));
    made.add_replica_regions(replica("us-east-1"))
        .send()
        .await
        .unwrap();
    let there = aws.account(ACCOUNT).region("us-east-1");
    assert_eq!(
        there.current_version("db"),
        here(&aws).current_version("db")
    );
    assert_eq!(
        there.arn("db").unwrap().replace("us-east-1", REGION),
        here(&aws).arn("db").unwrap()
    );
    assert_eq!(here(&aws).tags("db")["team"], "a");
    let written = client_as(&aws, keys(KEY), "us-east-1");
    let written = written
        .put_secret_value()
        .secret_id("db")
        .secret_string("2")
        .send()
        .await;
    assert_eq!(code(written), "InvalidRequestException");

    let new = || sm.create_secret().name("other").secret_string("1");
    for refused in [
        new().tags(tag("aws:x", "1")),
        new().tags(tag("", "1")),
        new().tags(tag("k", &"v".repeat(257))),
        new().set_tags(Some((0..51).map(|n| tag(&format!("k{n}"), "v")).collect())),
        new().add_replica_regions(replica(REGION)),
    ] {
        assert!(refused.send().await.is_err());
    }
    let create = Statement::allow(&["secretsmanager:CreateSecret"], &["*"]);
    aws.user_with("AKIAMAKER", ACCOUNT, vec![create]);
    let sm = client_as(&aws, keys("AKIAMAKER"), REGION);
    let new = || sm.create_secret().name("other").secret_string("1");
    let denied = "AccessDeniedException";
    assert_eq!(code(new().tags(tag("team", "a")).send().await), denied);
    assert_eq!(
        code(new().add_replica_regions(replica("us-east-1")).send().await),
        denied
    );
    assert!(new().send().await.is_ok());
}

#[tokio::test]
async fn somebody_else_can_come_first() {
    let aws = start().await;
    let (sm, region) = (client(&aws), here(&aws));
    region.create("db", "1").unwrap();
    let first = region.current_version("db").unwrap();
    let waiting = "w".repeat(32);
    region
        .put_with_version("db", &waiting, SecretValue::text("2"), Some(&["MINE"]))
        .unwrap();
    let other = here(&aws);
    let write = move || {
        other.put("db", "3").unwrap();
    };
    aws.fault(
        Fault::meanwhile(write)
            .on("UpdateSecretVersionStage")
            .times(1),
    );
    let moved = sm
        .update_secret_version_stage()
        .secret_id("db")
        .version_stage(CURRENT);
    let moved = moved
        .remove_from_version_id(&first)
        .move_to_version_id(&waiting);
    assert_eq!(code(moved.send().await), "InvalidParameterException");
    assert_eq!(read(&sm, "db").await.as_deref(), Ok("3"));
}
