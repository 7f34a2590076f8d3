//! Members of a prefix: they join and leave by the rules, whatever listings show, and never flap.

use std::{collections::BTreeSet, time::Duration};

use keyferry_testkit::{
    aws::Fault,
    recorder::{Recorder, Version},
};
use serde_json::{Value, json};

use crate::case::{Case, PATIENCE, condition};

crate::tests![own:
    members_that_are_deleted_lag_or_come_back_never_flap,
    a_listing_that_is_denied_empty_or_cut_off_takes_no_member_away,
    pages_that_shift_take_no_member_away,
    pages_that_shift_take_no_member_with_a_tag_away,
    a_member_whose_tag_goes_leaves,
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
    // The first page is good: what breaks is the rest.
    region.shift_pages(1);
    for (fault, reason) in [
        (Fault::empty_page().times(2), None),
        (Fault::cut_body(), Some("AwsUnavailable")),
        (Fault::denied(), Some("AccessDenied")),
        (Fault::not_json(200), Some("AwsUnavailable")),
    ] {
        let fault = case.only_ours(fault).on("ListSecrets").later_pages();
        let fault = case.world.aws.fault(fault);
        listed_again(&case, 3).await;
        match reason {
            Some(reason) => drop(case.failing("app", reason).await),
            // What it led to is over.
            None => tokio::time::sleep(Duration::from_secs(3)).await,
        }
        fault.clear();
        case.synced("app").await;
    }
    region.create(&case.entry("p/c"), &case.value()).unwrap();
    until_keys(&case, &recorder, "a b c").await;
    assert_eq!(key_sets(&case, &recorder), ["a b", "a b c"].map(keys));
    operator.terminate(&case.world.channels).await;
}

async fn pages_that_shift_take_no_member_away(case: Case) {
    let prefix = json!({"prefix": case.entry("p/")});
    while_pages_shift(case, prefix).await;
}

async fn pages_that_shift_take_no_member_with_a_tag_away(case: Case) {
    let prefix = json!({"prefix": case.entry("p/"), "tags": {"team": "red"}});
    while_pages_shift(case, prefix).await;
}

/// Entries come and go between the pages of a listing, so that others come twice or not at all.
async fn while_pages_shift(case: Case, prefix: Value) {
    let region = case.own_region();
    let member = |name: &str| case.entry(&format!("p/{name}"));
    for name in ["a", "b", "c", "d", "e"] {
        region.create(&member(name), &case.value()).unwrap();
        region.tag(&member(name), "team", "red").unwrap();
    }
    region.shift_pages(2);
    let operator = case.operator_apart(&[]).await;
    let recorder = case.record_secrets();
    let spec = json!({"refreshInterval": "10s", "dataFrom": [prefix]});
    case.binding("app", spec).await;
    until_keys(&case, &recorder, "a b c d e").await;
    case.synced("app").await;
    let before = case.statuses("app").len();
    // What the second page begins with moves up to the first.
    case.between_pages(|region| region.delete(&member("a"), 7).unwrap())
        .await;
    until_keys(&case, &recorder, "b c d e").await;
    // What the first page ends with comes again on the second.
    case.between_pages(|region| region.restore(&member("a")).unwrap())
        .await;
    until_keys(&case, &recorder, "a b c d e").await;
    // A change of what is not listed arrives too.
    let new = case.value();
    case.between_pages(|region| {
        region.put(&member("c"), &new).unwrap();
        region.delete(&member("a"), 7).unwrap();
    })
    .await;
    case.until_secret("app", "has the new value", |s| {
        crate::case::holds(s, "c", &new)
    })
    .await;
    until_keys(&case, &recorder, "b c d e").await;
    let expected = ["a b c d e", "b c d e", "a b c d e", "b c d e"].map(keys);
    assert_eq!(key_sets(&case, &recorder), expected);
    for status in &case.statuses("app")[before..] {
        let synced = condition(&json!({"status": status}), "Synced");
        assert_eq!(synced["status"], "True", "{synced}");
    }
    operator.terminate(&case.world.channels).await;
}

async fn a_member_whose_tag_goes_leaves(case: Case) {
    let region = case.own_region();
    let member = |name: &str| case.entry(&format!("p/{name}"));
    for name in ["a", "b", "c"] {
        region.create(&member(name), &case.value()).unwrap();
        region.tag(&member(name), "team", "red").unwrap();
    }
    let operator = case.operator_apart(&[]).await;
    let recorder = case.record_secrets();
    let prefix = json!({"prefix": case.entry("p/"), "tags": {"team": "red"}});
    let spec = json!({"refreshInterval": "10s", "dataFrom": [prefix]});
    case.binding("app", spec).await;
    until_keys(&case, &recorder, "a b c").await;
    region.tag(&member("b"), "team", "blue").unwrap();
    until_keys(&case, &recorder, "a c").await;
    region.tag(&member("b"), "team", "red").unwrap();
    until_keys(&case, &recorder, "a b c").await;
    let expected = ["a b c", "a c", "a b c"].map(keys);
    assert_eq!(key_sets(&case, &recorder), expected);
    operator.terminate(&case.world.channels).await;
}
