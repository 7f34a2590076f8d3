//! The scene of a rotation: a binding `app` of one entry, a canary and a second workload that use it, and what must
//! hold after a bad password went in.

use std::{collections::BTreeSet, time::Duration};

use keyferry::api::Reason;
use keyferry_testkit::{
    node::{Rule, SimulatedPod, Target, When},
    ready::ReadyWatch,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, entry, is, revision},
    workload::{Uses, deployment},
};

/// Restarted first.
pub const CANARY: &str = "a-canary";
/// Restarted when the canary is healthy.
pub const SECOND: &str = "b-second";
/// The key, and the variable that pods capture.
pub const KEY: &str = "PASSWORD";
/// Pods of each workload; a DaemonSet has as many as there are nodes.
pub const PODS: u32 = 3;

/// A kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// The label on pods that tells the templates of one workload apart.
    fn template_label(self) -> &'static str {
        match self {
            Self::Deployment => "pod-template-hash",
            Self::StatefulSet | Self::DaemonSet => "controller-revision-hash",
        }
    }

    /// How many of `pods` must be ready at every moment of any rollout.
    pub fn least_ready(self, pods: u32) -> usize {
        let spare = u32::from(self != Self::Deployment);
        usize::try_from(pods - spare).unwrap()
    }

    /// A workload whose pods are labelled `app=<name>`.
    pub fn manifest(self, name: &str, replicas: u32, uses: &[Uses]) -> Value {
        let mut manifest = deployment(name, replicas, uses);
        manifest["kind"] = json!(self.word());
        let spec = manifest["spec"].as_object_mut().unwrap();
        match self {
            Self::Deployment => {}
            Self::StatefulSet => _ = spec.insert("serviceName".into(), json!(name)),
            Self::DaemonSet => _ = spec.remove("replicas"),
        }
        manifest
    }
}

/// A moment of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Counts the changes of its spec.
    pub generation: i64,
    /// Uids of its pods.
    pub pods: BTreeSet<String>,
    /// The templates that its pods are of.
    pub templates: BTreeSet<String>,
}

/// A binding with its workloads at rest.
pub struct Scene {
    pub case: Case,
    pub kind: Kind,
    /// The value that works.
    pub good: String,
    /// The revision of its bytes.
    pub revision: String,
    /// The canary and the second, before the rotation.
    pub before: [Stand; 2],
    ready: [ReadyWatch; 2],
}

impl Scene {
    /// Two workloads of three pods each run with a good value under `rollout`; nothing is under way. The operator must
    /// run already.
    pub async fn start(case: &Case, kind: Kind, rollout: Value) -> Self {
        Self::start_with(case, kind, rollout, json!({})).await
    }

    /// The same with more in the specs of the workloads.
    pub async fn start_with(case: &Case, kind: Kind, rollout: Value, more: Value) -> Self {
        let add = |manifest: &mut Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            manifest["spec"].as_object_mut().unwrap().extend(more);
        };
        let good = Self::apply(case, kind, rollout, add).await;
        Self::at_rest(case, kind, good).await
    }

    /// Binding and workloads, with what `edit` makes of the manifests of these; returns the value.
    pub async fn apply(
        case: &Case,
        kind: Kind,
        rollout: Value,
        edit: impl Fn(&mut Value),
    ) -> String {
        let good = case.plain();
        case.put("db", &good);
        case.binding("app", spec(case, rollout)).await;
        case.synced("app").await;
        for name in [CANARY, SECOND] {
            let mut manifest = kind.manifest(name, PODS, &[Uses::EnvFrom("app")]);
            edit(&mut manifest);
            case.apply(manifest).await;
        }
        good
    }

    /// The same for what runs with `good` already.
    pub async fn at_rest(case: &Case, kind: Kind, good: String) -> Self {
        let scene = Self::known(case, kind, good).await;
        age().await;
        scene
    }

    /// The same, at once: for tests in which nothing goes back, so that no pod's age matters.
    pub async fn known(case: &Case, kind: Kind, good: String) -> Self {
        let before = [
            case.stands(kind, CANARY).await,
            case.stands(kind, SECOND).await,
        ];
        let known = |o: &Value| {
            o["status"]["rollouts"]
                .as_array()
                .is_some_and(|r| r.len() == 2)
        };
        case.until("app", "knows both workloads", known).await;
        case.rolled_out("app", "True", "Synced").await;
        Self {
            kind,
            good,
            revision: revision(&case.secret("app").await),
            before,
            ready: [case.ready(CANARY).await, case.ready(SECOND).await],
            case: case.clone(),
        }
    }

    /// Puts a version with which no pod of either workload becomes well; returns value and version.
    pub fn put_bad(&self, rule: impl Fn(When) -> Rule) -> (String, String) {
        self.put_bad_for(&[CANARY, SECOND], rule)
    }

    /// The same for these workloads; the others are well with it.
    pub fn put_bad_for(&self, names: &[&str], rule: impl Fn(When) -> Rule) -> (String, String) {
        let bad = self.case.plain();
        for name in names {
            let target = Target::workload(self.kind.word(), name);
            let rule = rule(When::equals(KEY, &bad));
            self.case
                .world
                .nodes
                .set_rule(&self.case.namespace, target, rule);
        }
        let version = self.case.put("db", &bad);
        (bad, version)
    }

    /// Waits until the version was taken back, and fails unless everything is as before it.
    pub async fn taken_back(&self, bad: &str, version: &str) -> Value {
        let status = self.rejected(version).await;
        self.as_before(bad).await;
        status
    }

    /// Waits until a person is told that the version was taken back.
    pub async fn rejected(&self, version: &str) -> Value {
        let case = &self.case;
        let named = |o: &Value| {
            let message = condition(o, "RolledOut")["message"].to_string();
            is(o, "RolledOut", "False", "RolledBack") && message.contains(&version[..8])
        };
        let what = format!("taken back: version {version}");
        let status = case.until("app", &what, named).await["status"].clone();
        self.says_rolled_back(&status, version);
        case.assert_told(Reason::RolledBack).await;
        status
    }

    fn says_rolled_back(&self, status: &Value, version: &str) {
        for (kind, expected) in [
            ("RolledOut", "False"),
            ("Ready", "True"),
            ("Synced", "False"),
        ] {
            assert!(is(status, kind, expected, "RolledBack"), "{status:#}");
        }
        let named = &version[..8];
        for kind in ["RolledOut", "Ready", "Synced"] {
            let message = condition(status, kind)["message"].to_string();
            assert!(
                message.contains(named),
                "{kind} names version {named}: {message}"
            );
        }
    }

    /// The old bytes are back, and so are the pods that ran with them; the second workload was never touched.
    pub async fn as_before(&self, bad: &str) {
        let case = &self.case;
        self.bytes_of_before().await;
        let [canary, second] = &self.before;
        let now = case.stands(self.kind, CANARY).await;
        let history = case.generations(CANARY);
        assert_eq!(
            now.templates, canary.templates,
            "the template of before: {history:?}"
        );
        assert_eq!(
            now.generation,
            canary.generation + 2,
            "there and back: {history:?}"
        );
        let kept = now.pods.intersection(&canary.pods).count();
        assert!(
            kept >= self.kind.least_ready(PODS),
            "{kept} pods of before serve on"
        );
        assert_eq!(
            case.stands(self.kind, SECOND).await,
            *second,
            "never restarted"
        );
        assert_eq!(case.running_with(bad), 0, "pods with the bad value");
        self.tried_once(bad);
        let gone = case.until_secret("app-keyferry-previous", "is gone", |s| s.is_none());
        gone.await;
    }

    pub async fn bytes_of_before(&self) {
        let secret = self.case.secret("app").await;
        assert_holds(&secret, &[(KEY, &self.good)]);
        assert_eq!(revision(&secret), self.revision, "the revision of before");
    }

    /// Pods of one template of the canary, and of nothing else, were started with the value.
    pub fn tried_once(&self, bad: &str) {
        let case = &self.case;
        let templates = case.templates_with(self.kind, bad);
        assert_eq!(
            templates.len(),
            1,
            "restarts with the bad value: {templates:?}"
        );
        assert!(
            templates.iter().all(|(workload, _)| workload == CANARY),
            "{templates:?}"
        );
    }

    /// Puts another good version and waits until both workloads run with it; nobody is asked to refresh.
    pub async fn next_good_goes_out(&self) -> String {
        let case = &self.case;
        let stood = [
            case.stands(self.kind, CANARY).await,
            case.stands(self.kind, SECOND).await,
        ];
        let good = case.plain();
        let version = case.put("db", &good);
        case.rolled_out_at("app", &version).await;
        for (name, stood) in [CANARY, SECOND].into_iter().zip(stood) {
            let now = case.stands(self.kind, name).await;
            assert_eq!(now.generation, stood.generation + 1, "{name}: one restart");
            assert!(case.all_captured(name, KEY, &good), "{name}");
        }
        let ready = |o: &Value| is(o, "Ready", "True", "Synced");
        case.until("app", "is Ready again", ready).await;
        good
    }

    /// Fails when any workload ever had fewer ready pods than it may.
    pub async fn always_ready_enough(&self) {
        for (name, ready) in [CANARY, SECOND].into_iter().zip(&self.ready) {
            let (least, steps) = (ready.minimum().await.unwrap(), ready.steps());
            let allowed = self.kind.least_ready(PODS);
            assert!(
                least >= allowed,
                "{} {name}: ready {steps:?}",
                self.kind.word()
            );
        }
    }
}

/// Waits until the pods there are started long enough ago: starts are told in whole seconds by clocks that need not
/// agree, and pods of the last five seconds before the bytes change count as started with either.
pub async fn age() {
    tokio::time::sleep(Duration::from_secs(7)).await;
}

/// The binding's spec with that rollout.
pub fn spec(case: &Case, rollout: Value) -> Value {
    let mut spec = case.one(KEY, "db");
    spec["refreshInterval"] = json!("10s");
    spec["rollout"] = rollout;
    spec
}

/// One after the other, soon.
pub fn sequential(on_failure: &str) -> Value {
    json!({"order": "Sequential", "onFailure": on_failure, "timeout": "10s", "minInterval": "0s"})
}

impl Case {
    /// Watches how many pods of a workload are ready.
    pub fn ready(&self, name: &str) -> impl Future<Output = ReadyWatch> {
        let (client, namespace) = (self.world.client.clone(), self.namespace.clone());
        let selector = format!("app={name}");
        async move {
            let started = ReadyWatch::start(client, &namespace, &selector).await;
            started.unwrap()
        }
    }

    /// A workload of any kind.
    pub fn workloads(&self, kind: Kind) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("apps", "v1", kind.word());
        let resource = ApiResource::from_gvk(&gvk);
        Api::namespaced_with(self.world.client.clone(), &self.namespace, &resource)
    }

    pub async fn patch_workload(&self, kind: Kind, name: &str, patch: Value) {
        let (api, params) = (self.workloads(kind), PatchParams::default());
        api.patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Waits until nothing is left to do for a workload; how it stands then.
    pub async fn stands(&self, kind: Kind, name: &str) -> Stand {
        let stood = self.poll(|| async {
            let found = self.workloads(kind).get(name).await.unwrap();
            let pods = self.pods_of(name);
            let rests = rests(kind, &serde_json::to_value(&found).unwrap(), &pods);
            rests.then(|| stand(kind, found.metadata.generation, &pods))
        });
        let stood = stood.await;
        stood.unwrap_or_else(|| {
            let pods = self.pods_of(name);
            let pods: Vec<_> = pods
                .iter()
                .map(|p| (&p.name, p.ready, &p.containers))
                .collect();
            panic!(
                "{name} of {} does not come to rest: {pods:?}",
                self.namespace
            )
        })
    }

    pub fn pods_of(&self, name: &str) -> Vec<SimulatedPod> {
        self.world.nodes.pods(&self.namespace, &[("app", name)])
    }

    /// How many containers that are there were last started with that value.
    pub fn running_with(&self, value: &str) -> usize {
        let pods = self.world.nodes.pods(&self.namespace, &[]);
        let started = pods.iter().flat_map(|pod| &pod.containers);
        let captured = started.filter_map(|c| c.environment.as_ref()?.get(KEY));
        captured.filter(|captured| *captured == value).count()
    }

    /// Workload and template of every pod that was ever started with that value.
    pub fn templates_with(&self, kind: Kind, value: &str) -> BTreeSet<(String, String)> {
        let starts = self.world.nodes.starts(&self.namespace);
        let with = starts
            .iter()
            .filter(|s| s.environment.get(KEY) == Some(value));
        with.map(|start| {
            let workload = start.workload.as_ref().map(|(_, name)| name.clone());
            let template = start.labels.get(kind.template_label()).cloned();
            (workload.unwrap_or_default(), template.unwrap_or_default())
        })
        .collect()
    }

    /// The states that the entries about a workload went through, for messages.
    pub fn generations(&self, name: &str) -> Vec<Value> {
        let told = |status: &Value| {
            let found = entry(status, name);
            let fields = ["state", "baseline", "delivered", "wanted"];
            (!found.is_null()).then(|| fields.map(|field| found[field].clone()).into())
        };
        let mut all: Vec<Value> = self.statuses("app").iter().filter_map(told).collect();
        all.dedup();
        all
    }
}

fn stand(kind: Kind, generation: Option<i64>, pods: &[SimulatedPod]) -> Stand {
    let template = |pod: &SimulatedPod| pod.labels.get(kind.template_label()).cloned();
    Stand {
        generation: generation.unwrap_or_default(),
        pods: pods.iter().map(|pod| pod.uid.clone()).collect(),
        templates: pods.iter().filter_map(template).collect(),
    }
}

fn rests(kind: Kind, object: &Value, pods: &[SimulatedPod]) -> bool {
    let status = &object["status"];
    let (wanted, counts) = match kind {
        Kind::DaemonSet => (
            &status["desiredNumberScheduled"],
            [
                "currentNumberScheduled",
                "updatedNumberScheduled",
                "numberAvailable",
            ],
        ),
        Kind::Deployment | Kind::StatefulSet => (
            &object["spec"]["replicas"],
            ["replicas", "updatedReplicas", "availableReplicas"],
        ),
    };
    let wanted = wanted.as_u64().unwrap_or_default();
    status["observedGeneration"] == object["metadata"]["generation"]
        && wanted > 0
        && counts
            .iter()
            .all(|count| status[*count].as_u64() == Some(wanted))
        && pods.iter().filter(|pod| pod.ready).count() as u64 == wanted
        && pods.len() as u64 == wanted
}
