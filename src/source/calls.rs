//! The Secrets Manager calls themselves: plain types out.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client,
    config::{Builder, IdentityCache, Region, retry::RetryConfig},
    types::{Filter, FilterNameStringType},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{
    batch::BatchReply,
    bucket::Lane,
    credentials::Credentials,
    failure::Failure,
    line::{Line, Pace},
    metrics::{Operation, SourceEvent, SourceMetrics},
    replies::{Described, Page, batch_reply, described, entry},
};
use crate::core::{Entry, Store, VersionSelector};

/// Secrets Manager as one hub calls it.
pub(super) struct Calls {
    client: Client,
    pub credentials: Arc<Credentials>,
    line: Line,
}

impl Calls {
    pub fn new(
        sdk: &SdkConfig,
        endpoint: Option<&str>,
        region: &str,
        credentials: Arc<Credentials>,
        metrics: SourceMetrics,
        pace: Pace,
    ) -> Self {
        // One attempt: the SDK's own further ones would go past the budget, and their throttles unseen.
        let mut config = Builder::from(sdk)
            .region(Region::new(region.to_owned()))
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(credentials.signer())
            .retry_config(RetryConfig::disabled());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            credentials: credentials.clone(),
            line: Line::new(sdk, Store::Secrets, region, credentials, metrics, pace),
        }
    }

    /// One GetSecretValue.
    pub async fn get(
        &self,
        wire: &str,
        version: &VersionSelector,
        lane: Lane,
    ) -> Result<Entry, Failure> {
        let reply = self
            .line
            .call(Operation::GetSecretValue, lane, || {
                let call = self.client.get_secret_value().secret_id(wire);
                match version {
                    VersionSelector::Current => call,
                    VersionSelector::Stage(stage) => call.version_stage(stage),
                    VersionSelector::Id(id) => call.version_id(id),
                }
                .send()
            })
            .await?;
        self.decrypted(Operation::GetSecretValue, 1);
        entry(reply).ok_or(Failure::Unreadable(200))
    }

    /// One BatchGetSecretValue.
    pub async fn get_batch(&self, wires: &[String], lane: Lane) -> Result<BatchReply, Failure> {
        let reply = self
            .line
            .call(Operation::BatchGetSecretValue, lane, || {
                let call = self.client.batch_get_secret_value();
                call.set_secret_id_list(Some(wires.to_vec())).send()
            })
            .await?;
        let values = reply.secret_values().len();
        self.decrypted(Operation::BatchGetSecretValue, values);
        Ok(batch_reply(reply))
    }

    fn decrypted(&self, operation: Operation, values: usize) {
        self.line
            .metrics
            .record(SourceEvent::Decrypted { operation, values });
    }

    /// One page of ListSecrets. A filter matches more than asked (tag keys and values apart): the caller looks
    /// again.
    pub async fn list(
        &self,
        filters: &[Filter],
        token: Option<&str>,
        lane: Lane,
    ) -> Result<Page, Failure> {
        let reply = self
            .line
            .call(Operation::ListSecrets, lane, || {
                let call = self
                    .client
                    .list_secrets()
                    .set_filters(Some(filters.to_vec()));
                call.max_results(100)
                    .set_next_token(token.map(str::to_owned))
                    .send()
            })
            .await?;
        Ok(Page {
            entries: reply.secret_list.unwrap_or_default(),
            next: reply.next_token,
        })
    }

    /// One DescribeSecret.
    pub async fn describe(&self, wire: &str, lane: Lane) -> Result<Described, Failure> {
        let reply = self
            .line
            .call(Operation::DescribeSecret, lane, || {
                self.client.describe_secret().secret_id(wire).send()
            })
            .await?;
        described(reply).ok_or(Failure::Unreadable(200))
    }

    /// One call of an operation that changes something: its token makes a further attempt harmless.
    pub async fn write<T, E: ProvideErrorMetadata, F>(
        &self,
        operation: Operation,
        send: impl Fn(&Client) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let send = || send(&self.client);
        self.line.call(operation, Lane::Urgent, send).await
    }
}

/// Names that begin with `prefix`; `!` would turn the filter around, and no name holds one.
pub(super) fn name_filter(prefix: &str) -> Filter {
    Filter::builder()
        .key(FilterNameStringType::Name)
        .values(prefix.trim_start_matches('!'))
        .build()
}

/// Entries that have this tag key at all.
pub(super) fn tag_filter(key: &str) -> Filter {
    Filter::builder()
        .key(FilterNameStringType::TagKey)
        .values(key.trim_start_matches('!'))
        .build()
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
