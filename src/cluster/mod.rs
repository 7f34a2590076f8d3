//! Kubernetes: reads and writes. Decisions are made in `core`; these files carry them out.

pub mod apply;
pub mod apply_error;
pub mod error;
pub mod install_key;
pub mod raw;
pub mod secret_body;
pub mod secrets;
pub mod upkeep;

pub use error::ClusterError;
pub use raw::Raw;
