//! Hints under way, and the messages that wait for their outcome. Pure.

use std::collections::HashMap;

use super::{Handled, Hint, HintKind};

/// Messages that one hint under way takes with it. Who sends more of one and the same has them deleted.
const MOST_WAITING: usize = 64;
/// A message that was received more often is not left in the queue, whatever became of its hint.
const MOST_RECEIVED: u32 = 5;

/// One message, as far as it matters for deleting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The message's id, the same at each delivery.
    pub message: String,
    /// Deletes it; another one at each delivery.
    pub handle: String,
    /// How often it was received, this time included.
    pub received: u32,
}

/// What two messages have in common that are handled together. Messages without a version are two changes unless
/// they are one and the same message: a read that has begun may have missed the second.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    hint: Hint,
    message: Option<String>,
}

impl Key {
    pub fn new(hint: &Hint, receipt: &Receipt) -> Self {
        let message = hint.version_id.is_none().then(|| receipt.message.clone());
        let hint = hint.clone();
        Self { hint, message }
    }

    pub fn kind(&self) -> HintKind {
        self.hint.kind
    }
}

/// What to do with a message that brought a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Boarding {
    /// Handle it.
    Begin,
    /// The same is being handled.
    Joined,
    /// The same is being handled for too many already: delete the message.
    Full(Receipt),
}

/// Hints under way.
#[derive(Debug, Default)]
pub(super) struct Flights(HashMap<Key, Vec<Receipt>>);

impl Flights {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a message in.
    pub fn board(&mut self, key: &Key, receipt: Receipt) -> Boarding {
        let Some(waiting) = self.0.get_mut(key) else {
            self.0.insert(key.clone(), vec![receipt]);
            return Boarding::Begin;
        };
        if let Some(same) = waiting.iter_mut().find(|r| r.message == receipt.message) {
            *same = receipt;
        } else if waiting.len() < MOST_WAITING {
            waiting.push(receipt);
        } else {
            return Boarding::Full(receipt);
        }
        Boarding::Joined
    }

    /// A hint is handled: the messages to delete, and how many stay in the queue for another try.
    pub fn land(&mut self, key: &Key, handled: Handled) -> (Vec<Receipt>, usize) {
        let waiting = self.0.remove(key).unwrap_or_default();
        let (deleted, kept): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|r| handled != Handled::Failed || r.received > MOST_RECEIVED);
        (deleted, kept.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::source::events::HintId;

    fn hint(version: Option<&str>) -> Hint {
        Hint {
            account: "111122223333".into(),
            region: "us-east-1".into(),
            secret: HintId::Name("db".into()),
            label: None,
            version_id: version.map(str::to_owned),
            kind: HintKind::Moved,
        }
    }

    fn receipt(message: &str, handle: &str, received: u32) -> Receipt {
        Receipt {
            message: message.into(),
            handle: handle.into(),
            received,
        }
    }

    fn handles(receipts: &[Receipt]) -> Vec<&str> {
        receipts.iter().map(|r| r.handle.as_str()).collect()
    }

    #[test]
    fn the_same_version_is_handled_once_and_all_its_messages_end_with_it() {
        let mut flights = Flights::default();
        let key = Key::new(&hint(Some("v1")), &receipt("a", "", 1));
        assert_eq!(flights.board(&key, receipt("a", "a1", 1)), Boarding::Begin);
        let same = Key::new(&hint(Some("v1")), &receipt("b", "", 1));
        assert_eq!(
            flights.board(&same, receipt("b", "b1", 1)),
            Boarding::Joined
        );
        // Delivered again while it is handled: the newer handle deletes it.
        assert_eq!(flights.board(&key, receipt("a", "a2", 2)), Boarding::Joined);
        let other = Key::new(&hint(Some("v2")), &receipt("c", "", 1));
        assert_eq!(
            flights.board(&other, receipt("c", "c1", 1)),
            Boarding::Begin
        );
        assert_eq!(flights.len(), 2);
        let (deleted, kept) = flights.land(&key, Handled::Done);
        assert_eq!((handles(&deleted), kept), (vec!["a2", "b1"], 0));
        assert_eq!(flights.len(), 1);
    }

    #[test]
    fn without_a_version_only_the_same_message_joins() {
        let mut flights = Flights::default();
        let first = Key::new(&hint(None), &receipt("a", "", 1));
        let second = Key::new(&hint(None), &receipt("b", "", 1));
        assert_eq!(
            flights.board(&first, receipt("a", "a1", 1)),
            Boarding::Begin
        );
        assert_eq!(
            flights.board(&second, receipt("b", "b1", 1)),
            Boarding::Begin
        );
        assert_eq!(
            flights.board(&first, receipt("a", "a2", 2)),
            Boarding::Joined
        );
    }

    #[test]
    fn a_failure_leaves_messages_in_the_queue_but_not_for_ever() {
        for (handled, received, deleted) in [
            (Handled::Done, 1, true),
            (Handled::Unknown, 1, true),
            (Handled::Failed, 1, false),
            (Handled::Failed, 5, false),
            (Handled::Failed, 6, true),
        ] {
            let mut flights = Flights::default();
            let key = Key::new(&hint(Some("v1")), &receipt("a", "", 1));
            flights.board(&key, receipt("a", "a1", received));
            let (gone, kept) = flights.land(&key, handled);
            let wanted = (usize::from(deleted), usize::from(!deleted));
            assert_eq!((gone.len(), kept), wanted, "{handled:?} {received}");
        }
    }

    #[test]
    fn a_flood_of_one_hint_takes_bounded_room() {
        let mut flights = Flights::default();
        let key = Key::new(&hint(Some("v1")), &receipt("", "", 1));
        let full = (0..1_000)
            .map(|n| flights.board(&key, receipt(&n.to_string(), "h", 1)))
            .filter(|boarding| matches!(boarding, Boarding::Full(_)))
            .count();
        assert_eq!(full, 1_000 - MOST_WAITING);
        assert_eq!(flights.land(&key, Handled::Done).0.len(), MOST_WAITING);
    }
}
