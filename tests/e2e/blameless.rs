//! Two Deployments whose rollouts fail for another reason than the value: how that is brought about and cured, and what
//! must hold meanwhile and afterwards.

use k8s_openapi::api::apps::v1::Deployment;
use keyferry_testkit::node::{Rule, Target, When};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, entry, is, is_current},
    reasons::assert_says,
    rotating::{CANARY, KEY, Kind, PODS, SECOND, Scene, sequential},
};

/// Two Deployments at rest, one to be restarted after the other, with what `edit` makes of their manifests.
pub async fn scene(case: &Case, edit: impl Fn(&mut Value)) -> Scene {
    let good = Scene::apply(case, Kind::Deployment, sequential("Rollback"), edit).await;
    Scene::known(case, Kind::Deployment, good).await
}

/// Nodes with just as much room as the pods of two workloads take.
pub struct Full {
    case: Case,
    /// The resource that there is no more of.
    room: String,
    each: u32,
}

impl Full {
    pub async fn new(case: &Case) -> Self {
        let nodes = u32::try_from(case.world.nodes.nodes().len()).unwrap();
        let full = Self {
            case: case.clone(),
            room: format!("example.com/{}", case.namespace),
            each: 2 * PODS / nodes,
        };
        full.set(full.each).await;
        full
    }

    pub fn wants_room(&self, manifest: &mut Value) {
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        container["resources"] = json!({"limits": {&self.room: "1"}});
    }

    pub async fn has_room_again(&self) {
        self.set(self.each + 1).await;
    }

    pub async fn set(&self, each: u32) {
        let nodes = &self.case.world.nodes;
        nodes.set_room(&self.room, each).await.unwrap();
    }
}

/// Says itself that it does not get on, about when keyferry sees it.
pub fn gives_up_soon(manifest: &mut Value) {
    manifest["spec"]["progressDeadlineSeconds"] = json!(10);
}

/// A value that nothing is wrong with.
pub struct New<'a> {
    scene: &'a Scene,
    value: String,
    version: String,
}

impl<'a> New<'a> {
    pub async fn put(scene: &'a Scene) -> Self {
        let case = &scene.case;
        let value = case.plain();
        let version = case.put("db", &value);
        case.refresh("app").await;
        Self {
            scene,
            value,
            version,
        }
    }

    /// The canary says why it does not become healthy, the second is not touched, and the bytes of before are kept.
    pub async fn is_held(&self, cause: &str) {
        let (case, scene) = (&self.scene.case, self.scene);
        let status = case.rolled_out("app", "False", "Held").await;
        assert!(is(&status, "Ready", "True", "RolloutFailed"), "{status:#}");
        assert!(is(&status, "Synced", "True", "Synced"), "{status:#}");
        let said = [
            "Deployment/a-canary did not become healthy",
            cause,
            "Not rolled back: the value is not the cause.",
            "kubectl describe deployment/a-canary -n {ns}",
        ];
        assert_says(case, &condition(&status, "RolledOut"), &said);
        let stopped = |o: &Value| {
            let second = entry(o, SECOND);
            let why = "Deployment/b-second is not restarted: Deployment/a-canary did not";
            entry(o, CANARY)["state"] == "Held" && second["state"] == "Pending" && says(second, why)
        };
        case.until("app", "stops at the canary", stopped).await;
        assert_eq!(case.stands(scene.kind, SECOND).await, scene.before[1]);
        let kept = case.find_secret("app-keyferry-previous").await;
        let kept = kept.expect("the bytes of before are kept");
        assert_holds(&kept, &[(KEY, &scene.good)]);
        self.is_not_undone().await;
    }

    /// The canary, unhealthy before, is restarted all the same, and so is the second, which becomes healthy.
    pub async fn passes_by(&self) {
        let (case, scene) = (&self.scene.case, self.scene);
        let passed = |o: &Value| {
            let now = &o["status"]["secret"]["revision"];
            let (canary, second) = (entry(o, CANARY), entry(o, SECOND));
            (&canary["delivered"], &second["delivered"]) == (now, now)
                && canary["state"] == "AlreadyUnhealthy"
                && second["state"] == "Healthy"
        };
        let object = case.until("app", "passes the unhealthy one", passed).await;
        assert!(
            is(&object, "RolledOut", "Unknown", "AlreadyUnhealthy"),
            "{:#}",
            object["status"]
        );
        let said = [
            "Deployment/a-canary was unhealthy before the change",
            "restarted all the same",
        ];
        assert_says(case, &condition(&object, "RolledOut"), &said);
        case.stands(scene.kind, SECOND).await;
        assert!(case.all_captured(SECOND, KEY, &self.value));
        self.is_not_undone().await;
    }

    /// The Secret holds the new bytes, no version is rejected, and no workload ever went back.
    pub async fn is_not_undone(&self) {
        let case = &self.scene.case;
        let secret = case.secret("app").await;
        assert_holds(&secret, &[(KEY, &self.value)]);
        assert!(!secret.annotations().contains_key("keyferry.dev/rejected"));
        for name in [CANARY, SECOND] {
            let states = case.states(name);
            assert!(
                !states.iter().any(|s| s.starts_with("Roll")),
                "{name}: {states:?}"
            );
        }
    }

    /// Nobody does anything more: both end healthy, after so many changes of their templates.
    pub async fn goes_out(&self, changes: [i64; 2]) {
        let (case, scene) = (&self.scene.case, self.scene);
        case.rolled_out_at("app", &self.version).await;
        let workloads = [CANARY, SECOND].into_iter().zip(&scene.before);
        for ((name, before), changes) in workloads.zip(changes) {
            let now = case.stands(scene.kind, name).await;
            assert_eq!(now.generation, before.generation + changes, "{name}");
            assert!(case.all_captured(name, KEY, &self.value), "{name}");
        }
        let ready = |o: &Value| is(o, "Ready", "True", "Synced");
        case.until("app", "is Ready again", ready).await;
        self.is_not_undone().await;
        let gone = case.until_secret("app-keyferry-previous", "is gone", |s| s.is_none());
        gone.await;
    }
}

impl Case {
    /// What the canary's pods do; nothing: what they always did.
    pub fn rule_canary(&self, rules: impl IntoIterator<Item = Rule>) {
        let (nodes, target) = (&self.world.nodes, Target::deployment(CANARY));
        nodes.set_rules(&self.namespace, target, rules);
    }

    /// The canary's pods crash, whatever the value, and it is known to be without any that is available.
    pub async fn canary_crashes(&self) {
        self.rule_canary([Rule::crash(When::Always, 1)]);
        let down = |d: &Deployment| {
            d.status
                .as_ref()
                .and_then(|s| s.available_replicas)
                .is_none_or(|n| n == 0)
        };
        self.until_canary("is down", down).await;
    }

    /// The Deployment itself says that it has failed.
    pub async fn canary_given_up(&self) {
        let given_up = |d: &Deployment| {
            let status = d.status.clone().unwrap_or_default();
            let mut reasons = status
                .conditions
                .into_iter()
                .flatten()
                .filter_map(|c| c.reason);
            status.observed_generation == d.metadata.generation
                && reasons.any(|reason| reason == "ProgressDeadlineExceeded")
        };
        self.until_canary("has given up", given_up).await;
    }

    pub async fn until_canary(&self, what: &str, fits: impl Fn(&Deployment) -> bool) {
        let found = self.poll(|| async {
            let found = self.api::<Deployment>().get(CANARY).await.unwrap();
            fits(&found).then_some(())
        });
        assert!(
            found.await.is_some(),
            "the canary of {}: {what}: not so in time",
            self.namespace
        );
    }

    /// A pass that finds whatever version there is, rejected or not, and forgives nothing.
    pub async fn whole_pass(&self) {
        let edit = json!({"spec": {"refreshInterval": "11s"}});
        self.patch_binding("app", edit).await;
        self.until("app", "is current again", is_current).await;
    }

    /// Runs kubectl, which must not fail.
    pub async fn run(&self, args: &[&str], input: Option<&str>) {
        let output = self.kubectl(args, input).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
    }

    /// The states that a workload went through.
    pub fn states(&self, name: &str) -> Vec<String> {
        let state = |status: &Value| entry(status, name)["state"].as_str().map(str::to_owned);
        let mut states: Vec<String> = self.statuses("app").iter().filter_map(state).collect();
        states.dedup();
        states
    }
}

pub fn says(entry: &Value, words: &str) -> bool {
    entry["message"]
        .as_str()
        .is_some_and(|said| said.contains(words))
}
