//! Keeps everything that the API server says about one kind of object, from the first version on.
//!
//! Two uses: the leak scan reads the bytes of every version that ever was, and a test asks what an
//! object went through, which no poll could answer. Reads through watches of its own; writes nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::{Error, Result};

/// Between a watch that ended and the next.
const PAUSE: Duration = Duration::from_millis(200);

/// Namespace and name.
type Key = (String, String);

/// A watch over all namespaces. Dropping it ends the watch and keeps nothing.
pub struct Recorder {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    versions: BTreeMap<Key, Vec<Version>>,
    /// The newest version seen, where a new watch goes on.
    newest: String,
}

/// What the API server said about an object once.
#[derive(Clone, Debug)]
pub enum Version {
    /// It looked like this.
    Is(Arc<Value>),
    /// It was gone.
    Gone,
}

/// One line of a watch.
#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Value,
}

impl Recorder {
    /// Watches the objects under a path such as `/apis/events.k8s.io/v1/events`.
    pub fn start(client: Client, path: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(record(client, path.to_owned(), Arc::clone(&shared)));
        Self { shared, task }
    }

    /// The bytes of every version so far, as the API server sent them.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// Every version of an object so far, oldest first. A new object of the same name goes on in the
    /// same list, after a [`Version::Gone`].
    pub fn history(&self, namespace: &str, name: &str) -> Vec<Version> {
        let key = (namespace.to_owned(), name.to_owned());
        self.shared
            .lock()
            .versions
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    /// The object as it was last seen; `None` when it never was, or is gone.
    pub fn latest(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        match self.history(namespace, name).pop() {
            Some(Version::Is(object)) => Some(object),
            Some(Version::Gone) | None => None,
        }
    }

    /// The living objects of a namespace.
    pub fn all(&self, namespace: &str) -> Vec<Arc<Value>> {
        let kept = self.shared.lock();
        let here = kept.versions.iter().filter(|(key, _)| key.0 == namespace);
        here.filter_map(|(_, versions)| match versions.last() {
            Some(Version::Is(object)) => Some(Arc::clone(object)),
            Some(Version::Gone) | None => None,
        })
        .collect()
    }

    /// Waits until `done` gives something; it is asked again after every change.
    ///
    /// # Errors
    /// After `limit`.
    pub async fn until<T>(
        &self,
        limit: Duration,
        mut done: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = done() {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(limit, wait)
            .await
            .map_err(|_| Error::other(format!("not so after {limit:?}")))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one line; false when the watch cannot go on from where it was.
    fn keep(&self, line: &str) -> bool {
        let Ok(Line { r#type, object }) = serde_json::from_str(line) else {
            return true;
        };
        if r#type == "ERROR" {
            self.lock().newest.clear();
            return false;
        }
        let text = |field: &str| {
            let found = object["metadata"][field].as_str();
            found.unwrap_or_default().to_owned()
        };
        let (key, newest) = ((text("namespace"), text("name")), text("resourceVersion"));
        let mut kept = self.lock();
        kept.bytes.extend_from_slice(line.as_bytes());
        kept.bytes.push(b'\n');
        kept.newest = newest;
        let version = match r#type.as_str() {
            "DELETED" => Version::Gone,
            _ => Version::Is(Arc::new(object)),
        };
        kept.versions.entry(key).or_default().push(version);
        drop(kept);
        self.changes.send_modify(|n| *n += 1);
        true
    }
}

async fn record(client: Client, path: String, shared: Arc<Shared>) {
    loop {
        let newest = shared.lock().newest.clone();
        // Without a version the server sends every object first.
        let from = match newest.as_str() {
            "" => String::new(),
            newest => format!("&resourceVersion={newest}"),
        };
        let uri = format!("{path}?watch=1&timeoutSeconds=3600{from}");
        if let Ok(request) = Request::get(uri).body(Vec::new())
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
        if !shared.keep(&line) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn line(kind: &str, name: &str, version: &str) -> String {
        let metadata = json!({"namespace": "a", "name": name, "resourceVersion": version});
        json!({"type": kind, "object": {"metadata": metadata}}).to_string()
    }

    #[test]
    fn every_version_is_kept_and_a_lost_place_starts_anew() {
        let shared = Shared::default();
        for (kind, version) in [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "3")] {
            assert!(shared.keep(&line(kind, "x", version)));
        }
        assert_eq!(shared.lock().newest, "3");
        assert_eq!(shared.lock().versions[&("a".into(), "x".into())].len(), 3);
        let gone = json!({"type": "ERROR", "object": {"code": 410}}).to_string();
        assert!(!shared.keep(&gone));
        assert_eq!(shared.lock().newest, "");
        assert_eq!(
            shared.lock().bytes.iter().filter(|b| **b == b'\n').count(),
            3
        );
    }
}
