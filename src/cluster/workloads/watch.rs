//! Watching the workloads that can be restarted.

use futures::{Stream, StreamExt, stream};
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};

use super::{PAGE_SIZE, WorkloadError, Workloads, projection::WorkloadObject};
use crate::core::rollout::{Kind, Workload};

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadEvent {
    /// A listing of this kind begins: until [`WorkloadEvent::Listed`] every workload that exists
    /// comes as an upsert; rows that did not are gone.
    Relist(Kind),
    /// That listing is complete.
    Listed(Kind),
    /// It exists, as it is now.
    Upsert(Box<Workload>),
    /// It is gone.
    Deleted {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its uid: a row of another uid is a newer object and stays.
        uid: String,
    },
    /// The watch failed and goes on by itself after a pause; to be counted and logged.
    Trouble(Kind, WorkloadError),
}

/// Upserts, deletions and relists of the Deployments, StatefulSets and DaemonSets of a namespace, for
/// ever. A failing watch is retried with kube's back-off (0.8 s to 30 s) and never ends the stream.
pub fn watch(
    workloads: &Workloads,
    namespace: &str,
) -> impl Stream<Item = WorkloadEvent> + Send + use<> {
    let kinds = Kind::ROLLED.map(|kind| watch_kind(workloads.api(kind, namespace), kind).boxed());
    stream::select_all(kinds)
}

fn watch_kind(
    api: Api<WorkloadObject>,
    kind: Kind,
) -> impl Stream<Item = WorkloadEvent> + Send + use<> {
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    watcher::watcher(api, config)
        .default_backoff()
        .filter_map(move |event| std::future::ready(translate(kind, event)))
}

/// None for objects that cannot be understood: they are left alone, the others are not.
fn translate(kind: Kind, event: watcher::Result<Event<WorkloadObject>>) -> Option<WorkloadEvent> {
    Some(match event {
        Ok(Event::Init) => WorkloadEvent::Relist(kind),
        Ok(Event::InitDone) => WorkloadEvent::Listed(kind),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            WorkloadEvent::Upsert(Box::new(object.into_workload(kind)?))
        }
        Ok(Event::Delete(object)) => {
            let (name, uid) = object.into_identity();
            WorkloadEvent::Deleted { kind, name, uid }
        }
        Err(error) => WorkloadEvent::Trouble(kind, cause(kind, error)),
    })
}

fn cause(kind: Kind, error: watcher::Error) -> WorkloadError {
    use watcher::Error;
    let resource = kind.plural();
    match error {
        Error::InitialListFailed(e) => WorkloadError::of("list", resource, e),
        Error::WatchStartFailed(e) | Error::WatchFailed(e) => {
            WorkloadError::of("watch", resource, e)
        }
        Error::WatchError(status) => WorkloadError::answered("watch", resource, &status),
        Error::NoResourceVersion => WorkloadError::Invalid,
    }
}
