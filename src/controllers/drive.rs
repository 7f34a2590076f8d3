//! Drives a work queue: takes what is due, keeps each key to one pass at a time, re-queues.

use std::{
    fmt::Debug,
    future::Future,
    hash::Hash,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::queue::{Urgency, WorkQueue};

/// The loop turns at least this often, as a sign of life.
const IDLE_TURN: Duration = Duration::from_secs(5);

/// A request to a queue's driver.
#[derive(Clone, Debug)]
pub enum Ask<K> {
    /// Work on the key at that time.
    At(K, Instant, Urgency),
    /// Forget the key.
    Forget(K),
}

/// The sending end of a queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue<K>(mpsc::UnboundedSender<Ask<K>>);

impl<K> Queue<K> {
    /// A queue and what its driver reads from. Unbounded: a key is at most once in the queue itself.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Ask<K>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Asks for work at a time. Does nothing once the driver has ended.
    pub fn add(&self, key: K, at: Instant, urgency: Urgency) {
        self.0.send(Ask::At(key, at, urgency)).ok();
    }

    /// Asks for work at once.
    pub fn now(&self, key: K) {
        self.add(key, Instant::now(), Urgency::Now);
    }

    /// Forgets a key.
    pub fn forget(&self, key: K) {
        self.0.send(Ask::Forget(key)).ok();
    }
}

/// Runs `work` for every key that is due, at most `limit` at once and each key at most once at once,
/// until `stop`; then what runs is finished and nothing new begun. `work` says when the key is due
/// again, `turned` hears of every turn with the number of keys. One future that hangs holds one of `limit` places and nothing else.
pub async fn drive<K, W, F>(
    mut asks: mpsc::UnboundedReceiver<Ask<K>>,
    limit: usize,
    stop: CancellationToken,
    turned: impl Fn(usize),
    work: W,
) where
    K: Clone + Debug + Eq + Hash + Ord,
    W: Fn(K) -> F,
    F: Future<Output = Option<Instant>>,
{
    let mut queue = WorkQueue::<K>::default();
    let mut running = FuturesUnordered::new();
    loop {
        turned(queue.len());
        while running.len() < limit
            && let Some(key) = queue.take(Instant::now())
        {
            let pass = work(key.clone());
            running.push(async move { (key, pass.await) });
        }
        let due = queue.next_due().filter(|_| running.len() < limit);
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            ask = asks.recv() => match ask {
                Some(Ask::At(key, at, urgency)) => queue.add(key, at, urgency),
                Some(Ask::Forget(key)) => queue.forget(&key),
                None => break,
            },
            Some((key, again)) = running.next(), if !running.is_empty() => {
                if let Some(at) = again {
                    queue.add(key.clone(), at, Urgency::Routine);
                }
                queue.done(&key);
            }
            () = sleep => {}
            () = tokio::time::sleep(IDLE_TURN) => {}
        }
    }
    // A write that was sent may be half done: it is finished.
    while running.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[tokio::test]
    async fn one_that_hangs_keeps_nobody_else_waiting() {
        let (queue, asks) = Queue::new();
        let seen = Rc::new(RefCell::new(Vec::new()));
        for key in ["hangs", "a", "b"] {
            queue.now(key);
        }
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let released = Rc::new(RefCell::new(Some(released)));
        let work = |key: &'static str| {
            let (seen, released) = (Rc::clone(&seen), Rc::clone(&released));
            let queue = queue.clone();
            async move {
                if key == "hangs" {
                    let gate = released.borrow_mut().take();
                    if let Some(gate) = gate {
                        gate.await.ok();
                    }
                }
                seen.borrow_mut().push(key);
                drop(queue);
                None
            }
        };
        let driver = drive(asks, 2, CancellationToken::new(), |_| (), work);
        tokio::pin!(driver);
        while seen.borrow().len() < 2 {
            tokio::select! {
                () = &mut driver => break,
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(*seen.borrow(), ["a", "b"]);
        release.send(()).ok();
        while seen.borrow().len() < 3 {
            tokio::select! {
                () = &mut driver => break,
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(*seen.borrow(), ["a", "b", "hangs"]);
    }
}
