//! Shorthands for SQS clients.

use std::time::Duration;

use aws_sdk_sqs::operation::receive_message::ReceiveMessageOutput;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry as Delete, Message,
    MessageSystemAttributeName as MessageAttribute,
};
use keyferry_testkit::aws::{Call, CallLog, Outcome, Queue};
use tokio::task::JoinHandle;

use crate::kit::*;

/// One receive of up to ten, waiting up to 20 s.
pub async fn poll(sqs: &Sqs, queue: &Queue) -> Vec<Message> {
    let call = sqs.receive_message().queue_url(queue.url());
    let call = call.max_number_of_messages(10).wait_time_seconds(20);
    let all = call.message_system_attribute_names(MessageAttribute::All);
    messages(all.send().await.unwrap())
}

/// One receive that does not wait.
pub async fn peek(sqs: &Sqs, queue: &Queue) -> Vec<Message> {
    let call = sqs.receive_message().queue_url(queue.url());
    let all = call
        .max_number_of_messages(10)
        .message_system_attribute_names(MessageAttribute::All);
    messages(all.send().await.unwrap())
}

pub fn messages(output: ReceiveMessageOutput) -> Vec<Message> {
    output.messages.unwrap_or_default()
}

pub fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().filter_map(Message::body).collect()
}

pub fn receive_count(message: &Message) -> &str {
    &message.attributes().unwrap()[&MessageAttribute::ApproximateReceiveCount]
}

pub fn to_delete(id: &str, handle: &str) -> Delete {
    let entry = Delete::builder().id(id).receipt_handle(handle);
    entry.build().unwrap()
}

/// The reply to a poll that something answers before its 20 seconds are over.
pub async fn answered(open: JoinHandle<Vec<Message>>) -> Vec<Message> {
    let limit = Duration::from_secs(10);
    let reply = tokio::time::timeout(limit, open).await;
    reply.expect("the poll went on waiting").unwrap()
}

pub fn waiting(log: &CallLog) -> bool {
    let open = |c: &Call| c.operation == "ReceiveMessage" && c.outcome == Outcome::Pending;
    log.calls().any(open)
}
