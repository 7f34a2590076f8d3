//! A bad password is rotated in where nothing may be undone.

use keyferry_testkit::node::{Rule, When};
use serde_json::Value;

use crate::{
    case::{Case, assert_holds, is},
    rotating::{CANARY, KEY, Kind, SECOND, Scene, sequential},
};

crate::tests![own:
    a_bad_password_stops_at_the_canary_and_is_held_for_deployments,
    a_bad_password_stops_at_the_canary_and_is_held_for_stateful_sets,
    a_bad_password_stops_at_the_canary_and_is_held_for_daemon_sets,
];

async fn a_bad_password_stops_at_the_canary_and_is_held_for_deployments(case: Case) {
    held(case, Kind::Deployment, Rule::not_ready).await;
}

async fn a_bad_password_stops_at_the_canary_and_is_held_for_stateful_sets(case: Case) {
    held(case, Kind::StatefulSet, |when| Rule::crash(when, 1)).await;
}

async fn a_bad_password_stops_at_the_canary_and_is_held_for_daemon_sets(case: Case) {
    held(case, Kind::DaemonSet, Rule::not_ready).await;
}

async fn held(case: Case, kind: Kind, rule: impl Fn(When) -> Rule) {
    let first = case.operator(&[]).await;
    let scene = Scene::start(&case, kind, sequential("Hold")).await;
    let (bad, _) = scene.put_bad(rule);
    is_held(&scene, &bad).await;
    let log = case.log();
    let copied = |line: &str| line.contains("app-keyferry-previous") && line.contains("create");
    let written = log.lines().filter(|line| line.contains("secret written"));
    assert_eq!(written.filter(|line| copied(line)).count(), 1, "audited");
    case.until_read_again(&["db"]).await;
    first.terminate(&case.world.channels).await;
    let second = case.operator(&[]).await;
    case.until_read_again(&["db"]).await;
    is_held(&scene, &bad).await;
    // A corrected value goes out by itself.
    let good = case.plain();
    let version = case.put("db", &good);
    case.rolled_out_at("app", &version).await;
    for name in [CANARY, SECOND] {
        case.stands(kind, name).await;
        assert!(case.all_captured(name, KEY, &good), "{name}");
    }
    scene.always_ready_enough().await;
    second.terminate(&case.world.channels).await;
}

/// The new bytes stay, the canary stays on its way, and the second workload is not touched.
async fn is_held(scene: &Scene, bad: &str) {
    let case = &scene.case;
    let status: Value = case.rolled_out("app", "False", "Held").await;
    assert!(is(&status, "Ready", "True", "RolloutFailed"), "{status:#}");
    assert!(is(&status, "Synced", "True", "Synced"), "{status:#}");
    assert_holds(&case.secret("app").await, &[(KEY, bad)]);
    let canary = case.workloads(scene.kind).get(CANARY).await.unwrap();
    let generation = canary.metadata.generation.unwrap();
    assert_eq!(generation, scene.before[0].generation + 1, "one restart");
    assert_eq!(case.stands(scene.kind, SECOND).await, scene.before[1]);
    scene.tried_once(bad);
    let kept = case.find_secret("app-keyferry-previous").await;
    let kept = kept.expect("the bytes of before are kept");
    assert_holds(&kept, &[(KEY, &scene.good)]);
}
