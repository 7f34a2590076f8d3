//! Workloads: how tests make them, and what became of their pods.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::case::{Case, is, is_current};

/// How a container uses a Secret.
pub enum Uses<'a> {
    /// All keys, by `envFrom`.
    EnvFrom(&'a str),
    /// One key, by `env`; the variable has the key's name.
    Env(&'a str, &'a str),
    /// A volume of the Secret.
    Volume(&'a str),
}

/// A Deployment whose pods are labelled `app=<name>`.
pub fn deployment(name: &str, replicas: u32, uses: &[Uses]) -> Value {
    let (mut env, mut env_from, mut mounts, mut volumes) = (vec![], vec![], vec![], vec![]);
    for one in uses {
        match one {
            Uses::EnvFrom(secret) => env_from.push(json!({"secretRef": {"name": secret}})),
            Uses::Env(secret, key) => env.push(json!({
                "name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}},
            })),
            Uses::Volume(secret) => {
                mounts.push(json!({"name": secret, "mountPath": format!("/run/{secret}")}));
                volumes.push(json!({"name": secret, "secret": {"secretName": secret}}));
            }
        }
    }
    let container = json!({
        "name": "app", "image": "app:1", "env": env, "envFrom": env_from, "volumeMounts": mounts,
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "volumes": volumes},
            },
        },
    })
}

/// A moment of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Counts the changes of its spec.
    pub generation: i64,
    /// `pod-template-hash` of the ReplicaSet that runs.
    pub hash: String,
    /// ReplicaSets that ever were: one more for each new template.
    pub replica_sets: BTreeSet<String>,
    /// Uids of the living pods.
    pub pods: BTreeSet<String>,
}

impl Case {
    /// Applies a Deployment and waits until all its pods are ready.
    pub async fn deploy(&self, name: &str, replicas: u32, uses: &[Uses<'_>]) -> Moment {
        self.apply(deployment(name, replicas, uses)).await;
        self.settled(name).await
    }

    /// Waits until nothing is left to do for a Deployment.
    pub async fn settled(&self, name: &str) -> Moment {
        let settled = self.poll(|| async {
            let found = self.api::<Deployment>().get(name).await.unwrap();
            // The API server may not count pods that are on their way out.
            let pods = self.pod_uids(name).len();
            (is_settled(&found) && pods == wanted(&found)).then_some(())
        });
        settled
            .await
            .unwrap_or_else(|| panic!("Deployment {name} of {} does not settle", self.namespace));
        self.moment(name).await
    }

    /// The Deployment as it is.
    pub async fn moment(&self, name: &str) -> Moment {
        let deployment = self.api::<Deployment>().get(name).await.unwrap();
        let selector = ListParams::default().labels(&format!("app={name}"));
        let sets: Api<ReplicaSet> = self.api();
        let sets = sets.list(&selector).await.unwrap().items;
        let hash = |set: &ReplicaSet| set.labels()["pod-template-hash"].clone();
        let runs = |set: &&ReplicaSet| set.spec.as_ref().and_then(|s| s.replicas) != Some(0);
        Moment {
            generation: deployment.metadata.generation.unwrap_or_default(),
            hash: sets
                .iter()
                .filter(runs)
                .map(hash)
                .collect::<Vec<_>>()
                .join(","),
            replica_sets: sets.iter().map(hash).collect(),
            pods: self.pod_uids(name),
        }
    }

    /// Uids of the simulated pods of a Deployment.
    pub fn pod_uids(&self, name: &str) -> BTreeSet<String> {
        let pods = self.world.nodes.pods(&self.namespace, &[("app", name)]);
        pods.into_iter().map(|pod| pod.uid).collect()
    }

    /// Whether every pod of a Deployment was started with that value in that variable.
    pub fn all_captured(&self, name: &str, variable: &str, value: &str) -> bool {
        let pods = self.world.nodes.pods(&self.namespace, &[("app", name)]);
        let captured = |pod: &keyferry_testkit::node::SimulatedPod| {
            let started = pod.containers.iter().filter_map(|c| c.environment.as_ref());
            started
                .map(|env| env.get(variable))
                .any(|found| found == Some(value))
        };
        !pods.is_empty() && pods.iter().all(captured)
    }
}

fn wanted(deployment: &Deployment) -> usize {
    let replicas = deployment.spec.as_ref().and_then(|s| s.replicas);
    usize::try_from(replicas.unwrap_or(1)).unwrap_or_default()
}

fn is_settled(deployment: &Deployment) -> bool {
    let wanted = i32::try_from(wanted(deployment)).unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let all = [
        status.replicas,
        status.updated_replicas,
        status.available_replicas,
    ];
    status.observed_generation == deployment.metadata.generation
        && all.iter().all(|n| n.unwrap_or_default() == wanted)
        && status.terminating_replicas.unwrap_or_default() == 0
}

/// Bindings that roll.
impl Case {
    /// A binding with a rollout, of one entry to one key.
    pub async fn rolling(&self, name: &str, key: &str, entry: &str) {
        let mut spec = self.one(key, entry);
        spec["rollout"] = json!({});
        self.binding(name, spec).await;
        self.synced(name).await;
    }

    /// Waits until everything runs with that version of the binding's first source.
    pub async fn rolled_out_at(&self, name: &str, version: &str) -> Value {
        let done = |object: &Value| {
            let rollouts = object["status"]["rollouts"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            is_current(object)
                && object["status"]["sources"][0]["versionId"] == json!(version)
                && is(object, "RolledOut", "True", "Synced")
                && rollouts
                    .iter()
                    .all(|r| r["wanted"] == object["status"]["secret"]["revision"])
        };
        let what = format!("rolled out at version {version}");
        self.until(name, &what, done).await["status"].clone()
    }

    /// Waits until a pod runs that is none of these.
    pub async fn until_new_pod(&self, deployment: &str, old: &BTreeSet<String>) {
        let new = self.poll(|| async { self.pod_uids(deployment).difference(old).next().cloned() });
        assert!(new.await.is_some(), "no new pod of {deployment}");
    }
}

/// The moment in which `available` counts an old pod.
impl Case {
    /// Waits until three pods are updated and three are available, one of them old.
    pub async fn until_trap(&self, name: &str) {
        let trap = self.poll(|| async {
            let found = self.api::<Deployment>().get(name).await.unwrap();
            let status = found.status.unwrap_or_default();
            let all = [
                status.updated_replicas,
                status.available_replicas,
                status.replicas,
            ];
            (all == [Some(3), Some(3), Some(4)]).then_some(())
        });
        assert!(
            trap.await.is_some(),
            "Deployment {name} does not come to 3 updated, 3 available, 4 in all"
        );
    }
}
