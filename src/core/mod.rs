//! Decisions. Pure: no client, no AWS type, no clock, no async; time and jitter come in as arguments.

pub mod annotations;
pub mod change;
pub mod class;
pub mod entry;
pub mod finding;
pub mod managers;
pub mod ownership;
pub mod recipe;
pub mod revision;
pub mod secret_type;
pub mod sources;
pub mod target_meta;
pub mod value;
pub mod write_plan;

pub use class::Class;
pub use entry::{Entry, EntryAsk, EntryValue, Fetched, PrefixAsk, SecretId, VersionSelector};
pub use finding::Finding;
pub use recipe::Recipe;
pub use revision::{InstallKey, Revision};
pub use value::SecretValue;
