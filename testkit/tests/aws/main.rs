//! The fake AWS as real SDK clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod control;
mod identity;
mod kit;
mod lists;
mod reads;

mod transport;
mod writes;
