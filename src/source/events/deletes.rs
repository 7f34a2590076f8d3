//! Messages that are done with, deleted ten at a time. Whoever owns it drives it by [`Deletes::turn`].

use std::time::Duration;

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::{
    flights::Receipt,
    sqs::{MOST_AT_ONCE, Sqs},
    trouble::{Change, Health, explain},
};
use crate::source::{failure::Failure, metrics::Operation};

/// How long a message that is done with waits for others.
const GATHER: Duration = Duration::from_millis(200);
/// Calls under way above which no more messages should be received.
const CROWD: usize = 16;

type Call<'q> = BoxFuture<'q, Result<usize, Failure>>;

/// See the module.
pub(super) struct Deletes<'q> {
    sqs: &'q Sqs,
    arn: &'q str,
    waiting: Vec<Receipt>,
    due: Option<Instant>,
    calls: FuturesUnordered<Call<'q>>,
    health: Health,
}

impl<'q> Deletes<'q> {
    pub fn new(sqs: &'q Sqs, arn: &'q str) -> Self {
        Self {
            sqs,
            arn,
            waiting: Vec::new(),
            due: None,
            calls: FuturesUnordered::new(),
            health: Health::default(),
        }
    }

    pub fn add(&mut self, receipt: Receipt) {
        self.waiting.push(receipt);
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        if self.waiting.len() >= MOST_AT_ONCE {
            self.send();
        }
    }

    /// Deleting does not keep up.
    pub fn crowded(&self) -> bool {
        self.calls.len() >= CROWD
    }

    /// Waits until something is to be done, and does it. May be dropped at any time.
    pub async fn turn(&mut self) {
        let due = self.due;
        let gathered = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = gathered => self.send(),
            Some(result) = self.calls.next(), if !self.calls.is_empty() => self.ended(result),
        }
    }

    /// Deletes what is left.
    pub async fn finish(&mut self) {
        self.send();
        while let Some(result) = self.calls.next().await {
            self.ended(result);
        }
    }

    fn send(&mut self) {
        self.due = None;
        if self.waiting.is_empty() {
            return;
        }
        let (sqs, receipts) = (self.sqs, std::mem::take(&mut self.waiting));
        self.calls
            .push(Box::pin(async move { sqs.delete(&receipts).await }));
    }

    /// What was not deleted comes back and is handled again, which does no harm.
    fn ended(&mut self, result: Result<usize, Failure>) {
        let queue = self.arn;
        let failure = match result {
            Ok(0) => {
                if self.health.worked() == Some(Change::Recovered) {
                    tracing::info!(target: "keyferry::source", queue, "messages of the events queue are deleted again");
                }
                return;
            }
            Ok(left) => ("partial", format!("SQS did not delete {left} messages.")),
            Err(failure) => explain(&failure, Operation::DeleteMessageBatch, queue),
        };
        if self.health.failed(failure.0) == Some(Change::Broke) {
            tracing::warn!(target: "keyferry::source", queue, "messages of the events queue are not deleted and come back: {}", failure.1);
        }
    }
}
