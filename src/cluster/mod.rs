//! Kubernetes: reads and writes. Decisions are made in `core`; these files carry them out.

pub mod workloads;
