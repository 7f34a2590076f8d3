//! Restarts: which workloads use a Secret, which revision each of them runs with, what to do next.
//!
//! Owns the decisions of the rollout: pure functions over plain types. It must not read a cluster,
//! a clock or a status of its own; what was read comes in, what is to be written goes out.
//!
//! The order in which they are used:
//! 1. [`consumers::select`] over a fresh listing, [`intent::plan_intent`] before a write of the Secret
//!    that changes bytes: the result goes into `status.rollouts` and must be acknowledged first;
//! 2. [`step::step`] for each workload whenever it, its claims or time have moved; its markers are
//!    applied, then its entries are recorded through [`record::record`];
//! 3. [`summary::summarize`] over the entries, for the column and the condition.

mod back;
pub mod cause;
pub mod consumers;
pub mod forbidden;
pub mod health;
pub mod intent;
pub mod marker;
pub mod order;
pub mod record;
pub mod step;
pub mod summary;
mod verdict;
pub mod workload;

#[cfg(test)]
pub(in crate::core) mod testing;

#[cfg(test)]
mod back_test;
#[cfg(test)]
mod simulation_test;

pub use back::{concerns_binding, is_owed, is_rolling_back, send_back, was_asked};
pub use cause::ContainerReport;
pub use consumers::{Consumer, TooManyTargets, select};
pub use health::{Health, Progress, health};
pub use intent::{
    Change, PodInfo, Pods, add_cautions, needs_previous, outcome, plan_intent, pods_needed,
};
pub use order::{Turn, turn};
pub use record::{has_ended, record};
pub use step::{Claim, Look, Step, step};
pub use summary::{RolledOut, Summary, summarize};
pub use workload::{Kind, Strategy, Workload};
