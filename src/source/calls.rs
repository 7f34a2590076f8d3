//! The Secrets Manager calls themselves: one session check, one count, plain types out. No decisions.

use std::{sync::Arc, time::Instant};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client,
    config::{Builder, IdentityCache, Region, retry::RetryPartition},
    operation::{
        batch_get_secret_value::BatchGetSecretValueOutput, get_secret_value::GetSecretValueOutput,
    },
    primitives::{Blob, DateTime},
    types::{Filter, FilterNameStringType, SecretListEntry, SecretValueEntry},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;

use super::{
    batch::BatchReply,
    credentials::Credentials,
    failure::{Failure, Refusal},
    metrics::{Operation, Outcome, SourceEvent, SourceMetrics},
};
use crate::core::{Entry, EntryValue, SecretValue, VersionSelector};

/// Secrets Manager as one hub calls it.
pub(super) struct Calls {
    client: Client,
    pub credentials: Arc<Credentials>,
    metrics: SourceMetrics,
}

/// One page of a listing.
pub(super) struct Page {
    pub entries: Vec<SecretListEntry>,
    pub next: Option<String>,
}

impl Calls {
    pub fn new(
        sdk: &SdkConfig,
        endpoint: Option<&str>,
        region: &str,
        credentials: Arc<Credentials>,
        metrics: SourceMetrics,
    ) -> Self {
        // Own retry budget: the SDK's default one is shared by every account the process talks to.
        let mut config = Builder::from(sdk)
            .region(Region::new(region.to_owned()))
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(credentials.signer())
            .retry_partition(RetryPartition::custom("keyferry-secretsmanager").build());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            credentials,
            metrics,
        }
    }

    /// One GetSecretValue.
    pub async fn get(&self, wire: &str, version: &VersionSelector) -> Result<Entry, Failure> {
        let reply = self
            .call(Operation::GetSecretValue, || {
                let call = self.client.get_secret_value().secret_id(wire);
                match version {
                    VersionSelector::Current => call,
                    VersionSelector::Stage(stage) => call.version_stage(stage),
                    VersionSelector::Id(id) => call.version_id(id),
                }
                .send()
            })
            .await?;
        entry_of(Fields::from(reply)).ok_or(Failure::Unreadable(200))
    }

    /// One BatchGetSecretValue.
    pub async fn get_batch(&self, wires: &[String]) -> Result<BatchReply, Failure> {
        let reply = self
            .call(Operation::BatchGetSecretValue, || {
                let call = self.client.batch_get_secret_value();
                call.set_secret_id_list(Some(wires.to_vec())).send()
            })
            .await?;
        Ok(batch_reply(reply))
    }

    /// One page of ListSecrets. A filter matches more than asked (tag keys and values apart): the caller looks
    /// again.
    pub async fn list(&self, filters: &[Filter], token: Option<&str>) -> Result<Page, Failure> {
        let reply = self
            .call(Operation::ListSecrets, || {
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
        let start = Instant::now();
        let result = call.await.map_err(|error| Failure::from_sdk(&error));
        let outcome = result
            .as_ref()
            .map_or_else(Failure::outcome, |_| Outcome::Ok);
        let duration = start.elapsed();
        self.metrics.record(SourceEvent::Request {
            operation,
            outcome,
            duration,
        });
        tracing::debug!(target: "keyferry::source", operation = operation.as_str(), outcome = outcome.as_str(), ?duration);
        result
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

fn batch_reply(reply: BatchGetSecretValueOutput) -> BatchReply {
    let entries = reply.secret_values.unwrap_or_default().into_iter();
    let errors = reply.errors.unwrap_or_default().into_iter();
    BatchReply {
        // One that cannot be used is as if it were in neither list: it is read by itself.
        entries: entries
            .filter_map(|e| entry_of(Fields::from(e)))
            .map(Arc::new)
            .collect(),
        errors: errors
            .map(|e| {
                let refusal = Refusal {
                    code: e.error_code.unwrap_or_default(),
                    message: e.message.unwrap_or_default(),
                    status: 200,
                    retry_after: None,
                };
                (e.secret_id.unwrap_or_default(), refusal)
            })
            .collect(),
    }
}

/// The fields that a single and a batch reply share.
struct Fields {
    arn: Option<String>,
    name: Option<String>,
    version_id: Option<String>,
    created: Option<DateTime>,
    text: Option<String>,
    binary: Option<Blob>,
}

impl From<GetSecretValueOutput> for Fields {
    fn from(reply: GetSecretValueOutput) -> Self {
        Self {
            arn: reply.arn,
            name: reply.name,
            version_id: reply.version_id,
            created: reply.created_date,
            text: reply.secret_string,
            binary: reply.secret_binary,
        }
    }
}

impl From<SecretValueEntry> for Fields {
    fn from(entry: SecretValueEntry) -> Self {
        Self {
            arn: entry.arn,
            name: entry.name,
            version_id: entry.version_id,
            created: entry.created_date,
            text: entry.secret_string,
            binary: entry.secret_binary,
        }
    }
}

/// The entry, its bytes moved and not copied; None if something that AWS always sends is missing.
fn entry_of(fields: Fields) -> Option<Entry> {
    let value = match (fields.text, fields.binary) {
        (Some(text), _) => EntryValue::Text(SecretValue::from(text)),
        (None, Some(binary)) => EntryValue::Binary(SecretValue::new(binary.into_inner())),
        (None, None) => return None,
    };
    Some(Entry {
        arn: fields.arn?,
        name: fields.name?,
        version_id: fields.version_id?,
        created: fields.created.and_then(|at| {
            let nanos = i32::try_from(at.subsec_nanos()).ok()?;
            Timestamp::new(at.secs(), nanos).ok()
        }),
        value,
    })
}
