//! Visibility, receipts, counts and limits of one queue.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use jiff::{SignedDuration, Timestamp};

use super::super::error::AwsError;
use super::queue::{QueueState, RETENTION, Received};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const HIDDEN: SignedDuration = SignedDuration::from_secs(30);

fn queue() -> QueueState {
    QueueState::new("arn:aws:sqs:us-east-1:1:q".to_owned(), NOW)
}

fn later(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|m| &*m.body).collect()
}

#[test]
fn a_message_is_hidden_and_comes_back() {
    let mut q = queue();
    q.send("a", "s", NOW, NOW);
    q.send("b", "s", NOW, NOW);
    let first = q.receive(1, HIDDEN, NOW).unwrap();
    assert_eq!((bodies(&first), first[0].receives), (vec!["a"], 1));
    assert_eq!(bodies(&q.receive(10, HIDDEN, NOW).unwrap()), ["b"]);
    assert!(q.receive(10, HIDDEN, later(29)).unwrap().is_empty());
    assert_eq!(q.next_due(NOW), Some(later(30)));
    assert_eq!(q.next_due(later(30)), None);
    let again = q.receive(10, HIDDEN, later(30)).unwrap();
    assert_eq!((again.len(), again[0].receives), (2, 2));
    let stats = q.stats(later(31));
    assert_eq!((stats.delivered, stats.in_flight), (4, 2));
}

#[test]
fn only_the_last_receipt_deletes() {
    let mut q = queue();
    q.send("a", "s", NOW, NOW);
    let old = q.receive(1, HIDDEN, NOW).unwrap().remove(0).handle;
    let new = q.receive(1, HIDDEN, later(30)).unwrap().remove(0).handle;
    q.delete(&old).unwrap();
    assert_eq!(q.stats(later(30)).deleted, 0);
    q.delete(&new).unwrap();
    q.delete(&new).unwrap();
    assert_eq!((q.stats(NOW).deleted, q.next_due(NOW)), (1, None));
    let mut other = QueueState::new("arn:aws:sqs:us-east-1:1:r".to_owned(), NOW);
    for bad in ["", "x", new.as_str()] {
        let code = other.delete(bad).unwrap_err().code;
        assert_eq!(code, "ReceiptHandleIsInvalid");
    }
}

#[test]
fn visibility_is_changed_only_in_flight() {
    let mut q = queue();
    q.send("a", "s", NOW, NOW);
    let handle = q.receive(1, HIDDEN, NOW).unwrap().remove(0).handle;
    let long = SignedDuration::from_secs(100);
    q.change_visibility(&handle, long, later(10)).unwrap();
    assert_eq!(q.next_due(later(10)), Some(later(110)));
    q.change_visibility(&handle, SignedDuration::ZERO, later(10))
        .unwrap();
    assert_eq!(q.stats(later(10)).visible, 1);
    let code = |r: Result<(), AwsError>| r.unwrap_err().code;
    let again = q.change_visibility(&handle, long, later(10));
    assert_eq!(code(again), "MessageNotInflight");
    q.delete(&handle).unwrap();
    let gone = q.change_visibility(&handle, long, later(10));
    assert_eq!(code(gone), "InvalidParameterValueException");
}

#[test]
fn each_message_is_counted_in_one_place() {
    let mut q = queue();
    q.send("visible", "s", NOW, NOW);
    q.send("delayed", "s", NOW, later(5));
    q.send("coming", "s", later(9), later(9));
    let at = |q: &QueueState, seconds| {
        let s = q.stats(later(seconds));
        [s.visible, s.in_flight, s.delayed, s.coming]
    };
    assert_eq!(at(&q, 0), [1, 0, 1, 1]);
    q.receive(1, HIDDEN, NOW).unwrap();
    assert_eq!(at(&q, 0), [0, 1, 1, 1]);
    assert_eq!(at(&q, 9), [2, 1, 0, 0]);
}

#[test]
fn flights_and_ages_are_limited() {
    let mut q = queue();
    q.max_in_flight = 2;
    for body in ["a", "b", "c"] {
        q.send(body, "s", NOW, NOW);
    }
    assert_eq!(q.receive(10, HIDDEN, NOW).unwrap().len(), 2);
    assert!(q.receive(10, HIDDEN, NOW).is_none());
    let old = NOW + RETENTION;
    assert!(q.receive(10, HIDDEN, old).unwrap().is_empty());
    assert_eq!(q.history().collect::<Vec<_>>(), ["a", "b", "c"]);
}
