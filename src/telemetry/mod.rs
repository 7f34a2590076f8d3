//! What the operator tells about itself: log lines, metrics, health endpoints, the audit trail.
//!
//! Nothing here may hold or print a value of an entry or a Secret. It must not decide anything, and
//! must not know a client of AWS or Kubernetes.

pub mod audit;
pub mod conditions;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod panics;

#[cfg(test)]
pub(crate) mod testing;
