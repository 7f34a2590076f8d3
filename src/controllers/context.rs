//! What both loops share: handles, settings, and the little that is remembered between passes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{binding::Restored, drive::Queue};
use crate::{
    cluster::{
        Events, ObjectKey, StatusStore, Views, jobs::Jobs, secrets::Secrets, workloads::Workloads,
    },
    core::{
        InstallKey, ParseSettings,
        access::{AccessMode, Policy},
        change::Repairs,
        rollout::{Kind, Progress, Workload},
        schedule::Attempts,
    },
    source::Sources,
    telemetry::metrics::Metrics,
};

/// What the install decided about passes.
#[derive(Clone, Debug)]
pub struct PassSettings {
    /// What happens to a request that no policy allows.
    pub access: AccessMode,
    /// The policies of the install: the built-in one or those of its file.
    pub policies: Vec<Policy>,
    /// Whether policy objects and namespace labels are watched: not in a namespaced install.
    pub cluster_wide: bool,
    /// Whether `source.serviceAccountName` may be used.
    pub allow_service_accounts: bool,
    /// Whether `validate.preflight` may be used.
    pub allow_preflight: bool,
    /// Floors of the spec.
    pub parse: ParseSettings,
}

/// Time and chance, so that a test can choose them.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Wall clock, for status and history.
    pub now: fn() -> Timestamp,
    /// A number in 0..1.
    pub chance: fn() -> f64,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// The handles.
pub struct Context {
    /// What the install decided.
    pub settings: PassSettings,
    /// What the watches have shown.
    pub views: Arc<Views>,
    /// The one writer of statuses.
    pub statuses: StatusStore,
    /// Events.
    pub events: Events,
    /// Reads and writes of Secrets.
    pub secrets: Secrets,
    /// Jobs of preflights.
    pub jobs: Jobs,
    /// Reads and marks of workloads.
    pub workloads: Workloads,
    /// AWS.
    pub sources: Sources,
    /// Key of revisions and digests.
    pub install_key: InstallKey,
    /// Counters.
    pub metrics: Metrics,
    /// Places for writes in flight.
    pub writes: Semaphore,
    /// Time and chance.
    pub nature: Nature,
    /// Asks for a step of a workload.
    pub workload_queue: Queue<WorkloadKey>,
    /// Asks for a pass of a binding.
    pub binding_queue: Queue<ObjectKey>,
    /// Names of the companion Secrets there are, by binding.
    pub companions: Mutex<HashMap<ObjectKey, BTreeSet<String>>>,
    /// Memory of bindings.
    pub bindings: Mutex<HashMap<ObjectKey, Box<Memory>>>,
    /// Workloads as their watches have shown them. Only the watch writes here: a reply that is handled late would
    /// stand over what the watch has shown since, for as long as nothing moves.
    pub rows: Mutex<HashMap<WorkloadKey, Arc<Workload>>>,
    /// Memory of workloads.
    pub rollouts: Mutex<HashMap<WorkloadKey, RolloutMemory>>,
}

/// What is remembered of a binding between passes. Losing it costs a read, never correctness.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Another uid or generation starts over.
    pub uid: String,
    /// Another uid or generation starts over.
    pub generation: i64,
    /// Failures in a row.
    pub attempts: Attempts,
    /// Statuses in a row that were not written: their passes may have succeeded.
    pub unwritten: Attempts,
    /// Repairs of the Secret.
    pub repairs: Repairs,
    /// A pass has ended, or the status of an earlier run stands for one.
    pub passed: bool,
    /// When the next pass is due; None: only after a change.
    pub due: Option<Instant>,
    /// The last refresh token, and when it was first seen.
    pub refresh: Option<(String, Instant)>,
    /// The rollback that was asked for and not done, and why; as long as the annotation stands.
    pub refused: Option<(String, String)>,
    /// The rollback that this pass has answered, until the status says so.
    pub answered: Option<String>,
    /// Somebody waits for a pass: an edit, a refresh, a cure.
    pub asked: bool,
    /// Something that it reads has changed at AWS.
    pub moved: bool,
    /// Consumers have come or gone: they are to be listed anew.
    pub enrol: bool,
    /// The Secret after its last good bytes were put back, until the status says so.
    pub restored: Option<Restored>,
    /// Prefix members that a pass found deleted, by name, and when.
    pub vanished: HashMap<String, Instant>,
    /// The Job of a preflight, since when it is looked at, and whether it was cleared away.
    pub preflight: Option<PreflightMemory>,
    /// The refusals that were put on the audit trail, so that each is said once.
    pub audited: BTreeSet<String>,
}

/// What is remembered of a preflight.
#[derive(Clone, Debug)]
pub struct PreflightMemory {
    /// Name of its Job.
    pub job: String,
    /// When it was first looked at.
    pub since: Instant,
    /// Nothing is left of it.
    pub cleared: bool,
}

/// What is remembered of a workload between steps. Losing it costs a little waiting.
#[derive(Clone, Debug, Default)]
pub struct RolloutMemory {
    /// Its progress as last seen.
    pub progress: Option<Progress>,
    /// When each binding's `wanted` was first seen.
    pub seen: HashMap<String, (String, Timestamp)>,
    /// By binding: until when the Secret held bytes that failed, and the pods there were when it first was seen to hold
    /// those of before again. Lost by a restart: then every pod may be one of them.
    pub suspects: HashMap<String, (Timestamp, BTreeSet<String>)>,
}

impl Context {
    /// Now in whole seconds, as statuses write it.
    pub fn now(&self) -> Timestamp {
        let now = (self.nature.now)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Changes the memory of a binding.
    pub fn remember<T>(&self, key: &ObjectKey, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(self.bindings.lock().entry(key.clone()).or_default())
    }

    /// Forgets a binding that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.bindings.lock().remove(key);
        self.companions.lock().remove(key);
        self.statuses.forget(key);
        self.sources.unsubscribe(&super::binding::subscriber(key));
        self.metrics.conditions().remove(&key.namespace, &key.name);
    }

    /// A delay spread by +-10 %.
    pub fn jittered(&self, delay: Duration) -> Duration {
        crate::core::schedule::jittered(delay, (self.nature.chance)())
    }
}
