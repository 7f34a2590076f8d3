//! Rollouts that fail for another reason than the value: `onFailure: Rollback` undoes nothing, the status says why, and
//! all comes right by itself once the cause is cured.

use k8s_openapi::api::core::v1::ResourceQuota;
use keyferry_testkit::node::{Outcome, Rule, Target, When};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{
    blameless::{Full, New, gives_up_soon, says, scene},
    case::{Case, assert_holds, condition, entry, revision},
    reasons::assert_says,
    rotating::{CANARY, KEY, Kind, PODS, SECOND, Scene, sequential},
    workload::Uses,
};

crate::tests![tests:
    an_image_that_cannot_be_had_any_more_holds_the_rollout,
    a_new_image_that_cannot_be_had_is_waited_for_and_holds_nobody_back,
    a_full_cluster_holds_the_rollout,
    a_value_that_turns_out_bad_when_there_is_room_again_is_taken_back,
    a_quota_that_is_used_up_holds_the_rollout,
    a_workload_that_was_unhealthy_before_is_not_judged_and_holds_nobody_back,
    a_workload_that_was_unhealthy_before_goes_back_with_another_and_is_not_judged,
    a_template_edited_in_the_middle_is_its_editors_affair,
    manifests_put_back_after_a_rollback_restart_nothing_twice_and_try_nothing_again,
];

/// What is said of a pod that finds no node.
const UNSCHEDULED: &str = "no node takes a new pod (Unschedulable)";

async fn an_image_that_cannot_be_had_any_more_holds_the_rollout(case: Case) {
    let scene = scene(&case, |_| ()).await;
    case.rule_canary([Rule::new(When::NewPod(1), Outcome::NoImage)]);
    let new = New::put(&scene).await;
    new.is_held("container app ErrImagePull").await;
    case.rule_canary([]);
    new.goes_out([1, 1]).await;
    scene.always_ready_enough().await;
}

/// The edit comes shortly before the rotation, which waits for it.
async fn a_new_image_that_cannot_be_had_is_waited_for_and_holds_nobody_back(case: Case) {
    let scene = scene(&case, |_| ()).await;
    case.rule_canary([Rule::new(When::NewPod(1), Outcome::NoImage)]);
    case.run(&["set", "image", "deployment/a-canary", "app=app:2"], None)
        .await;
    let waits = |pod: &keyferry_testkit::node::SimulatedPod| {
        let mut reasons = pod.containers.iter().filter_map(|c| c.waiting.as_deref());
        reasons.any(|reason| reason == "ErrImagePull")
    };
    let pulled = case.poll(|| async { case.pods_of(CANARY).iter().any(waits).then_some(()) });
    assert!(pulled.await.is_some(), "no pod wants the new image");
    let new = New::put(&scene).await;
    let waits = |o: &Value| {
        let canary = entry(o, CANARY);
        canary["state"] == "Pending" && says(canary, "in the middle of another rollout")
    };
    case.until("app", "waits for the user's rollout", waits)
        .await;
    new.passes_by().await;
    case.rule_canary([]);
    new.goes_out([2, 1]).await;
    scene.always_ready_enough().await;
}

async fn a_full_cluster_holds_the_rollout(case: Case) {
    let full = Full::new(&case).await;
    let scene = scene(&case, |manifest| full.wants_room(manifest)).await;
    let new = New::put(&scene).await;
    new.is_held(UNSCHEDULED).await;
    full.has_room_again().await;
    new.goes_out([1, 1]).await;
    scene.always_ready_enough().await;
}

async fn a_value_that_turns_out_bad_when_there_is_room_again_is_taken_back(case: Case) {
    let full = Full::new(&case).await;
    let Scene { kind, good, .. } = scene(&case, |manifest| full.wants_room(manifest)).await;
    let scene = Scene::at_rest(&case, kind, good).await;
    let (bad, version) = scene.put_bad(|when| Rule::crash(when, 1));
    case.refresh("app").await;
    let status = case.rolled_out("app", "False", "Held").await;
    assert_says(&case, &condition(&status, "RolledOut"), &[UNSCHEDULED]);
    full.has_room_again().await;
    scene.taken_back(&bad, &version).await;
    scene.always_ready_enough().await;
}

async fn a_quota_that_is_used_up_holds_the_rollout(case: Case) {
    let scene = scene(&case, |_| ()).await;
    let quotas = case.api::<ResourceQuota>();
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "6"}}});
    let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let counted = case.poll(|| async {
        let used = quotas.get("small").await.unwrap().status?.used?;
        (used.get("pods")?.0 == "6").then_some(())
    });
    assert!(counted.await.is_some(), "the quota is not used up");
    let new = New::put(&scene).await;
    new.is_held("no new pod could be made: quota \"small\" is used up")
        .await;
    let raised = json!({"spec": {"hard": {"pods": "7"}}});
    quotas
        .patch("small", &PatchParams::default(), &Patch::Merge(raised))
        .await
        .unwrap();
    new.goes_out([1, 1]).await;
    scene.always_ready_enough().await;
}

async fn a_workload_that_was_unhealthy_before_is_not_judged_and_holds_nobody_back(case: Case) {
    let scene = scene(&case, gives_up_soon).await;
    case.canary_crashes().await;
    // Nor does it the next time.
    for _ in 0..2 {
        New::put(&scene).await.passes_by().await;
    }
    let new = New::put(&scene).await;
    case.canary_given_up().await;
    new.passes_by().await;
    case.rule_canary([]);
    new.goes_out([3, 3]).await;
}

/// The next healthy one is the canary instead.
async fn a_workload_that_was_unhealthy_before_goes_back_with_another_and_is_not_judged(case: Case) {
    let soon = json!({"progressDeadlineSeconds": 10});
    let scene = Scene::start_with(&case, Kind::Deployment, sequential("Rollback"), soon).await;
    case.canary_crashes().await;
    let bad = case.plain();
    let (target, crash) = (Target::deployment(SECOND), When::equals(KEY, &bad));
    let nodes = &case.world.nodes;
    nodes.set_rule(&case.namespace, target, Rule::crash(crash, 1));
    let version = case.put("db", &bad);
    case.refresh("app").await;
    let status = case.rolled_out("app", "False", "RolledBack").await;
    assert_says(
        &case,
        &condition(&status, "RolledOut"),
        &["Deployment/b-second", &version[..8], "was restored"],
    );
    assert_holds(&case.secret("app").await, &[(KEY, &scene.good)]);
    let second = case.stands(scene.kind, SECOND).await;
    assert_eq!(second.templates, scene.before[1].templates);
    let gone = || async { (case.running_with(&bad) == 0).then_some(()) };
    assert!(case.poll(gone).await.is_some(), "pods with the bad value");
    let unhealthy = |o: &Value| {
        let canary = entry(o, CANARY);
        canary["state"] == "AlreadyUnhealthy" && canary["delivered"] == canary["wanted"]
    };
    case.until("app", "the unhealthy one is back too", unhealthy)
        .await;
    case.canary_given_up().await;
    case.whole_pass().await;
    case.until("app", "is still not judged", unhealthy).await;
    let states = case.states(CANARY);
    let known = ["Healthy", "Pending", "AlreadyUnhealthy"];
    assert!(
        states.iter().all(|s| known.contains(&s.as_str())),
        "{states:?}"
    );
    case.rule_canary([]);
    scene.next_good_goes_out().await;
}

async fn a_template_edited_in_the_middle_is_its_editors_affair(case: Case) {
    let scene = scene(&case, gives_up_soon).await;
    let broken = Rule::crash(When::equals("BROKEN", "yes"), 1);
    case.rule_canary([broken, Rule::not_ready(When::NewPod(1))]);
    let new = New::put(&scene).await;
    case.until_new_pod(CANARY, &scene.before[0].pods).await;
    case.run(&["set", "env", "deployment/a-canary", "BROKEN=yes"], None)
        .await;
    let status = case.rolled_out("app", "Unknown", "Superseded").await;
    let said = [
        "The pod template of Deployment/a-canary was changed during the restart",
        "Healthy as soon as all pods are",
    ];
    assert_says(&case, &condition(&status, "RolledOut"), &said);
    case.canary_given_up().await;
    case.refresh("app").await;
    let waits = |o: &Value| {
        let (canary, second) = (entry(o, CANARY), entry(o, SECOND));
        canary["state"] == "Superseded"
            && second["state"] == "Pending"
            && says(second, "when Deployment/a-canary is healthy")
    };
    case.until("app", "is still the editor's", waits).await;
    assert_eq!(case.stands(scene.kind, SECOND).await, scene.before[1]);
    new.is_not_undone().await;
    case.rule_canary([]);
    new.goes_out([2, 1]).await;
    scene.always_ready_enough().await;
}

async fn manifests_put_back_after_a_rollback_restart_nothing_twice_and_try_nothing_again(
    case: Case,
) {
    let scene = Scene::start(&case, Kind::Deployment, sequential("Rollback")).await;
    let (bad, version) = scene.put_bad(|when| Rule::crash(when, 1));
    case.refresh("app").await;
    scene.taken_back(&bad, &version).await;
    // The original is what is there, and the API server counts it as a change all the same.
    let back = case.stands(scene.kind, CANARY).await;
    let original = scene.kind.manifest(CANARY, PODS, &[Uses::EnvFrom("app")]);
    case.run(&["replace", "-f", "-"], Some(&original.to_string()))
        .await;
    let replaced = case.stands(scene.kind, CANARY).await;
    assert_eq!(
        (&replaced.pods, &replaced.templates),
        (&back.pods, &back.templates)
    );
    // The template of before is the one with the marker of the bad value: its pods get the good one.
    case.run(&["rollout", "undo", "deployment/a-canary"], None)
        .await;
    let undone = case.stands(scene.kind, CANARY).await;
    assert_eq!(undone.generation, replaced.generation + 1);
    assert!(undone.pods.is_disjoint(&back.pods));
    case.whole_pass().await;
    let status = case.rolled_out("app", "False", "RolledBack").await;
    assert_says(
        &case,
        &condition(&status, "RolledOut"),
        &[&version[..8], "was restored"],
    );
    assert_eq!(entry(&status, CANARY)["state"], "RolledBack");
    assert_eq!(
        case.stands(scene.kind, CANARY).await,
        undone,
        "keyferry adds nothing"
    );
    assert_eq!(case.stands(scene.kind, SECOND).await, scene.before[1]);
    assert!(case.all_captured(CANARY, KEY, &scene.good));
    let secret = case.secret("app").await;
    assert_holds(&secret, &[(KEY, &scene.good)]);
    assert_eq!(revision(&secret), scene.revision);
    scene.next_good_goes_out().await;
    scene.tried_once(&bad);
    scene.always_ready_enough().await;
}
