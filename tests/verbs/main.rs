//! The verbs as their users run them: the binary, its streams and exit codes, against a fake AWS.
//!
//! Verbs that need a cluster too are tested end to end (`tests/e2e`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod convert;
mod exec;
mod iam_policy;
mod import;
mod kit;
mod parameters;
mod render;
mod systems;
mod validate;
