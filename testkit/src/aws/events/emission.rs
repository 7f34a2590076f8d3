//! How events get lost, doubled, late and out of order: by count or by seed, never by chance.

use std::time::Duration;

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::Sent;

/// What happens to a subscription's events on their way. Without further calls each arrives once
/// and at once.
#[derive(Debug, Clone)]
pub struct Emission {
    delay: SignedDuration,
    loss: Loss,
    copies: u32,
}

#[derive(Debug, Clone, Copy)]
enum Loss {
    None,
    Every(u64),
    Share { share: f64, seed: u64 },
}

impl Default for Emission {
    fn default() -> Self {
        Self {
            delay: SignedDuration::ZERO,
            loss: Loss::None,
            copies: 1,
        }
    }
}

impl Emission {
    /// Events arrive this much later, by the fake's clock.
    #[must_use]
    pub fn delayed(mut self, by: Duration) -> Self {
        self.delay = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self
    }

    /// Every n-th event is lost: the n-th, the 2n-th and so on. Zero loses none.
    #[must_use]
    pub fn losing_every(mut self, n: u64) -> Self {
        self.loss = Loss::Every(n);
        self
    }

    /// This share (0 to 1) of the events is lost; the same seed loses the same ones.
    #[must_use]
    pub fn losing(mut self, share: f64, seed: u64) -> Self {
        let share = share.clamp(0.0, 1.0);
        self.loss = Loss::Share { share, seed };
        self
    }

    /// Each event that is not lost arrives this many times, as messages of their own.
    #[must_use]
    pub fn copies(mut self, times: u32) -> Self {
        self.copies = times;
        self
    }
}

/// In which order held events go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    Kept,
    /// The last one first.
    Reversed,
    /// Shuffled; the same seed gives the same order.
    Shuffled(u64),
}

/// What became of a subscription's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EmissionCounts {
    /// Events that changes caused.
    pub made: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Messages sent to the queue, copies included, those that are still on their way too.
    pub sent: u64,
    /// Held back until released, copies included.
    pub held: usize,
}

/// A subscription's emission and where it stands.
#[derive(Debug)]
pub(super) struct Emitter {
    emission: Emission,
    rng: StdRng,
    held: Option<Vec<Sent>>,
    made: u64,
    lost: u64,
    sent: u64,
    /// Events since the emission was set, which is what every n-th counts.
    turn: u64,
}

impl Emitter {
    pub fn new(emission: Emission) -> Self {
        let seed = match emission.loss {
            Loss::Share { seed, .. } => seed,
            _ => 0,
        };
        Self {
            emission,
            rng: StdRng::seed_from_u64(seed),
            held: None,
            made: 0,
            lost: 0,
            sent: 0,
            turn: 0,
        }
    }

    /// Goes on with another emission; held events stay, counts go on.
    pub fn change(&mut self, emission: Emission) {
        let old = std::mem::replace(self, Self::new(emission));
        (self.held, self.made) = (old.held, old.made);
        (self.lost, self.sent) = (old.lost, old.sent);
    }

    /// What goes to the queue because of one event.
    pub fn emit(&mut self, body: String) -> Vec<Sent> {
        self.made += 1;
        self.turn += 1;
        let lost = match self.emission.loss {
            Loss::None => false,
            Loss::Every(n) => n > 0 && self.turn.is_multiple_of(n),
            Loss::Share { share, .. } => self.rng.random_bool(share),
        };
        if lost {
            self.lost += 1;
            return Vec::new();
        }
        let delay = self.emission.delay;
        let sent = Sent { body, delay };
        let copies = vec![sent; self.emission.copies as usize];
        match &mut self.held {
            Some(held) => {
                held.extend(copies);
                Vec::new()
            }
            None => {
                self.sent += copies.len() as u64;
                copies
            }
        }
    }

    /// Holds back what comes from now on.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Lets go what was held, and later ones through.
    pub fn release(&mut self, order: Order) -> Vec<Sent> {
        let mut held = self.held.take().unwrap_or_default();
        match order {
            Order::Kept => {}
            Order::Reversed => held.reverse(),
            Order::Shuffled(seed) => held.shuffle(&mut StdRng::seed_from_u64(seed)),
        }
        self.sent += held.len() as u64;
        held
    }

    pub fn counts(&self) -> EmissionCounts {
        EmissionCounts {
            made: self.made,
            lost: self.lost,
            sent: self.sent,
            held: self.held.as_ref().map_or(0, Vec::len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(emitter: &mut Emitter, events: usize) -> Vec<String> {
        (0..events)
            .flat_map(|n| emitter.emit(n.to_string()))
            .map(|sent| sent.body)
            .collect()
    }

    #[test]
    fn events_are_lost_and_doubled_by_count() {
        let mut emitter = Emitter::new(Emission::default().losing_every(3).copies(2));
        let got = emitted(&mut emitter, 6);
        assert_eq!(got, ["0", "0", "1", "1", "3", "3", "4", "4"]);
        let counts = emitter.counts();
        assert_eq!((counts.made, counts.lost, counts.sent), (6, 2, 8));
        emitter.change(Emission::default().losing_every(2));
        assert_eq!(emitted(&mut emitter, 2), ["0"], "counts from the change on");
        assert_eq!(emitter.counts().made, 8);
    }

    #[test]
    fn a_seed_loses_the_same_events_each_time() {
        let lose = |seed| {
            emitted(
                &mut Emitter::new(Emission::default().losing(0.2, seed)),
                1_000,
            )
        };
        assert_eq!(lose(7), lose(7));
        assert_ne!(lose(7), lose(8));
        assert!((700..900).contains(&lose(7).len()));
    }

    #[test]
    fn held_events_come_in_the_order_asked() {
        let order = |order| {
            let mut emitter = Emitter::new(Emission::default());
            emitter.hold();
            assert!(emitted(&mut emitter, 4).is_empty());
            assert_eq!(emitter.counts().held, 4);
            let released = emitter.release(order);
            assert_eq!(emitted(&mut emitter, 1), ["0"], "no longer held");
            let bodies: Vec<String> = released.into_iter().map(|s| s.body).collect();
            bodies.concat()
        };
        assert_eq!(order(Order::Kept), "0123");
        assert_eq!(order(Order::Reversed), "3210");
        let mut shuffled: Vec<char> = order(Order::Shuffled(1)).chars().collect();
        assert_eq!(order(Order::Shuffled(1)), order(Order::Shuffled(1)));
        shuffled.sort_unstable();
        assert_eq!(shuffled, ['0', '1', '2', '3']);
    }
}
