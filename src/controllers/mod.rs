//! The two loops and what they share: bindings to Secrets, and workloads to rollouts.

pub mod binding;
pub mod context;
pub mod drive;
pub mod enrol;
pub mod queue;
pub mod workload;
