//! Decisions. Pure: no client, no AWS type, no clock, no async; time and jitter come in as arguments.

pub mod access;
pub mod annotations;
pub mod change;
pub mod class;
pub mod companion;
pub mod compose;
pub mod conditions;
pub mod convert;
pub mod dotenv;
pub mod duration;
pub mod earlier;
pub mod entry;
pub mod events;
pub mod failover;
pub mod finding;
pub mod gate;
pub mod glob;
pub mod iam;
pub mod import;
pub mod json;
pub mod keys;
pub mod local;
pub mod managers;
pub mod offline;
pub mod ownership;
pub mod parameter;
pub mod parse;
pub mod placeholder;
pub mod preflight;
pub mod recipe;
pub mod recorded;
pub mod reference;
pub mod render;
pub mod revision;
pub mod rollout;
pub mod schedule;
pub mod secret_type;
pub mod sources;
pub mod sweep_mode;
pub mod target_meta;
pub mod template;
pub mod value;
pub mod window;
pub mod write_plan;

#[cfg(test)]
mod leak;

pub use class::Class;
pub use entry::{
    Entry, EntryAsk, EntryValue, Fetched, PrefixAsk, SecretId, Store, VersionSelector,
};
pub use finding::Finding;
pub use parameter::{ParameterId, parse_parameter};
pub use parse::{ParseSettings, parse};
pub use recipe::Recipe;
pub use reference::{Reference, ReferenceError, parse_reference};
pub use render::{Rendered, UsedSource, render};
pub use revision::{InstallKey, Revision};
pub use sweep_mode::SweepMode;
pub use value::SecretValue;
