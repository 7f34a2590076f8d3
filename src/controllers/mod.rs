//! The two loops and what they share.

pub mod drive;
pub mod queue;
