//! A bad password is rotated in: it stops at the canary, and is taken back.

use keyferry_testkit::{aws::Fault, node::Rule};
use serde_json::{Value, json};

use crate::{
    case::{Case, holds},
    rotating::{CANARY, KEY, Kind, Scene, sequential},
};

crate::tests![own:
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_deployments,
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_stateful_sets,
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_daemon_sets,
    a_rollback_needs_no_aws,
    pods_that_were_added_while_it_was_bad_do_not_keep_it,
];

async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_deployments(case: Case) {
    taken_back(case, Kind::Deployment, |when| Rule::crash(when, 1)).await;
}

/// A pod that runs and is not ready is never started again by itself: its StatefulSet waits for it for ever.
async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_stateful_sets(case: Case) {
    taken_back(case, Kind::StatefulSet, Rule::not_ready).await;
}

async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_daemon_sets(case: Case) {
    taken_back(case, Kind::DaemonSet, |when| Rule::crash(when, 1)).await;
}

async fn taken_back(case: Case, kind: Kind, rule: impl Fn(keyferry_testkit::node::When) -> Rule) {
    let first = case.operator(&[]).await;
    let scene = Scene::start(&case, kind, sequential("Rollback")).await;
    let (bad, version) = scene.put_bad(rule);
    scene.taken_back(&bad, &version).await;
    // Neither a later sweep nor another operator tries it again.
    case.until_read_again(&["db"]).await;
    first.terminate(&case.world.channels).await;
    let second = case.operator(&[]).await;
    case.until_read_again(&["db"]).await;
    case.until_read_again(&["db"]).await;
    scene.taken_back(&bad, &version).await;
    scene.next_good_goes_out().await;
    scene.tried_once(&bad);
    scene.always_ready_enough().await;
    second.terminate(&case.world.channels).await;
}

async fn a_rollback_needs_no_aws(case: Case) {
    let operator = case.operator(&[]).await;
    let scene = Scene::start(&case, Kind::Deployment, sequential("Rollback")).await;
    // A container that ends starts again with the good bytes, and its Deployment goes on until the marker is off.
    let (bad, version) = scene.put_bad(Rule::not_ready);
    case.until_secret("app", "holds the bad bytes", |s| holds(s, KEY, &bad))
        .await;
    let outage = case.only_ours(Fault::error(500, "InternalServiceError"));
    let outage = case.world.aws.fault(outage);
    case.rolled_out("app", "False", "RolledBack").await;
    scene.as_before(&bad).await;
    outage.clear();
    scene.taken_back(&bad, &version).await;
    scene.next_good_goes_out().await;
    scene.tried_once(&bad);
    scene.always_ready_enough().await;
    operator.terminate(&case.world.channels).await;
}

async fn pods_that_were_added_while_it_was_bad_do_not_keep_it(case: Case) {
    let operator = case.operator(&[]).await;
    let scene = Scene::start(&case, Kind::Deployment, sequential("Rollback")).await;
    // They run and are not ready: nothing but a new pod gets rid of the value.
    let (bad, _) = scene.put_bad(Rule::not_ready);
    let started = case.poll(|| async { (case.running_with(&bad) > 0).then_some(()) });
    assert!(started.await.is_some(), "no pod starts with the value");
    case.patch_workload(Kind::Deployment, CANARY, json!({"spec": {"replicas": 6}}))
        .await;
    // At least one pod is of the template of before.
    let old = &scene.before[0].templates;
    let added = || {
        let with = case.templates_with(Kind::Deployment, &bad);
        with.iter()
            .any(|(_, template)| old.contains(template))
            .then_some(())
    };
    assert!(
        case.poll(|| async { added() }).await.is_some(),
        "the old ReplicaSet grows"
    );
    case.rolled_out("app", "False", "RolledBack").await;
    let now = case.stands(Kind::Deployment, CANARY).await;
    assert_eq!(now.pods.len(), 6);
    assert!(case.all_captured(CANARY, KEY, &scene.good));
    assert_eq!(case.running_with(&bad), 0, "pods with the bad value");
    let status: Value = case.rolled_out("app", "False", "RolledBack").await;
    assert_eq!(status["rollouts"][0]["state"], "RolledBack");
    scene.next_good_goes_out().await;
    scene.always_ready_enough().await;
    operator.terminate(&case.world.channels).await;
}
