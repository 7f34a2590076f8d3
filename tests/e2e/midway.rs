//! What happens to a rollback when somebody deletes, renames or forbids something in the middle of it.

use k8s_openapi::api::core::v1::Secret;
use keyferry_testkit::{
    admission::Door,
    node::{Rule, Target, When},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, entry, holds, is},
    operators::Running,
    reasons::assert_says,
    rotating::{CANARY, KEY, Kind, PODS, SECOND, Scene, sequential, spec},
    workload::Uses,
};

crate::tests![tests:
    a_binding_deleted_in_the_middle_leaves_nothing_behind_and_restarts_nothing,
    a_retained_secret_outlives_a_binding_deleted_in_the_middle_alone,
    a_merge_binding_deleted_in_the_middle_takes_its_keys_with_it,
    a_rollout_taken_out_in_the_middle_leaves_clear_state,
];

crate::tests![own:
    a_canary_deleted_in_the_middle_does_not_end_the_way_back,
    a_canary_made_anew_in_the_middle_goes_back_too,
    a_canary_renamed_in_the_middle_goes_back_under_its_new_name,
    a_named_canary_renamed_in_the_middle_goes_back_once_its_new_name_is_given,
    a_target_renamed_in_the_middle_is_taken_back_first,
    rights_taken_away_in_the_middle_are_named_and_once_given_back_it_ends_by_itself,
];

const PREVIOUS: &str = "app-keyferry-previous";
/// The canary under another name; it comes after the second, so that the order tells them apart.
const RENAMED: &str = "c-renamed";

/// A scene under a rollout that goes back, with Deployments that give up soon.
async fn scene(case: &Case, rollout: Value) -> Scene {
    let soon = json!({"progressDeadlineSeconds": 3});
    Scene::start_with(case, Kind::Deployment, rollout, soon).await
}

impl Scene {
    /// A bad value goes in; it is in the Secret, and nobody has failed with it yet. Returns it and its version.
    async fn goes_bad(&self) -> (String, String) {
        // Not ready for good: a container that ends would start again with the good bytes while the marker stays.
        let bad = self.put_bad(Rule::not_ready);
        self.case
            .until_secret("app", "holds the bad bytes", |s| holds(s, KEY, &bad.0))
            .await;
        bad
    }

    /// The good bytes are back, the version is rejected and stays so, the second was never restarted, and nothing is
    /// kept any more.
    async fn is_back(&self, bad: &str, version: &str) {
        let case = &self.case;
        case.until_secret("app", "holds the good bytes", |s| holds(s, KEY, &self.good))
            .await;
        case.until_secret(PREVIOUS, "is gone", |s| s.is_none())
            .await;
        for _ in 0..2 {
            let status = case.failing("app", "RolledBack").await;
            let message = condition(&status, "Synced")["message"].to_string();
            assert!(message.contains(&version[..8]), "{message}");
            assert_holds(&case.secret("app").await, &[(KEY, &self.good)]);
            case.until_read_again(&["db"]).await;
        }
        assert_eq!(case.running_with(bad), 0, "pods with the bad value");
        let second = case.stands(self.kind, SECOND).await;
        assert_eq!(second, self.before[1], "never restarted");
    }
}

impl Case {
    /// Deletes a Deployment and waits until it is gone.
    async fn delete_deployment(&self, name: &str) {
        let api = self.workloads(Kind::Deployment);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let gone = || async { api.get_opt(name).await.unwrap().is_none().then_some(()) };
        assert!(self.poll(gone).await.is_some(), "{name} does not go");
    }

    async fn canary_as(&self, name: &str) {
        let manifest = Kind::Deployment.manifest(name, PODS, &[Uses::EnvFrom("app")]);
        self.apply(manifest).await;
    }
}

/// A rollback that cannot write the Secret: the canary has failed, the bad bytes are still there.
struct Stopped {
    operator: Running,
    scene: Scene,
    bad: String,
    version: String,
    rules: Value,
}

impl Stopped {
    async fn start(case: &Case, rollout: Value) -> Self {
        let operator = case.operator(&[]).await;
        let scene = scene(case, rollout).await;
        let (bad, version) = scene.goes_bad().await;
        let rules = case.take_right("secrets", "update").await;
        let status = case.failing("app", "OperatorForbidden").await;
        let says = ["update", "secrets", "{ns}", "Grant its ServiceAccount"];
        assert_says(case, &condition(&status, "Synced"), &says);
        let status = json!({"status": status});
        assert_eq!(entry(&status, CANARY)["state"], "RollingBack", "{status:#}");
        Self {
            operator,
            scene,
            bad,
            version,
            rules,
        }
    }

    /// Gives the right back and waits until all is as it should be.
    async fn goes_on(&self) {
        self.scene.case.set_rules(self.rules.clone()).await;
        self.scene.is_back(&self.bad, &self.version).await;
    }

    /// The failed canary goes, and the same comes under another name: it starts with the bad value, too.
    async fn canary_is_renamed(&self) {
        let (case, bad) = (&self.scene.case, &self.bad);
        let fails = Rule::not_ready(When::equals(KEY, bad));
        let nodes = &case.world.nodes;
        nodes.set_rule(&case.namespace, Target::deployment(RENAMED), fails);
        case.delete_deployment(CANARY).await;
        case.canary_as(RENAMED).await;
        let started = case.poll(|| async { (case.running_with(bad) > 0).then_some(()) });
        assert!(started.await.is_some(), "it starts with the bad value");
        case.until_refused_again().await;
    }

    /// The status speaks of these alone, and what was renamed runs with the good value.
    async fn renamed_is_well(&self, names: &[&str]) {
        let case = &self.scene.case;
        case.rolled_out("app", "True", "Synced").await;
        let only = |o: &Value| {
            let all = o["status"]["rollouts"].as_array().cloned();
            let told = all.into_iter().flatten().map(|entry| entry["name"].clone());
            told.collect::<Value>() == json!(names)
        };
        case.until("app", "speaks of those there are", only).await;
        case.stands(Kind::Deployment, RENAMED).await;
        assert!(case.all_captured(RENAMED, KEY, &self.scene.good));
    }

    async fn end(self) {
        let channels = &self.scene.case.world.channels;
        self.operator.terminate(channels).await;
    }
}

/// The rollout of these Deployments.
fn naming(names: &[&str]) -> Value {
    let target = |name: &&str| json!({"kind": "Deployment", "name": name});
    let mut rollout = sequential("Rollback");
    rollout["targets"] = names.iter().map(target).collect();
    rollout
}

async fn a_canary_deleted_in_the_middle_does_not_end_the_way_back(case: Case) {
    let stopped = Stopped::start(&case, naming(&[CANARY, SECOND])).await;
    case.delete_deployment(CANARY).await;
    case.until_refused_again().await;
    stopped.goes_on().await;
    stopped.scene.tried_once(&stopped.bad);
    let status = case.rolled_out("app", "False", "TargetNotFound").await;
    let says = ["Deployment", CANARY, "does not exist"];
    assert_says(&case, &condition(&status, "RolledOut"), &says);
    // Nobody has to do anything but to make it again.
    case.canary_as(CANARY).await;
    case.rolled_out("app", "True", "Synced").await;
    stopped.scene.next_good_goes_out().await;
    stopped.end().await;
}

async fn a_canary_made_anew_in_the_middle_goes_back_too(case: Case) {
    let stopped = Stopped::start(&case, sequential("Rollback")).await;
    case.delete_deployment(CANARY).await;
    case.canary_as(CANARY).await;
    let bad = &stopped.bad;
    let started = case.poll(|| async { (case.running_with(bad) > 0).then_some(()) });
    assert!(started.await.is_some(), "it starts with the bad value");
    case.until_refused_again().await;
    stopped.goes_on().await;
    let status = case.rolled_out("app", "False", "RolledBack").await;
    let anew = case.workloads(Kind::Deployment).get(CANARY).await.unwrap();
    assert_eq!(status["rollouts"][0]["uid"], json!(anew.uid()));
    let message = condition(&status, "RolledOut")["message"].to_string();
    assert!(message.contains(&stopped.version[..8]), "{message}");
    case.stands(Kind::Deployment, CANARY).await;
    assert!(case.all_captured(CANARY, KEY, &stopped.scene.good));
    stopped.end().await;
}

async fn a_canary_renamed_in_the_middle_goes_back_under_its_new_name(case: Case) {
    let stopped = Stopped::start(&case, sequential("Rollback")).await;
    stopped.canary_is_renamed().await;
    stopped.goes_on().await;
    stopped.renamed_is_well(&[SECOND, RENAMED]).await;
    stopped.end().await;
}

async fn a_named_canary_renamed_in_the_middle_goes_back_once_its_new_name_is_given(case: Case) {
    let stopped = Stopped::start(&case, naming(&[CANARY, SECOND])).await;
    stopped.canary_is_renamed().await;
    let rollout = naming(&[RENAMED, SECOND]);
    case.patch_binding("app", json!({"spec": {"rollout": rollout}}))
        .await;
    stopped.goes_on().await;
    stopped.renamed_is_well(&[RENAMED, SECOND]).await;
    stopped.end().await;
}

async fn a_target_renamed_in_the_middle_is_taken_back_first(case: Case) {
    let stopped = Stopped::start(&case, sequential("Rollback")).await;
    let spec = json!({"target": {"name": "app-2"}});
    case.patch_binding("app", json!({"spec": spec})).await;
    case.until_refused_again().await;
    assert!(case.find_secret("app-2").await.is_none(), "not before");
    case.set_rules(stopped.rules.clone()).await;
    let scene = &stopped.scene;
    let restored = |s: Option<&Secret>| holds(s, KEY, &scene.good);
    case.until_secret("app", "has the good value", restored)
        .await;
    scene.as_before(&stopped.bad).await;
    case.until_secret("app-2", "is made", |s| s.is_some()).await;
    assert_holds(&case.secret("app-2").await, &[(KEY, &scene.good)]);
    let renamed = |o: &Value| o["status"]["secret"]["name"] == "app-2";
    let object = case.until("app", "speaks of the new one", renamed).await;
    assert_eq!(object["status"]["rollouts"], Value::Null, "nobody uses it");
    assert!(is(&object, "RolledOut", "True", "Synced"), "{object:#}");
    assert!(case.find_secret("app-2-keyferry-previous").await.is_none());
    scene.as_before(&stopped.bad).await;
    // What was rejected stays so under the new name, until there is a better one.
    case.patch_binding("app", json!({"spec": {"staleAfter": "2h"}}))
        .await;
    case.failing("app", "RolledBack").await;
    assert_holds(&case.secret("app-2").await, &[(KEY, &scene.good)]);
    let better = case.plain();
    case.put("db", &better);
    case.until_secret("app-2", "has the next good value", |s| {
        holds(s, KEY, &better)
    })
    .await;
    stopped.end().await;
}

async fn rights_taken_away_in_the_middle_are_named_and_once_given_back_it_ends_by_itself(
    case: Case,
) {
    let operator = case.operator(&[]).await;
    let scene = scene(&case, sequential("Rollback")).await;
    // What there is cannot be kept: it is not replaced.
    let rules = case.take_right("secrets", "create").await;
    let (bad, version) = scene.put_bad(Rule::not_ready);
    let status = case.failing("app", "OperatorForbidden").await;
    let says = ["create", "secrets", "{ns}", "Grant its ServiceAccount"];
    assert_says(&case, &condition(&status, "Synced"), &says);
    assert_holds(&case.secret("app").await, &[(KEY, &scene.good)]);
    case.set_rules(rules).await;
    let marked = |o: &Value| entry(o, CANARY)["state"] == "Progressing" && is_delivered(o);
    case.until("app", "the canary is restarted", marked).await;
    let rules = case.take_right("deployments", "patch").await;
    let status = case.rolled_out("app", "False", "OperatorForbidden").await;
    let says = [
        CANARY,
        "patch",
        "deployments",
        "{ns}",
        "Grant its ServiceAccount patch on deployments there.",
    ];
    assert_says(&case, &condition(&status, "RolledOut"), &says);
    case.assert_told(keyferry::api::Reason::OperatorForbidden)
        .await;
    let status = json!({"status": status});
    assert_eq!(entry(&status, CANARY)["state"], "RollingBack", "{status:#}");
    assert_holds(&case.secret("app").await, &[(KEY, &scene.good)]);
    // What was kept cannot be deleted in the end.
    case.set_rules(rules).await;
    let rules = case.take_right("secrets", "delete").await;
    let status = case.rolled_out("app", "False", "RolledBack").await;
    let message = condition(&status, "RolledOut")["message"].to_string();
    assert!(!message.contains("may not"), "{message}");
    // More often than anything but the deletion itself leads to it.
    case.until_refused("delete", 6).await;
    assert!(case.find_secret(PREVIOUS).await.is_some());
    case.set_rules(rules).await;
    scene.taken_back(&bad, &version).await;
    scene.always_ready_enough().await;
    operator.terminate(&case.world.channels).await;
}

fn is_delivered(object: &Value) -> bool {
    let canary = &object["status"]["rollouts"][0];
    canary["delivered"] == canary["wanted"]
}

impl Case {
    fn refusals(&self, verb: &str) -> usize {
        let writes = self.writes(&self.operator_name());
        let refused = |write: &&crate::audit::Write| write.code == 403 && write.verb == verb;
        writes.iter().filter(refused).count()
    }

    /// Waits until so many writes were refused.
    async fn until_refused(&self, verb: &str, times: usize) {
        let refused = || async { (self.refusals(verb) >= times).then_some(()) };
        assert!(self.poll(refused).await.is_some(), "it is not tried again");
    }

    /// Whatever happened just before is known when the Secret is tried to be written again.
    async fn until_refused_again(&self) {
        let refused = self.refusals("update");
        self.until_refused("update", refused + 1).await;
    }
}

/// A rollback of a shared operator whose write of the Secret is on its way.
struct Held {
    scene: Scene,
    door: Door,
    bad: String,
}

impl Held {
    async fn start(case: &Case, target: Value) -> Self {
        let good = case.plain();
        case.put("db", &good);
        let mut spec = spec(case, sequential("Rollback"));
        spec["target"] = target;
        case.binding("app", spec).await;
        case.synced("app").await;
        for name in [CANARY, SECOND] {
            let mut manifest = Kind::Deployment.manifest(name, PODS, &[Uses::Env("app", KEY)]);
            manifest["spec"]["progressDeadlineSeconds"] = json!(3);
            case.apply(manifest).await;
        }
        let scene = Scene::at_rest(case, Kind::Deployment, good).await;
        let client = case.world.client.clone();
        let door = Door::before(client, &case.namespace, "app").await.unwrap();
        let (bad, _) = scene.goes_bad().await;
        door.close();
        door.until_held().await.unwrap();
        let object = case.world.bindings.latest(&case.namespace, "app").unwrap();
        assert_eq!(entry(&object, CANARY)["state"], "RollingBack", "{object:#}");
        assert!(case.find_secret(PREVIOUS).await.is_some());
        Self { scene, door, bad }
    }

    async fn patch(&self, spec: Value) {
        let patch = json!({"spec": spec});
        self.scene.case.patch_binding("app", patch).await;
        self.door.open();
    }

    /// The binding is deleted; it goes, and what was kept goes.
    async fn binding_goes(&self) {
        let case = &self.scene.case;
        let api: Api<DynamicObject> = case.dynamic("ExternalSecretBinding");
        api.delete("app", &DeleteParams::default()).await.unwrap();
        self.door.open();
        let gone = || async { api.get_opt("app").await.unwrap().is_none().then_some(()) };
        assert!(case.poll(gone).await.is_some(), "the binding does not go");
        case.until_secret(PREVIOUS, "is gone", |s| s.is_none())
            .await;
    }

    /// No template was touched since the bad value went out.
    async fn nothing_restarted(self) {
        let case = &self.scene.case;
        let [canary, second] = &self.scene.before;
        for (name, generation) in [(CANARY, canary.generation + 1), (SECOND, second.generation)] {
            let now = case.workloads(Kind::Deployment).get(name).await.unwrap();
            assert_eq!(now.metadata.generation, Some(generation), "{name}");
        }
        let now: Vec<_> = case.pods_of(SECOND).into_iter().map(|p| p.uid).collect();
        assert!(now.len() == second.pods.len() && now.iter().all(|uid| second.pods.contains(uid)));
        self.scene.tried_once(&self.bad);
        self.door.remove().await.unwrap();
    }
}

async fn a_binding_deleted_in_the_middle_leaves_nothing_behind_and_restarts_nothing(case: Case) {
    let held = Held::start(&case, json!({})).await;
    held.binding_goes().await;
    case.until_secret("app", "is gone", |s| s.is_none()).await;
    held.nothing_restarted().await;
}

async fn a_retained_secret_outlives_a_binding_deleted_in_the_middle_alone(case: Case) {
    let held = Held::start(&case, json!({"deletionPolicy": "Retain"})).await;
    held.binding_goes().await;
    // With what there was, whichever it was.
    let secret = case.secret("app").await;
    assert!(
        [&held.scene.good, &held.bad]
            .map(|value| holds(Some(&secret), KEY, value))
            .contains(&true)
    );
    held.nothing_restarted().await;
}

async fn a_merge_binding_deleted_in_the_middle_takes_its_keys_with_it(case: Case) {
    case.opted_in("app").await;
    let held = Held::start(&case, json!({"creationPolicy": "Merge"})).await;
    held.binding_goes().await;
    assert_holds(&case.secret("app").await, &[("BASE", "base")]);
    held.nothing_restarted().await;
}

async fn a_rollout_taken_out_in_the_middle_leaves_clear_state(case: Case) {
    let held = Held::start(&case, json!({})).await;
    held.patch(json!({"rollout": null})).await;
    let off = |o: &Value| o["status"]["rolloutSummary"] == "Off";
    let object = case.until("app", "rolls nothing", off).await;
    assert_eq!(object["status"]["rollouts"], Value::Null);
    assert_eq!(condition(&object, "RolledOut"), Value::Null);
    case.until_secret(PREVIOUS, "is gone", |s| s.is_none())
        .await;
    assert_holds(&case.secret("app").await, &[(KEY, &held.scene.good)]);
    held.nothing_restarted().await;
}
