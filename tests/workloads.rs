//! Markers, listings and watches against a real API server with its controllers, on simulated nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{collections::BTreeMap, time::Duration};

use futures::{Stream, StreamExt};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use keyferry::{
    api::status::{RolloutState, RolloutStatus},
    cluster::workloads::{WorkloadError, WorkloadEvent, Workloads, watch},
    core::{
        recipe::RolloutRecipe,
        rollout::{
            Change, Claim, Health, Kind, Look, PodInfo, Pods, Turn, Workload, health, plan_intent,
            record, select, step, workload::Markers,
        },
    },
};
use keyferry_testkit::{
    node::{Rule, Target, When},
    shared::{Bed, bed},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

const KEY: &str = "rollout.keyferry.dev/ai";

struct Place {
    bed: &'static Bed,
    client: Client,
    namespace: String,
    workloads: Workloads,
}

async fn place(purpose: &str) -> Place {
    let bed = bed().await.unwrap();
    let client = bed.plane.client().await.unwrap();
    Place {
        bed,
        workloads: Workloads::new(client.clone()),
        client,
        namespace: bed.namespace(purpose).await.unwrap(),
    }
}

impl Place {
    async fn kubectl(&self, args: &[&str], input: Value) {
        let args: Vec<&str> = args
            .iter()
            .copied()
            .chain(["-n", &self.namespace])
            .collect();
        let input = input.to_string();
        let output = self
            .bed
            .plane
            .kubectl(&args, Some(input.as_bytes()))
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    async fn apply(&self, manifest: Value) {
        self.kubectl(&["apply", "-f", "-"], manifest).await;
    }

    async fn get(&self) -> Workload {
        self.workloads
            .get(Kind::Deployment, &self.namespace, "ai")
            .await
            .unwrap()
    }

    async fn mark(&self, pairs: &[(&str, &str)]) -> Workload {
        let markers = markers(pairs);
        loop {
            // Controllers write the status all the time: stale is an ordinary answer.
            match self
                .workloads
                .apply_markers(&self.get().await, &markers)
                .await
            {
                Err(WorkloadError::Stale) => {}
                answer => {
                    answer.unwrap();
                    return self.get().await;
                }
            }
        }
    }

    async fn until_healthy(&self) {
        until("it is healthy", || async {
            health(&self.get().await) == Health::Healthy
        })
        .await;
    }

    async fn pods(&self) -> BTreeMap<String, PodInfo> {
        let pods = self.workloads.pods_of(&self.get().await).await.unwrap();
        pods.into_iter()
            .map(|pod| (pod.name.clone(), pod))
            .collect()
    }

    /// The pod-template-hash of every living pod.
    async fn template_hashes(&self) -> Vec<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = api.list(&Default::default()).await.unwrap();
        let mut hashes: Vec<_> = pods
            .items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .map(|pod| pod.metadata.labels.unwrap()["pod-template-hash"].clone())
            .collect();
        hashes.sort();
        hashes
    }

    fn starts(&self) -> usize {
        self.bed.nodes.starts(&self.namespace).len()
    }
}

/// Asks until the answer is yes. The limit only ends a test that would hang.
async fn until<F: Future<Output = bool>>(what: &str, mut asked: impl FnMut() -> F) {
    for _ in 0..2400 {
        if asked().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}: not so after a minute");
}

fn markers(pairs: &[(&str, &str)]) -> Markers {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "ai", "labels": {"tier": "api"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "ai"}},
            "template": {
                "metadata": {"labels": {"app": "ai"}, "annotations": {"team": "estate"}},
                "spec": {"containers": [{"name": "app", "image": "app:1",
                    "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "ai", "key": "p", "optional": true}}}]}]},
            },
        },
    })
}

#[tokio::test]
async fn markers_survive_kubectl_apply_and_server_side_apply_by_others() {
    let place = place("survive").await;
    place.apply(deployment(0)).await;
    let bare = place.get().await;
    let marked = place.mark(&[(KEY, "b")]).await;
    assert_eq!(marked.markers, markers(&[(KEY, "b")]));
    assert_eq!(
        marked.template_hash, bare.template_hash,
        "our marker is no change of the template"
    );

    place.apply(deployment(0)).await;
    place
        .kubectl(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager",
                "gitops",
                "-f",
                "-",
            ],
            deployment(0),
        )
        .await;
    assert_eq!(place.get().await.markers, markers(&[(KEY, "b")]));
    assert_eq!(place.get().await.template_hash, bare.template_hash);

    place
        .kubectl(&["rollout", "restart", "deployment/ai"], Value::Null)
        .await;
    let restarted = place.get().await;
    assert_eq!(restarted.markers, markers(&[(KEY, "b")]));
    assert_ne!(restarted.template_hash, bare.template_hash);
}

#[tokio::test]
async fn a_set_that_is_not_complete_takes_the_others_off() {
    let place = place("partial").await;
    place.apply(deployment(0)).await;
    let other = "rollout.keyferry.dev/db";
    place.mark(&[(KEY, "b"), (other, "x")]).await;
    assert_eq!(
        place.get().await.markers,
        markers(&[(KEY, "b"), (other, "x")])
    );
    let after = place.mark(&[(other, "y")]).await;
    assert_eq!(after.markers, markers(&[(other, "y")]));
    assert!(place.mark(&[]).await.markers.is_empty());
    let api: Api<Deployment> = Api::namespaced(place.client.clone(), &place.namespace);
    let template = api.get("ai").await.unwrap().spec.unwrap().template;
    assert_eq!(
        template.metadata.unwrap().annotations.unwrap()["team"],
        "estate"
    );
}

#[tokio::test]
async fn an_identical_set_is_no_new_generation() {
    let place = place("identical").await;
    place.apply(deployment(0)).await;
    let once = place.mark(&[(KEY, "b")]).await;
    let twice = place.mark(&[(KEY, "b")]).await;
    assert_eq!(once.generation, twice.generation);
}

#[tokio::test]
async fn another_uid_and_a_stale_resource_version_are_refused() {
    let place = place("refused").await;
    place.apply(deployment(0)).await;
    let set = markers(&[(KEY, "b")]);

    let api: Api<Deployment> = Api::namespaced(place.client.clone(), &place.namespace);
    let stale = place.get().await;
    let touch = json!({"metadata": {"annotations": {"touched": "yes"}}});
    api.patch("ai", &PatchParams::default(), &Patch::Merge(&touch))
        .await
        .unwrap();
    let refused = place.workloads.apply_markers(&stale, &set).await;
    assert_eq!(refused, Err(WorkloadError::Stale));

    until("another uid is refused as such", || async {
        let other = Workload {
            uid: "11111111-2222-3333-4444-555555555555".into(),
            ..place.get().await
        };
        let refused = place
            .workloads
            .apply_markers(&other, &set)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, WorkloadError::WrongUid | WorkloadError::Stale),
            "{refused}"
        );
        refused == WorkloadError::WrongUid
    })
    .await;

    let gone = place.get().await;
    api.delete("ai", &DeleteParams::background()).await.unwrap();
    until("it is gone", || async {
        api.get_opt("ai").await.unwrap().is_none()
    })
    .await;
    assert_eq!(
        place.workloads.apply_markers(&gone, &set).await,
        Err(WorkloadError::Stale)
    );
    let read = place
        .workloads
        .get(Kind::Deployment, &place.namespace, "ai")
        .await;
    assert_eq!(read, Err(WorkloadError::NotFound), "apply made nothing");
}

#[tokio::test]
async fn back_to_the_baseline_brings_back_the_original_replica_set_with_its_running_pods() {
    let place = place("baseline").await;
    place.apply(deployment(3)).await;
    place.until_healthy().await;
    let (pods, hashes) = (place.pods().await, place.template_hashes().await);
    let before = place.starts();
    assert!(
        pods.values()
            .all(|p| p.started.is_some() && p.markers.is_empty())
    );

    // The new pods never become ready: the rollout stands in the middle.
    place.bed.nodes.set_rule(
        &place.namespace,
        Target::deployment("ai"),
        Rule::not_ready(When::NewPod(1)),
    );
    place.mark(&[(KEY, "b")]).await;
    until("a new pod runs beside the old ones", || async {
        place.starts() > before
    })
    .await;
    let middle = place.pods().await;
    assert!(
        middle.values().any(|p| p.markers == markers(&[(KEY, "b")])),
        "the marker stands on the pod too"
    );
    let started = place.starts();

    place.mark(&[]).await;
    until("the original pods are alone", || async {
        place.template_hashes().await == hashes
    })
    .await;
    place.until_healthy().await;
    // A pod that is being deleted is listed until its node lets it go.
    until("as many pods as before", || async {
        place.pods().await.len() == pods.len()
    })
    .await;
    let after = place.pods().await;
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        pods.keys().collect::<Vec<_>>(),
        "the same pods"
    );
    assert!(
        after
            .iter()
            .all(|(name, pod)| pod.started == pods[name].started)
    );
    assert_eq!(place.starts(), started, "no container started again");
}

#[tokio::test]
async fn with_the_last_new_pod_unready_while_an_old_one_is_available_it_is_progressing() {
    let place = place("last").await;
    place.apply(deployment(3)).await;
    place.until_healthy().await;
    place.bed.nodes.set_rule(
        &place.namespace,
        Target::deployment("ai"),
        Rule::not_ready(When::NewPod(3)),
    );
    place.mark(&[(KEY, "b")]).await;
    until(
        "three are updated, three available, four in all",
        || async {
            let w = place.get().await;
            let n = &w.numbers;
            let there = n.observed_generation == w.generation
                && (n.updated, n.available, n.replicas) == (3, 3, 4);
            if there {
                let progressing = Health::Progressing {
                    updated: 3,
                    available: 3,
                };
                assert_eq!(health(&w), progressing);
            }
            there
        },
    )
    .await;
    place
        .bed
        .nodes
        .clear_rules(&place.namespace, Target::deployment("ai"));
    place.until_healthy().await;
}

#[tokio::test]
async fn a_listing_has_every_kind_and_every_page() {
    let place = place("listing").await;
    place.apply(deployment(0)).await;
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "app", "image": "app:1", "envFrom": [{"secretRef": {"name": "ai", "optional": true}}]}]}});
    let crons: Vec<Value> = (0..105)
        .map(|i| {
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": format!("etl-{i:03}")},
                "spec": {"schedule": "0 2 * * *", "suspend": true, "jobTemplate": {"spec": {"template": template}}}})
        })
        .collect();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
        "spec": {"suspend": true, "template": template}});
    let items: Vec<Value> = crons.into_iter().chain([job]).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    place.kubectl(&["create", "-f", "-"], list).await;

    let all = place
        .workloads
        .list_consumers(&place.namespace)
        .await
        .unwrap();
    let count = |kind| {
        all.iter()
            .filter(|w| w.kind == kind && w.secrets.contains("ai"))
            .count()
    };
    assert_eq!(
        [
            count(Kind::CronJob),
            count(Kind::Deployment),
            count(Kind::Job)
        ],
        [105, 1, 1]
    );
    assert!(
        all.iter()
            .all(|w| w.namespace == place.namespace && !w.uid.is_empty())
    );
}

/// The loops in little: plan, then step and apply until nothing is left to do for now.
struct Story<'p> {
    place: &'p Place,
    rollouts: Vec<RolloutStatus>,
    live: Option<String>,
    applied: usize,
}

impl Story<'_> {
    async fn write(&mut self, next: &str) {
        let all = self
            .place
            .workloads
            .list_consumers(&self.place.namespace)
            .await
            .unwrap();
        let recipe = RolloutRecipe {
            targets: vec![],
            timeout: Duration::from_secs(600),
            order: Default::default(),
            on_failure: Default::default(),
            min_interval: Duration::ZERO,
            windows: vec![],
        };
        let consumers = select(&recipe, "ai", &all).unwrap();
        let change = Change {
            live: self.live.as_deref(),
            next,
            ..Change::default()
        };
        self.rollouts = plan_intent(&self.rollouts, &consumers, KEY, &change, &Pods::new());
        self.live = Some(next.to_owned());
    }

    async fn step(&mut self) -> RolloutStatus {
        let workload = self.place.get().await;
        let before = self.rollouts[0].clone();
        let now = jiff::Timestamp::now();
        let claim = Claim {
            binding: "ai",
            key: KEY,
            entry: &before,
            secret_holds_wanted: true,
            seen_at: now - jiff::SignedDuration::from_secs(60),
            timeout: Duration::from_secs(600),
            min_interval: Duration::ZERO,
            on_failure: Default::default(),
            turn: Turn::Now,
            opens: None,
            caution: String::new(),
            bad: None,
        };
        let step = step(Some(&workload), &[claim], Look::default(), now);
        if let Some(markers) = &step.apply {
            match self.place.workloads.apply_markers(&workload, markers).await {
                Err(WorkloadError::Stale) => return before,
                answer => self.applied += usize::from(answer.is_ok()),
            }
        }
        record(&mut self.rollouts, &before, step.entries[0].1.as_ref());
        self.rollouts[0].clone()
    }

    async fn until(&mut self, state: RolloutState) {
        for _ in 0..2400 {
            if self.step().await.state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {state:?}: {:?}", self.rollouts[0]);
    }
}

#[tokio::test]
async fn an_undo_is_told_and_never_fought() {
    let place = place("undo").await;
    place.apply(deployment(2)).await;
    place.until_healthy().await;
    let mut story = Story {
        place: &place,
        rollouts: vec![],
        live: None,
        applied: 0,
    };
    story.write("a").await;
    story.until(RolloutState::Healthy).await;
    assert_eq!(story.applied, 0, "first creation restarts nothing");

    story.write("b").await;
    story.until(RolloutState::Progressing).await;
    story.until(RolloutState::Healthy).await;
    place
        .kubectl(&["rollout", "undo", "deployment/ai"], Value::Null)
        .await;
    place.until_healthy().await;
    assert!(
        place.get().await.markers.is_empty(),
        "undo reverts the marker"
    );
    for _ in 0..3 {
        assert_eq!(story.step().await.state, RolloutState::Healthy);
    }
    assert_eq!(story.applied, 1);

    // Back to a is a restart now, though a was the baseline.
    let before = place.starts();
    story.write("a").await;
    story.until(RolloutState::Progressing).await;
    story.until(RolloutState::Healthy).await;
    assert_eq!((story.applied, place.starts() - before), (2, 2));

    // In the middle: told, and not fought.
    place.bed.nodes.set_rule(
        &place.namespace,
        Target::deployment("ai"),
        Rule::not_ready(When::NewPod(1)),
    );
    story.write("c").await;
    story.until(RolloutState::Progressing).await;
    place
        .kubectl(&["rollout", "undo", "deployment/ai"], Value::Null)
        .await;
    story.until(RolloutState::Superseded).await;
    place
        .bed
        .nodes
        .clear_rules(&place.namespace, Target::deployment("ai"));
    place.until_healthy().await;
    assert_eq!(story.step().await.state, RolloutState::Superseded);
    assert_eq!(story.applied, 3);
    place
        .kubectl(&["rollout", "restart", "deployment/ai"], Value::Null)
        .await;
    place.until_healthy().await;
    assert_eq!(story.step().await.state, RolloutState::Healthy);
    assert_eq!(story.applied, 3);
}

#[tokio::test]
async fn a_partition_lowers_the_wanted_count_and_current_revision_is_never_asked() {
    let place = place("partition").await;
    place
        .apply(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
            "replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
            "template": {"metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]}}}}))
        .await;
    let get = || async {
        place
            .workloads
            .get(Kind::StatefulSet, &place.namespace, "db")
            .await
            .unwrap()
    };
    until("it is healthy", || async {
        health(&get().await) == Health::Healthy
    })
    .await;
    let before = place.starts();
    place.bed.nodes.set_rule(
        &place.namespace,
        Target::workload("StatefulSet", "db"),
        Rule::not_ready(When::NewPod(1)),
    );
    until("the marker is set", || async {
        let set = place
            .workloads
            .apply_markers(&get().await, &markers(&[(KEY, "b")]))
            .await;
        set.is_ok()
    })
    .await;
    until("the one pod above the partition hangs", || async {
        let w = get().await;
        let hangs =
            place.starts() == before + 1 && w.numbers.updated == 1 && w.numbers.available == 2;
        assert!(
            !hangs
                || health(&w)
                    == Health::Progressing {
                        updated: 1,
                        available: 2
                    }
        );
        hangs
    })
    .await;
    place
        .bed
        .nodes
        .clear_rules(&place.namespace, Target::workload("StatefulSet", "db"));
    until("it is healthy", || async {
        health(&get().await) == Health::Healthy
    })
    .await;
    assert_eq!(place.starts(), before + 1);
}

async fn next_about(
    events: &mut (impl Stream<Item = WorkloadEvent> + Unpin),
    wanted: impl Fn(&WorkloadEvent) -> bool,
) -> WorkloadEvent {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
        let event = event.unwrap().unwrap();
        assert!(!matches!(event, WorkloadEvent::Trouble(..)), "{event:?}");
        if wanted(&event) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_watch_tells_listings_upserts_and_deletions() {
    let place = place("watch").await;
    place.apply(deployment(0)).await;
    let mut events = watch(&place.workloads, &place.namespace).boxed();
    let mut listed = Vec::new();
    while listed.len() < 3 {
        let event = next_about(&mut events, |e| matches!(e, WorkloadEvent::Listed(_))).await;
        let WorkloadEvent::Listed(kind) = event else {
            unreachable!()
        };
        listed.push(kind);
    }
    listed.sort();
    assert_eq!(listed, Kind::ROLLED);

    let marked = place.mark(&[(KEY, "b")]).await;
    let carries =
        |e: &WorkloadEvent| matches!(e, WorkloadEvent::Upsert(w) if w.marker(KEY) == Some("b"));
    let WorkloadEvent::Upsert(seen) = next_about(&mut events, carries).await else {
        unreachable!()
    };
    assert_eq!(
        (seen.kind, &seen.template_hash),
        (Kind::Deployment, &marked.template_hash)
    );

    place
        .kubectl(&["delete", "deployment", "ai"], Value::Null)
        .await;
    let deleted = next_about(&mut events, |e| matches!(e, WorkloadEvent::Deleted { .. })).await;
    let WorkloadEvent::Deleted { kind, name, uid } = deleted else {
        unreachable!()
    };
    assert_eq!(
        (kind, name.as_str(), uid),
        (Kind::Deployment, "ai", marked.uid)
    );
}
