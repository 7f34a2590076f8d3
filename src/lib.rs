//! keyferry: carries AWS Secrets Manager entries into cluster Secrets and rolls what uses them.
//!
//! Rooms, each allowed to use only those before it: `api` (what users write and read), `core` (pure
//! decisions), `source` (AWS) and `cluster` (Kubernetes), `controllers` (the two loops), `app`
//! (wiring). `telemetry` knows only `api` and may be used by every room after `core`; `cli` reads
//! arguments and calls the rooms.

// An optimised build computes the layout of a whole pass, futures within futures, at once: more than
// the 128 steps that rustc allows by itself.
#![recursion_limit = "256"]

pub mod api;
pub mod app;
pub mod cli;
pub mod cluster;
pub mod controllers;
pub mod core;
pub mod source;
pub mod telemetry;
