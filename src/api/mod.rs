//! What users write and read: the kinds, their conditions, reasons and names.
//!
//! Owns serde shapes and schema only. It must not know a client, a clock or a decision.

pub mod binding;
pub mod crds;
pub mod limits;
pub mod names;
pub mod policy;
pub mod preflight;
pub mod reason;
mod schema;
pub mod status;

pub use binding::{ExternalSecretBinding, ExternalSecretBindingSpec};
pub use policy::{SecretAccessPolicy, SecretAccessPolicySpec};
pub use reason::Reason;
pub use status::ExternalSecretBindingStatus;
