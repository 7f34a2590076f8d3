//! Queues as SQS clients see them.

use std::time::Duration;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry as Change, DeleteMessageBatchRequestEntry as Delete,
    QueueAttributeName as Attribute,
};
use keyferry_testkit::aws::{CallLog, Fault, Outcome, Service};

use crate::consumer::*;
use crate::kit::*;

#[tokio::test]
async fn a_long_poll_answers_when_a_message_comes() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let (client, polled) = (sqs(&aws), queue.clone());
    let open = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    assert!(!open.is_finished());
    let id = queue.send_raw("{}");
    let got = answered(open).await;
    assert_eq!((got.len(), got[0].message_id()), (1, Some(id.as_str())));
    // RFC 1321 of "{}".
    let md5 = "99914b932bd37a50b983c5e7c90ae93b";
    assert_eq!(got[0].md5_of_body(), Some(md5));
    // By another client, too.
    let (client, polled) = (sqs(&aws), queue.clone());
    let open = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    let send = sqs(&aws).send_message().queue_url(queue.aws_url());
    let sent = send.message_body("b").send().await.unwrap();
    let got = answered(open).await;
    assert_eq!(
        (bodies(&got), got[0].message_id()),
        (vec!["b"], sent.message_id())
    );
    assert_eq!(aws.count("ReceiveMessage"), 2);
}

#[tokio::test]
async fn a_long_poll_ends_empty_and_outlives_its_client() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let (client, polled) = (sqs(&aws), queue.clone());
    let open = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    aws.advance(Duration::from_secs(19));
    queue.set_receive_wait(Duration::from_secs(3));
    assert!(!open.is_finished());
    aws.advance(Duration::from_secs(1));
    assert!(answered(open).await.is_empty());

    let (client, polled) = (sqs(&aws), queue.clone());
    let gone = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    gone.abort();
    let abandoned = |log: &CallLog| log.calls().any(|c| c.outcome == Outcome::Abandoned);
    aws.wait_for(abandoned).await.unwrap();
    queue.send_raw("a");
    assert_eq!(
        queue.stats().delivered,
        0,
        "nothing went to a client that left"
    );
}

#[tokio::test]
async fn an_undeleted_message_comes_again() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    queue.send_raw("a");
    let first = peek(&sqs, &queue).await;
    assert_eq!(receive_count(&first[0]), "1");
    assert!(peek(&sqs, &queue).await.is_empty());
    assert_eq!(queue.stats().in_flight, 1);
    aws.advance(Duration::from_secs(29));
    assert!(peek(&sqs, &queue).await.is_empty());
    aws.advance(Duration::from_secs(1));
    let again = peek(&sqs, &queue).await;
    assert_eq!(receive_count(&again[0]), "2");
    assert_eq!(again[0].message_id(), first[0].message_id());
    assert_ne!(again[0].receipt_handle(), first[0].receipt_handle());

    // A poll that is open when the timeout ends gets it as well.
    let (client, polled) = (sqs.clone(), queue.clone());
    let open = tokio::spawn(async move { poll(&client, &polled).await });
    aws.wait_for(waiting).await.unwrap();
    let change = sqs.change_message_visibility().queue_url(queue.url());
    let change = change.receipt_handle(again[0].receipt_handle().unwrap());
    change.visibility_timeout(0).send().await.unwrap();
    let last = answered(open).await;
    assert_eq!(receive_count(&last[0]), "3");
    let delete = sqs.delete_message().queue_url(queue.url());
    let delete = delete.receipt_handle(last[0].receipt_handle().unwrap());
    delete.send().await.unwrap();
    assert!(queue.is_empty());
    assert_eq!((queue.deleted(), queue.stats().delivered), (1, 3));
}

#[tokio::test]
async fn an_open_poll_sees_the_visibility_timeout_end() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    queue.set_visibility_timeout(Duration::from_millis(50));
    queue.send_raw("a");
    let client = sqs(&aws);
    assert_eq!(peek(&client, &queue).await.len(), 1);
    // Nothing happens meanwhile but that time passes.
    let open = tokio::spawn(async move { poll(&client, &queue).await });
    assert_eq!(receive_count(&answered(open).await[0]), "2");
}

#[tokio::test]
async fn batches_fail_in_part() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    for body in ["a", "b", "c"] {
        queue.send_raw(body);
    }
    let got = peek(&sqs, &queue).await;
    let handle = |n: usize| got[n].receipt_handle().unwrap();
    let id = |n: usize| got[n].message_id().unwrap();
    aws.fault(
        Fault::error(500, "InternalError")
            .on("DeleteMessage")
            .entry(id(1))
            .times(1),
    );
    let batch = |entries: Vec<Delete>| {
        let call = sqs.delete_message_batch().queue_url(queue.url());
        call.set_entries(Some(entries)).send()
    };
    let entries = vec![
        to_delete("0", handle(0)),
        to_delete("1", handle(1)),
        to_delete("bad", "no handle"),
    ];
    let done = batch(entries).await.unwrap();
    assert_eq!(done.successful()[0].id(), "0");
    let failed = |n: usize| {
        let entry = &done.failed()[n];
        (entry.id(), entry.code(), entry.sender_fault())
    };
    assert_eq!(failed(0), ("1", "InternalError", false));
    assert_eq!(failed(1), ("bad", "ReceiptHandleIsInvalid", true));
    assert_eq!((queue.deleted(), queue.stats().in_flight), (1, 2));
    let call = aws.calls().pop().unwrap();
    assert_eq!(call.service, Service::Sqs);
    assert_eq!(call.ids, ["q", id(0), id(1)]);
    assert_eq!(call.entry_errors.len(), 2);

    // A fault on the queue hits so many members, not the call.
    aws.fault(Fault::denied().on("DeleteMessageBatch").entry("q").times(1));
    let entries = vec![to_delete("1", handle(1)), to_delete("2", handle(2))];
    let done = batch(entries).await.unwrap();
    assert_eq!((done.failed().len(), done.successful().len()), (1, 1));

    let later = |id: &str, handle: &str| {
        let entry = Change::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(0).build().unwrap()
    };
    let change = sqs.change_message_visibility_batch().queue_url(queue.url());
    let change = change.entries(later("1", handle(1)));
    let done = change.entries(later("0", handle(0))).send().await.unwrap();
    assert_eq!((done.successful().len(), done.failed().len()), (1, 1));
    assert_eq!(bodies(&peek(&sqs, &queue).await), ["b"]);
}

#[tokio::test]
async fn queues_are_found_and_described() {
    let aws = start().await;
    let queue = here(&aws).create_queue("q");
    let sqs = sqs(&aws);
    let found = sqs.get_queue_url().queue_name("q").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(queue.url().as_str()));
    let delayed = sqs
        .send_message()
        .queue_url(queue.url())
        .message_body("later");
    delayed.delay_seconds(900).send().await.unwrap();
    queue.send_raw("a");
    queue.send_raw("b");
    let one = sqs.receive_message().queue_url(queue.url()).send().await;
    assert_eq!(
        messages(one.unwrap()).len(),
        1,
        "one unless more are asked for"
    );
    let get = || sqs.get_queue_attributes().queue_url(queue.url());
    let all = get().attribute_names(Attribute::All).send().await.unwrap();
    let all = all.attributes().unwrap();
    for (name, value) in [
        (Attribute::ApproximateNumberOfMessages, "1"),
        (Attribute::ApproximateNumberOfMessagesNotVisible, "1"),
        (Attribute::ApproximateNumberOfMessagesDelayed, "1"),
        (Attribute::VisibilityTimeout, "30"),
        (Attribute::QueueArn, queue.arn().as_str()),
    ] {
        assert_eq!(all[&name], value);
    }
    let few = get().attribute_names(Attribute::QueueArn).send().await;
    assert_eq!(few.unwrap().attributes().unwrap().len(), 1);
    let unknown = get().attribute_names(Attribute::from("Colour"));
    assert_eq!(code(unknown.send().await), "InvalidAttributeName");
}
