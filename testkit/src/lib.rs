//! The test bed.
pub mod aws;
