//! An account that AWS throttles: asked ever less, told without harm, and taken up again without a burst.

use std::time::Duration;

use keyferry_testkit::aws::{Call, Fault};
use serde_json::json;

use crate::{
    case::{Case, condition},
    counted::{asked, summary},
};

crate::tests![own:
    everything_throttled_for_a_while_harms_nothing_and_ends_without_a_burst,
];

/// So many bindings, each of an entry of its own: six batches an interval.
const BINDINGS: usize = 120;
/// Long enough for three intervals.
const WHILE: Duration = Duration::from_secs(32);
/// The first part of it, in which the rate comes down.
const SLOWING: Duration = Duration::from_secs(12);
/// A fifth of the hundred batches a second that AWS allows (source: AWS Secrets Manager quotas).
const LIMIT: usize = 20;
/// Status writes of a binding: that it is throttled, perhaps with another next try, and that it is over.
const MOST_WRITES: usize = 4;

async fn everything_throttled_for_a_while_harms_nothing_and_ends_without_a_burst(case: Case) {
    let names: Vec<String> = (0..BINDINGS).map(|n| format!("e{n}")).collect();
    for name in &names {
        case.put(name, &case.plain());
    }
    let operator = case.operator(&[]).await;
    let manifest = |name: &String| {
        let mut spec = case.one("K", name);
        spec["refreshInterval"] = json!("10s");
        case.manifest(name, spec)
    };
    let items: Vec<_> = names.iter().map(manifest).collect();
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    for name in &names {
        case.synced(name).await;
    }
    let begin = case.between_sweeps().await;
    let writes = case.writes(&case.operator_name()).len();

    let fault = case.only_ours(Fault::throttled(None));
    let fault = case.world.aws.fault(fault);
    tokio::time::sleep(SLOWING).await;
    let slowed = case.last_call();
    tokio::time::sleep(WHILE - SLOWING).await;
    let during = case.calls_since(begin);
    let end = case.last_call();
    fault.clear();
    assert!(asked(&during) > 0, "it went on asking");
    let late: Vec<&Call> = during.iter().filter(|call| call.seq > slowed).collect();
    println!(
        "throttled: {} calls, {} of them after {SLOWING:?}",
        during.len(),
        late.len()
    );
    let seconds = usize::try_from((WHILE - SLOWING).as_secs()).unwrap();
    assert!(
        late.len() <= 2 * seconds,
        "{} calls in {seconds} s: {:?}",
        late.len(),
        summary(&during)
    );

    // By itself: every entry is read again, and a new version arrives.
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    case.until_read_again(&names).await;
    let value = case.plain();
    case.put("e0", &value);
    case.until_secret("e0", "has the new value", |s| {
        crate::case::holds(s, "K", &value)
    })
    .await;
    for name in &names {
        case.synced(name).await;
    }
    let after = |call: &Call| {
        call.seq > end
            && call
                .principal
                .contains(&format!("/{}/", case.operator_name()))
    };
    let peak = case.world.aws.peak(after);
    println!("the busiest second after it: {peak} calls");
    assert!(peak <= LIMIT, "{peak} calls in one second after recovery");
    for name in &names {
        let unready = |status: &serde_json::Value| {
            let ready = condition(status, "Ready");
            ready["status"] == "False" && ready["reason"] == "Throttled"
        };
        assert!(
            !case.statuses(name).iter().any(unready),
            "{name} stays ready"
        );
    }
    let mut writes = case.writes(&case.operator_name()).split_off(writes);
    println!("writes because of it: {}", writes.len());
    assert!(
        writes.len() <= MOST_WRITES * BINDINGS + 2,
        "{}",
        writes.len()
    );
    writes.retain(|write| write.resource == "secrets");
    assert_eq!(writes.len(), 1, "only the new version was written");
    operator.terminate(&case.world.channels).await;
}
