//! GetSecretValue and BatchGetSecretValue.

use aws_sdk_secretsmanager::primitives::Blob;
use keyferry_testkit::aws::{CURRENT, PREVIOUS, SecretValue, StaleScope};

use crate::kit::*;

#[tokio::test]
async fn values_are_read_by_name_arn_version_and_label() {
    let aws = start().await;
    let sm = client(&aws);
    let arn = here(&aws).create("prod/db", "one").unwrap();
    let first = here(&aws).current_version("prod/db").unwrap();
    let second = here(&aws).put("prod/db", "two").unwrap();
    let partial = &arn[..arn.len() - 7];
    for id in ["prod/db", &arn, partial] {
        let got = sm.get_secret_value().secret_id(id).send().await.unwrap();
        assert_eq!(got.secret_string(), Some("two"));
        assert_eq!(got.arn(), Some(arn.as_str()));
        assert_eq!(got.version_id(), Some(second.as_str()));
        assert_eq!(got.version_stages(), [CURRENT]);
    }
    let get = || sm.get_secret_value().secret_id("prod/db");
    let by_id = get().version_id(&first).send().await.unwrap();
    let by_label = get().version_stage(PREVIOUS).send().await.unwrap();
    assert_eq!(by_id.secret_string(), Some("one"));
    assert_eq!(by_label.version_id(), Some(first.as_str()));
    let current = get().send().await.unwrap();
    assert!(by_id.created_date().unwrap().as_nanos() < current.created_date().unwrap().as_nanos());
    let both = get().version_id(&first).version_stage(CURRENT);
    assert_eq!(code(both.send().await), "InvalidRequestException");
    let unknown = get().version_id("0".repeat(36));
    assert_eq!(code(unknown.send().await), "ResourceNotFoundException");
    let no_label = get().version_stage("GREEN").send().await;
    assert_eq!(
        message(no_label),
        "Secrets Manager can't find the specified secret value for staging label: GREEN"
    );
    assert_eq!(
        code(get().version_id("short").send().await),
        "InvalidParameterException"
    );
}

#[tokio::test]
async fn refusals_have_status_400_and_the_text_of_aws() {
    let aws = start().await;
    let sm = client(&aws);
    let get = || sm.get_secret_value().secret_id("none").send();
    assert_eq!(status(get().await), 400);
    assert_eq!(
        message(get().await),
        "Secrets Manager can't find the specified secret."
    );
    here(&aws).create_empty("none").unwrap();
    assert_eq!(code(get().await), "ResourceNotFoundException");
}

#[tokio::test]
async fn a_partial_arn_that_looks_complete_is_not_found() {
    let aws = start().await;
    let sm = client(&aws);
    let arn = here(&aws)
        .create_with_suffix("my-secret", "a1B2c3", "v")
        .unwrap();
    assert!(arn.ends_with(":secret:my-secret-a1B2c3"));
    assert_eq!(read(&sm, "my-secret").await.as_deref(), Ok("v"));
    assert_eq!(read(&sm, &arn).await.as_deref(), Ok("v"));
    let partial = &arn[..arn.len() - 7];
    assert_eq!(
        read(&sm, partial).await.unwrap_err(),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn a_recreated_secret_has_another_arn() {
    let aws = start().await;
    let sm = client(&aws);
    let old = here(&aws).create("a", "1").unwrap();
    let new = here(&aws).force_delete_recreate("a", "2").unwrap();
    assert_ne!(old, new);
    assert_eq!(
        read(&sm, &old).await.unwrap_err(),
        "ResourceNotFoundException"
    );
    assert_eq!(read(&sm, &new).await.as_deref(), Ok("2"));
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("2"));
}

#[tokio::test]
async fn binary_values_pass_unharmed() {
    let aws = start().await;
    let sm = client(&aws);
    let bytes: Vec<u8> = (0..=255).collect();
    here(&aws).create_binary("bin", &bytes).unwrap();
    let got = sm.get_secret_value().secret_id("bin").send().await.unwrap();
    assert_eq!(
        got.secret_binary().map(Blob::as_ref),
        Some(bytes.as_slice())
    );
    assert_eq!(got.secret_string(), None);
}

#[tokio::test]
async fn a_batch_answers_each_entry_for_itself() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    for name in ["a", "b", "gone"] {
        region.create(name, name).unwrap();
    }
    region.create_empty("empty").unwrap();
    region.delete("gone", 7).unwrap();
    let ids = ["a", "b", "a", "gone", "empty", "none"].map(str::to_owned);
    let batch = sm
        .batch_get_secret_value()
        .set_secret_id_list(Some(ids.into()));
    let got = batch.send().await.unwrap();
    let names: Vec<_> = got
        .secret_values()
        .iter()
        .filter_map(|v| v.name())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let errors: Vec<_> = got
        .errors()
        .iter()
        .map(|e| (e.secret_id().unwrap(), e.error_code().unwrap()))
        .collect();
    assert_eq!(
        errors,
        [
            ("gone", "InvalidRequestException"),
            ("empty", "ResourceNotFoundException"),
            ("none", "ResourceNotFoundException"),
        ]
    );
    assert_eq!((aws.reads_of("a"), aws.reads_of("none")), (1, 1));
    let call = aws.calls().pop().unwrap();
    assert_eq!(call.entry_errors.len(), 3);
    assert_eq!(call.ids.len(), 6);
}

#[tokio::test]
async fn a_batch_takes_twenty_ids_or_filters() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    for n in 0..45 {
        region.create(&format!("page/{n:02}"), "v").unwrap();
    }
    let of = |count: usize| {
        let ids = (0..count).map(|n| format!("page/{n:02}")).collect();
        sm.batch_get_secret_value()
            .set_secret_id_list(Some(ids))
            .send()
    };
    assert_eq!(of(20).await.unwrap().secret_values().len(), 20);
    assert_eq!(code(of(21).await), "ValidationException");
    assert_eq!(code(of(0).await), "InvalidParameterException");
    let filter = aws_sdk_secretsmanager::types::Filter::builder()
        .key("name".into())
        .values("page/")
        .build();
    let mut pages = Vec::new();
    let mut token = None;
    loop {
        let call = sm.batch_get_secret_value().filters(filter.clone());
        let page = call.set_next_token(token).send().await.unwrap();
        pages.push(page.secret_values().len());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [20, 20, 5]);
}

#[tokio::test]
async fn reads_can_be_stale() {
    let aws = start().await;
    let sm = client(&aws);
    let region = here(&aws);
    region.create("a", "one").unwrap();
    region.hold_reads("a", Some(2), StaleScope::Values).unwrap();
    let second = region.put("a", "two").unwrap();
    let by_id = sm.get_secret_value().secret_id("a").version_id(&second);
    assert_eq!(code(by_id.send().await), "ResourceNotFoundException");
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("one"));
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("two"));
    region
        .serve_previous("a", None, StaleScope::Everything)
        .unwrap();
    for _ in 0..3 {
        assert_eq!(read(&sm, "a").await.as_deref(), Ok("one"));
    }
    let described = sm.describe_secret().secret_id("a").send().await.unwrap();
    assert!(
        !described
            .version_ids_to_stages()
            .unwrap()
            .contains_key(&second)
    );
    region.release_reads("a");
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("two"));
}

#[tokio::test]
async fn stores_are_apart_by_account_and_region() {
    let aws = start().await;
    aws.user("AKIAOTHEROTHEROTHER1", OTHER);
    here(&aws).create("a", "mine").unwrap();
    aws.account(ACCOUNT)
        .region("us-east-1")
        .create("a", "east")
        .unwrap();
    let east = client_as(&aws, keys(KEY), "us-east-1");
    let other = client_as(&aws, keys("AKIAOTHEROTHEROTHER1"), REGION);
    assert_eq!(read(&client(&aws), "a").await.as_deref(), Ok("mine"));
    assert_eq!(read(&east, "a").await.as_deref(), Ok("east"));
    assert_eq!(
        read(&other, "a").await.unwrap_err(),
        "ResourceNotFoundException"
    );
    let arn = here(&aws).arn("a").unwrap();
    assert_eq!(
        read(&east, &arn).await.unwrap_err(),
        "ResourceNotFoundException"
    );
    let copy = here(&aws).replicate("a", "eu-west-1").unwrap();
    assert_eq!(copy, arn.replace(REGION, "eu-west-1"));
    let west = client_as(&aws, keys(KEY), "eu-west-1");
    assert_eq!(read(&west, &copy).await.as_deref(), Ok("mine"));
    let put = west.put_secret_value().secret_id("a").secret_string("x");
    assert_eq!(code(put.send().await), "InvalidRequestException");
    here(&aws).put("a", "newer").unwrap();
    here(&aws).replicate("a", "eu-west-1").unwrap();
    assert_eq!(read(&west, &copy).await.as_deref(), Ok("newer"));
}

#[test]
fn values_do_not_show_in_debug() {
    let shown = format!(
        "{:?} {:?}",
        SecretValue::text("hunter2"),
        SecretValue::binary(b"hunter2")
    );
    assert_eq!(shown, "Text(7 bytes) Binary(7 bytes)");
}
