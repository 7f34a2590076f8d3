//! Kubernetes: what is read from the cluster and written to it.

pub mod rights;
