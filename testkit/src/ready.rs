//! How many pods of a workload were ready, at every moment that a watch can tell apart.
//!
//! A pod that is being deleted does not count: its endpoints are gone. Reads only.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{Error, Result};

/// How long a watch may lag behind a list.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the ready pods of one selector. Ends when dropped.
pub struct ReadyWatch {
    pods: Api<Pod>,
    selector: String,
    shared: Arc<Mutex<Counted>>,
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counted {
    /// Every living pod: its version, and whether it is ready.
    pods: BTreeMap<String, (String, bool)>,
    /// What a list has brought so far.
    listed: BTreeMap<String, (String, bool)>,
    minimum: Option<usize>,
    steps: Vec<usize>,
}

impl ReadyWatch {
    /// Starts counting the pods with these labels (`app=web`); comes back when the count has begun.
    ///
    /// # Errors
    /// No answer from the API server.
    pub async fn start(client: Client, namespace: &str, selector: &str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let shared = Arc::new(Mutex::new(Counted::default()));
        let (sender, changes) = watch::channel(0);
        let task = tokio::spawn(count(
            pods.clone(),
            selector.to_owned(),
            Arc::clone(&shared),
            sender,
        ));
        let ready = Self {
            pods,
            selector: selector.to_owned(),
            shared,
            changes,
            task,
        };
        ready.caught_up().await?;
        Ok(ready)
    }

    /// The fewest ready pods at any event since the start.
    ///
    /// # Errors
    /// When the watch does not come up with what a list says now.
    pub async fn minimum(&self) -> Result<usize> {
        self.caught_up().await?;
        Ok(lock(&self.shared).minimum.unwrap_or_default())
    }

    /// The count after every change of it since the start, for messages.
    pub fn steps(&self) -> Vec<usize> {
        lock(&self.shared).steps.clone()
    }

    /// Waits until the watch has told what a list tells.
    async fn caught_up(&self) -> Result<()> {
        let mut changes = self.changes.clone();
        let selected = ListParams::default().labels(&self.selector);
        let compare = async {
            loop {
                changes.mark_unchanged();
                let list = self.pods.list(&selected).await;
                let list = list.map_err(Error::kube("list the pods that are counted"))?;
                let now: BTreeMap<_, _> = list.items.iter().map(entry).collect();
                if lock(&self.shared).is_at(&now) {
                    return Ok(());
                }
                // A change may have come between the list and now: look again after a while anyway.
                let soon = Duration::from_millis(200);
                tokio::time::timeout(soon, changes.changed()).await.ok();
            }
        };
        let late = || Error::other(format!("the watch of pods lags {PATIENCE:?} behind"));
        tokio::time::timeout(PATIENCE, compare)
            .await
            .map_err(|_| late())?
    }
}

impl Drop for ReadyWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Counted {
    /// Whether it has counted and knows just these pods.
    fn is_at(&self, now: &BTreeMap<String, (String, bool)>) -> bool {
        self.minimum.is_some() && self.pods == *now
    }

    fn event(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => self.listed.extend([entry(&pod)]),
            watcher::Event::InitDone => {
                self.pods = std::mem::take(&mut self.listed);
                self.recount();
            }
            watcher::Event::Apply(pod) => {
                self.pods.extend([entry(&pod)]);
                self.recount();
            }
            watcher::Event::Delete(pod) => {
                self.pods.remove(&pod.uid().unwrap_or_default());
                self.recount();
            }
        }
    }

    fn recount(&mut self) {
        let ready = self.pods.values().filter(|(_, ready)| *ready).count();
        self.minimum = Some(self.minimum.map_or(ready, |least| least.min(ready)));
        if self.steps.last() != Some(&ready) {
            self.steps.push(ready);
        }
    }
}

/// A pod's uid, version, and whether it is ready and stays.
fn entry(pod: &Pod) -> (String, (String, bool)) {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let stays = pod.metadata.deletion_timestamp.is_none();
    let version = pod.resource_version().unwrap_or_default();
    (pod.uid().unwrap_or_default(), (version, ready && stays))
}

fn lock(shared: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn count(
    pods: Api<Pod>,
    selector: String,
    shared: Arc<Mutex<Counted>>,
    changes: watch::Sender<u64>,
) {
    let config = watcher::Config::default().labels(&selector);
    let mut events = watcher(pods, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        // The watcher recovers by itself, with back-off.
        let Ok(event) = event else { continue };
        lock(&shared).event(event);
        changes.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str, deleted: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"uid": uid, "resourceVersion": "1", "deletionTimestamp": deleted},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_minimum_is_kept_across_recoveries_and_new_lists() {
        let mut counted = Counted::default();
        let leaving = pod("a", "True", Some("2026-01-01T00:00:00Z"));
        for event in [
            watcher::Event::Init,
            watcher::Event::InitApply(pod("a", "True", None)),
            watcher::Event::InitApply(pod("b", "True", None)),
            watcher::Event::InitDone,
            watcher::Event::Apply(leaving),
            watcher::Event::Delete(pod("a", "True", None)),
            watcher::Event::Apply(pod("c", "False", None)),
            watcher::Event::Apply(pod("c", "True", None)),
            watcher::Event::Init,
            watcher::Event::InitApply(pod("b", "True", None)),
            watcher::Event::InitApply(pod("c", "True", None)),
            watcher::Event::InitApply(pod("d", "True", None)),
            watcher::Event::InitDone,
        ] {
            counted.event(event);
        }
        assert_eq!(counted.minimum, Some(1));
        assert_eq!(counted.steps, [2, 1, 2, 3]);
    }
}
