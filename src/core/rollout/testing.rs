//! Workloads and entries for the tables.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    intent::PodInfo,
    order::Turn,
    step::Claim,
    workload::{Kind, Numbers, Strategy, Workload},
};
use crate::api::{
    binding::OnFailure,
    status::{RolloutState, RolloutStatus},
};

/// The marker key of the tables.
pub const KEY: &str = "rollout.keyferry.dev/ai";

/// Seconds after some hour.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A complete, healthy workload with 3 pods, uid `uid-<name>`, that uses Secret `ai`.
pub fn workload(kind: Kind, name: &str) -> Workload {
    Workload {
        kind,
        namespace: "estate".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        resource_version: "1".into(),
        generation: 1,
        labels: BTreeMap::new(),
        opted_out: false,
        controlled: false,
        finished: false,
        wanted: 3,
        paused: false,
        strategy: Strategy::RollingUpdate,
        partition: 0,
        markers: BTreeMap::new(),
        secrets: ["ai".to_owned()].into(),
        mounted: Default::default(),
        selector: format!("app={name}"),
        template_hash: "t1".into(),
        numbers: Numbers {
            observed_generation: 1,
            replicas: 3,
            updated: 3,
            available: 3,
            ready: 3,
            progressing_reason: "NewReplicaSetAvailable".into(),
            used_up: String::new(),
        },
    }
}

/// The healthy Deployment `ai`.
pub fn deployment() -> Workload {
    workload(Kind::Deployment, "ai")
}

/// The same with our marker.
pub fn marked(text: &str) -> Workload {
    let mut workload = deployment();
    workload.markers.insert(KEY.into(), text.into());
    workload
}

/// In the middle of replacing pods.
pub fn rolling(mut workload: Workload) -> Workload {
    workload.generation += 1;
    workload.numbers.observed_generation = workload.generation;
    workload.numbers.updated = 1;
    workload.numbers.replicas = 4;
    workload.numbers.progressing_reason = "ReplicaSetUpdated".into();
    workload
}

/// Given up by its controller.
pub fn exceeded(workload: Workload) -> Workload {
    let mut workload = rolling(workload);
    workload.numbers.progressing_reason = "ProgressDeadlineExceeded".into();
    workload
}

/// The entry about [`deployment`].
pub fn entry(baseline: &str, delivered: &str, wanted: &str, state: RolloutState) -> RolloutStatus {
    RolloutStatus {
        kind: "Deployment".into(),
        name: "ai".into(),
        uid: "uid-ai".into(),
        baseline: baseline.into(),
        delivered: delivered.into(),
        wanted: wanted.into(),
        state,
        ..RolloutStatus::default()
    }
}

/// What a binding says of itself that waits for nothing and holds: its Secret has the wanted bytes, seen at second 0.
pub fn claim(entry: &RolloutStatus) -> Claim<'_> {
    Claim {
        binding: "ai",
        key: KEY,
        entry,
        secret_holds_wanted: true,
        seen_at: at(0),
        timeout: Duration::from_secs(600),
        min_interval: Duration::ZERO,
        on_failure: OnFailure::Hold,
        turn: Turn::Now,
        opens: None,
        caution: String::new(),
        bad: None,
    }
}

/// A pod with our marker or none.
pub fn pod(created: i64, started: i64, marker: Option<&str>) -> PodInfo {
    PodInfo {
        name: format!("pod-{created}"),
        created: at(created),
        started: Some(at(started)),
        markers: marker
            .map(|text| (KEY.to_owned(), text.to_owned()))
            .into_iter()
            .collect(),
        ..PodInfo::default()
    }
}
