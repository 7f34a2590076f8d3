//! A queue's subscription as a test handles it.

use std::sync::Arc;

use super::super::sqs::QueueKey;
use super::super::{Region, Shared};
use super::emission::{Emission, EmissionCounts, Emitter, Order};
use super::{Listener, Sent};

/// Which events a rule sends, and in what shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventKinds {
    /// `Secret Label Updated`: `AWSCURRENT` and labels of one's own, not `AWSPENDING` and
    /// `AWSPREVIOUS`.
    pub native: bool,
    /// `AWS API Call via CloudTrail` for creating, writing, deleting and restoring, refused calls
    /// included.
    pub cloudtrail: bool,
    /// CloudTrail events have `aRN` instead of `arn`, as some had before February 2024.
    pub old_arn_key: bool,
    /// In an SNS envelope instead of bare.
    pub sns_wrapped: bool,
}

impl EventKinds {
    /// Native events only.
    pub fn native() -> Self {
        Self {
            native: true,
            ..Self::default()
        }
    }

    /// CloudTrail events only.
    pub fn cloudtrail() -> Self {
        Self {
            cloudtrail: true,
            ..Self::default()
        }
    }

    /// The same events through SNS.
    #[must_use]
    pub fn in_sns(mut self) -> Self {
        self.sns_wrapped = true;
        self
    }
}

/// Events on their way from one account and region to a queue. It stays when this is dropped.
#[derive(Clone)]
pub struct Subscription {
    shared: Arc<Shared>,
    id: u64,
}

impl Subscription {
    pub(crate) fn begin(events_of: &Region, queue: &QueueKey, kinds: EventKinds) -> Self {
        let (shared, account, region) = events_of.place();
        let id = shared.lock().events.add(Listener {
            account: account.to_owned(),
            region: region.to_owned(),
            queue: queue.clone(),
            kinds,
            emitter: Emitter::new(Emission::default()),
        });
        Self {
            shared: shared.clone(),
            id,
        }
    }

    /// Treats later events like this.
    pub fn set_emission(&self, emission: Emission) {
        self.emitter(|emitter| emitter.change(emission));
    }

    /// Holds later events back until released.
    pub fn hold(&self) {
        self.emitter(Emitter::hold);
    }

    /// Sends what was held, in an order of choice, and later events again as they come.
    pub fn release(&self, order: Order) {
        let now = self.shared.clock.now();
        let mut world = self.shared.lock();
        if let Some(listener) = world.events.all.get_mut(&self.id) {
            let key = listener.queue.clone();
            let released: Vec<Sent> = listener.emitter.release(order);
            if let Some(queue) = world.queues.get_mut(&key) {
                released.iter().for_each(|sent| sent.put_into(queue, now));
            }
        }
        drop(world);
        self.shared.note_queues();
    }

    /// What became of the events so far.
    pub fn counts(&self) -> EmissionCounts {
        let counts = self.emitter(|emitter| emitter.counts());
        counts.unwrap_or_default()
    }

    /// Ends it; events on their way still arrive, held ones do not.
    pub fn end(&self) {
        self.shared.lock().events.all.remove(&self.id);
    }

    fn emitter<T>(&self, act: impl FnOnce(&mut Emitter) -> T) -> Option<T> {
        let mut world = self.shared.lock();
        let listener = world.events.all.get_mut(&self.id);
        listener.map(|listener| act(&mut listener.emitter))
    }
}
