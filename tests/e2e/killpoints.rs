//! The operator is killed before and after every single write of a rotation that fails: everything ends as it would
//! have without.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::join_all;
use keyferry_testkit::{
    api_proxy::{ApiProxy, Moment, Write},
    aws::{EventKinds, Queue},
    node::Rule,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE},
    operators::{Running, Start},
    rotating::{self, CANARY, KEY, Kind, SECOND, Scene, sequential},
    world::World,
};

crate::tests![own:
    an_operator_killed_at_every_write_ends_as_one_that_lives_for_deployments,
    an_operator_killed_at_every_write_ends_as_one_that_lives_for_stateful_sets,
    an_operator_killed_at_every_write_ends_as_one_that_lives_for_daemon_sets,
];

/// Operators side by side, each with its own namespace; kills of one lane come one after the other. A Deployment is
/// given up sooner than the shortest `timeout`.
fn lanes(kind: Kind) -> usize {
    match kind {
        Kind::Deployment => 6,
        Kind::StatefulSet | Kind::DaemonSet => 9,
    }
}

/// Every write that there is, in the order in which they come first.
const WRITES: [&str; 14] = [
    "status: intent",
    "companion",
    "Secret",
    "status: written",
    "marker",
    "status: restarted",
    "status: outcome, the value failed",
    "status: intent of the way back",
    "rejection and restored Secret",
    "status: restored",
    "marker removed",
    STUCK,
    BACK,
    LAST,
];
const BACK: &str = "status: outcome, back";
const LAST: &str = "companion deleted";
/// Of a StatefulSet only.
const STUCK: &str = "stuck pod deleted";

fn writes_of(kind: Kind) -> BTreeSet<&'static str> {
    let writes = WRITES.into_iter();
    let there_is = |label: &&str| kind == Kind::StatefulSet || *label != STUCK;
    writes.filter(there_is).collect()
}

/// Of an operator that begins with somebody else's open intent, and has not asked AWS yet.
const WITHDRAWN: &str = "status: intent withdrawn";

/// A write: its label, and how often that was seen before.
type Place = (&'static str, usize);
/// A kill: on which side of which write.
type Kill = (Moment, &'static str);

async fn an_operator_killed_at_every_write_ends_as_one_that_lives_for_deployments(case: Case) {
    killed(case, Kind::Deployment).await;
}

async fn an_operator_killed_at_every_write_ends_as_one_that_lives_for_stateful_sets(case: Case) {
    killed(case, Kind::StatefulSet).await;
}

async fn an_operator_killed_at_every_write_ends_as_one_that_lives_for_daemon_sets(case: Case) {
    killed(case, Kind::DaemonSet).await;
}

async fn killed(case: Case, kind: Kind) {
    let mut lanes = join_all((0..lanes(kind)).map(|n| Lane::start(&case, kind, n))).await;
    let (undisturbed, _) = lanes[0].rotate(None).await;
    let labels = &lanes[0].labels;
    let labels: Vec<&str> = undisturbed.iter().filter_map(|w| labels.of(w)).collect();
    println!("writes of a rotation of a {kind:?} that is taken back:");
    for (n, (label, write)) in labels.iter().zip(&undisturbed).enumerate() {
        println!("{n:>3}  {label:<36} {write}");
    }
    let seen: BTreeSet<&str> = labels.iter().copied().collect();
    assert_eq!(seen, writes_of(kind));

    let earlier = |n: usize| labels[..n].iter().filter(|l| **l == labels[n]).count();
    let places: Vec<_> = (0..labels.len()).map(|n| (labels[n], earlier(n))).collect();
    let mut dealt = vec![Vec::new(); lanes.len()];
    for (n, place) in places.into_iter().enumerate() {
        dealt[n % lanes.len()].push(place);
    }
    let runs = lanes.into_iter().zip(dealt);
    let runs = runs.map(|(lane, places)| lane.run(places));
    let killed: Vec<Kill> = join_all(runs).await.into_iter().flatten().collect();
    println!("{} kills of {} writes", killed.len(), undisturbed.len());
    assert_eq!(killed.len(), 2 * undisturbed.len());
    for moment in [Moment::Before, Moment::After] {
        let here = killed.iter().filter(|(m, _)| *m == moment);
        let here: BTreeSet<&str> = here.map(|(_, label)| *label).collect();
        assert_eq!(here, writes_of(kind), "killed {moment:?}");
    }
}

/// One operator behind a proxy, and the scene it works on.
struct Lane {
    proxy: Arc<ApiProxy>,
    queue: Queue,
    operator: Running,
    scene: Scene,
    labels: Labels,
    rotated: bool,
}

impl Lane {
    async fn start(case: &Case, kind: Kind, n: usize) -> Self {
        let case = case.sibling(&format!("lane-{n}")).await;
        let world = &case.world;
        let proxy = ApiProxy::start(world.plane.kubeconfig()).await.unwrap();
        let proxy = Arc::new(proxy);
        // What is put is told at once: nothing waits for a sweep.
        let queue = world.entries().create_queue(&case.namespace);
        queue.subscribe(&world.entries(), EventKinds::native());
        let start = Self::way(&case, &proxy, &queue);
        start.prepare(world).await.unwrap();
        let name = case.operator_name();
        let role = World::role(&name)
            .trust_service_account(&name, &name)
            .allow(&["secretsmanager:*", "sqs:*"], &["*"]);
        world.aws.put_role(role);
        let operator = world.launch_operator(start).await.unwrap();
        // A Deployment that gives up soon keeps a kill short, though not while an operator starts; other kinds never do.
        let soon = match kind {
            Kind::Deployment => json!({"progressDeadlineSeconds": 6}),
            Kind::StatefulSet | Kind::DaemonSet => json!({}),
        };
        let scene = Scene::start_with(&case, kind, sequential("Rollback"), soon).await;
        let labels = Labels {
            namespace: case.namespace.clone(),
            good: scene.good.clone(),
            revision: scene.revision.clone(),
        };
        Self {
            proxy,
            queue,
            operator,
            scene,
            labels,
            rotated: false,
        }
    }

    fn way(case: &Case, proxy: &Arc<ApiProxy>, queue: &Queue) -> Start {
        let url = format!("--events-queue-url={}", queue.url());
        case.start(&[&url]).through(proxy)
    }

    /// Rotates once for each write; what was killed at.
    async fn run(mut self, places: Vec<Place>) -> Vec<Kill> {
        let mut killed = Vec::new();
        for place in places {
            if self.rotated && self.scene.kind == Kind::DaemonSet {
                // One of its pods is new, and perhaps not the one that is replaced next.
                rotating::age().await;
            }
            let (_, here) = self.rotate(Some(place)).await;
            println!("{} killed at {here:?}", self.labels.namespace);
            killed.extend(here);
        }
        self.end().await;
        killed
    }

    /// A bad version goes in and is taken back, undisturbed, or with an operator killed before a write and the next
    /// one after it; every write in the namespace, and where the kills were.
    async fn rotate(&mut self, place: Option<Place>) -> (Vec<Write>, Vec<Kill>) {
        let case = self.scene.case.clone();
        self.rotated = true;
        let from = self.proxy.writes().len();
        if let Some((label, nth)) = place {
            self.arm(Some(self.operator.pid), Moment::Before, label, nth);
        }
        // Not ready for good: a container that ends would start again with the restored bytes while nobody takes the
        // marker off, and its Deployment would go on.
        let (bad, version) = self.scene.put_bad(Rule::not_ready);
        let mut killed = Vec::new();
        if let Some((label, _)) = place {
            killed.push((Moment::Before, self.struck().await));
            // The next one begins with that very write, perhaps before anybody knows its process.
            self.arm(None, Moment::After, label, 0);
            self.launch().await;
            killed.push((Moment::After, self.struck().await));
            self.launch().await;
        }
        self.scene.taken_back(&bad, &version).await;
        for (n, name) in [CANARY, SECOND].into_iter().enumerate() {
            self.scene.before[n] = case.stands(self.scene.kind, name).await;
        }
        let mut writes = self.proxy.writes().split_off(from);
        writes.retain(|write| self.labels.of(write).is_some());
        (writes, killed)
    }

    fn arm(&self, pid: Option<u32>, moment: Moment, wanted: &'static str, nth: usize) {
        let (labels, mut earlier) = (self.labels.clone(), 0);
        self.proxy.kill(pid, moment, move |write| {
            let Some(label) = labels.of(write) else {
                return false;
            };
            earlier += usize::from(label == wanted);
            // Two statuses may go out as one: then the last of them takes the kill.
            earlier == nth + 1 || (label == BACK && wanted != LAST)
        });
    }

    /// Waits until the operator was killed; the label of the write.
    async fn struck(&mut self) -> &'static str {
        let at = self.proxy.until_killed(PATIENCE).await.unwrap();
        self.operator.kill().await;
        self.proxy.open();
        self.labels.of(&self.proxy.writes()[at]).unwrap()
    }

    async fn launch(&mut self) {
        let case = &self.scene.case;
        let start = Self::way(case, &self.proxy, &self.queue);
        self.operator = case.world.launch_operator(start).await.unwrap();
    }

    async fn end(self) {
        self.scene.always_ready_enough().await;
        let channels = &self.scene.case.world.channels;
        self.operator.terminate(channels).await;
        self.scene.case.finish().await;
    }
}

/// Tells the writes of one namespace apart.
#[derive(Clone)]
struct Labels {
    namespace: String,
    good: String,
    revision: String,
}

impl Labels {
    /// Which of [`WRITES`] it is; `None` elsewhere. Fails for any other.
    fn of(&self, write: &Write) -> Option<&'static str> {
        (write.namespace == self.namespace).then(|| self.label(write))
    }

    fn label(&self, write: &Write) -> &'static str {
        let (body, status) = (write.body(), write.subresource == "status");
        match (
            write.verb.as_str(),
            write.resource.as_str(),
            write.name.as_str(),
        ) {
            ("POST" | "PUT", "secrets", "app-keyferry-previous") => "companion",
            ("DELETE", "secrets", "app-keyferry-previous") => LAST,
            ("PUT", "secrets", "app") if self.restores(&body) => "rejection and restored Secret",
            ("PUT", "secrets", "app") => "Secret",
            ("DELETE", "pods", pod) if pod.starts_with(CANARY) => STUCK,
            ("PATCH", "deployments" | "statefulsets" | "daemonsets", CANARY) => {
                match body["spec"]["template"]["metadata"]["annotations"].as_object() {
                    Some(markers) if !markers.is_empty() => "marker",
                    _ => "marker removed",
                }
            }
            ("PATCH", "externalsecretbindings", "app") if status => self.status(&body["status"]),
            _ => panic!("a write outside the list: {write}"),
        }
    }

    /// The bytes of before, with the versions that are not to be tried again.
    fn restores(&self, secret: &Value) -> bool {
        let rejected = &secret["metadata"]["annotations"]["keyferry.dev/rejected"];
        secret["data"][KEY] == json!(STANDARD.encode(&self.good)) && rejected.is_string()
    }

    fn status(&self, status: &Value) -> &'static str {
        let canary = &status["rollouts"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (delivered, wanted) = (text(&canary["delivered"]), text(&canary["wanted"]));
        let to_good = wanted == self.revision;
        let written = text(&status["secret"]["revision"]) == wanted;
        match canary["state"].as_str().unwrap() {
            "RolledBack" => BACK,
            "RollingBack" if !to_good => "status: outcome, the value failed",
            "RollingBack" if written => "status: restored",
            "RollingBack" => "status: intent of the way back",
            "Pending" | "Progressing" if !to_good && !written => "status: intent",
            "Pending" | "Progressing" if !to_good && delivered != wanted => "status: written",
            "Progressing" if !to_good => "status: restarted",
            "Pending" | "Progressing" | "Healthy" if written => WITHDRAWN,
            _ => panic!("a status outside the list: {status:#}"),
        }
    }
}
