//! Simulated nodes: pods run without a kubelet, as far as an operator and the
//! controllers can tell.
//!
//! Owns Node objects that it makes itself and the pods bound to them. It must
//! never touch a pod or node of anybody else, so it watches its own nodes by
//! name and sees no other pod.
//!
//! As a kubelet does, a container captures its environment when it starts and
//! again at each restart; volumes follow their Secrets after a delay; init
//! containers run first and in order; what ends is restarted by the pod's
//! policy, with back-off and counted; deletions are finished. What containers do
//! is decided by rules ([`NodeSimulator::set_rules`]).

mod agent;
mod environment;
mod machine;
mod registration;
mod registry;
mod rules;
mod sources;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Error, Result};
use agent::View;
use registry::Registry;
use rules::RuleBook;

pub use machine::BackOff;
pub use registration::SIMULATED_LABEL;
pub use registry::{SimulatedContainer, SimulatedPod};
pub use rules::{
    ContainerStart, Environment, Outcome, Readiness, Rule, Target, When, default_readiness,
};

/// How nodes and pods behave where no rule says otherwise.
#[derive(Clone)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// From a pod's arrival on its node to its first container's start.
    pub start_delay: Duration,
    /// From the mark of deletion to the end of the containers. Shorter than any
    /// grace period in use: the grace period itself is not simulated.
    pub termination_delay: Duration,
    /// How often a pod's volumes are read again: changed Secrets show in files
    /// after at most this long.
    pub volume_delay: Duration,
    /// Waits of a crash loop; a kubelet's are 10 s to 5 min.
    pub back_off: BackOff,
    /// Decides a container's outcome where no rule does.
    pub readiness: Readiness,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 1,
            start_delay: Duration::from_millis(20),
            termination_delay: Duration::from_millis(50),
            volume_delay: Duration::from_secs(1),
            back_off: BackOff {
                first: Duration::from_millis(200),
                most: Duration::from_secs(2),
            },
            readiness: Arc::new(default_readiness),
        }
    }
}

/// What all pods share.
struct Shared {
    client: Client,
    options: Options,
    rules: watch::Sender<RuleBook>,
    registry: Mutex<Registry>,
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A test that panicked elsewhere must not hide behind a poisoned lock.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, start: &ContainerStart) -> String {
        self.rules.borrow().message(start)
    }

    fn judge(&self, start: &ContainerStart) -> Outcome {
        let ruled = self.rules.borrow().outcome(start);
        ruled.unwrap_or_else(|| (self.options.readiness)(start))
    }
}

/// Running simulated nodes. Dropping it stops them as a power cut does: the
/// nodes stay, silent. [`Self::stop`] removes them.
pub struct NodeSimulator {
    shared: Arc<Shared>,
    nodes: Vec<String>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for NodeSimulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSimulator")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl NodeSimulator {
    /// Registers the nodes and runs what is scheduled to them. The client needs
    /// the rights to write nodes, Leases and pods and to read all Secrets and
    /// ConfigMaps; its runtime runs the simulation.
    ///
    /// # Errors
    /// A node that cannot be created.
    pub async fn start(client: Client, options: Options) -> Result<Self> {
        registration::remove_abandoned(&client)
            .await
            .map_err(Error::kube("remove abandoned simulated nodes"))?;
        let nodes = node_names(options.nodes);
        let shared = Arc::new(Shared {
            client: client.clone(),
            options,
            rules: watch::Sender::new(RuleBook::default()),
            registry: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for name in &nodes {
            registration::register(&client, name)
                .await
                .map_err(Error::kube(format!("register node {name}")))?;
            tasks.spawn(registration::heartbeat(client.clone(), name.clone()));
            tasks.spawn(run_node(shared.clone(), name.clone()));
        }
        Ok(Self {
            shared,
            nodes,
            tasks,
        })
    }

    /// The names of the nodes.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Replaces all rules of a target, at any time; running containers follow
    /// at once. The first rule that applies decides.
    pub fn set_rules(
        &self,
        namespace: &str,
        target: Target,
        rules: impl IntoIterator<Item = Rule>,
    ) {
        let rules = rules.into_iter().collect();
        let since = self.shared.registry().arrivals();
        self.shared
            .rules
            .send_modify(|book| book.set(namespace, target, rules, since));
    }

    /// The same with one rule.
    pub fn set_rule(&self, namespace: &str, target: Target, rule: Rule) {
        self.set_rules(namespace, target, [rule]);
    }

    /// Gives every node room for so many pods that ask for one of an extended
    /// resource (`example.com/slots`). Pods for which no room is left stay
    /// unscheduled, as in a full cluster, until there is more of it.
    ///
    /// # Errors
    /// What the API server answers instead.
    pub async fn set_room(&self, resource: &str, each: u32) -> Result<()> {
        for name in &self.nodes {
            registration::set_room(&self.shared.client, name, resource, each)
                .await
                .map_err(Error::kube(format!("set the room of node {name}")))?;
        }
        Ok(())
    }

    /// Takes a target's rules back.
    pub fn clear_rules(&self, namespace: &str, target: Target) {
        self.set_rules(namespace, target, []);
    }

    /// The pods on these nodes with all of these labels, sorted by name.
    pub fn pods(&self, namespace: &str, labels: &[(&str, &str)]) -> Vec<SimulatedPod> {
        self.shared.registry().pods(namespace, labels)
    }

    /// What a container's latest start captured. `None`: no such pod or
    /// container, or never started.
    pub fn environment(&self, namespace: &str, pod: &str, container: &str) -> Option<Environment> {
        let pod = self
            .pods(namespace, &[])
            .into_iter()
            .find(|p| p.name == pod)?;
        let container = pod.containers.into_iter().find(|c| c.name == container)?;
        container.environment
    }

    /// Every start of a container in a namespace, in order, also of pods that
    /// are gone: what restarted, how often, and with what.
    pub fn starts(&self, namespace: &str) -> Vec<Arc<ContainerStart>> {
        self.shared.registry().starts(namespace)
    }

    /// Stops and removes the nodes. Pods left on them are deleted by the
    /// control plane's pod garbage collection.
    ///
    /// # Errors
    /// A node that cannot be removed.
    pub async fn stop(mut self) -> Result<()> {
        self.tasks.shutdown().await;
        for name in &self.nodes {
            registration::remove(&self.shared.client, name)
                .await
                .map_err(Error::kube(format!("remove node {name}")))?;
        }
        Ok(())
    }
}

/// Names that no other run and no real node has.
fn node_names(count: usize) -> Vec<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let run = format!(
        "{:x}-{:x}",
        std::process::id(),
        now.as_nanos() & 0xff_ffff_ffff
    );
    (0..count).map(|n| format!("simulated-{run}-{n}")).collect()
}

/// Watches one node's pods and gives each one its agent.
async fn run_node(shared: Arc<Shared>, node: String) {
    let pods: Api<Pod> = Api::all(shared.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut events = watcher(pods, config).default_backoff().boxed();
    let mut pods = NodePods {
        shared,
        known: BTreeMap::new(),
        agents: JoinSet::new(),
    };
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.push(pod.uid().unwrap_or_default());
                pods.apply(pod);
            }
            Ok(watcher::Event::InitDone) => pods.keep_only(&listed),
            Ok(watcher::Event::Apply(pod)) => pods.apply(pod),
            Ok(watcher::Event::Delete(pod)) => pods.gone(&pod.uid().unwrap_or_default()),
            // The watcher recovers by itself, with back-off.
            Err(_) => {}
        }
    }
}

/// The pods of one node by uid. Dropping it ends their agents.
struct NodePods {
    shared: Arc<Shared>,
    known: BTreeMap<String, watch::Sender<View>>,
    agents: JoinSet<()>,
}

impl NodePods {
    fn apply(&mut self, pod: Pod) {
        while self.agents.try_join_next().is_some() {}
        let view = match pod.metadata.deletion_timestamp {
            Some(_) => View::Terminating,
            None => View::Living,
        };
        let uid = pod.uid().unwrap_or_default();
        if let Some(known) = self.known.get(&uid) {
            known.send_if_modified(|seen| std::mem::replace(seen, view) != view);
            return;
        }
        let (sender, receiver) = watch::channel(view);
        self.known.insert(uid, sender);
        self.agents
            .spawn(agent::run(self.shared.clone(), pod, receiver));
    }

    fn gone(&mut self, uid: &str) {
        if let Some(known) = self.known.remove(uid) {
            // The agent may have ended already, having deleted the pod itself.
            let _ = known.send(View::Gone);
        }
    }

    fn keep_only(&mut self, listed: &[String]) {
        let lost: Vec<String> = self
            .known
            .keys()
            .filter(|uid| !listed.contains(uid))
            .cloned()
            .collect();
        for uid in lost {
            self.gone(&uid);
        }
    }
}
