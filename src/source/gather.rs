//! One batch from its first ask to its answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    batch::{Answer, Answers, Plan},
    bucket::Lane,
    failure::Failure,
    hub::{Hub, Keep, Landing},
    metrics::{Operation, Outcome, SourceEvent},
    reading::Reading,
};
use crate::core::EntryAsk;

/// A batch that takes asks until it is full or its time is up.
pub(super) struct Gather<P> {
    /// None once it is sent.
    plan: Mutex<Option<P>>,
    /// Somebody waits for one of them.
    urgent: AtomicBool,
    /// Not all of them are [`Reading::of_many`].
    scattered: AtomicBool,
    full: Notify,
    sent: Arc<AtomicBool>,
}

impl<P: Default> Default for Gather<P> {
    fn default() -> Self {
        Self {
            plan: Mutex::new(Some(P::default())),
            urgent: AtomicBool::new(false),
            scattered: AtomicBool::new(false),
            full: Notify::new(),
            sent: Arc::default(),
        }
    }
}

impl<P: Default> Gather<P> {
    /// Takes an ask in, as `add` does, which tells whether there was room and whether the plan is full now; false if
    /// there was none or it is too late.
    pub fn add(&self, reading: &Reading, add: impl FnOnce(&mut P) -> (bool, bool)) -> bool {
        let mut plan = self.plan.lock();
        let Some(plan) = plan.as_mut() else {
            return false;
        };
        let (added, full) = add(plan);
        if added {
            self.urgent.fetch_or(reading.lane == Lane::Urgent, Relaxed);
            self.scattered.fetch_or(!reading.of_many, Relaxed);
        }
        if full {
            self.full.notify_one();
        }
        added
    }

    /// Becomes true when the batch is on its way.
    pub fn sent(&self) -> Arc<AtomicBool> {
        self.sent.clone()
    }

    /// Waits until the time is up; true: it was filled before.
    pub async fn filled(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = self.full.notified() => true,
        }
    }

    /// How urgent the most urgent ask is.
    pub fn lane(&self) -> Lane {
        match self.urgent.load(Relaxed) {
            true => Lane::Urgent,
            false => Lane::Routine,
        }
    }

    /// All of them are parts of larger reads.
    pub fn is_of_many(&self) -> bool {
        !self.scattered.load(Relaxed)
    }

    /// Takes the plan out: it is on its way, and takes no more.
    pub fn take(&self) -> P {
        self.sent.store(true, Relaxed);
        self.plan.lock().take().unwrap_or_default()
    }
}

impl Hub {
    /// Waits for more asks, then for a place, then asks AWS. What waits for a place still takes asks.
    pub(super) async fn run_batch(self: Arc<Self>, gather: Arc<Gather<Plan>>) -> Arc<Answers> {
        let wait = self.settings.wait(self.lock().last_partial, Instant::now());
        let full = gather.filled(wait).await;
        // By one reader of many entries, not by many who come in a row or all together.
        let full_of_one = full && gather.is_of_many();
        if gather.lane() == Lane::Urgent && !full_of_one {
            let turn = self.lock().turn(&self.settings, Instant::now());
            tokio::time::sleep(turn).await;
        }
        let permit = self.places(gather.lane()).acquire().await;
        let own = self.calls.credentials.known_account();
        let (plan, taken_along) = {
            let (mut state, now) = (self.lock(), Instant::now());
            let run = state.close(&gather);
            let mut plan = gather.take();
            let fill_up = |run| state.fill_up(&mut plan, &run, own.as_deref(), now);
            let taken_along = run.map(fill_up).unwrap_or_default();
            if !plan.is_full() {
                state.last_partial = Some(now);
            }
            (plan, taken_along)
        };
        let began = Instant::now();
        let answers = self.ask_batch(&plan, gather.lane()).await;
        drop(permit);
        self.keep_for_later(&answers, taken_along, began);
        Arc::new(answers)
    }

    /// Values that were read for others to come wait for them; whatever else came of it they find out themselves.
    fn keep_for_later(&self, answers: &Answers, taken_along: Vec<(EntryAsk, u64)>, began: Instant) {
        let (mut state, now) = (self.lock(), Instant::now());
        for (ask, number) in taken_along {
            if !state.brought_along(&ask, number)
                && let Some(Answer::Value(entry)) = answers.get(&ask.id)
            {
                let landing = Landing {
                    ask,
                    number,
                    began,
                    keep: Keep::IfWanted,
                    interval: Duration::MAX,
                };
                state.landed(&landing, &Ok(entry.clone()), now);
            }
        }
    }

    async fn ask_batch(&self, plan: &Plan, lane: Lane) -> Answers {
        let wires = plan.wires();
        // A batch of one has no advantage: the quota of single reads is a hundred times larger, and they need
        // one right less.
        if wires.len() < 2 {
            return plan.all(&Answer::Singly);
        }
        for _ in &wires {
            self.metrics.record(SourceEvent::ReadMade);
        }
        match self.calls.get_batch(&wires, lane).await {
            Ok(reply) => {
                let own = self.calls.credentials.known_account();
                plan.settle(&reply, own.as_deref())
            }
            Err(failure) => plan.all(&self.batch_failed(plan, failure)),
        }
    }

    /// What a batch that failed as a whole means for its members.
    fn batch_failed(&self, plan: &Plan, failure: Failure) -> Answer {
        let Failure::Refused(refusal) = &failure else {
            if matches!(failure, Failure::Timeout | Failure::Unreadable(_)) {
                // One member may have spoilt it for all; the next time each is read by itself.
                self.lock().suspects.extend(plan.ids().cloned());
            }
            return Answer::Failed(failure, Operation::BatchGetSecretValue);
        };
        match refusal.outcome() {
            // Without the action itself every batch fails. A VPC endpoint that denies one member fails only
            // the batches that hold it (source: AWS, "Get a batch of secret values").
            Outcome::Denied if refusal.says(Operation::BatchGetSecretValue.action()) => {
                self.note_denied(&failure, Operation::BatchGetSecretValue);
                Answer::Singly
            }
            Outcome::Denied | Outcome::NotFound | Outcome::Refused | Outcome::Ok => Answer::Singly,
            Outcome::Throttled | Outcome::Expired | Outcome::Unavailable => {
                Answer::Failed(failure, Operation::BatchGetSecretValue)
            }
        }
    }
}
