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
    rotating::{CANARY, KEY, Kind, SECOND, Scene, sequential},
    world::World,
};

crate::tests![own:
    an_operator_killed_before_and_after_every_write_ends_as_one_that_lives,
];

/// Operators side by side, each with its own namespace; kills of one lane come one after the other.
const LANES: usize = 8;

/// Every write that there is, in the order in which they come first.
const WRITES: [&str; 13] = [
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
    "status: outcome, back",
    LAST,
];
const LAST: &str = "companion deleted";

/// Of an operator that begins with somebody else's open intent, and has not asked AWS yet.
const WITHDRAWN: &str = "status: intent withdrawn";

/// A kill: on which side of which write, by its label and how often that was seen before.
type Kill = (Moment, &'static str, usize);

async fn an_operator_killed_before_and_after_every_write_ends_as_one_that_lives(case: Case) {
    let mut lanes = join_all((0..LANES).map(|n| Lane::start(&case, n))).await;
    let (undisturbed, _) = lanes[0].rotate(None).await;
    let labels = &lanes[0].labels;
    let labels: Vec<&str> = undisturbed.iter().filter_map(|w| labels.of(w)).collect();
    println!("writes of a rotation that is taken back:");
    for (n, (label, write)) in labels.iter().zip(&undisturbed).enumerate() {
        println!("{n:>3}  {label:<36} {write}");
    }
    let seen: BTreeSet<&str> = labels.iter().copied().collect();
    assert_eq!(seen, BTreeSet::from(WRITES));

    let earlier = |n: usize| labels[..n].iter().filter(|l| **l == labels[n]).count();
    let places: Vec<_> = (0..labels.len()).map(|n| (labels[n], earlier(n))).collect();
    let both = |(label, nth)| [(Moment::Before, label, nth), (Moment::After, label, nth)];
    let kills: Vec<Kill> = places.into_iter().flat_map(both).collect();
    let mut dealt = vec![Vec::new(); LANES];
    for (n, kill) in kills.iter().enumerate() {
        dealt[n % LANES].push(*kill);
    }
    let runs = lanes
        .into_iter()
        .zip(dealt)
        .map(|(lane, kills)| lane.run(kills));
    let killed: Vec<_> = join_all(runs).await.into_iter().flatten().collect();
    println!("{} kills of {} writes", killed.len(), undisturbed.len());
    assert_eq!(killed.len(), 2 * undisturbed.len());
    for moment in [Moment::Before, Moment::After] {
        let here = killed.iter().filter(|(m, _)| *m == moment);
        let here: BTreeSet<&str> = here.map(|(_, label)| *label).collect();
        assert_eq!(here, BTreeSet::from(WRITES), "killed {moment:?}");
    }
}

/// One operator behind a proxy, and the scene it works on.
struct Lane {
    proxy: Arc<ApiProxy>,
    queue: Queue,
    operator: Running,
    scene: Scene,
    labels: Labels,
}

impl Lane {
    async fn start(case: &Case, n: usize) -> Self {
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
        // A Deployment that gives up soon keeps a kill short.
        let soon = json!({"progressDeadlineSeconds": 3});
        let scene = Scene::start_with(&case, Kind::Deployment, sequential("Rollback"), soon).await;
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
        }
    }

    fn way(case: &Case, proxy: &Arc<ApiProxy>, queue: &Queue) -> Start {
        let url = format!("--events-queue-url={}", queue.url());
        case.start(&[&url]).through(proxy)
    }

    /// Rotates once for each kill; what each one hit.
    async fn run(mut self, kills: Vec<Kill>) -> Vec<(Moment, &'static str)> {
        let mut hit = Vec::new();
        for kill in kills {
            let (_, at) = self.rotate(Some(kill)).await;
            println!("killed {:?} {}", kill.0, at);
            hit.push((kill.0, at));
        }
        self.end().await;
        hit
    }

    /// A bad version goes in and is taken back, with a kill or without; every write in the namespace, and the label of
    /// the one that killed.
    async fn rotate(&mut self, kill: Option<Kill>) -> (Vec<Write>, &'static str) {
        let case = self.scene.case.clone();
        let labels = self.labels.clone();
        let from = self.proxy.writes().len();
        if let Some((moment, wanted, nth)) = kill {
            let mut earlier = 0;
            self.proxy.kill(self.operator.pid, moment, move |write| {
                let Some(label) = labels.of(write) else {
                    return false;
                };
                earlier += usize::from(label == wanted);
                // Two statuses may go out as one: then the last write takes the kill.
                earlier == nth + 1 || label == LAST
            });
        }
        // Not ready for good: a container that ends would start again with the restored bytes while nobody takes the
        // marker off, and its Deployment would go on.
        let (bad, version) = self.scene.put_bad(Rule::not_ready);
        let mut hit = "";
        if kill.is_some() {
            let at = self.proxy.until_killed(PATIENCE).await.unwrap();
            hit = self.labels.of(&self.proxy.writes()[at]).unwrap();
            self.operator.kill().await;
            self.proxy.open();
            let start = Self::way(&case, &self.proxy, &self.queue);
            self.operator = case.world.launch_operator(start).await.unwrap();
        }
        self.scene.taken_back(&bad, &version).await;
        for (n, name) in [CANARY, SECOND].into_iter().enumerate() {
            self.scene.before[n] = case.stands(Kind::Deployment, name).await;
        }
        let mut writes = self.proxy.writes().split_off(from);
        writes.retain(|write| self.labels.of(write).is_some());
        (writes, hit)
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
            ("PATCH", "deployments", CANARY) => {
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
            "RolledBack" => "status: outcome, back",
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
