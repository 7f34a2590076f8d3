//! Decisions. Pure: no client, no AWS type, no clock, no async; time and jitter come in as arguments.

pub mod entry;
pub mod finding;
pub mod recipe;
pub mod rollout;
pub mod value;

pub use entry::{Entry, EntryAsk, EntryValue, Fetched, PrefixAsk, SecretId, VersionSelector};
pub use finding::Finding;
pub use recipe::Recipe;
pub use value::SecretValue;
