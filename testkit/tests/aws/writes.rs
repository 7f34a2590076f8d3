//! The operations that change secrets, as SDK clients use them.

use std::time::Duration;

use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::Tag;
use keyferry_testkit::aws::{CURRENT, MAX_VALUE_BYTES, PREVIOUS};

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
