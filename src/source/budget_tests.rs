#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A clock that stands until it is set.
#[derive(Clone, Default)]
struct Dial(Arc<Mutex<Duration>>);

impl Dial {
    fn clock(&self) -> Clock {
        let dial = self.0.clone();
        Clock(Arc::new(move || *dial.lock()))
    }

    fn set(&self, at: Duration) {
        *self.0.lock() = at;
    }
}

/// When a caller who never has enough gets a call of the operation, looking every millisecond; each within
/// one of `throttled` (from, to) is answered with a throttle, and nobody asks within `idle`.
fn greedy(
    operation: Operation,
    until: u64,
    throttled: &[(u64, u64)],
    idle: (u64, u64),
) -> Vec<Duration> {
    let dial = Dial::default();
    let budget = Budget::new(0.2, dial.clock());
    let bucket = &budget.buckets[&operation];
    let within = |at, (from, to): (u64, u64)| (from..to).contains(&at);
    let mut taken = Vec::new();
    for at in (0..until).filter(|at| !within(*at, idle)) {
        dial.set(ms(at));
        while budget.take(bucket).is_ok() {
            taken.push(ms(at));
            if throttled.iter().any(|span| within(at, *span)) {
                budget.throttled(None);
            }
        }
    }
    taken
}

fn most_in_a_second(taken: &[Duration]) -> usize {
    let ends = taken
        .iter()
        .map(|from| taken.partition_point(|at| *at < *from + ms(1000)));
    ends.enumerate()
        .map(|(at, end)| end - at)
        .max()
        .unwrap_or_default()
}

fn between(taken: &[Duration], from: u64, to: u64) -> usize {
    taken
        .iter()
        .filter(|at| (ms(from)..ms(to)).contains(*at))
        .count()
}

#[test]
fn no_second_holds_more_than_the_share_not_even_after_rest_or_recovery() {
    for (operation, share) in [
        (Operation::GetSecretValue, 2000),
        (Operation::BatchGetSecretValue, 20),
        (Operation::ListSecrets, 20),
    ] {
        let name = operation.as_str();
        let rested = greedy(operation, 8000, &[], (2000, 6000));
        assert!(most_in_a_second(&rested) <= share, "{name}");
        assert!(
            between(&rested, 1000, 2000) >= share * 9 / 10,
            "{name}: the share can be used"
        );

        let troubled = greedy(operation, 110_000, &[(1000, 18_000)], (0, 0));
        assert!(most_in_a_second(&troubled) <= share, "{name}");
        assert_eq!(between(&troubled, 16_000, 18_000), 2, "{name}: the floor");
        assert!(
            between(&troubled, 109_000, 110_000) >= share * 9 / 10,
            "{name}: all of it again"
        );
        // Step by step: never more than twice the rate of one step before.
        for at in (18_000..104_000).step_by(1000) {
            let (now, then) = (
                between(&troubled, at + 5000, at + 6000),
                between(&troubled, at, at + 1000),
            );
            assert!(now <= 2 * then + 2, "{name} at {at}: {then}, then {now}");
        }
    }
}

#[test]
fn nothing_is_saved_up_before_a_budget_is_made_or_changes_its_rate() {
    let dial = Dial::default();
    let budget = Budget::new(0.2, dial.clock());
    let bucket = &budget.buckets[&Operation::GetSecretValue];
    let at_hand = |at| {
        dial.set(ms(at));
        (0..10_000)
            .take_while(|_| budget.take(bucket).is_ok())
            .count()
    };
    assert_eq!(at_hand(0), 1, "new");
    assert_eq!(at_hand(10_000), 200, "rested");
    dial.set(ms(20_000));
    budget.throttled(None);
    assert_eq!(at_hand(20_000), 0, "slowed");
    assert_eq!(at_hand(24_999), 100, "rested at half the rate");
    assert_eq!(at_hand(30_000), 0, "recovered");
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_at_once() {
    let budget = Budget::new(0.2, Dial::default().clock());
    budget.throttled(Some(ms(60_000)));
    for lane in [Lane::Urgent, Lane::Routine] {
        for operation in [Operation::GetSecretValue, Operation::ListSecrets] {
            let wait = budget.acquire(operation, lane, ms(20_000)).await;
            assert_eq!(wait, Err(ms(60_000)));
        }
    }
    let sts = budget.acquire(Operation::AssumeRole, Lane::Urgent, ms(0));
    assert_eq!(sts.await, Ok(()), "STS has its own quotas");
}

#[tokio::test]
async fn a_queue_that_is_too_long_is_told_at_once() {
    // One call in ten seconds; the clock stands, so nobody's turn comes.
    let budget = Budget::new(0.001, Dial::default().clock());
    let bucket = &budget.buckets[&Operation::ListSecrets];
    let queue: Vec<_> = (0..3).map(|_| bucket.enter(Lane::Urgent)).collect();
    let wait = budget.acquire(Operation::ListSecrets, Lane::Urgent, ms(29_000));
    assert_eq!(wait.await, Err(ms(30_000)));
    let wait = budget.acquire(Operation::ListSecrets, Lane::Routine, ms(29_000));
    assert_eq!(wait.await, Err(ms(30_000)), "all urgent ones are ahead");
    drop(queue);
    let free = budget.acquire(Operation::ListSecrets, Lane::Routine, ms(29_000));
    assert_eq!(free.await, Ok(()), "who leaves the queue is not waited for");
}

#[test]
fn an_account_in_a_region_has_one_budget_until_nobody_needs_it() {
    let dial = Dial::default();
    let budgets = Budgets::new(0.2, dial.clock());
    let first = budgets.of(Store::Secrets, "1", "a");
    assert!(Arc::ptr_eq(&first, &budgets.of(Store::Secrets, "1", "a")));
    for (account, region) in [("1", "b"), ("2", "a")] {
        assert!(!Arc::ptr_eq(
            &first,
            &budgets.of(Store::Secrets, account, region)
        ));
    }
    budgets
        .of(Store::Secrets, "2", "a")
        .throttled(Some(ms(700_000)));
    let left = || budgets.made.lock().len();
    // (at, left): one is held, one new, one told to wait.
    for (at, wanted) in [
        (599_000, 3),
        (601_000, 2),
        (699_000, 2),
        (704_999, 2),
        (705_000, 1),
    ] {
        dial.set(ms(at));
        budgets.tidy();
        assert_eq!(left(), wanted, "{at}");
    }
    drop(first);
    budgets.tidy();
    assert_eq!(left(), 0);
}
