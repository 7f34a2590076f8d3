//! The target Secret, written against a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adopt;
mod bed;
mod install_key;
mod merge;
mod owner;
mod refused;
mod requests;
