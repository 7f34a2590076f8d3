//! The SQS calls themselves: own timeouts, one count each, plain types out. No decisions.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::{Builder, IdentityCache, Region, retry::RetryPartition, timeout::TimeoutConfig},
    types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName as Attribute},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{QueueAddress, flights::Receipt};
use crate::source::{
    credentials::Credentials,
    failure::Failure,
    metrics::{Operation, SourceEvent, SourceMetrics},
    sources::Own,
};

/// Seconds a receive waits for messages (source: SQS API reference, WaitTimeSeconds, 0 to 20).
const LONG_POLL: i32 = 20;
/// A receive is over at the latest: the long poll and some more.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one call (source: SQS API reference, ReceiveMessage and DeleteMessageBatch).
pub(super) const MOST_AT_ONCE: usize = 10;

/// SQS as the consumer calls it.
pub(super) struct Sqs {
    client: Client,
    url: String,
    credentials: Arc<Credentials>,
    metrics: SourceMetrics,
}

/// One message.
pub(super) struct Received {
    pub body: String,
    pub receipt: Receipt,
    /// SentTimestamp, as it came.
    pub sent: Option<String>,
}

impl Sqs {
    pub fn new(own: Own<'_>, address: &QueueAddress, region: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(own.settings.timeouts.connect)
            .read_timeout(PATIENCE)
            .operation_attempt_timeout(PATIENCE)
            .operation_timeout(PATIENCE)
            .build();
        let mut config = Builder::from(own.sdk)
            .region(Region::new(region.to_owned()))
            .timeout_config(timeouts)
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(own.credentials.signer())
            .retry_partition(RetryPartition::custom("keyferry-sqs").build());
        if let Some(endpoint) = &own.settings.sqs_endpoint {
            config = config.endpoint_url(endpoint);
        } else if let Some(endpoint) = &address.endpoint {
            // The SDK refuses these switches beside an endpoint, which here has them in its name.
            config = config
                .endpoint_url(endpoint)
                .use_fips(false)
                .use_dual_stack(false);
        }
        Self {
            client: Client::from_conf(config.build()),
            url: address.url.clone(),
            credentials: own.credentials,
            metrics: own.metrics,
        }
    }

    /// One long poll for at most `most` messages.
    pub async fn receive(&self, most: usize) -> Result<Vec<Received>, Failure> {
        let most = i32::try_from(most.clamp(1, MOST_AT_ONCE)).unwrap_or(1);
        let call = || {
            self.client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(most)
                .wait_time_seconds(LONG_POLL)
                .message_system_attribute_names(Attribute::ApproximateReceiveCount)
                .message_system_attribute_names(Attribute::SentTimestamp)
                .send()
        };
        let reply = self.call(Operation::ReceiveMessage, call).await?;
        let messages = reply.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(received).collect())
    }

    /// Deletes at most ten messages; the number of those that SQS would not delete.
    pub async fn delete(&self, receipts: &[Receipt]) -> Result<usize, Failure> {
        let entries: Vec<_> = receipts
            .iter()
            .enumerate()
            .filter_map(|(at, receipt)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(&receipt.handle)
                    .build()
                    .ok()
            })
            .collect();
        let call = || {
            self.client
                .delete_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.clone()))
                .send()
        };
        let reply = self.call(Operation::DeleteMessageBatch, call).await?;
        Ok(reply.failed.len())
    }

    /// Calls with good credentials; once more with new ones if AWS no longer accepts those.
    async fn call<T, E: ProvideErrorMetadata, F>(
        &self,
        operation: Operation,
        send: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let session = self
            .credentials
            .session()
            .await
            .map_err(Failure::Identity)?;
        match self.timed(operation, send()).await {
            Err(failure) if failure.is_expired() => {
                self.credentials.refuse(&session);
                self.metrics.record(SourceEvent::CredentialsRebuilt);
                self.credentials
                    .session()
                    .await
                    .map_err(Failure::Identity)?;
                self.timed(operation, send()).await
            }
            result => result,
        }
    }

    async fn timed<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        let call = async { call.await.map_err(|error| Failure::from_sdk(&error)) };
        self.metrics.timed(operation, call).await
    }
}

/// A message without a handle could neither be deleted nor told from others.
fn received(message: Message) -> Option<Received> {
    let mut attributes = message.attributes.unwrap_or_default();
    let count = attributes.remove(&Attribute::ApproximateReceiveCount);
    Some(Received {
        body: message.body.unwrap_or_default(),
        receipt: Receipt {
            message: message.message_id.unwrap_or_default(),
            handle: message.receipt_handle?,
            received: count.and_then(|count| count.parse().ok()).unwrap_or(1),
        },
        sent: attributes.remove(&Attribute::SentTimestamp),
    })
}
