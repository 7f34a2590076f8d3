//! What queues refuse, and what goes wrong with them on purpose.

use std::time::Duration;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageOutput;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry as Delete;
use keyferry_testkit::aws::{Fault, Statement};

use crate::consumer::*;
use crate::kit::*;

#[tokio::test]
async fn requests_beyond_the_limits_are_refused() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    let receive = || sqs.receive_message().queue_url(queue.url());
    let invalid = "InvalidParameterValue";
    for call in [
        receive().max_number_of_messages(11),
        receive().max_number_of_messages(0),
        receive().wait_time_seconds(21),
        receive().visibility_timeout(43_201),
    ] {
        assert_eq!(code(call.send().await), invalid);
    }
    let batch = |entries: Vec<Delete>| {
        let call = sqs.delete_message_batch().queue_url(queue.url());
        call.set_entries(Some(entries)).send()
    };
    let many = (0..11).map(|n| to_delete(&n.to_string(), "x")).collect();
    let prefix = "AWS.SimpleQueueService.";
    assert_eq!(
        code(batch(many).await),
        format!("{prefix}TooManyEntriesInBatchRequest")
    );
    assert_eq!(
        code(batch(Vec::new()).await),
        format!("{prefix}EmptyBatchRequest")
    );
    let twice = vec![to_delete("a", "x"), to_delete("a", "y")];
    assert_eq!(
        code(batch(twice).await),
        format!("{prefix}BatchEntryIdsNotDistinct")
    );
    let delete = sqs
        .delete_message()
        .queue_url(queue.url())
        .receipt_handle("x");
    assert_eq!(code(delete.send().await), "ReceiptHandleIsInvalid");
    let long = "x".repeat(1024 * 1024 + 1);
    let send = sqs.send_message().queue_url(queue.url()).message_body(long);
    assert_eq!(code(send.send().await), invalid);

    queue.set_max_in_flight(1);
    queue.send_raw("a");
    queue.send_raw("b");
    assert_eq!(peek(&sqs, &queue).await.len(), 1);
    let full = receive().send().await.unwrap_err().into_service_error();
    assert!(full.is_over_limit());
    // A long poll waits for room instead.
    let (client, polled) = (sqs.clone(), queue.clone());
    let open = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    aws.advance(Duration::from_secs(20));
    assert!(answered(open).await.is_empty());
}

#[tokio::test]
async fn an_unknown_queue_has_its_own_code() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    let receive = |url: String| sqs.receive_message().queue_url(url).send();
    let missing = receive(format!("{}x", queue.url())).await.unwrap_err();
    assert!(
        missing
            .as_service_error()
            .unwrap()
            .is_queue_does_not_exist()
    );
    let named = "AWS.SimpleQueueService.NonExistentQueue";
    assert_eq!(code::<ReceiveMessageOutput, _, _>(Err(missing)), named);
    let elsewhere = queue.aws_url().replace(REGION, "us-east-1");
    assert_eq!(code(receive(elsewhere).await), "InvalidAddress");
    assert_eq!(code(receive("q".to_owned()).await), "InvalidAddress");
    let east = sqs_as(&aws, keys(KEY), "us-east-1");
    let other = east.receive_message().queue_url(queue.url()).send().await;
    assert!(
        other
            .unwrap_err()
            .into_service_error()
            .is_queue_does_not_exist()
    );
    queue.delete();
    let gone = receive(queue.url()).await.unwrap_err();
    assert!(gone.into_service_error().is_queue_does_not_exist());
}

#[tokio::test]
async fn only_the_entitled_may_use_a_queue() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    queue.send_raw("a");
    let act = |key: &'static str| {
        let (sqs, url) = (sqs_as(&aws, keys(key), REGION), queue.url());
        async move {
            let got = sqs.receive_message().queue_url(url).send().await;
            got.map(|out| messages(out).len())
        }
    };
    let secrets = Statement::allow(&["secretsmanager:*"], &["*"]);
    aws.user_with("AKIANONE", ACCOUNT, vec![secrets]);
    let denied = act("AKIANONE").await.unwrap_err();
    assert_eq!(status_of(&denied), 403);
    assert_eq!(code::<usize, _, _>(Err(denied)), "AccessDenied");
    let other = Statement::allow(&["sqs:*"], &[&format!("{}x", queue.arn())]);
    aws.user_with("AKIAOTHER", ACCOUNT, vec![other]);
    assert_eq!(code(act("AKIAOTHER").await), "AccessDenied");

    // Another account needs the queue policy too.
    aws.user("AKIAFOREIGN", OTHER);
    assert_eq!(code(act("AKIAFOREIGN").await), "AccessDenied");
    queue.allow_principal(&format!("arn:aws:iam::{OTHER}:root"));
    assert_eq!(act("AKIAFOREIGN").await.unwrap(), 1);
    queue.deny_principal("*AKIAFOREIGN");
    assert_eq!(code(act("AKIAFOREIGN").await), "AccessDenied");

    // A batch needs the right of its members.
    let receive = Statement::allow(&["sqs:ReceiveMessage"], &[&queue.arn()]);
    aws.user_with("AKIAREAD", ACCOUNT, vec![receive]);
    assert_eq!(act("AKIAREAD").await.unwrap(), 0);
    let reader = sqs_as(&aws, keys("AKIAREAD"), REGION);
    let batch = reader.delete_message_batch().queue_url(queue.url());
    let batch = batch.entries(to_delete("a", "x"));
    let refused = batch.send().await;
    let text = message(refused);
    assert!(text.contains("sqs:deletemessage on resource: arn:aws:sqs:"));
    assert_eq!(code(act("AKIAUNKNOWN").await), "InvalidClientTokenId");
}

fn status_of<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |r| r.status().as_u16())
}

#[tokio::test]
async fn faults_hit_queues_like_secrets() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    queue.send_raw("a");
    let receive = || sqs.receive_message().queue_url(queue.url()).send();
    aws.fault(
        Fault::error(500, "InternalError")
            .on("ReceiveMessage")
            .times(1),
    );
    assert_eq!(code(receive().await), "InternalError");
    aws.fault(Fault::throttled(None).entry("q").times(1));
    let busy = receive().await.unwrap_err().into_service_error();
    assert!(busy.is_request_throttled());
    aws.fault(Fault::denied().on("ReceiveMessage").times(1));
    assert_eq!(code(receive().await), "AccessDenied");
    assert_eq!(queue.stats().delivered, 0);
    let hang = aws.hang(|fault| fault.on("ReceiveMessage"));
    let open = tokio::spawn(receive());
    aws.wait_for(waiting).await.unwrap();
    assert_eq!(queue.stats().delivered, 0);
    hang.release();
    assert_eq!(messages(open.await.unwrap().unwrap()).len(), 1);
}
