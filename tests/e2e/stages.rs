//! Version pinning: environments move on their own schedule, by labels or by ids.

use serde_json::json;

use crate::{
    case::{Case, assert_holds},
    workload::Uses,
};

crate::tests![tests:
    a_label_that_moves_rolls_those_who_follow_it_and_nobody_else,
    a_pinned_version_stays_until_the_pin_is_moved,
];

async fn a_label_that_moves_rolls_those_who_follow_it_and_nobody_else(case: Case) {
    let (one, two) = (case.value(), case.value());
    let first = case.put("db", &one);
    let entry = case.entry("db");
    let label = |label: &str, version: &str| {
        let entries = case.world.entries();
        entries.move_label(&entry, label, version).unwrap();
    };
    label("blue", &first);
    label("green", &first);
    for stage in ["blue", "green"] {
        let from = json!({"secret": entry, "versionStage": stage});
        let spec = json!({"data": [{"key": "PASSWORD", "from": from}], "rollout": {}});
        case.binding(stage, spec).await;
        case.synced(stage).await;
    }
    let blue = case.deploy("on-blue", 1, &[Uses::EnvFrom("blue")]).await;
    let green = case.deploy("on-green", 1, &[Uses::EnvFrom("green")]).await;
    for stage in ["blue", "green"] {
        case.rolled_out(stage, "True", "Synced").await;
    }

    // A new AWSCURRENT concerns neither.
    let second = case.put("db", &two);
    case.refresh("blue").await;
    case.refresh("green").await;
    assert_holds(&case.secret("green").await, &[("PASSWORD", &one)]);

    label("green", &second);
    case.refresh("green").await;
    case.rolled_out_at("green", &second).await;
    assert_holds(&case.secret("green").await, &[("PASSWORD", &two)]);
    let after = case.settled("on-green").await;
    assert_eq!(after.generation, green.generation + 1);
    assert_holds(&case.secret("blue").await, &[("PASSWORD", &one)]);
    assert_eq!(case.moment("on-blue").await, blue);

    // Back by the same way: the pods of before serve again.
    label("green", &first);
    case.refresh("green").await;
    case.rolled_out_at("green", &first).await;
    assert_eq!(case.settled("on-green").await.hash, green.hash);
}

async fn a_pinned_version_stays_until_the_pin_is_moved(case: Case) {
    let (one, two) = (case.value(), case.value());
    let first = case.put("db", &one);
    let pinned = |version: &str| {
        let from = json!({"secret": case.entry("db"), "versionId": version});
        json!({"data": [{"key": "PASSWORD", "from": from}], "rollout": {}})
    };
    case.binding("app", pinned(&first)).await;
    case.synced("app").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let second = case.put("db", &two);
    case.refresh("app").await;
    assert_holds(&case.secret("app").await, &[("PASSWORD", &one)]);
    assert_eq!(case.moment("web").await, before);

    case.binding("app", pinned(&second)).await;
    case.rolled_out_at("app", &second).await;
    assert_holds(&case.secret("app").await, &[("PASSWORD", &two)]);
    assert_eq!(case.settled("web").await.generation, before.generation + 1);
}
