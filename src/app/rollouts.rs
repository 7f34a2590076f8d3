//! Watches the workloads of those namespaces where a binding rolls them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    cluster::{
        BindingRow, ObjectKey, WorkloadRef,
        workloads::{WorkloadEvent, watch as watch_workloads},
    },
    controllers::{
        context::{Context, WorkloadKey},
        drive::Queue,
        queue::Urgency,
    },
    core::{
        parse,
        rollout::{Kind, Workload},
    },
};

/// Runs a watch for every namespace it is told, for as long as it is polled.
pub async fn watch(
    context: Arc<Context>,
    mut namespaces: mpsc::UnboundedReceiver<String>,
    bindings: Queue<ObjectKey>,
    workloads: Queue<WorkloadKey>,
) {
    let mut watched = BTreeSet::new();
    let mut events = stream::SelectAll::new();
    let mut relists = Relists::default();
    loop {
        tokio::select! {
            namespace = namespaces.recv() => match namespace {
                Some(namespace) if watched.insert(namespace.clone()) => {
                    let stream = watch_workloads(&context.workloads, &namespace);
                    events.push(stream.map(move |event| (namespace.clone(), event)).boxed());
                }
                Some(_) => {}
                None => return,
            },
            Some((namespace, event)) = events.next(), if !events.is_empty() => {
                for changed in relists.apply(&context, &namespace, event) {
                    wake(&context, &changed, &bindings, &workloads);
                }
            }
        }
    }
}

/// A workload that was seen, and how it was seen before.
struct Changed {
    key: WorkloadKey,
    before: Option<Arc<Workload>>,
    after: Option<Arc<Workload>>,
}

/// Rows that a listing under way has met, by namespace and kind.
#[derive(Default)]
struct Relists(HashMap<(String, Kind), BTreeSet<String>>);

impl Relists {
    fn apply(&mut self, context: &Context, namespace: &str, event: WorkloadEvent) -> Vec<Changed> {
        match event {
            WorkloadEvent::Relist(kind) => {
                self.0.insert((namespace.to_owned(), kind), BTreeSet::new());
                Vec::new()
            }
            WorkloadEvent::Listed(kind) => {
                let met = self
                    .0
                    .remove(&(namespace.to_owned(), kind))
                    .unwrap_or_default();
                let gone = |key: &&WorkloadKey| {
                    key.namespace == namespace && key.kind == kind && !met.contains(&key.name)
                };
                let keys: Vec<WorkloadKey> =
                    context.rows.lock().keys().filter(gone).cloned().collect();
                keys.into_iter().map(|key| removed(context, key)).collect()
            }
            WorkloadEvent::Upsert(workload) => {
                let key = WorkloadKey {
                    namespace: namespace.to_owned(),
                    kind: workload.kind,
                    name: workload.name.clone(),
                };
                if let Some(met) = self.0.get_mut(&(namespace.to_owned(), key.kind)) {
                    met.insert(key.name.clone());
                }
                let after = Arc::new(*workload);
                let before = context.rows.lock().insert(key.clone(), Arc::clone(&after));
                vec![Changed {
                    key,
                    before,
                    after: Some(after),
                }]
            }
            WorkloadEvent::Deleted { kind, name, uid } => {
                let key = WorkloadKey {
                    namespace: namespace.to_owned(),
                    kind,
                    name,
                };
                let newer = context
                    .rows
                    .lock()
                    .get(&key)
                    .is_some_and(|row| row.uid != uid);
                if newer {
                    Vec::new()
                } else {
                    vec![removed(context, key)]
                }
            }
            WorkloadEvent::Trouble(kind, error) => {
                tracing::warn!(%kind, namespace, %error, "workload watch interrupted, it goes on");
                Vec::new()
            }
        }
    }
}

fn removed(context: &Context, key: WorkloadKey) -> Changed {
    let before = context.rows.lock().remove(&key);
    Changed {
        key,
        before,
        after: None,
    }
}

/// A step of the workload where a binding speaks of it; a new listing where one should or should not.
fn wake(
    context: &Context,
    changed: &Changed,
    bindings: &Queue<ObjectKey>,
    workloads: &Queue<WorkloadKey>,
) {
    let key = &changed.key;
    let about = |w: &&WorkloadRef| w.kind == key.kind.as_str() && w.name == key.name;
    let uses_changed = uses(changed.before.as_deref()) != uses(changed.after.as_deref());
    let uid = changed.after.as_ref().map(|workload| workload.uid.as_str());
    let mut spoken_of = false;
    for (binding, row) in context.views.bindings_in(&key.namespace) {
        if !row.rolls {
            continue;
        }
        let entry = row.workloads.iter().find(about);
        spoken_of |= entry.is_some();
        if !uses_changed {
            continue;
        }
        // An entry about this very object, and only that, is what the binding should have.
        let known = entry.is_some_and(|w| Some(w.uid.as_str()) == uid);
        // Of more workloads than one binding may roll none has an entry: one that goes counts too.
        let uncounted =
            entry.is_none() && wants(context, &binding, &row, changed.before.as_deref());
        if uncounted || known != wants(context, &binding, &row, changed.after.as_deref()) {
            context.remember(&binding, |memory| memory.enrol = true);
            bindings.add(binding, Instant::now(), Urgency::Routine);
        }
    }
    if spoken_of {
        workloads.now(key.clone());
    }
}

/// What decides whether a binding's rollout is about a workload.
fn uses(workload: Option<&Workload>) -> Option<impl PartialEq + '_> {
    workload.map(|w| (&w.uid, &w.secrets, &w.labels, w.opted_out))
}

fn wants(
    context: &Context,
    binding: &ObjectKey,
    row: &BindingRow,
    workload: Option<&Workload>,
) -> bool {
    let Some(workload) = workload else {
        return false;
    };
    let Some(recipe) = row.spec().ok().and_then(|spec| {
        parse(
            &binding.namespace,
            &binding.name,
            &spec,
            &context.settings.parse,
        )
        .ok()
    }) else {
        return false;
    };
    let Some(rollout) = &recipe.rollout else {
        return false;
    };
    let one = std::slice::from_ref(workload);
    let found = crate::core::rollout::select(rollout, &recipe.target.name, one);
    found.is_ok_and(|consumers| {
        consumers
            .iter()
            .any(|c| c.key() == (workload.kind, workload.name.as_str()))
    })
}
