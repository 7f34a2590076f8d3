//! Many entries at once: each arrives, and is asked for no more than once.

use std::collections::BTreeMap;

use keyferry_testkit::aws::Call;
use serde_json::json;

use crate::case::{Case, assert_holds};

crate::tests![tests:
    four_hundred_entries_arrive,
    arn_and_name_of_one_entry_alone_give_both_keys_and_one_source,
];

// Counted calls: with an operator of their own, or the neighbours' entries fill the batches.
crate::tests![own:
    twenty_one_entries_arrive_in_batches_of_at_most_twenty,
    arn_and_name_of_one_entry_are_one_ask_in_a_batch_with_others,
];

async fn four_hundred_entries_arrive(case: Case) {
    let values: BTreeMap<String, String> = (0..400)
        .map(|n| (format!("key-{n:03}"), case.plain()))
        .collect();
    for (name, value) in &values {
        case.put(&format!("wide/{name}"), value);
    }
    let spec = json!({"dataFrom": [{"prefix": case.entry("wide/")}]});
    case.binding("wide", spec).await;
    let status = case.synced("wide").await;
    let expected: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    assert_holds(&case.secret("wide").await, &expected);
    assert_eq!(status["sources"].as_array().unwrap().len(), 400);
}

async fn twenty_one_entries_arrive_in_batches_of_at_most_twenty(case: Case) {
    let operator = case.operator(&[]).await;
    let values: BTreeMap<String, String> = (0..21)
        .map(|n| (format!("entry-{n:02}"), case.plain()))
        .collect();
    let mut items = Vec::new();
    for (name, value) in &values {
        case.put(name, value);
        items.push(json!({"key": name, "from": {"secret": case.entry(name)}}));
    }
    case.binding("batch", json!({"data": items})).await;
    case.synced("batch").await;
    let expected: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    assert_holds(&case.secret("batch").await, &expected);
    let calls = case.calls();
    assert_eq!(calls.len(), 2, "21 entries are two calls");
    assert!(calls.iter().all(|call| call.ids.len() <= 20));
    assert!(
        values.keys().all(|name| case.reads(name) == 1),
        "each entry is read once"
    );
    operator.terminate(&case.world.channels).await;
}

async fn arn_and_name_of_one_entry_are_one_ask_in_a_batch_with_others(case: Case) {
    let operator = case.operator(&[]).await;
    let names = ["twice", "second", "third"];
    let values = names.map(|name| {
        let value = case.value();
        case.put(name, &value);
        value
    });
    let arn = case.world.entries().arn(&case.entry("twice")).unwrap();
    let item = |key: &str, id: &str| json!({"key": key, "from": {"secret": id}});
    let spec = json!({"refreshInterval": "24h", "data": [
        item("BY_NAME", &case.entry("twice")),
        item("SECOND", &case.entry("second")),
        item("BY_ARN", &arn),
        item("THIRD", &case.entry("third")),
    ]});
    case.binding("twice", spec).await;
    let status = case.synced("twice").await;
    let [twice, second, third] = &values;
    let holds = |twice: &str| {
        [
            ("BY_NAME", twice),
            ("BY_ARN", twice),
            ("SECOND", second),
            ("THIRD", third),
        ]
        .map(|(key, value)| (key, value.to_owned()))
    };
    assert_holds(&case.secret("twice").await, &holds(twice));
    let sources = status["sources"].as_array().unwrap().iter();
    let sources: Vec<_> = sources.map(|s| s["secret"].clone()).collect();
    let expected = ["second", "third", "twice"].map(|name| json!(case.entry(name)));
    assert_eq!(sources, expected, "one entry, one source");
    assert_one_batch(&case, &case.calls(), &arn);
    // The same at the next refresh, and both keys follow.
    let before = case.calls().len();
    let new = case.value();
    case.put("twice", &new);
    case.refresh("twice").await;
    assert_holds(&case.secret("twice").await, &holds(&new));
    assert_one_batch(&case, &case.calls()[before..], &arn);
    operator.terminate(&case.world.channels).await;
}

async fn arn_and_name_of_one_entry_alone_give_both_keys_and_one_source(case: Case) {
    let value = case.value();
    case.put("twice", &value);
    let arn = case.world.entries().arn(&case.entry("twice")).unwrap();
    let spec = json!({"data": [
        {"key": "BY_NAME", "from": {"secret": case.entry("twice")}},
        {"key": "BY_ARN", "from": {"secret": arn}},
    ]});
    case.binding("twice", spec).await;
    let status = case.synced("twice").await;
    assert_holds(
        &case.secret("twice").await,
        &[("BY_NAME", &value), ("BY_ARN", &value)],
    );
    assert_eq!(status["sources"].as_array().unwrap().len(), 1);
    assert!(case.reads("twice") <= 2, "no id is read twice");
}

/// One call for all three entries, the one with an ARN under one of its two ids.
fn assert_one_batch(case: &Case, calls: &[Call], arn: &str) {
    let [call] = calls else {
        let calls: Vec<_> = calls.iter().map(|c| (&c.operation, &c.ids)).collect();
        panic!("not one call: {calls:?}");
    };
    assert_eq!(call.operation, "BatchGetSecretValue");
    let asked = |name: &str| {
        let id = case.entry(name);
        call.ids.iter().filter(|asked| **asked == id).count()
    };
    let by_arn = call.ids.iter().filter(|asked| *asked == arn).count();
    assert_eq!(asked("twice") + by_arn, 1, "one entry, one id");
    assert_eq!((asked("second"), asked("third")), (1, 1));
    assert_eq!(call.ids.len(), 3);
}
