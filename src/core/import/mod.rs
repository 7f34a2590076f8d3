//! What `keyferry import` decides: names of entries, their new text, and the binding that gives the keys back.
//!
//! Pure; errors and plans name keys, never values.

mod binding;
mod document;
mod names;

pub use binding::{Binding, Source, name_of};
pub use document::{Mode, Obstacle, Plan, plan, written};
pub use names::{NameProblem, Named, ends_like_an_arn, name_problem, names};

/// Most bytes of an entry's value (source: AWS Secrets Manager quotas).
pub const MAX_ENTRY: usize = 65_536;
