//! Members of a prefix: they join and leave by the rules, whatever listings show, and never flap.

use std::{collections::BTreeSet, time::Duration};

use keyferry_testkit::{
    aws::Fault,
    recorder::{Recorder, Version},
};
use serde_json::json;

use crate::case::{Case, PATIENCE};

crate::tests![own:
    members_that_are_deleted_lag_or_come_back_never_flap,
    a_listing_that_is_denied_empty_or_cut_off_takes_no_member_away,
];

fn keys(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The sets of keys that a Secret had, one after the other.
fn key_sets(case: &Case, recorder: &Recorder) -> Vec<BTreeSet<String>> {
    let history = recorder.history(&case.namespace, "app");
    let sets = history.into_iter().map(|version| match version {
        Version::Is(object) => object["data"]
            .as_object()
            .map(|data| data.keys().cloned().collect())
            .unwrap_or_default(),
        Version::Gone => BTreeSet::new(),
    });
    let mut sets: Vec<_> = sets.collect();
    sets.dedup();
    sets
}

async fn until_keys(case: &Case, recorder: &Recorder, wanted: &str) {
    let last = || {
        let last = key_sets(case, recorder).pop();
        last.is_some_and(|last| last == keys(wanted)).then_some(())
    };
    let waited = recorder.until(PATIENCE, last).await;
    waited.unwrap_or_else(|_| panic!("never {wanted}: {:?}", key_sets(case, recorder)));
}

async fn bind(case: &Case) {
    let prefix = json!({"refreshInterval": "10s", "dataFrom": [{"prefix": case.entry("p/")}]});
    case.binding("app", prefix).await;
}

/// Waits for so many more looks under the prefix.
async fn listed_again(case: &Case, times: usize) {
    let lists = || {
        let calls = case.all_calls();
        calls
            .iter()
            .filter(|call| call.operation == "ListSecrets")
            .count()
    };
    let goal = lists() + times;
    let waited = case
        .poll(|| async { (lists() >= goal).then_some(()) })
        .await;
    assert!(waited.is_some(), "it is not listed again");
}

async fn members_that_are_deleted_lag_or_come_back_never_flap(case: Case) {
    let region = case.own_region();
    let member = |name: &str| case.entry(&format!("p/{name}"));
    for name in ["a", "b"] {
        region.create(&member(name), &case.value()).unwrap();
    }
    let operator = case.operator_apart(&[]).await;
    let recorder = case.record_secrets();
    bind(&case).await;
    until_keys(&case, &recorder, "a b").await;
    // Not yet listed after its creation.
    region.hold_lists();
    region.create(&member("c"), &case.value()).unwrap();
    listed_again(&case, 1).await;
    region.release_lists();
    until_keys(&case, &recorder, "a b c").await;
    // Still listed after its deletion.
    region.hold_lists();
    region.delete(&member("b"), 7).unwrap();
    listed_again(&case, 1).await;
    case.ask_refresh("app", "look").await;
    until_keys(&case, &recorder, "a c").await;
    listed_again(&case, 2).await;
    region.release_lists();
    listed_again(&case, 1).await;
    // Back, and later than listings show.
    region.hold_lists();
    region.restore(&member("b")).unwrap();
    listed_again(&case, 1).await;
    region.release_lists();
    until_keys(&case, &recorder, "a b c").await;
    // Another entry of the same name, while listings show the one before.
    region.hold_lists();
    let new = case.value();
    region.force_delete_recreate(&member("a"), &new).unwrap();
    listed_again(&case, 2).await;
    region.release_lists();
    case.until_secret("app", "has the new entry's value", |s| {
        crate::case::holds(s, "a", &new)
    })
    .await;
    case.synced("app").await;
    let expected = ["a b", "a b c", "a c", "a b c"].map(keys);
    assert_eq!(key_sets(&case, &recorder), expected);
    operator.terminate(&case.world.channels).await;
}

async fn a_listing_that_is_denied_empty_or_cut_off_takes_no_member_away(case: Case) {
    let region = case.own_region();
    for name in ["a", "b"] {
        region
            .create(&case.entry(&format!("p/{name}")), &case.value())
            .unwrap();
    }
    let operator = case.operator_apart(&[]).await;
    let recorder = case.record_secrets();
    bind(&case).await;
    until_keys(&case, &recorder, "a b").await;
    for fault in [
        Fault::empty_page().times(2),
        Fault::cut_body(),
        Fault::denied(),
        Fault::not_json(200),
    ] {
        let fault = case
            .world
            .aws
            .fault(case.only_ours(fault).on("ListSecrets"));
        listed_again(&case, 1).await;
        // What it led to is over.
        tokio::time::sleep(Duration::from_secs(3)).await;
        fault.clear();
        case.synced("app").await;
    }
    region.create(&case.entry("p/c"), &case.value()).unwrap();
    until_keys(&case, &recorder, "a b c").await;
    assert_eq!(key_sets(&case, &recorder), ["a b", "a b c"].map(keys));
    operator.terminate(&case.world.channels).await;
}
