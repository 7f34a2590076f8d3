//! Watches of the benchmark itself: of each object only what is measured, with the time it was seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use http::Request;
use kube::Client;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::workspace::Ended;

/// Between a watch that ended and the next.
const PAUSE: Duration = Duration::from_millis(200);

/// Namespace and name.
pub(crate) type Key = (String, String);

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A Secret's revision; the status of a binding's condition Ready. Empty without one.
    pub(crate) mark: String,
    /// When the mark became this.
    pub(crate) at: Instant,
}

pub(crate) type All = HashMap<Key, Seen>;

/// A watch over all namespaces. Dropping it ends it.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<All>,
    changes: watch::Sender<u64>,
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: String,
    name: String,
    annotations: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

impl Object {
    /// Only bindings have conditions, and only Secrets have revisions.
    fn mark(&mut self) -> String {
        let ready = |c: &&mut Condition| c.r#type == "Ready";
        match self.status.conditions.iter_mut().find(ready) {
            Some(condition) => std::mem::take(&mut condition.status),
            None => self
                .metadata
                .annotations
                .remove("keyferry.dev/revision")
                .unwrap_or_default(),
        }
    }
}

impl Follower {
    /// Watches bindings.
    pub(crate) fn bindings(client: Client) -> Self {
        let path = "/apis/keyferry.dev/v1alpha1/externalsecretbindings?watch=1";
        Self::start(client, path, "application/json")
    }

    /// Watches managed Secrets, without their data.
    pub(crate) fn secrets(client: Client) -> Self {
        let path = "/api/v1/secrets?watch=1&labelSelector=keyferry.dev/managed%3Dtrue";
        let form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        Self::start(client, path, form)
    }

    fn start(client: Client, path: &'static str, form: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(follow(client, path, form, Arc::clone(&shared)));
        Self { shared, task }
    }

    /// A look at all objects there are.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&All) -> T) -> T {
        look(&self.shared.lock())
    }

    /// Waits until `done` gives something; it is asked again after every change.
    ///
    /// # Errors
    /// After `limit`, with what was awaited.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        done: impl Fn(&All) -> Option<T>,
    ) -> Ended<T> {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.look(&done) {
                    return found;
                }
                // The sender lives as long as this.
                let _ = changes.changed().await;
            }
        };
        let waited = tokio::time::timeout(limit, wait).await;
        waited.map_err(|_| format!("{what}: not so after {} s", limit.as_secs()).into())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, line: &str, at: Instant) {
        let Ok(Line { r#type, mut object }) = serde_json::from_str(line) else {
            return;
        };
        let mark = object.mark();
        let key = (object.metadata.namespace, object.metadata.name);
        let mut seen = self.lock();
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => match seen.get_mut(&key) {
                Some(known) if known.mark == mark => {}
                _ => {
                    seen.insert(key, Seen { mark, at });
                }
            },
            "DELETED" => {
                seen.remove(&key);
            }
            _ => {}
        }
        drop(seen);
        self.changes.send_modify(|n| *n += 1);
    }
}

/// A new watch is told of every object there is, so nothing that changed meanwhile is missed.
async fn follow(client: Client, path: &str, form: &str, shared: Arc<Shared>) {
    loop {
        let uri = format!("{path}&timeoutSeconds=36000");
        let request = Request::get(uri).header("accept", form).body(Vec::new());
        if let Ok(request) = request
            && let Ok(stream) = client.request_stream(request).await
        {
            read(Box::pin(stream), &shared).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(stream: impl AsyncBufRead + Unpin, shared: &Shared) {
    let mut lines = stream.lines();
    while let Some(Ok(line)) = lines.next().await {
        shared.keep(&line, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_is_that_of_the_change_and_not_of_the_last_word() {
        let shared = Shared::default();
        let binding = |ready: &str| {
            let conditions =
                json!([{"type": "Synced", "status": "True"}, {"type": "Ready", "status": ready}]);
            json!({"metadata": {"namespace": "n", "name": "a"}, "status": {"conditions": conditions}})
        };
        let say = |kind: &str, object, at| {
            shared.keep(&json!({"type": kind, "object": object}).to_string(), at);
        };
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let known = || shared.lock().get(&("n".into(), "a".into())).cloned();
        say("ADDED", binding("False"), later(0));
        say("MODIFIED", binding("True"), later(1));
        say("MODIFIED", binding("True"), later(2));
        let seen = known().unwrap();
        assert_eq!((seen.mark.as_str(), seen.at), ("True", later(1)));
        let secret = |revision| {
            json!({"metadata": {"namespace": "n", "name": "a",
                "annotations": {"keyferry.dev/revision": revision}}})
        };
        say("MODIFIED", secret("r2"), later(3));
        assert_eq!(known().unwrap().mark, "r2");
        say("DELETED", secret("r2"), later(4));
        assert_eq!(known(), None);
    }
}
