//! A queue as a test handles it, without credentials, faults or the call log.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::events::{EventKinds, Subscription};
use super::super::{Region, Shared, WaitTimeout};
use super::queue::{QueueState, QueueStats};
use super::registry::QueueKey;

/// A standard queue of one account in one region.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
    key: QueueKey,
}

impl Region {
    /// Makes a queue, or finds the one of this name. Defaults as at AWS: 30 s visibility timeout,
    /// 4 days of retention, short polls unless a call asks for more.
    pub fn create_queue(&self, name: &str) -> Queue {
        let (shared, account, region) = self.place();
        let key = QueueKey::new(account, region, name);
        let now = shared.clock.now();
        let state = || QueueState::new(key.arn(), now);
        shared.lock().queues.create(key.clone(), state);
        Queue {
            shared: shared.clone(),
            key,
        }
    }
}

impl Queue {
    /// `<endpoint>/<account>/<name>` at this fake.
    pub fn url(&self) -> String {
        self.shared.lock().queues.url(&self.key)
    }

    /// `https://sqs.<region>.amazonaws.com/<account>/<name>`, which the fake takes as well: an SDK
    /// sends it to its own endpoint.
    pub fn aws_url(&self) -> String {
        self.key.aws_url()
    }

    /// The queue's ARN, for policies.
    pub fn arn(&self) -> String {
        self.key.arn()
    }

    /// Sends the events of one account and region here from now on.
    pub fn subscribe(&self, events_of: &Region, kinds: EventKinds) -> Subscription {
        Subscription::begin(events_of, &self.key, kinds)
    }

    /// Puts a message in as it is, forged or replayed; returns its message id.
    pub fn send_raw(&self, body: &str) -> String {
        let sent = |queue: &mut QueueState, now| queue.send(body, "test", now, now).to_string();
        self.change(sent).unwrap_or_default()
    }

    /// Every body that was ever put in, in that order: the material of replays.
    pub fn bodies(&self) -> Vec<String> {
        let all = |queue: &mut QueueState, _| queue.history().map(str::to_owned).collect();
        self.change(all).unwrap_or_default()
    }

    /// What came, what went and where the rest is.
    pub fn stats(&self) -> QueueStats {
        stats(&self.shared, &self.key)
    }

    /// How many messages consumers have deleted.
    pub fn deleted(&self) -> u64 {
        self.stats().deleted
    }

    /// Whether nothing is left: neither visible, in flight or delayed, nor on its way.
    pub fn is_empty(&self) -> bool {
        self.stats().is_empty()
    }

    /// Sets the time for which received messages stay hidden when the call does not say.
    pub fn set_visibility_timeout(&self, hidden: Duration) {
        let hidden = signed(hidden);
        self.change(|queue, _| queue.visibility = hidden);
    }

    /// Sets how long a receive waits when the call does not say (at most 20 s at AWS).
    pub fn set_receive_wait(&self, wait: Duration) {
        let wait = signed(wait);
        self.change(|queue, _| queue.wait = wait);
    }

    /// Sets how many messages may be in flight; 120,000 at AWS.
    pub fn set_max_in_flight(&self, messages: usize) {
        self.change(|queue, _| queue.max_in_flight = messages);
    }

    /// Allows principals of other accounts (globs over their ARNs, or `arn:aws:iam::ACCOUNT:root`)
    /// in the queue policy; they need an Allow of their own too.
    pub fn allow_principal(&self, pattern: &str) {
        self.change(|queue, _| queue.policy.allow.push(pattern.to_owned()));
    }

    /// Denies principals in the queue policy.
    pub fn deny_principal(&self, pattern: &str) {
        self.change(|queue, _| queue.policy.deny.push(pattern.to_owned()));
    }

    /// Removes the queue with its messages; open polls learn that it is gone.
    pub fn delete(&self) {
        self.shared.lock().queues.remove(&self.key);
        self.shared.note_queues();
    }

    /// Waits until the numbers fulfil a condition, which is checked at each change.
    ///
    /// # Errors
    /// After 30 seconds.
    pub async fn wait_for(&self, done: impl Fn(&QueueStats) -> bool) -> Result<(), WaitTimeout> {
        let limit = Duration::from_secs(30);
        let mut changes = self.shared.queue_changes();
        let wait = async {
            while !done(&self.stats()) {
                // The sender lives as long as this queue.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, wait)
            .await
            .map_err(|_| WaitTimeout(limit))
    }

    /// `None` when the queue was deleted.
    fn change<T>(&self, act: impl FnOnce(&mut QueueState, Timestamp) -> T) -> Option<T> {
        let now = self.shared.clock.now();
        let mut world = self.shared.lock();
        let done = world.queues.get_mut(&self.key).map(|queue| act(queue, now));
        drop(world);
        self.shared.note_queues();
        done
    }
}

impl QueueStats {
    /// Whether nothing is left: neither visible, in flight or delayed, nor on its way.
    pub fn is_empty(&self) -> bool {
        self.visible + self.in_flight + self.delayed + self.coming == 0
    }
}

fn stats(shared: &Shared, key: &QueueKey) -> QueueStats {
    let now = shared.clock.now();
    let world = shared.lock();
    let stats = world.queues.get(key).map(|queue| queue.stats(now));
    stats.unwrap_or_default()
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
