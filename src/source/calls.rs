//! The Secrets Manager calls themselves: one session check, one budget, one count, plain types out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    budget::{Budget, Budgets},
    credentials::{Credentials, Session},
    failure::Failure,
    metrics::{Operation, Outcome, SourceEvent, SourceMetrics},
    replies::{Described, Page, batch_reply, described, entry},
};
use crate::core::{Entry, VersionSelector, schedule::jittered};

/// Attempts of one operation where nothing else is said (source: AWS SDKs, standard retry mode).
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(200);

/// Secrets Manager as one hub calls it.
pub(super) struct Calls {
    client: Client,
    pub credentials: Arc<Credentials>,
    metrics: SourceMetrics,
    pace: Pace,
    region: String,
    /// Attempts of one operation.
    attempts: u32,
    /// Used while nobody knows whose account it is.
    unknown: Arc<Budget>,
}

/// What bounds calls: the same for every hub.
#[derive(Clone)]
pub(super) struct Pace {
    pub budgets: Arc<Budgets>,
    /// All attempts of one operation, and before that the wait for a turn.
    pub patience: Duration,
    /// Random, between 0 and 1.
    pub chance: fn() -> f64,
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
            credentials,
            metrics,
            unknown: Arc::new(pace.budgets.apart()),
            region: region.to_owned(),
            attempts: sdk
                .retry_config()
                .map_or(ATTEMPTS, RetryConfig::max_attempts),
            pace,
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
        self.metrics
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
            .call(Operation::DescribeSecret, lane, || {
                self.client.describe_secret().secret_id(wire).send()
            })
            .await?;
        described(reply).ok_or(Failure::Unreadable(200))
    }

    /// Waits for a turn and calls. Time spent waiting for it is no time of the operation.
    async fn call<T, E: ProvideErrorMetadata, F>(
        &self,
        operation: Operation,
        lane: Lane,
        send: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.login().await?;
        let budget = self.budget();
        let turn = self.turn(&budget, operation, lane, self.pace.patience);
        turn.await.map_err(Failure::OverBudget)?;
        let attempts = self.attempts(&budget, operation, lane, send);
        self.metrics.timed(operation, attempts).await
    }

    /// Calls until there is an answer worth having; once more with new credentials if AWS no longer accepts
    /// those.
    async fn attempts<T, E: ProvideErrorMetadata, F>(
        &self,
        budget: &Budget,
        operation: Operation,
        lane: Lane,
        send: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let (mut start, mut retries, mut refused) = (Instant::now(), 0, false);
        let left = |start: Instant| self.pace.patience.saturating_sub(start.elapsed());
        loop {
            let session = self.login().await?;
            let failure = match tokio::time::timeout(left(start), send()).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => Failure::from_sdk(&error),
                Err(_) => return Err(Failure::Timeout),
            };
            if failure.outcome() == Outcome::Throttled {
                budget.throttled(failure.retry_after());
                self.metrics.record(SourceEvent::Throttled);
            }
            if failure.is_expired() && !refused {
                refused = true;
                self.credentials.refuse(&session);
                self.metrics.record(SourceEvent::CredentialsRebuilt);
                self.login().await?;
                // Getting them has bounds of its own.
                start = Instant::now();
            } else if failure.may_pass() && retries + 1 < self.attempts {
                let wait = backoff(retries, (self.pace.chance)());
                retries += 1;
                if wait > left(start) {
                    return Err(failure);
                }
                tokio::time::sleep(wait).await;
            } else {
                return Err(failure);
            }
            // What AWS said is worth more than that there is no time to ask again.
            let turn = self.turn(budget, operation, lane, left(start));
            if turn.await.is_err() {
                return Err(failure);
            }
            self.metrics.record(SourceEvent::Retried(operation));
        }
    }

    async fn login(&self) -> Result<Arc<Session>, Failure> {
        let session = self.credentials.session().await;
        session.map_err(Failure::Identity)
    }

    fn budget(&self) -> Arc<Budget> {
        match self.credentials.known_account() {
            Some(account) => self.pace.budgets.of(&account, &self.region),
            None => self.unknown.clone(),
        }
    }

    /// Waits for the budget.
    async fn turn(
        &self,
        budget: &Budget,
        operation: Operation,
        lane: Lane,
        patience: Duration,
    ) -> Result<(), Duration> {
        let start = Instant::now();
        let turn = budget.acquire(operation, lane, patience).await;
        self.metrics.record(SourceEvent::Waited {
            operation,
            duration: start.elapsed(),
        });
        turn
    }
}

/// The wait before the `retry`-th further attempt, from 0.
fn backoff(retry: u32, chance: f64) -> Duration {
    jittered(BACKOFF.saturating_mul(1 << retry.min(16)), chance)
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
