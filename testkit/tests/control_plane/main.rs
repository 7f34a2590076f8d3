//! The control plane and the simulated nodes, one against the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod entry;
mod pods;
mod proxied;
mod ready;
mod support;
mod workloads;
