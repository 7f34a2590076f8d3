//! keyferry: carries AWS Secrets Manager entries into cluster Secrets and rolls what uses them.
//!
//! Rooms, each allowed to use only those before it: `api` (what users write and read), `core` (pure
//! decisions), `source` (AWS) and `cluster` (Kubernetes), `controllers` (the two loops), `app` (wiring).

pub mod api;
pub mod cluster;
pub mod core;
