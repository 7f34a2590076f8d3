//! A bad password is rotated in: it stops at the canary, and is taken back.

use keyferry_testkit::{aws::Fault, node::Rule};
use serde_json::{Value, json};

use crate::{
    case::{Case, holds},
    rotating::{CANARY, KEY, Kind, SECOND, Scene, sequential},
};

crate::tests![own:
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_deployments,
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_stateful_sets,
    a_bad_password_stops_at_the_canary_and_is_taken_back_for_daemon_sets,
    a_rollback_needs_no_aws,
    pods_that_were_added_while_it_was_bad_do_not_keep_it_for_deployments,
    pods_that_were_added_while_it_was_bad_do_not_keep_it_for_stateful_sets,
    of_two_restarted_together_both_go_back_when_one_fails,
];

async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_deployments(case: Case) {
    taken_back(case, Kind::Deployment).await;
}

async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_stateful_sets(case: Case) {
    taken_back(case, Kind::StatefulSet).await;
}

async fn a_bad_password_stops_at_the_canary_and_is_taken_back_for_daemon_sets(case: Case) {
    taken_back(case, Kind::DaemonSet).await;
}

/// Its pods run and are not ready: a container that ended would start again with the restored bytes, and on a slow
/// machine its workload would go on before the marker is off.
async fn taken_back(case: Case, kind: Kind) {
    let first = case.operator(&[]).await;
    let scene = Scene::start(&case, kind, sequential("Rollback")).await;
    let (bad, version) = scene.put_bad(Rule::not_ready);
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

async fn pods_that_were_added_while_it_was_bad_do_not_keep_it_for_deployments(case: Case) {
    added_while_it_was_bad(case, Kind::Deployment, &[CANARY, SECOND]).await;
}

/// The canary of a StatefulSet gets no pod while it waits for one; the second gets one, and waits for that.
async fn pods_that_were_added_while_it_was_bad_do_not_keep_it_for_stateful_sets(case: Case) {
    added_while_it_was_bad(case, Kind::StatefulSet, &[SECOND]).await;
}

/// Canary and second grow while the canary fails. `growing`: those that get pods of the template of before at once.
async fn added_while_it_was_bad(case: Case, kind: Kind, growing: &[&str]) {
    let operator = case.operator(&[]).await;
    let scene = Scene::start(&case, kind, sequential("Rollback")).await;
    // They run and are not ready: nothing but a new pod gets rid of the value.
    let (bad, version) = scene.put_bad(Rule::not_ready);
    let started = case.poll(|| async { (case.running_with(&bad) > 0).then_some(()) });
    assert!(started.await.is_some(), "no pod starts with the value");
    for name in [CANARY, SECOND] {
        let six = json!({"spec": {"replicas": 6}});
        case.patch_workload(kind, name, six).await;
    }
    let added = || {
        let with = case.templates_with(kind, &bad);
        let of_before = |name: &&str| {
            let at = usize::from(*name == SECOND);
            let old = &scene.before[at].templates;
            with.iter()
                .any(|(of, template)| of == *name && old.contains(template))
        };
        growing.iter().all(of_before).then_some(())
    };
    let added = case.poll(|| async { added() }).await;
    assert!(
        added.is_some(),
        "pods of the template of before start with the value"
    );
    scene.rejected(&version).await;
    for name in [CANARY, SECOND] {
        let now = case.stands(kind, name).await;
        assert_eq!(now.pods.len(), 6, "{name}");
        assert!(case.all_captured(name, KEY, &scene.good), "{name}");
    }
    assert_eq!(case.running_with(&bad), 0, "pods with the bad value");
    scene.bytes_of_before().await;
    let status: Value = case.rolled_out("app", "False", "RolledBack").await;
    assert_eq!(status["rollouts"][0]["state"], "RolledBack");
    scene.next_good_goes_out().await;
    scene.always_ready_enough().await;
    operator.terminate(&case.world.channels).await;
}

async fn of_two_restarted_together_both_go_back_when_one_fails(case: Case) {
    let operator = case.operator(&[]).await;
    let rollout = json!({
        "order": "Parallel", "onFailure": "Rollback", "timeout": "5m", "minInterval": "0s",
    });
    let scene = Scene::start(&case, Kind::Deployment, rollout).await;
    let (bad, version) = scene.put_bad_for(&[CANARY], |when| Rule::crash(when, 1));
    let well = |o: &Value| {
        let second = &o["status"]["rollouts"][1];
        second["state"] == "Healthy"
            && second["delivered"] == second["wanted"]
            && second["wanted"] != json!(scene.revision)
    };
    case.until("app", "the second is well with the value", well)
        .await;
    case.stands(scene.kind, SECOND).await;
    assert!(case.all_captured(SECOND, KEY, &bad));
    // Only then the canary is given up. The same seconds are what its good
    // pods get on the way back, so they leave room for a busy machine.
    let soon = json!({"spec": {"progressDeadlineSeconds": 10}});
    case.patch_workload(scene.kind, CANARY, soon).await;
    scene.rejected(&version).await;
    for (at, (name, own)) in [(CANARY, 1), (SECOND, 0)].into_iter().enumerate() {
        let (now, before) = (case.stands(scene.kind, name).await, &scene.before[at]);
        assert_eq!(
            now.templates, before.templates,
            "{name}: the template of before"
        );
        assert_eq!(
            now.generation,
            before.generation + 2 + own,
            "{name}: there and back"
        );
        assert!(case.all_captured(name, KEY, &scene.good), "{name}");
    }
    scene.bytes_of_before().await;
    assert_eq!(case.running_with(&bad), 0, "pods with the bad value");
    scene.next_good_goes_out().await;
    let tried = case.templates_with(scene.kind, &bad);
    assert_eq!(tried.len(), 2, "each was restarted with it once: {tried:?}");
    scene.always_ready_enough().await;
    operator.terminate(&case.world.channels).await;
}
