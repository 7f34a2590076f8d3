//! Kubernetes: what is watched, read and written. Decisions are made in `core`; these files carry them out.

pub mod apply;
pub mod apply_error;
pub mod binding;
pub mod bindings;
pub mod connect;
pub mod error;
pub mod events;
mod head;
pub mod install_key;
pub mod jobs;
mod owned;
mod pod_shapes;
pub mod policies;
pub mod raw;
pub mod report;
pub mod rights;
pub mod rows;
pub mod secret_body;
pub mod secrets;
pub mod table;
pub mod tokens;
pub mod upkeep;
pub mod views;
pub mod watches;
pub mod workloads;

pub use binding::{BindingObject, BindingRow, ObjectKey, WorkloadRef};
pub use bindings::Bindings;
pub use error::ClusterError;
pub use events::Events;
pub use raw::Raw;
pub use report::{ReportError, StatusStore};
pub use rows::{SecretRow, ServiceAccountRow};
pub use table::Table;
pub use views::{Views, Wake};
