//! A pod's status as a kubelet reports it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::machine::{Container, Exit, Machine, Phase, State};

/// Since when each condition is as it is.
pub(super) type Since = BTreeMap<&'static str, (bool, Timestamp)>;

/// The status to merge into the pod's. Conditions are merged by type there, so
/// the scheduler's `PodScheduled` stays.
pub(super) fn of(
    machine: &Machine,
    ip: &str,
    started: Timestamp,
    now: Timestamp,
    since: &mut Since,
) -> Value {
    let phase = machine.phase();
    let done = matches!(phase, Phase::Succeeded | Phase::Failed);
    let ready = machine.ready() && !done;
    // A pod that has succeeded keeps Initialized, as with a kubelet.
    let facts = [
        ("PodReadyToStartContainers", !done),
        ("Initialized", machine.initialized()),
        ("Ready", ready),
        ("ContainersReady", ready),
    ];
    let conditions: Vec<Value> = facts
        .into_iter()
        .map(|(kind, holds)| condition(kind, holds, phase, now, since))
        .collect();
    let (init, apps): (Vec<_>, Vec<_>) = machine.containers.iter().partition(|c| c.init);
    let statuses = |list: Vec<&Container>| list.into_iter().map(container).collect::<Vec<_>>();
    json!({
        "phase": format!("{phase:?}"),
        "conditions": conditions,
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": Time(started),
        "initContainerStatuses": statuses(init),
        "containerStatuses": statuses(apps),
    })
}

fn condition(
    kind: &'static str,
    holds: bool,
    phase: Phase,
    now: Timestamp,
    since: &mut Since,
) -> Value {
    let entry = since.entry(kind).or_insert((holds, now));
    if entry.0 != holds {
        *entry = (holds, now);
    }
    let reason = match (holds, phase, kind) {
        (true, ..) => None,
        (_, Phase::Succeeded, "Ready" | "ContainersReady") => Some("PodCompleted"),
        (_, Phase::Failed, "Ready" | "ContainersReady") => Some("PodFailed"),
        (_, _, "Ready" | "ContainersReady") => Some("ContainersNotReady"),
        (_, _, "Initialized") => Some("ContainersNotInitialized"),
        _ => None,
    };
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "reason": reason,
        "lastTransitionTime": Time(entry.1),
    })
}

fn container(container: &Container) -> Value {
    let image = container.spec.image.clone().unwrap_or_default();
    let last = match (&container.state, &container.last) {
        // The end is the current state; the one before it is not kept.
        (State::Ended { .. }, _) | (_, None) => json!({}),
        (_, Some(exit)) => json!({"terminated": terminated(exit)}),
    };
    json!({
        "name": container.spec.name,
        "image": image,
        "imageID": format!("simulated://{image}"),
        "containerID": container.id(),
        "ready": container.ready(),
        "started": matches!(container.state, State::Running { .. }),
        "restartCount": container.restarts(),
        "state": state(&container.state),
        "lastState": last,
    })
}

fn state(state: &State) -> Value {
    match state {
        State::Waiting {
            reason, message, ..
        } if message.is_empty() => {
            json!({"waiting": {"reason": reason}})
        }
        State::Waiting {
            reason, message, ..
        } => {
            json!({"waiting": {"reason": reason, "message": message}})
        }
        State::Running { start, .. } => {
            json!({"running": {"startedAt": Time(start.started_at)}})
        }
        State::Ended { exit, .. } => json!({"terminated": terminated(exit)}),
    }
}

fn terminated(exit: &Exit) -> Value {
    json!({
        "exitCode": exit.code,
        "reason": if exit.code == 0 { "Completed" } else { "Error" },
        "startedAt": Time(exit.started),
        "finishedAt": Time(exit.finished),
        "containerID": exit.id,
        "message": Some(&exit.message).filter(|message| !message.is_empty()),
    })
}
