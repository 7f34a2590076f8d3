//! Decisions. Pure: no client, no AWS type, no clock, no async; time and jitter come in as arguments.

pub mod duration;
pub mod entry;
pub mod finding;
pub mod gate;
pub mod glob;
pub mod json;
pub mod keys;
pub mod parse;
pub mod placeholder;
pub mod recipe;
pub mod reference;
pub mod render;
pub mod template;
pub mod value;

#[cfg(test)]
mod leak;

pub use entry::{Entry, EntryAsk, EntryValue, Fetched, PrefixAsk, SecretId, VersionSelector};
pub use finding::Finding;
pub use parse::{ParseSettings, parse};
pub use recipe::Recipe;
pub use reference::{Reference, ReferenceError, parse_reference};
pub use render::{Rendered, UsedSource, render};
pub use value::SecretValue;
