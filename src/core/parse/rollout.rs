//! `spec.rollout`: which workloads are restarted, and when.

use std::time::Duration;

use super::{DAY, Problem, between, bounded, is_dns_subdomain};
use crate::api::binding::{self, Rollout, RolloutTarget};
use crate::api::limits;
use crate::core::recipe::{RolloutRecipe, WorkloadSelection};
use crate::core::window::Window;

/// Default of `rollout.timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Default of `rollout.minInterval`.
pub const DEFAULT_MIN_INTERVAL: Duration = Duration::from_secs(30);

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn rollout(rollout: &Rollout) -> Result<RolloutRecipe, Problem> {
    let timeout = bounded("spec.rollout.timeout", rollout.timeout.as_deref(), DAY)?;
    if rollout.targets.len() > limits::ROLLOUT_TARGETS as usize {
        let sentence = "must have at most 100 targets";
        return Err(Problem::spec("spec.rollout.targets", sentence));
    }
    if rollout.windows.len() > limits::WINDOWS as usize {
        let sentence = "must have at most 20 windows";
        return Err(Problem::spec("spec.rollout.windows", sentence));
    }
    let interval = rollout.min_interval.as_deref();
    let interval = interval
        .map(|text| between("spec.rollout.minInterval", text, Duration::ZERO, DAY))
        .transpose()?;
    let targets = rollout.targets.iter().enumerate();
    let windows = rollout.windows.iter().enumerate();
    Ok(RolloutRecipe {
        targets: targets
            .map(|(i, t)| workload(i, t))
            .collect::<Result<_, _>>()?,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        order: rollout.order.unwrap_or_default(),
        on_failure: rollout.on_failure.unwrap_or_default(),
        min_interval: interval.unwrap_or(DEFAULT_MIN_INTERVAL),
        windows: windows
            .map(|(i, w)| window(i, w))
            .collect::<Result<_, _>>()?,
    })
}

fn window(index: usize, window: &binding::Window) -> Result<Window, Problem> {
    let field = |name: &str| format!("spec.rollout.windows[{index}].{name}");
    let duration = between(&field("duration"), &window.duration, MINUTE, DAY)?;
    let zone = window.time_zone.as_deref().unwrap_or("UTC");
    Window::new(&window.schedule, duration, zone)
        .map_err(|error| Problem::spec(&field(error.field()), error))
}

fn workload(index: usize, target: &RolloutTarget) -> Result<WorkloadSelection, Problem> {
    let field = format!("spec.rollout.targets[{index}]");
    match (&target.name, &target.selector) {
        (Some(name), None) if is_dns_subdomain(name) => {
            Ok(WorkloadSelection::Named(target.kind, name.clone()))
        }
        (Some(_), None) => Err(Problem::spec(
            &field,
            "`name` must be the name of a workload",
        )),
        (None, Some(selector)) if selector.match_labels.is_empty() => Err(Problem::spec(
            &field,
            "`selector.matchLabels` must not be empty",
        )),
        (None, Some(selector)) => Ok(WorkloadSelection::Labelled(
            target.kind,
            selector.match_labels.clone(),
        )),
        _ => Err(Problem::spec(
            &field,
            "must have exactly one of `name` and `selector`",
        )),
    }
}
