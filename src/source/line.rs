//! The calls of one service: one session check, one budget, one count, for every operation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{
    bucket::Lane,
    budget::{Budget, Budgets},
    credentials::{Credentials, Session},
    failure::Failure,
    metrics::{Operation, Outcome, SourceEvent, SourceMetrics},
};
use crate::core::{Store, schedule::jittered};

/// Attempts of one operation where nothing else is said (source: AWS SDKs, standard retry mode).
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(200);

/// What the calls of one hub to one service have in common.
pub(super) struct Line {
    pub credentials: Arc<Credentials>,
    pub metrics: SourceMetrics,
    pace: Pace,
    store: Store,
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

impl Line {
    pub fn new(
        sdk: &SdkConfig,
        store: Store,
        region: &str,
        credentials: Arc<Credentials>,
        metrics: SourceMetrics,
        pace: Pace,
    ) -> Self {
        Self {
            credentials,
            metrics,
            unknown: Arc::new(pace.budgets.apart()),
            store,
            region: region.to_owned(),
            attempts: sdk
                .retry_config()
                .map_or(ATTEMPTS, RetryConfig::max_attempts),
            pace,
        }
    }

    /// Waits for a turn and calls. Time spent waiting for it is no time of the operation.
    pub async fn call<T, E: ProvideErrorMetadata, F>(
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
            Some(account) => self.pace.budgets.of(self.store, &account, &self.region),
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
pub(super) fn backoff(retry: u32, chance: f64) -> Duration {
    jittered(BACKOFF.saturating_mul(1 << retry.min(16)), chance)
}
