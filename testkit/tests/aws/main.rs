//! The fake AWS as real SDK clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod identity;
mod kit;
mod reads;
