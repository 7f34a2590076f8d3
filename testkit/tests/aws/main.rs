//! The fake AWS as real SDK clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod consumer;
mod control;
mod events;
mod identity;
mod kit;
mod lists;
mod parameters;
mod queues;
mod reads;
mod refusals;
mod transport;
mod writes;
