//! Looking at many entries at once, where something is denied or broken: nothing is lost and nothing removed.

use keyferry_testkit::aws::Fault;
use serde_json::{Value, json};

use crate::{
    case::{Case, condition, holds},
    counted::{count, summary},
};

crate::tests![own:
    without_the_right_to_batches_every_change_arrives,
    without_the_right_to_list_every_change_arrives,
    a_listing_whose_pages_shift_loses_no_change,
    a_bad_member_of_a_batch_is_its_own_affair,
    a_short_interval_costs_only_its_own_entries,
];

/// Bindings of an entry each, with this interval.
async fn bind_all(case: &Case, names: &[String], interval: &str) {
    let manifest = |name: &String| {
        let mut spec = case.one("K", name);
        spec["refreshInterval"] = json!(interval);
        case.manifest(name, spec)
    };
    let items: Vec<Value> = names.iter().map(manifest).collect();
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    for name in names {
        case.synced(name).await;
    }
}

fn make(case: &Case, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("e{n}")).collect();
    for name in &names {
        case.put_apart(name, &case.plain());
    }
    names
}

/// Changes every entry and waits until every Secret has followed.
async fn all_follow(case: &Case, names: &[String]) {
    let new: Vec<String> = names.iter().map(|_| case.plain()).collect();
    for (name, value) in names.iter().zip(&new) {
        case.put_apart(name, value);
    }
    for (name, value) in names.iter().zip(&new) {
        case.until_secret(name, "follows", |s| holds(s, "K", value))
            .await;
        case.synced(name).await;
    }
}

/// No status has ever told of a failure: another way has served at once.
fn never_failed(case: &Case, names: &[String]) {
    for name in names {
        for status in case.statuses(name) {
            let synced = condition(&json!({"status": status}), "Synced");
            let waits = synced["reason"] == "Progressing";
            assert!(synced["status"] != "False" || waits, "{name}: {synced}");
        }
    }
}

async fn without_the_right_to_batches_every_change_arrives(case: Case) {
    let names = make(&case, 25);
    let denied = ["secretsmanager:BatchGetSecretValue"];
    let operator = case.operator_without(&denied, &[]).await;
    bind_all(&case, &names, "10s").await;
    all_follow(&case, &names).await;
    never_failed(&case, &names);
    let calls = case.all_calls();
    // Those that were under way when the first refusal came.
    assert!(
        count(&calls, "BatchGetSecretValue") <= 2,
        "{:?}",
        summary(&calls)
    );
    operator.terminate(&case.world.channels).await;
}

async fn without_the_right_to_list_every_change_arrives(case: Case) {
    let names = make(&case, 25);
    let args = ["--sweep=list"];
    let denied = ["secretsmanager:ListSecrets"];
    let operator = case.operator_without(&denied, &args).await;
    bind_all(&case, &names, "10s").await;
    all_follow(&case, &names).await;
    // In sweeps of their own.
    all_follow(&case, &names).await;
    never_failed(&case, &names);
    let calls = case.all_calls();
    assert_eq!(count(&calls, "ListSecrets"), 1, "{:?}", summary(&calls));
    operator.terminate(&case.world.channels).await;
}

async fn a_listing_whose_pages_shift_loses_no_change(case: Case) {
    let mover = case.entry("mover");
    case.put_apart("mover", &case.plain());
    let names = make(&case, 25);
    case.own_region().shift_pages(10);
    let operator = case.operator_apart(&["--sweep=list"]).await;
    bind_all(&case, &names, "10s").await;
    case.between_sweeps().await;
    let others = || {
        let others = names.iter().filter(|name| *name != "e9");
        others.map(|name| case.reads(name)).collect::<Vec<_>>()
    };
    let before = others();
    // e9 moves from the second page to the first, which was read: it is on none, and has a new version.
    let value = case.plain();
    case.between_pages(|region| {
        region.put(&case.entry("e9"), &value).unwrap();
        region.delete(&mover, 7).unwrap();
    })
    .await;
    case.until_secret("e9", "follows", |s| holds(s, "K", &value))
        .await;
    // e9 moves from the first page to the second: it is on both, at two versions.
    let value = case.plain();
    case.between_pages(|region| {
        region.put(&case.entry("e9"), &value).unwrap();
        region.restore(&mover).unwrap();
    })
    .await;
    case.until_secret("e9", "follows", |s| holds(s, "K", &value))
        .await;
    never_failed(&case, &names);
    assert_eq!(others(), before, "what has not moved is not read");
    all_follow(&case, &names).await;
    operator.terminate(&case.world.channels).await;
}

async fn a_bad_member_of_a_batch_is_its_own_affair(case: Case) {
    let names = make(&case, 20);
    let operator = case.operator_apart(&[]).await;
    bind_all(&case, &names, "10s").await;
    let good = case.secret("e0").await;
    let (bad, rest) = names.split_at(3);
    // One is gone, one is denied, one is in neither list.
    let region = case.own_region();
    region.force_delete(&case.entry(&bad[0])).unwrap();
    let entry = case.entry(&bad[1]);
    let denied = case.world.aws.fault(Fault::denied().entry(&entry));
    let entry = case.entry(&bad[2]);
    let omitted = case.world.aws.fault(Fault::omitted().entry(&entry));
    all_follow(&case, rest).await;
    case.failing(&bad[0], "SecretNotFound").await;
    case.failing(&bad[1], "AccessDenied").await;
    case.assert_kept(&good).await;
    // In neither list: read by itself.
    all_follow(&case, &bad[2..]).await;
    never_failed(&case, &bad[2..]);
    never_failed(&case, rest);
    denied.clear();
    omitted.clear();
    region.create(&case.entry(&bad[0]), &case.plain()).unwrap();
    all_follow(&case, &names).await;
    operator.terminate(&case.world.channels).await;
}

async fn a_short_interval_costs_only_its_own_entries(case: Case) {
    let names = make(&case, 41);
    let (short, long) = names.split_at(1);
    let operator = case.operator_apart(&["--sweep=batch"]).await;
    bind_all(&case, long, "24h").await;
    bind_all(&case, short, "10s").await;
    let begin = case.between_sweeps().await;
    let reads = || long.iter().map(|name| case.reads(name)).collect::<Vec<_>>();
    let before = reads();
    for _ in 0..4 {
        case.until_read_again(&["e0"]).await;
    }
    assert_eq!(reads(), before, "the others are not read");
    let calls = case.calls_since(begin);
    assert_eq!(calls.len(), 4, "{:?}", summary(&calls));
    operator.terminate(&case.world.channels).await;
}
