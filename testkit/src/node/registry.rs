//! What the simulator remembers for tests: the pods on its nodes and every
//! start of a container, also of pods that are gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::agent::workload;
use super::machine::{Machine, State};
use super::rules::{ContainerStart, Environment};
use super::volumes::Files;

/// Where a pod stands, fixed for its life.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) workload: Option<(String, String)>,
    pub(super) nth: u32,
    pub(super) arrival: u32,
    pub(super) ip: String,
}

/// A pod on a simulated node, as it is now.
#[derive(Clone, Debug)]
pub struct SimulatedPod {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
    /// The labels it came with.
    pub labels: BTreeMap<String, String>,
    /// Counts the pods of the same workload and revision, from 1.
    pub nth: u32,
    /// Whether its Ready condition holds.
    pub ready: bool,
    /// Its containers, init containers first.
    pub containers: Vec<SimulatedContainer>,
    volumes: Volumes,
}

/// Files by volume. `Debug` shows the volumes' names only.
#[derive(Clone, Default)]
struct Volumes(BTreeMap<String, Files>);

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SimulatedPod {
    /// The files of a volume by path: what the pod would read now. `None`: no
    /// such volume, or not mounted yet.
    pub fn volume(&self, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.volumes.0.get(name)
    }
}

/// A container of such a pod.
#[derive(Clone, Debug)]
pub struct SimulatedContainer {
    /// The name.
    pub name: String,
    /// Whether it is an init container.
    pub init: bool,
    /// As in `restartCount`.
    pub restarts: u32,
    /// As in the container's status.
    pub ready: bool,
    /// Why it does not run: `CrashLoopBackOff`, `CreateContainerConfigError`...
    pub waiting: Option<String>,
    /// What its latest start captured; `None` before the first one.
    pub environment: Option<Environment>,
}

#[derive(Default)]
pub(super) struct Registry {
    pods: BTreeMap<(String, String), SimulatedPod>,
    starts: Vec<Arc<ContainerStart>>,
    revisions: BTreeMap<String, u32>,
    arrivals: u32,
}

impl Registry {
    pub(super) fn admit(&mut self, pod: &Pod) -> Place {
        let (workload, revision) = workload(pod);
        let nth = self.revisions.entry(revision).or_default();
        *nth += 1;
        self.arrivals += 1;
        let [_, a, b, c] = self.arrivals.to_be_bytes();
        let place = Place {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            workload,
            nth: *nth,
            arrival: self.arrivals,
            ip: format!("10.{}.{b}.{c}", 128 | (a & 127)),
        };
        let simulated = SimulatedPod {
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            uid: place.uid.clone(),
            labels: pod.labels().clone(),
            nth: place.nth,
            ready: false,
            containers: Vec::new(),
            volumes: Volumes::default(),
        };
        self.pods.insert(key(&place), simulated);
        place
    }

    /// The number of the last pod that has come.
    pub(super) fn arrivals(&self) -> u32 {
        self.arrivals
    }

    pub(super) fn record(&mut self, start: ContainerStart) {
        self.starts.push(Arc::new(start));
    }

    pub(super) fn mount(&mut self, place: &Place, volumes: BTreeMap<String, Files>) {
        if let Some(pod) = self.own(place) {
            pod.volumes = Volumes(volumes);
        }
    }

    pub(super) fn update(&mut self, place: &Place, machine: &Machine) {
        if let Some(pod) = self.own(place) {
            pod.ready = machine.ready();
            pod.containers = machine
                .containers
                .iter()
                .map(|container| SimulatedContainer {
                    name: container.spec.name.clone(),
                    init: container.init,
                    restarts: container.restarts(),
                    ready: container.ready(),
                    waiting: match &container.state {
                        State::Waiting { reason, .. } => Some((*reason).to_owned()),
                        _ => None,
                    },
                    environment: container.start.as_ref().map(|s| s.environment.clone()),
                })
                .collect();
        }
    }

    pub(super) fn forget(&mut self, place: &Place) {
        if self.own(place).is_some() {
            self.pods.remove(&key(place));
        }
    }

    pub(super) fn pods(&self, namespace: &str, labels: &[(&str, &str)]) -> Vec<SimulatedPod> {
        self.pods
            .values()
            .filter(|pod| pod.namespace == namespace)
            .filter(|pod| {
                labels
                    .iter()
                    .all(|(k, v)| pod.labels.get(*k).is_some_and(|l| l == v))
            })
            .cloned()
            .collect()
    }

    pub(super) fn starts(&self, namespace: &str) -> Vec<Arc<ContainerStart>> {
        self.starts
            .iter()
            .filter(|start| start.namespace == namespace)
            .cloned()
            .collect()
    }

    /// The pod, unless a later one has taken its name.
    fn own(&mut self, place: &Place) -> Option<&mut SimulatedPod> {
        self.pods
            .get_mut(&key(place))
            .filter(|pod| pod.uid == place.uid)
    }
}

fn key(place: &Place) -> (String, String) {
    (place.namespace.clone(), place.name.clone())
}
