//! The consumer of the events queue: receives, has hints handled, deletes what is done with.
//!
//! Receiving never waits for handling, except for room: so many hints under way are enough.

use std::time::{Duration, SystemTime};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    EventOutcome, Handled, Hint, QueueAddress,
    deletes::Deletes,
    flights::{Boarding, Flights, Key},
    parse,
    sqs::{MOST_AT_ONCE, Received, Sqs},
    trouble::{Change, Health, explain, lag},
};
use crate::{
    api::Reason,
    core::Finding,
    source::{
        Sources,
        failure::Failure,
        metrics::{Operation, SourceEvent, SourceMetrics},
    },
};

/// Hints under way at once.
const MOST_UNDER_WAY: usize = 256;
/// Pause after an answer without messages: a server that does not know long polls is not asked without end.
const EMPTY_PAUSE: Duration = Duration::from_millis(100);
/// How long hints under way may take to end when the consumer stops.
const LAST_HINTS: Duration = Duration::from_secs(10);
/// How long the last deletions may take.
const LAST_DELETES: Duration = Duration::from_secs(5);

/// The consumer of one queue.
pub struct EventsQueue {
    sqs: Sqs,
    arn: String,
    metrics: SourceMetrics,
}

impl EventsQueue {
    /// Calls nobody. Made by [`Sources::events_queue`].
    pub(super) fn new(sources: &Sources, address: &QueueAddress) -> Result<Self, Finding> {
        let region = address.region.as_deref().or(sources.own_region());
        let region = region.ok_or_else(|| {
            Finding::new(
                Reason::NoCredentials,
                "No AWS region for the events queue: its URL names none and the operator has none.",
                "Set AWS_REGION on the operator, or give the URL that SQS shows.",
            )
        })?;
        let own = sources.own(region);
        let metrics = own.metrics.clone();
        Ok(Self {
            sqs: Sqs::new(own, address, region),
            arn: address.arn(region),
            metrics,
        })
    }

    /// The queue's ARN, for messages.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Follows the queue until `stop`; then hints under way may end, and what is done with is deleted.
    ///
    /// `handle` is called once for hints that are the same; at most 256 are under way. A message is deleted when
    /// its hint was not [`Handled::Failed`]; otherwise it comes back after the queue's visibility timeout, five
    /// times at most.
    pub async fn run<H, F>(self, stop: CancellationToken, handle: H)
    where
        H: Fn(Hint) -> F,
        F: Future<Output = Handled> + Send + 'static,
    {
        tracing::info!(target: "keyferry::source", queue = self.arn, "events are received");
        let mut run = Run {
            queue: &self,
            handle,
            receiving: None,
            handling: FuturesUnordered::new(),
            flights: Flights::default(),
            deletes: Deletes::new(&self.sqs, &self.arn),
            health: Health::default(),
        };
        stop.run_until_cancelled(run.follow()).await;
        run.finish().await;
    }
}

type Receiving<'q> = BoxFuture<'q, Result<Vec<Received>, Failure>>;

struct Run<'q, H> {
    queue: &'q EventsQueue,
    handle: H,
    receiving: Option<Receiving<'q>>,
    handling: FuturesUnordered<BoxFuture<'static, (Key, Handled)>>,
    flights: Flights,
    deletes: Deletes<'q>,
    health: Health,
}

impl<'q, H, F> Run<'q, H>
where
    H: Fn(Hint) -> F,
    F: Future<Output = Handled> + Send + 'static,
{
    async fn follow(&mut self) {
        let mut pause = Duration::ZERO;
        loop {
            if self.receiving.is_none() {
                self.receiving = self.receive(pause);
            }
            tokio::select! {
                result = ended(&mut self.receiving) => pause = self.received(result),
                Some((key, handled)) = self.handling.next(), if !self.handling.is_empty() => {
                    self.landed(&key, handled);
                }
                () = self.deletes.turn() => {}
            }
        }
    }

    /// The next receive, where there is room for what it may bring.
    fn receive(&self, pause: Duration) -> Option<Receiving<'q>> {
        let room = MOST_UNDER_WAY.saturating_sub(self.flights.len());
        let queue = self.queue;
        (room > 0 && !self.deletes.crowded()).then(|| {
            async move {
                sleep(pause).await;
                queue.sqs.receive(room.min(MOST_AT_ONCE)).await
            }
            .boxed()
        })
    }

    /// Takes in what a receive brought; the pause before the next one.
    fn received(&mut self, result: Result<Vec<Received>, Failure>) -> Duration {
        let queue = self.queue.arn.as_str();
        match result {
            Ok(messages) => {
                if self.health.worked() == Some(Change::Recovered) {
                    tracing::info!(target: "keyferry::source", queue, "events are received again");
                }
                let empty = messages.is_empty();
                messages.into_iter().for_each(|message| self.take(message));
                if empty { EMPTY_PAUSE } else { Duration::ZERO }
            }
            Err(failure) => {
                self.record(SourceEvent::EventsUnreceived);
                let (word, text) = explain(&failure, Operation::ReceiveMessage, queue);
                if self.health.failed(word) == Some(Change::Broke) {
                    tracing::warn!(target: "keyferry::source", queue, "no events are received, changes are seen by polling only: {text}");
                }
                self.health.pause(failure.retry_after(), rand::random())
            }
        }
    }

    fn take(&mut self, message: Received) {
        let sent = message.sent.as_deref();
        if let Some(lag) = sent.and_then(|sent| lag(sent, SystemTime::now())) {
            self.record(SourceEvent::EventLag(lag));
        }
        let hint = match parse(&message.body) {
            Ok(hint) => hint,
            Err(why) => {
                self.record(SourceEvent::Event(EventOutcome::Ignored(why)));
                return self.deletes.add(message.receipt);
            }
        };
        let (key, kind) = (Key::new(&hint, &message.receipt), hint.kind);
        match self.flights.board(&key, message.receipt) {
            Boarding::Begin => {
                let handled = (self.handle)(hint);
                self.handling
                    .push(async move { (key, handled.await) }.boxed());
                return;
            }
            Boarding::Joined => {}
            Boarding::Full(receipt) => self.deletes.add(receipt),
        }
        self.record(SourceEvent::Event(EventOutcome::Joined(kind)));
    }

    fn landed(&mut self, key: &Key, handled: Handled) {
        let (deleted, kept) = self.flights.land(key, handled);
        let outcome = match handled {
            Handled::Failed if kept == 0 => EventOutcome::GivenUp(key.kind()),
            handled => EventOutcome::Handled(key.kind(), handled),
        };
        self.record(SourceEvent::Event(outcome));
        deleted
            .into_iter()
            .for_each(|receipt| self.deletes.add(receipt));
    }

    async fn finish(&mut self) {
        // What a receive under way brings comes back to whoever asks next.
        self.receiving = None;
        let ending = async {
            while !self.handling.is_empty() {
                tokio::select! {
                    Some((key, handled)) = self.handling.next() => self.landed(&key, handled),
                    () = self.deletes.turn() => {}
                }
            }
        };
        timeout(LAST_HINTS, ending).await.ok();
        timeout(LAST_DELETES, self.deletes.finish()).await.ok();
    }

    fn record(&self, event: SourceEvent) {
        self.queue.metrics.record(event);
    }
}

/// Waits for a receive, for ever where there is none. May be dropped at any time.
async fn ended(receiving: &mut Option<Receiving<'_>>) -> Result<Vec<Received>, Failure> {
    match receiving {
        Some(under_way) => {
            let result = under_way.await;
            *receiving = None;
            result
        }
        None => std::future::pending().await,
    }
}
