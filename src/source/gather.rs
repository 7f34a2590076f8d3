//! One batch from its first ask to its answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    batch::{Answer, Answers, Plan},
    bucket::Lane,
    failure::Failure,
    hub::Hub,
    metrics::{Operation, Outcome, SourceEvent},
};
use crate::core::SecretId;

/// A batch that takes asks until it is full or its time is up.
pub(super) struct Gather {
    /// None once it is sent.
    plan: Mutex<Option<Plan>>,
    full: Notify,
    sent: Arc<AtomicBool>,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            plan: Mutex::new(Some(Plan::default())),
            full: Notify::new(),
            sent: Arc::default(),
        }
    }
}

impl Gather {
    /// Takes an ask in; false if it is too late or there is no room.
    pub fn add(&self, id: &SecretId, wire: String, own_account: Option<&str>) -> bool {
        let mut plan = self.plan.lock();
        let Some(plan) = plan.as_mut() else {
            return false;
        };
        let added = plan.add(id, wire, own_account);
        if plan.is_full() {
            self.full.notify_one();
        }
        added
    }

    /// Becomes true when the batch is on its way.
    pub fn sent(&self) -> Arc<AtomicBool> {
        self.sent.clone()
    }

    fn take(&self) -> Plan {
        self.sent.store(true, Relaxed);
        self.plan.lock().take().unwrap_or_default()
    }
}

impl Hub {
    /// Waits for more asks, then for a place, then asks AWS. What waits for a place still takes asks.
    pub(super) async fn run_batch(self: Arc<Self>, gather: Arc<Gather>) -> Arc<Answers> {
        tokio::select! {
            () = tokio::time::sleep(self.settings.gather) => {}
            () = gather.full.notified() => {}
        }
        let permit = self.permits.acquire().await;
        let plan = {
            let mut state = self.lock();
            state.close(&gather);
            gather.take()
        };
        let answers = self.ask_batch(&plan).await;
        drop(permit);
        Arc::new(answers)
    }

    async fn ask_batch(&self, plan: &Plan) -> Answers {
        let wires = plan.wires();
        // A batch of one has no advantage: the quota of single reads is a hundred times larger, and they need
        // one right less.
        if wires.len() < 2 {
            return plan.all(&Answer::Singly);
        }
        for _ in &wires {
            self.metrics.record(SourceEvent::ReadMade);
        }
        match self.calls.get_batch(&wires, Lane::Urgent).await {
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
                let mut state = self.lock();
                if state.batch_denied_until.is_none() {
                    self.metrics.record(SourceEvent::BatchDenied);
                    tracing::warn!(target: "keyferry::source", region = self.region(), "secretsmanager:BatchGetSecretValue is denied: reading one by one");
                }
                state.batch_denied_until = Some(Instant::now() + self.settings.batch_denied_hold);
                Answer::Singly
            }
            Outcome::Denied | Outcome::NotFound | Outcome::Refused | Outcome::Ok => Answer::Singly,
            Outcome::Throttled | Outcome::Expired | Outcome::Unavailable => {
                Answer::Failed(failure, Operation::BatchGetSecretValue)
            }
        }
    }
}
