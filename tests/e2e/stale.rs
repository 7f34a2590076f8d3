//! Reads that lag behind: a Secret never goes back by mistake, and goes back when it is meant.

use std::time::Duration;

use keyferry_testkit::aws::{EventKinds, StaleScope};
use serde_json::json;

use crate::case::{Case, PATIENCE, holds};

crate::tests![own:
    an_old_answer_never_takes_a_secret_back_and_a_label_moved_back_does,
    events_with_stale_reads_and_lagging_lists_never_go_old_new_old,
];

impl Case {
    /// Waits until this entry was read so often more, in any region.
    pub async fn until_reads(&self, name: &str, more: u64) {
        let (entry, goal) = (self.entry(name), self.reads(name) + more);
        let done = |log: &keyferry_testkit::aws::CallLog| log.reads_of(&entry) >= goal;
        let waited = self.world.aws.wait_within(PATIENCE, done).await;
        waited.unwrap_or_else(|why| panic!("{name} was not read {more} times: {why}"));
    }

    async fn until_holds(&self, secret: &str, key: &str, value: &str) {
        self.until_secret(secret, "has the value", |s| holds(s, key, value))
            .await;
    }
}

async fn an_old_answer_never_takes_a_secret_back_and_a_label_moved_back_does(case: Case) {
    let (one, two) = (case.value(), case.value());
    let known = [one.as_str(), two.as_str()];
    let region = case.own_region();
    let first = case.put_apart("e", &one);
    let operator = case.operator_apart(&[]).await;
    let recorder = case.record_secrets();
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.until_holds("app", "K", &one).await;
    case.put_apart("e", &two);
    case.until_holds("app", "K", &two).await;
    // Several answers in a row from before, labels included once.
    region
        .serve_previous(&case.entry("e"), Some(3), StaleScope::Values)
        .unwrap();
    case.until_reads("e", 4).await;
    region
        .serve_previous(&case.entry("e"), Some(2), StaleScope::Everything)
        .unwrap();
    case.until_reads("e", 3).await;
    case.synced("app").await;
    assert_eq!(
        case.steps(&recorder, "app", "K", &known),
        [Some(0), Some(1)]
    );

    region
        .move_label(&case.entry("e"), "AWSCURRENT", &first)
        .unwrap();
    case.until_holds("app", "K", &one).await;
    case.synced("app").await;
    let steps = || {
        let steps = case.steps(&recorder, "app", "K", &known);
        (steps == [Some(0), Some(1), Some(0)]).then_some(())
    };
    let seen = recorder.until(PATIENCE, steps).await;
    seen.expect("back once, when it is meant");
    operator.terminate(&case.world.channels).await;
}

async fn events_with_stale_reads_and_lagging_lists_never_go_old_new_old(case: Case) {
    let values: Vec<String> = (0..4).map(|_| case.value()).collect();
    let known: Vec<&str> = values.iter().map(String::as_str).collect();
    let region = case.own_region();
    let queue = region.create_queue(&case.namespace);
    queue.subscribe(&region, EventKinds::native());
    case.put_apart("e", &values[0]);
    case.put_apart("under/m", &values[0]);
    let operator = case.operator_with_queue(&queue, &[]).await;
    let recorder = case.record_secrets();
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    let prefix = json!({"refreshInterval": "10s", "dataFrom": [{"prefix": case.entry("under/")}]});
    case.binding("members", prefix).await;
    case.until_holds("app", "K", &values[0]).await;
    case.until_holds("members", "m", &values[0]).await;
    for value in &values[1..] {
        // Lists and the next reads show the moment before the change that the event tells of.
        region.hold_lists();
        for name in ["e", "under/m"] {
            region
                .hold_reads(&case.entry(name), Some(2), StaleScope::Values)
                .unwrap();
            case.put_apart(name, value);
        }
        case.until_holds("app", "K", value).await;
        case.until_holds("members", "m", value).await;
        // And once more after it was carried.
        for name in ["e", "under/m"] {
            let previous = region.serve_previous(&case.entry(name), Some(2), StaleScope::Values);
            previous.unwrap();
        }
        case.until_reads("e", 3).await;
        region.release_lists();
    }
    // What goes on because of the last stale reads is over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let all: Vec<Option<usize>> = (0..values.len()).map(Some).collect();
    assert_eq!(case.steps(&recorder, "app", "K", &known), all);
    assert_eq!(case.steps(&recorder, "members", "m", &known), all);
    operator.terminate(&case.world.channels).await;
}
