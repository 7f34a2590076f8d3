//! Decisions. Pure: no client, no AWS type, no clock, no async; time and jitter come in as arguments.

pub mod annotations;
pub mod class;
pub mod entry;
pub mod finding;
pub mod recipe;
pub mod revision;
pub mod sources;
pub mod value;

pub use class::Class;
pub use entry::{Entry, EntryAsk, EntryValue, Fetched, PrefixAsk, SecretId, VersionSelector};
pub use finding::Finding;
pub use recipe::Recipe;
pub use revision::{InstallKey, Revision};
pub use value::SecretValue;
