//! What it costs: calls to AWS and writes to Kubernetes, counted. The cost follows entries and changes, never
//! the number of bindings.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use keyferry_testkit::{
    aws::{Call, CallLog},
    install::Rights,
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, is, is_current},
    counted::{asked, of, summary},
    operators::{Running, Start},
};

crate::tests![alone:
    a_thousand_bindings_cost_what_their_two_hundred_entries_cost,
    bindings_applied_while_running_share_their_reads,
];

/// Entries a call (source: BatchGetSecretValue, API reference).
const BATCH: usize = 20;
/// Calls in five seconds of creation, however many bindings come.
const MOST_IN_FIVE_SECONDS: usize = 10;
/// Keys a binding.
const KEYS: usize = 8;
/// Writes of the test under way at once.
const AT_ONCE: usize = 16;

/// Many bindings of one operator: so many entries and bindings in each namespace.
struct Scene {
    case: Case,
    namespaces: Vec<Case>,
    entries: usize,
    bindings: usize,
}

impl Scene {
    async fn new(case: Case, namespaces: usize, entries: usize, bindings: usize) -> Self {
        let mut all = Vec::new();
        for n in 0..namespaces {
            all.push(case.sibling(&format!("n{n}")).await);
        }
        let scene = Self {
            case,
            namespaces: all,
            entries,
            bindings,
        };
        for case in &scene.namespaces {
            for entry in 0..entries {
                let value = case.plain();
                let properties: BTreeMap<String, String> = (0..KEYS)
                    .map(|key| (format!("k{key}"), format!("{value}{key}")))
                    .collect();
                case.put(&format!("e{entry}"), &json!(properties).to_string());
            }
        }
        scene
    }

    /// Each binding takes half of its keys from one entry and half from the next.
    fn manifest(&self, case: &Case, binding: usize, interval: &str) -> Value {
        let items: Vec<Value> = (0..KEYS)
            .map(|key| {
                let entry = (binding + key % 2) % self.entries;
                let property = format!("k{key}");
                let from =
                    json!({"secret": case.entry(&format!("e{entry}")), "property": property});
                json!({"key": format!("KEY_{key}"), "from": from})
            })
            .collect();
        let spec = json!({"refreshInterval": interval, "data": items});
        case.manifest(&format!("b{binding}"), spec)
    }

    async fn create_bindings(&self, interval: &str) {
        let mut posts = Vec::new();
        for binding in 0..self.bindings {
            for case in &self.namespaces {
                let object = self.manifest(case, binding, interval);
                posts.push(post(case.dynamic("ExternalSecretBinding"), object));
            }
        }
        stream::iter(posts)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    async fn edit_bindings(&self, change: Value) {
        let mut patches = Vec::new();
        for binding in 0..self.bindings {
            for case in &self.namespaces {
                let api = case.dynamic("ExternalSecretBinding");
                patches.push(patch(api, format!("b{binding}"), change.clone()));
            }
        }
        stream::iter(patches)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    /// Batches that hold every entry once.
    fn batches(&self) -> usize {
        self.namespaces.len() * self.entries / BATCH
    }

    fn start(&self, args: &[&str]) -> Start {
        let rights = Rights {
            watch_namespaces: self
                .namespaces
                .iter()
                .map(|c| c.namespace.clone())
                .collect(),
            service_account_identity: false,
            preflight: args.contains(&"--allow-preflight"),
        };
        Start::new(&self.case.operator_name())
            .rights(rights)
            .args(args)
    }

    async fn operator(&self, args: &[&str]) -> Running {
        let start = self.start(args);
        self.case.world.start_operator(start).await.unwrap()
    }

    /// Waits until every binding is in sync.
    async fn all_synced(&self) {
        let synced = || {
            let synced = |object: &std::sync::Arc<Value>| {
                is_current(object) && is(object, "Synced", "True", "Synced")
            };
            let here = |case: &Case| {
                let all = case.world.bindings.all(&case.namespace);
                all.iter().filter(|object| synced(object)).count()
            };
            self.namespaces.iter().map(here).sum::<usize>()
        };
        let wanted = self.bindings * self.namespaces.len();
        let done = self
            .case
            .poll(|| async { (synced() == wanted).then_some(()) })
            .await;
        assert!(done.is_some(), "{} of {wanted} are in sync", synced());
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let entries = self.entries;
        let of = move |case: &Case| {
            let case = case.clone();
            (0..entries).map(move |n| case.entry(&format!("e{n}")))
        };
        self.namespaces.iter().flat_map(of)
    }

    /// Waits until every entry was read `times` more.
    async fn until_read(&self, times: u64) {
        let aws = &self.case.world.aws;
        let goals: Vec<(String, u64)> = self
            .names()
            .map(|name| {
                let reads = aws.reads_of(&name);
                (name, reads + times)
            })
            .collect();
        let done = |log: &CallLog| goals.iter().all(|(name, goal)| log.reads_of(name) >= *goal);
        let waited = aws.wait_within(PATIENCE, done).await;
        waited.unwrap_or_else(|why| panic!("not every entry was read {times} times: {why}"));
    }

    /// How many writes the operator has made in these namespaces.
    fn writes(&self) -> usize {
        self.case.writes_below(&self.case.operator_name()).len()
    }

    async fn finish(&self) {
        for case in &self.namespaces {
            case.finish().await;
        }
    }
}

async fn patch(api: Api<DynamicObject>, name: String, patch: Value) {
    let params = PatchParams::default();
    let patched = api.patch(&name, &params, &Patch::Merge(patch)).await;
    patched.unwrap();
}

async fn post(api: Api<DynamicObject>, object: Value) {
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Scenario R of the budgets.
async fn a_thousand_bindings_cost_what_their_two_hundred_entries_cost(case: Case) {
    let scene = Scene::new(case, 10, 20, 100).await;
    let (world, batches) = (&scene.case.world, scene.batches());
    let args = ["--min-refresh-interval=10s", "--sweep=batch"];
    // No interval ends while the start is counted.
    scene.create_bindings("24h").await;

    // Cold: the bindings are there, the operator starts.
    let before = scene.case.last_call();
    let first = scene.operator(&args).await;
    scene.all_synced().await;
    assert_one_round(&scene.case.calls_since(before), batches, "cold");
    let writes = scene.writes();
    let bindings = scene.bindings * scene.namespaces.len();
    assert_eq!(
        writes,
        2 * bindings,
        "one write of the Secret, one of the status"
    );
    first.terminate(&world.channels).await;

    // Restarted with nothing changed.
    let before = scene.case.last_call();
    let second = scene.operator(&args).await;
    scene.until_read(1).await;
    assert_one_round(&scene.case.calls_since(before), batches, "restart");

    // At rest with a short interval; what the edit itself costs does not count.
    assert_eq!(scene.writes(), writes, "a restart writes nothing");
    scene
        .edit_bindings(json!({"spec": {"refreshInterval": "10s"}}))
        .await;
    scene.all_synced().await;
    let writes = scene.writes();
    let before = scene.case.between_sweeps().await;
    scene.until_read(2).await;
    let calls = scene.case.calls_since(before);
    assert!(
        asked(&calls) <= 2 * batches,
        "two intervals: {:?}",
        summary(&calls)
    );
    assert_eq!(asked(&calls), calls.len(), "and nobody else was asked");
    assert_eq!(
        scene.writes(),
        writes,
        "nothing changed, nothing is written"
    );
    second.terminate(&world.channels).await;
    scene.finish().await;
}

/// One batch for every twenty entries, one call for credentials, and nothing else.
#[track_caller]
fn assert_one_round(calls: &[Call], batches: usize, what: &str) {
    let wanted = BTreeMap::from([
        ("AssumeRoleWithWebIdentity", 1),
        ("BatchGetSecretValue", batches),
    ]);
    assert_eq!(summary(calls), wanted, "{what}");
    assert!(
        of(calls, "BatchGetSecretValue").all(|call| call.ids.len() == BATCH),
        "{what}: full batches"
    );
}

async fn bindings_applied_while_running_share_their_reads(case: Case) {
    let scene = Scene::new(case, 5, 20, 60).await;
    // No sweep comes in between.
    let operator = scene.operator(&[]).await;
    let before = scene.case.last_call();
    scene.create_bindings("24h").await;
    scene.all_synced().await;
    let calls = scene.case.calls_since(before);
    let times: Vec<_> = of(&calls, "BatchGetSecretValue")
        .map(|call| call.at)
        .collect();
    let span = times[times.len() - 1].duration_since(times[0]).as_secs();
    let most = (usize::try_from(span / 5).unwrap() + 1) * MOST_IN_FIVE_SECONDS;
    let made = asked(&calls);
    println!("applied while running: {made} calls in {span} s, at most {most}");
    assert!(
        made <= most,
        "{made} calls, at most {most}: {:?}",
        summary(&calls)
    );
    operator.terminate(&scene.case.world.channels).await;
    scene.finish().await;
}
