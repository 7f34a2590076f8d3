//! One queue: which message may be received when, who holds it, what was deleted. Pure data
//! without a clock of its own.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::error::AwsError;
use super::super::random_uuid;
use super::super::store::ResourcePolicy;
use super::receipt::Receipt;

/// Messages of a standard queue that may be in flight at once (Amazon SQS message quotas).
const MAX_IN_FLIGHT: usize = 120_000;
/// How long a queue keeps a message when nothing else is set (SetQueueAttributes).
pub(super) const RETENTION: SignedDuration = SignedDuration::from_hours(4 * 24);
/// How long a received message stays hidden when nothing else is set (SetQueueAttributes).
const VISIBILITY: SignedDuration = SignedDuration::from_secs(30);

/// How many messages a queue has taken and given, and where the rest stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that were put in, by events, by SendMessage or by the test.
    pub sent: u64,
    /// Messages handed out; one that comes again counts again.
    pub delivered: u64,
    /// Messages deleted by a consumer.
    pub deleted: u64,
    /// Waiting to be received.
    pub visible: usize,
    /// Received and neither deleted nor visible again.
    pub in_flight: usize,
    /// Held back by `DelaySeconds`.
    pub delayed: usize,
    /// Events that are still on their way to the queue.
    pub coming: usize,
}

/// One message as a consumer gets it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub id: Arc<str>,
    pub body: Arc<str>,
    pub handle: String,
    pub sent: Timestamp,
    pub first_received: Timestamp,
    pub receives: u32,
    pub sender: Arc<str>,
}

#[derive(Debug)]
struct Message {
    body: Arc<str>,
    sender: Arc<str>,
    order: u64,
    arrives: Timestamp,
    visible_from: Timestamp,
    first_received: Option<Timestamp>,
    receives: u32,
}

/// A queue and its messages.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub arn: String,
    pub visibility: SignedDuration,
    /// `ReceiveMessageWaitTimeSeconds`.
    pub wait: SignedDuration,
    pub retention: SignedDuration,
    pub max_in_flight: usize,
    pub policy: ResourcePolicy,
    pub created: Timestamp,
    messages: HashMap<Arc<str>, Message>,
    /// All messages by the time from which they may be received.
    due: BTreeSet<(Timestamp, u64, Arc<str>)>,
    /// Every body that was ever put in, for replays.
    history: Vec<Arc<str>>,
    delivered: u64,
    deleted: u64,
}

impl QueueState {
    pub fn new(arn: String, now: Timestamp) -> Self {
        Self {
            arn,
            visibility: VISIBILITY,
            wait: SignedDuration::ZERO,
            retention: RETENTION,
            max_in_flight: MAX_IN_FLIGHT,
            policy: ResourcePolicy::default(),
            created: now,
            messages: HashMap::new(),
            due: BTreeSet::new(),
            history: Vec::new(),
            delivered: 0,
            deleted: 0,
        }
    }

    /// Puts a message in that arrives at one time and may be received from another on.
    pub fn send(
        &mut self,
        body: &str,
        sender: &str,
        arrives: Timestamp,
        visible_from: Timestamp,
    ) -> Arc<str> {
        let id: Arc<str> = random_uuid().into();
        let body: Arc<str> = body.into();
        let order = self.history.len() as u64;
        self.history.push(body.clone());
        self.due.insert((visible_from, order, id.clone()));
        let message = Message {
            body,
            sender: sender.into(),
            order,
            arrives,
            visible_from,
            first_received: None,
            receives: 0,
        };
        self.messages.insert(id.clone(), message);
        id
    }

    /// Hands out up to `max` visible messages and hides them; `None` when too many are in flight.
    pub fn receive(
        &mut self,
        max: usize,
        hidden: SignedDuration,
        now: Timestamp,
    ) -> Option<Vec<Received>> {
        self.expire(now);
        let room = self.max_in_flight.saturating_sub(self.stats(now).in_flight);
        if room == 0 {
            return None;
        }
        let ready = self.due.iter().take_while(|(from, ..)| *from <= now);
        let ids: Vec<Arc<str>> = ready
            .take(max.min(room))
            .map(|(_, _, id)| id.clone())
            .collect();
        Some(
            ids.iter()
                .filter_map(|id| self.hand_out(id, hidden, now))
                .collect(),
        )
    }

    fn hand_out(
        &mut self,
        id: &Arc<str>,
        hidden: SignedDuration,
        now: Timestamp,
    ) -> Option<Received> {
        self.hide_until(id, now + hidden);
        let message = self.messages.get_mut(id)?;
        message.receives += 1;
        self.delivered += 1;
        let receipt = Receipt {
            queue: &self.arn,
            message: id,
            receive: message.receives,
        };
        Some(Received {
            id: id.clone(),
            body: message.body.clone(),
            handle: receipt.encode(),
            sent: message.arrives,
            first_received: *message.first_received.get_or_insert(now),
            receives: message.receives,
            sender: message.sender.clone(),
        })
    }

    fn hide_until(&mut self, id: &Arc<str>, until: Timestamp) {
        if let Some(message) = self.messages.get_mut(id) {
            self.due
                .remove(&(message.visible_from, message.order, id.clone()));
            message.visible_from = until;
            self.due.insert((until, message.order, id.clone()));
        }
    }

    /// When the next message becomes visible that is hidden now.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let last_visible = (now, u64::MAX, "".into());
        let hidden = (Bound::Excluded(last_visible), Bound::Unbounded);
        self.due.range(hidden).next().map(|(from, ..)| *from)
    }

    /// Deletes by receipt. As at AWS a message that is gone is no error; neither is an older
    /// receipt than the last one, which deletes nothing ("the message might not get deleted").
    pub fn delete(&mut self, handle: &str) -> Result<(), AwsError> {
        let (id, receive) = self.own(handle)?;
        let fits = self
            .messages
            .get(&id)
            .is_some_and(|m| m.receives == receive);
        if fits {
            self.forget(&id);
            self.deleted += 1;
        }
        Ok(())
    }

    /// Hides a received message for another time, from now on; zero makes it visible at once.
    pub fn change_visibility(
        &mut self,
        handle: &str,
        hidden: SignedDuration,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let (id, receive) = self.own(handle)?;
        let Some(message) = self.messages.get(&id) else {
            return Err(super::invalid_value(
                "ReceiptHandle",
                handle,
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        if message.receives != receive || message.visible_from <= now {
            return Err(AwsError::new(
                "MessageNotInflight",
                "The specified message isn't in flight.",
            ));
        }
        self.hide_until(&id, now + hidden);
        Ok(())
    }

    /// Message and receive that one of this queue's receipts is about.
    fn own(&self, handle: &str) -> Result<(Arc<str>, u32), AwsError> {
        let text = Receipt::decode(handle);
        let receipt = text.as_deref().and_then(Receipt::parse);
        match receipt.filter(|r| r.queue == self.arn) {
            Some(receipt) => Ok((receipt.message.into(), receipt.receive)),
            None => Err(AwsError::new(
                "ReceiptHandleIsInvalid",
                "The input receipt handle is invalid.",
            )),
        }
    }

    fn forget(&mut self, id: &Arc<str>) {
        if let Some(message) = self.messages.remove(id) {
            self.due
                .remove(&(message.visible_from, message.order, id.clone()));
        }
    }

    /// Drops what is older than the retention period.
    fn expire(&mut self, now: Timestamp) {
        let old = |m: &Message| now.duration_since(m.arrives) >= self.retention;
        let ids: Vec<Arc<str>> = self
            .messages
            .iter()
            .filter(|(_, m)| old(m))
            .map(|(id, _)| id.clone())
            .collect();
        ids.iter().for_each(|id| self.forget(id));
    }

    pub fn stats(&self, now: Timestamp) -> QueueStats {
        let mut stats = QueueStats {
            sent: self.history.len() as u64,
            delivered: self.delivered,
            deleted: self.deleted,
            ..QueueStats::default()
        };
        for message in self.messages.values() {
            let place = if message.arrives > now {
                &mut stats.coming
            } else if message.visible_from <= now {
                &mut stats.visible
            } else if message.receives == 0 {
                &mut stats.delayed
            } else {
                &mut stats.in_flight
            };
            *place += 1;
        }
        stats
    }

    /// Every body that was put in, in that order.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.history.iter().map(|body| &**body)
    }
}
