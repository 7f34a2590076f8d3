//! One pod's life on a simulated node: drives its state machine, reads what its
//! containers start with, and reports. All IO of one pod is here, all decisions
//! are in [`super::machine`] and [`super::rules`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::machine::{Machine, Now};
use super::registry::Place;
use super::rules::{ContainerStart, Outcome};
use super::sources::{References, Sources};
use super::status::{self, Since};
use super::{Shared, environment, sources, volumes};

/// How soon something that did not work is tried again.
const RETRY: Duration = Duration::from_millis(300);

/// What the watch knows of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Living,
    Terminating,
    Gone,
}

struct Agent {
    shared: Arc<Shared>,
    api: Api<Pod>,
    pod: Pod,
    place: Place,
    machine: Machine,
    since: Since,
    started: Timestamp,
    published: Value,
    mounted: bool,
    /// The next reading of the volumes; `None` before they are mounted, and for
    /// a pod whose volumes never change.
    volumes_due: Option<Instant>,
    /// Set while a report has not reached the server.
    retry: Option<Instant>,
}

/// Runs the pod until it is gone from the API server.
pub(super) async fn run(shared: Arc<Shared>, pod: Pod, mut view: watch::Receiver<View>) {
    let place = shared.registry().admit(&pod);
    let mut agent = Agent {
        api: Api::namespaced(shared.client.clone(), &place.namespace),
        machine: Machine::new(
            &pod,
            shared.options.back_off,
            Instant::now() + shared.options.start_delay,
        ),
        since: Since::new(),
        started: Timestamp::now(),
        published: Value::Null,
        mounted: false,
        volumes_due: None,
        retry: None,
        pod,
        place,
        shared,
    };
    let mut rules = agent.shared.rules.subscribe();
    loop {
        let seen = *view.borrow_and_update();
        match seen {
            View::Gone => break,
            View::Terminating => {
                agent.terminate(&mut view).await;
                break;
            }
            View::Living => agent.step().await,
        }
        let deadline = agent.deadline();
        tokio::select! {
            changed = view.changed() => if changed.is_err() { break },
            _ = rules.changed() => {}
            () = sleep_until(deadline) => {}
        }
    }
    agent.shared.registry().forget(&agent.place);
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        timestamp: Timestamp::now(),
    }
}

impl Agent {
    async fn step(&mut self) {
        let shared = self.shared.clone();
        self.machine.advance(now(), |start| shared.judge(start));
        while let Some(index) = self.machine.next_start(Instant::now()) {
            self.start(index).await;
        }
        if self.volumes_due.is_some_and(|due| due <= Instant::now()) {
            // Content that cannot be read now stays as it is, as with a kubelet.
            let _ = self.read_volumes().await;
        }
        self.publish().await;
    }

    fn deadline(&self) -> Option<Instant> {
        [self.machine.deadline(), self.volumes_due, self.retry]
            .into_iter()
            .flatten()
            .min()
    }

    async fn start(&mut self, index: usize) {
        let retry = Instant::now() + RETRY;
        if !self.mounted
            && let Err(message) = self.read_volumes().await
        {
            return self
                .machine
                .refused(index, "ContainerCreating", message, retry);
        }
        match self.capture(index).await {
            Ok(start) => {
                let outcome = self.shared.judge(&start);
                if outcome == Outcome::NoImage {
                    let message = "the image cannot be pulled".to_owned();
                    return self.machine.refused(index, "ErrImagePull", message, retry);
                }
                self.machine.says(index, self.shared.message(&start));
                self.shared.registry().record(start.clone());
                self.machine.started(index, start, outcome, Instant::now());
            }
            Err(message) => {
                self.machine
                    .refused(index, "CreateContainerConfigError", message, retry)
            }
        }
    }

    /// Reads what the container's environment names, now.
    async fn capture(&self, index: usize) -> Result<ContainerStart, String> {
        let container = &self.machine.containers[index];
        let sources = self.fetch(environment::references(&container.spec)).await?;
        Ok(ContainerStart {
            namespace: self.place.namespace.clone(),
            pod: self.place.name.clone(),
            pod_uid: self.place.uid.clone(),
            labels: self.pod.labels().clone(),
            workload: self.place.workload.clone(),
            nth: self.place.nth,
            arrival: self.place.arrival,
            container: container.spec.name.clone(),
            init: container.init,
            endless: container.endless,
            restarts: container.starts,
            environment: environment::resolve(
                &container.spec,
                &self.pod,
                &self.place.ip,
                &sources,
            )?,
            started_at: Timestamp::now(),
        })
    }

    async fn fetch(&self, wanted: References) -> Result<Sources, String> {
        sources::fetch(&self.shared.client, &self.place.namespace, wanted)
            .await
            .map_err(|error| error.to_string())
    }

    async fn read_volumes(&mut self) -> Result<(), String> {
        let due = Instant::now() + self.shared.options.volume_delay;
        let wanted = volumes::references(&self.pod);
        let follows = !wanted.is_empty();
        let files = self
            .fetch(wanted)
            .await
            .and_then(|sources| volumes::resolve(&self.pod, &sources));
        self.mounted |= files.is_ok();
        self.volumes_due = (self.mounted && follows).then_some(due);
        self.shared.registry().mount(&self.place, files?);
        Ok(())
    }

    /// Reports the status if it differs from the last one reported.
    async fn publish(&mut self) {
        let status = status::of(
            &self.machine,
            &self.place.ip,
            self.started,
            Timestamp::now(),
            &mut self.since,
        );
        self.shared.registry().update(&self.place, &self.machine);
        if status == self.published {
            self.retry = None;
            return;
        }
        // The uid makes this fail for another pod of the same name.
        let patch = json!({"metadata": {"uid": self.place.uid}, "status": status});
        let reply = self
            .api
            .patch_status(
                &self.place.name,
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .await;
        self.retry = match reply {
            Ok(_) => {
                self.published = status;
                None
            }
            Err(error) if gone(&error) => None,
            Err(_) => Some(Instant::now() + RETRY),
        };
    }

    /// Ends the containers, reports their end and finishes the deletion.
    async fn terminate(&mut self, view: &mut watch::Receiver<View>) {
        tokio::time::sleep(self.shared.options.termination_delay).await;
        self.machine.end_all(now());
        self.publish().await;
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(self.place.uid.clone()),
                resource_version: None,
            }),
            ..Default::default()
        };
        while *view.borrow() != View::Gone {
            match self.api.delete(&self.place.name, &params).await {
                Ok(_) => return,
                Err(error) if gone(&error) => return,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

/// The pod does not exist any more, or its name belongs to another one.
fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

/// Kind and name of what runs the pod, and the id that all pods of one revision
/// share.
pub(super) fn workload(pod: &Pod) -> (Option<(String, String)>, String) {
    let Some(owner) = pod
        .owner_references()
        .iter()
        .find(|o| o.controller == Some(true))
    else {
        return (None, pod.uid().unwrap_or_default());
    };
    let label = |name: &str| {
        pod.labels()
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let hash = label("pod-template-hash");
    let revision = format!("{}/{hash}{}", owner.uid, label("controller-revision-hash"));
    let deployment = owner
        .name
        .strip_suffix(hash)
        .and_then(|name| name.strip_suffix('-'));
    let workload = match deployment {
        Some(name) if owner.kind == "ReplicaSet" && !hash.is_empty() => {
            ("Deployment".into(), name.into())
        }
        _ => (owner.kind.clone(), owner.name.clone()),
    };
    (Some(workload), revision)
}
