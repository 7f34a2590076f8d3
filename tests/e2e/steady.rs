//! Nothing changes: nothing is written.

use serde_json::json;

use crate::{case::Case, workload::Uses, world::SHARED};

crate::tests![tests:
    after_convergence_nothing_is_written_while_every_source_is_read,
];

async fn after_convergence_nothing_is_written_while_every_source_is_read(case: Case) {
    let sources = ["one", "two", "three"];
    for name in sources {
        case.put(name, &case.value());
        let mut spec = case.one("K", name);
        spec["refreshInterval"] = json!("10s");
        spec["rollout"] = json!({});
        case.binding(name, spec).await;
    }
    case.put("plain", "not an object");
    let mut failing =
        json!({"data": [{"key": "K", "from": {"secret": case.entry("plain"), "property": "a"}}]});
    failing["refreshInterval"] = json!("10s");
    case.binding("failing", failing).await;
    case.deploy(
        "web",
        1,
        &[
            Uses::EnvFrom("one"),
            Uses::EnvFrom("two"),
            Uses::EnvFrom("three"),
        ],
    )
    .await;
    for name in sources {
        case.synced(name).await;
        case.rolled_out(name, "True", "Synced").await;
    }
    case.failing("failing", "NotJson").await;
    let all = ["one", "two", "three", "plain"];
    // Converged: the first round of reads after this has nothing left to tell.
    case.until_read_again(&all).await;
    let before = case.writes(SHARED);
    case.until_read_again(&all).await;
    case.until_read_again(&all).await;
    let after = case.writes(SHARED);
    assert_eq!(after[before.len()..], [], "no write while nothing changed");
}

impl Case {
    /// Waits until each of these entries was asked for once more.
    pub async fn until_read_again(&self, names: &[&str]) {
        let goals: Vec<_> = names
            .iter()
            .map(|name| (self.entry(name), self.reads(name) + 1))
            .collect();
        let done = |log: &keyferry_testkit::aws::CallLog| {
            goals
                .iter()
                .all(|(entry, goal)| log.reads_of(entry) >= *goal)
        };
        let waited = self
            .world
            .aws
            .wait_within(crate::case::PATIENCE, done)
            .await;
        waited.unwrap_or_else(|why| panic!("{names:?} were not read again: {why}"));
    }
}
