//! The AWS source against the fake AWS, through real SDK clients over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod budget;
mod environment;
mod events;
mod failover;
mod failures;
mod following;
mod hints;
mod identity;
mod kit;
mod listing;
mod pacing;
mod parameters;
mod planned;
mod reads;
mod rights;
mod shifting;
mod sweep;
