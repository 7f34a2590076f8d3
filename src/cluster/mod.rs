//! Kubernetes: what is watched, read and written. No decision is made here.

pub mod binding;
pub mod report;
pub mod rights;
pub mod table;
pub mod views;

pub use binding::{BindingObject, BindingRow, ObjectKey};
pub use report::{Events, ReportError, StatusStore};
pub use table::Table;
pub use views::{SecretRow, Views, Wake};
