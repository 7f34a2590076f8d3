//! How often a workload is restarted, however often its values change.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use crate::{case::Case, workload::Uses};

crate::tests![tests:
    ten_bindings_that_change_together_cause_one_restart,
    a_value_that_keeps_changing_restarts_its_pods_once_in_an_interval,
];

async fn ten_bindings_that_change_together_cause_one_restart(case: Case) {
    let names: Vec<String> = (0..10).map(|n| format!("app-{n}")).collect();
    for name in &names {
        case.put(name, &case.value());
        case.rolling(name, &name.replace('-', "_"), name).await;
    }
    let uses: Vec<Uses<'_>> = names.iter().map(|name| Uses::EnvFrom(name)).collect();
    let before = case.deploy("web", 1, &uses).await;
    for name in &names {
        case.rolled_out(name, "True", "Synced").await;
    }
    let versions: Vec<String> = names
        .iter()
        .map(|name| case.put(name, &case.value()))
        .collect();
    let tokens = names.iter().map(|name| case.ask_refresh(name, "now"));
    join_all(tokens).await;
    for (name, version) in names.iter().zip(&versions) {
        case.rolled_out_at(name, version).await;
    }
    let after = case.settled("web").await;
    assert_eq!(after.generation, before.generation + 1, "one restart");
    assert_eq!(after.replica_sets.len(), before.replica_sets.len() + 1);
}

async fn a_value_that_keeps_changing_restarts_its_pods_once_in_an_interval(case: Case) {
    let pause = Duration::from_secs(12);
    case.put("db", &case.value());
    let mut spec = case.one("PASSWORD", "db");
    spec["rollout"] = json!({"minInterval": "12s"});
    case.binding("app", spec).await;
    case.synced("app").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let began = Instant::now();
    let (mut value, mut version) = (String::new(), String::new());
    while began.elapsed() < 2 * pause {
        value = case.value();
        version = case.put("db", &value);
        case.refresh("app").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    case.rolled_out_at("app", &version).await;
    let after = case.settled("web").await;
    let restarts = u64::try_from(after.generation - before.generation).unwrap();
    let most = began.elapsed().as_secs() / pause.as_secs() + 1;
    assert!(
        (2..=most).contains(&restarts),
        "{restarts} restarts in {:?}",
        began.elapsed()
    );
    assert!(case.all_captured("web", "PASSWORD", &value));
}
