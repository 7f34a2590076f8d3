//! What Secrets Manager's changes put into a queue.

use std::time::Duration;

use aws_sdk_sqs::types::Message;
use keyferry_testkit::aws::{
    Emission, EventKinds, FakeAws, Order, Queue, SecretValue, Statement, Subscription,
};
use serde_json::{Value, json};

use crate::kit::*;

fn subscribed(aws: &FakeAws, kinds: EventKinds) -> (Queue, Subscription) {
    let queue = here(aws).create_queue("changes");
    let subscription = queue.subscribe(&here(aws), kinds);
    (queue, subscription)
}

fn events(queue: &Queue) -> Vec<Value> {
    let bodies = queue.bodies();
    bodies
        .iter()
        .map(|b| serde_json::from_str(b).unwrap())
        .collect()
}

/// The version id of each native event in the queue, as they came.
fn versions(queue: &Queue) -> Vec<String> {
    let version = |e: &Value| e["detail"]["versionId"].as_str().unwrap().to_owned();
    events(queue).iter().map(version).collect()
}

#[tokio::test]
async fn label_moves_are_told() {
    let aws = start().await;
    let (queue, _) = subscribed(&aws, EventKinds::native());
    let region = here(&aws);
    let arn = region.create("prod/db", "1").unwrap();
    let first = region.current_version("prod/db").unwrap();
    let second = region.put("prod/db", "2").unwrap();
    let pending = "p".repeat(32);
    let value = SecretValue::text("3");
    let labels = ["AWSPENDING", "BLUE"];
    region
        .put_with_version("prod/db", &pending, value, Some(&labels))
        .unwrap();
    region.move_label("prod/db", "AWSPENDING", &second).unwrap();
    region.move_label("prod/db", "AWSCURRENT", &first).unwrap();
    region.move_label("prod/db", "AWSCURRENT", &first).unwrap();
    region.remove_label("prod/db", "BLUE").unwrap();
    region.tag("prod/db", "team", "a").unwrap();
    region.delete("prod/db", 7).unwrap();
    region.restore("prod/db").unwrap();
    let told: Vec<Value> = events(&queue)
        .iter()
        .map(|e| json!([e["detail"]["labelUpdated"], e["detail"]["versionId"]]))
        .collect();
    let expected = [
        json!(["AWSCURRENT", first]),
        json!(["AWSCURRENT", second]),
        json!(["BLUE", pending]),
        json!(["AWSCURRENT", first]),
    ];
    assert_eq!(told, expected);
    let event = &events(&queue)[1];
    for (field, value) in [
        ("source", json!("aws.secretsmanager")),
        ("detail-type", json!("Secret Label Updated")),
        ("account", json!(ACCOUNT)),
        ("region", json!(REGION)),
        ("resources", json!([arn])),
    ] {
        assert_eq!(event[field], value, "{field}");
    }
    assert_eq!(event["detail"]["name"], "prod/db");
}

#[tokio::test]
async fn calls_are_told_as_they_were_typed() {
    let aws = start().await;
    let (queue, _) = subscribed(&aws, EventKinds::cloudtrail());
    let sm = client(&aws);
    let made = sm.create_secret().name("a").secret_string("value-1");
    let arn = made.send().await.unwrap().arn().unwrap().to_owned();
    let partial = &arn[..arn.len() - 7];
    let put = sm.put_secret_value().secret_id(partial);
    let put = put.secret_string("value-2").send().await.unwrap();
    let update = sm.update_secret().secret_id("a").secret_string("value-3");
    let updated = update.send().await.unwrap();
    let stage = sm.update_secret_version_stage().secret_id(&arn);
    let stage = stage
        .version_stage("AWSCURRENT")
        .move_to_version_id(put.version_id().unwrap())
        .remove_from_version_id(updated.version_id().unwrap());
    stage.send().await.unwrap();
    let delete = sm.delete_secret().secret_id("a");
    delete.recovery_window_in_days(7).send().await.unwrap();
    sm.restore_secret().secret_id("a").send().await.unwrap();
    read(&sm, "a").await.unwrap();
    here(&aws).force_delete("a").unwrap();

    let told: Vec<Value> = events(&queue)
        .iter()
        .map(|e| {
            let detail = &e["detail"];
            assert_eq!(e["detail-type"], "AWS API Call via CloudTrail");
            assert_eq!(detail["eventSource"], "secretsmanager.amazonaws.com");
            assert_eq!(detail["responseElements"], json!({"arn": arn}));
            json!([detail["eventName"], detail["requestParameters"]["secretId"]])
        })
        .collect();
    let expected = [
        json!(["CreateSecret", null]),
        json!(["PutSecretValue", partial]),
        json!(["UpdateSecret", "a"]),
        json!(["UpdateSecretVersionStage", arn]),
        json!(["DeleteSecret", "a"]),
        json!(["RestoreSecret", "a"]),
        json!(["DeleteSecret", "a"]),
    ];
    assert_eq!(told, expected);
    let moved = &events(&queue)[3]["detail"]["requestParameters"];
    assert_eq!(moved["moveToVersionId"].as_str(), put.version_id());
    assert!(queue.bodies().iter().all(|body| !body.contains("value-")));
}

#[tokio::test]
async fn refused_calls_are_told_with_their_error() {
    let aws = start().await;
    let (queue, _) = subscribed(
        &aws,
        EventKinds {
            native: true,
            ..EventKinds::cloudtrail()
        },
    );
    aws.user_with(
        "AKIAREAD",
        ACCOUNT,
        vec![Statement::allow(&["sqs:*"], &["*"])],
    );
    let stranger = client_as(&aws, keys("AKIAREAD"), REGION);
    for (client, id) in [(&stranger, "a"), (&client(&aws), "missing")] {
        let put = client.put_secret_value().secret_id(id);
        assert!(put.secret_string("v").send().await.is_err());
    }
    let told: Vec<Value> = events(&queue)
        .iter()
        .map(|e| json!([e["detail"]["errorCode"], e["detail"]["responseElements"]]))
        .collect();
    let expected = [
        json!(["AccessDenied", null]),
        json!(["ResourceNotFoundException", null]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn events_are_wrapped_and_spelled_as_asked() {
    let aws = start().await;
    let (queue, subscription) = subscribed(&aws, EventKinds::native().in_sns());
    here(&aws).create("a", "1").unwrap();
    let wrapped = &events(&queue)[0];
    assert_eq!(wrapped["Type"], "Notification");
    let inner: Value = serde_json::from_str(wrapped["Message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["detail"]["name"], "a");
    subscription.end();
    let old = EventKinds {
        old_arn_key: true,
        ..EventKinds::cloudtrail()
    };
    queue.subscribe(&here(&aws), old);
    here(&aws).put("a", "2").unwrap();
    let spelled = &events(&queue)[1]["detail"]["responseElements"]["aRN"];
    assert_eq!(spelled.as_str(), here(&aws).arn("a").as_deref());
    // Other accounts and regions are not this rule's business.
    aws.account(OTHER).region(REGION).create("a", "1").unwrap();
    let east = aws.account(ACCOUNT).region("us-east-1");
    east.create("a", "1").unwrap();
    assert_eq!(queue.stats().sent, 2);
}

#[tokio::test]
async fn events_get_lost_doubled_and_replayed() {
    let aws = start().await;
    let (queue, subscription) = subscribed(&aws, EventKinds::native());
    let region = here(&aws);
    region.create("a", "0").unwrap();
    subscription.set_emission(Emission::default().losing_every(2).copies(3));
    let wrote: Vec<String> = (1..5)
        .map(|n| region.put("a", &n.to_string()).unwrap())
        .collect();
    let counts = subscription.counts();
    assert_eq!((counts.made, counts.lost, counts.sent), (5, 2, 7));
    let expected = [0, 0, 0, 2, 2, 2].map(|n: usize| wrote[n].clone());
    assert_eq!(versions(&queue)[1..], expected);
    // The copies are the same event in messages of their own.
    let sqs = sqs(&aws);
    let receive = sqs.receive_message().queue_url(queue.url());
    let got = receive.max_number_of_messages(10).send().await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        got.messages().iter().map(Message::message_id).collect();
    assert_eq!(ids.len(), 7);
    assert_eq!(events(&queue)[1]["id"], events(&queue)[2]["id"]);
    let old = queue.bodies().swap_remove(0);
    queue.send_raw(&old);
    assert_eq!(queue.bodies().last(), Some(&old));
    assert_eq!(queue.stats().sent, 8);
}

#[tokio::test]
async fn events_come_late_by_the_fakes_clock() {
    let aws = start().await;
    let (queue, subscription) = subscribed(&aws, EventKinds::native());
    subscription.set_emission(Emission::default().delayed(Duration::from_secs(300)));
    here(&aws).create("a", "1").unwrap();
    let stats = queue.stats();
    assert_eq!(
        (stats.coming, stats.visible, queue.is_empty()),
        (1, 0, false)
    );
    let sqs = sqs(&aws);
    let receive = || sqs.receive_message().queue_url(queue.url());
    assert!(receive().send().await.unwrap().messages().is_empty());
    let open = tokio::spawn(receive().wait_time_seconds(20).send());
    aws.wait_for(|log| log.count("ReceiveMessage") == 2)
        .await
        .unwrap();
    // Beyond the poll's own end, too: what is there is given.
    aws.advance(Duration::from_secs(300));
    let reply = tokio::time::timeout(Duration::from_secs(10), open).await;
    let reply = reply.expect("the poll went on waiting").unwrap();
    assert_eq!(reply.unwrap().messages().len(), 1);
    let delivered = queue.wait_for(|stats| stats.delivered == 1).await;
    assert!(delivered.is_ok());
}

#[tokio::test]
async fn held_events_come_in_another_order() {
    let aws = start().await;
    let (queue, subscription) = subscribed(&aws, EventKinds::native());
    let region = here(&aws);
    region.create("a", "0").unwrap();
    subscription.hold();
    let mut wrote: Vec<String> = (1..4)
        .map(|n| region.put("a", &n.to_string()).unwrap())
        .collect();
    assert_eq!((queue.stats().sent, subscription.counts().held), (1, 3));
    subscription.release(Order::Reversed);
    wrote.reverse();
    assert_eq!(versions(&queue)[1..], wrote);
    let next = region.put("a", "4").unwrap();
    assert_eq!(versions(&queue).pop(), Some(next));
}
