//! What stays and what goes.

use serde_json::json;

use crate::{
    case::{Case, assert_holds},
    workload::Uses,
};

crate::tests![tests:
    a_deleted_binding_takes_its_secret_with_it,
    a_deleted_binding_with_retain_leaves_its_secret,
    a_renamed_target_with_rollout_removes_the_old_secret_once_nothing_uses_it,
    a_renamed_target_without_rollout_leaves_the_old_secret_and_says_how_to_delete_it,
];

async fn a_deleted_binding_takes_its_secret_with_it(case: Case) {
    case.put("db", &case.value());
    case.bind_one("app", "PASSWORD", "db").await;
    case.synced("app").await;
    case.delete_binding("app").await;
    case.until_secret("app", "is gone", |s| s.is_none()).await;
}

async fn a_deleted_binding_with_retain_leaves_its_secret(case: Case) {
    let value = case.value();
    case.put("db", &value);
    let mut spec = case.one("PASSWORD", "db");
    spec["target"] = json!({"deletionPolicy": "Retain"});
    case.binding("keeps", spec).await;
    case.bind_one("goes", "PASSWORD", "db").await;
    case.synced("keeps").await;
    case.synced("goes").await;
    assert_eq!(
        case.secret("keeps")
            .await
            .metadata
            .owner_references
            .unwrap_or_default(),
        []
    );
    case.delete_binding("keeps").await;
    case.delete_binding("goes").await;
    // The garbage collector has passed: the other one is gone.
    case.until_secret("goes", "is gone", |s| s.is_none()).await;
    assert_holds(&case.secret("keeps").await, &[("PASSWORD", &value)]);
}

async fn a_renamed_target_with_rollout_removes_the_old_secret_once_nothing_uses_it(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.rolling("app", "PASSWORD", "db").await;
    case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let mut spec = case.one("PASSWORD", "db");
    spec["rollout"] = json!({});
    spec["refreshInterval"] = json!("10s");
    spec["target"] = json!({"name": "app-2"});
    case.binding("app", spec).await;
    case.synced("app").await;
    assert_holds(&case.secret("app-2").await, &[("PASSWORD", &value)]);
    case.refresh("app").await;
    assert!(case.find_secret("app").await.is_some(), "web still uses it");
    case.deploy("web", 1, &[Uses::EnvFrom("app-2")]).await;
    case.until_secret("app", "is gone", |s| s.is_none()).await;
}

async fn a_renamed_target_without_rollout_leaves_the_old_secret_and_says_how_to_delete_it(
    case: Case,
) {
    let value = case.value();
    case.put("db", &value);
    case.bind_one("app", "PASSWORD", "db").await;
    case.synced("app").await;
    let mut spec = case.one("PASSWORD", "db");
    spec["target"] = json!({"name": "app-2"});
    case.binding("app", spec).await;
    case.synced("app").await;
    let told = |o: &serde_json::Value| {
        o["status"]["conditions"]
            .to_string()
            .contains("kubectl delete secret app ")
            || o["status"]["conditions"]
                .to_string()
                .contains("kubectl delete secret -n")
    };
    let noted = || {
        case.events("app")
            .iter()
            .any(|(_, _, note)| note.contains("kubectl delete secret"))
            .then_some(())
    };
    let latest = case.world.bindings.latest(&case.namespace, "app").unwrap();
    if !told(&latest) {
        case.world
            .events
            .until(crate::case::PATIENCE, noted)
            .await
            .unwrap();
    }
    assert_holds(&case.secret("app-2").await, &[("PASSWORD", &value)]);
    let old = case.secret("app").await;
    assert_holds(&old, &[("PASSWORD", &value)]);
    assert_eq!(
        old.metadata.owner_references.unwrap_or_default(),
        [],
        "unowned"
    );
}
