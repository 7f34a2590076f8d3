//! AWS: who we are there, and shared reads of Secrets Manager entries.
//!
//! Owns credentials, hubs, batching, value reuse and the words for what AWS refuses. Must not know Kubernetes:
//! ServiceAccount tokens come in through [`TokenRequester`], which `cluster` implements. Starts no tasks: work
//! is done by whoever waits for it.

mod batch;
mod bucket;
mod budget;
mod calls;
mod confirm;
mod credentials;
mod errors;
pub mod events;
mod failure;
mod gather;
mod holds;
mod http;
mod hub;
mod identity;
mod line;
mod listing;
mod metrics;
mod origin;
mod parameter_batch;
mod parameter_calls;
mod parameter_reads;
mod person;
mod planned;
mod reading;
mod replies;
mod reuse;
mod round;
mod settings;
mod single;
mod slowing;
mod sources;
mod state;
mod sts;
mod sts_errors;
mod subscriptions;
mod sweep;
mod wire;
mod writer;

use std::sync::Arc;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use crate::core::Finding;

pub use bucket::Lane;
pub use confirm::Standing;
pub use errors::addressed;
pub use hub::Hub;
pub use identity::{Caller, IdentityAsk, ServiceAccountIdentity};
pub use listing::Listed;
pub use metrics::{Operation, Outcome, SourceEvent, SourceMetrics, Sweep};
pub use person::in_person;
pub use reading::{Freshness, Reading};
pub use settings::{
    OperatorIdentity, ReadSettings, SourceSettings, SweepMode, Timeouts, WebIdentity,
};
pub use sources::Sources;
pub use subscriptions::{Interest, Known, Subscriber};
pub use writer::{Current, Made, NewEntry, Put, Writer};

/// Gets a token of a ServiceAccount (namespace, name) with audience `sts.amazonaws.com`, valid for 600 s.
pub type TokenRequester =
    Arc<dyn Fn(&str, &str) -> BoxFuture<'static, Result<Zeroizing<String>, Finding>> + Send + Sync>;
