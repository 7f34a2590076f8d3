//! What Secrets Manager tells EventBridge about its changes, and how it reaches a queue.
//!
//! Native events are documented in "Secret Label Updated event", the others in "AWS CloudTrail
//! entries for Secrets Manager". Open at AWS and decided here: a first version and a rollback emit
//! a native event (the text says "whenever a staging label changes"), a replica emits none.

mod bodies;
mod emission;
mod subscription;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::World;
use super::error::AwsError;
use super::iam::{Principal, account_of};
use super::sqs::QueueKey;

pub use emission::{Emission, EmissionCounts, Order};
pub use subscription::{EventKinds, Subscription};

use emission::Emitter;

/// Labels that move without a native event.
const SILENT: [&str; 2] = ["AWSPENDING", "AWSPREVIOUS"];

/// The operations that CloudTrail events tell of.
const TOLD: [&str; 6] = [
    "CreateSecret",
    "PutSecretValue",
    "UpdateSecret",
    "UpdateSecretVersionStage",
    "DeleteSecret",
    "RestoreSecret",
];

/// Request fields that CloudTrail repeats; a value is never among them.
const REPEATED: [&str; 11] = [
    "SecretId",
    "Name",
    "ClientRequestToken",
    "VersionStages",
    "VersionStage",
    "MoveToVersionId",
    "RemoveFromVersionId",
    "RecoveryWindowInDays",
    "ForceDeleteWithoutRecovery",
    "Description",
    "KmsKeyId",
];

/// Whether an operation may cause events.
pub(crate) fn is_told(operation: &str) -> bool {
    TOLD.contains(&operation)
}

/// One call that may have changed a secret.
pub(crate) struct ApiCall<'a> {
    pub operation: &'a str,
    pub principal: &'a Principal,
    pub region: &'a str,
    /// The request; values in it are not repeated.
    pub request: Value,
}

/// A change, as far as the bodies need to know it.
struct Change<'a> {
    call: &'a ApiCall<'a>,
    account: &'a str,
    arn: Option<&'a str>,
    error: Option<&'a AwsError>,
    now: Timestamp,
}

/// All subscriptions of all queues.
#[derive(Debug, Default)]
pub(crate) struct Events {
    next: u64,
    all: BTreeMap<u64, Listener>,
}

/// One queue's wish for the events of one account and region.
#[derive(Debug)]
pub(crate) struct Listener {
    account: String,
    region: String,
    queue: QueueKey,
    kinds: EventKinds,
    emitter: Emitter,
}

impl Events {
    fn add(&mut self, listener: Listener) -> u64 {
        self.next += 1;
        self.all.insert(self.next, listener);
        self.next
    }
}

/// Tells of a call that is over: with the ARN it was about, or with its refusal.
pub(crate) fn announce(
    world: &mut World,
    call: &ApiCall<'_>,
    outcome: Result<&str, &AwsError>,
    now: Timestamp,
) {
    let arn = outcome.ok();
    let account = arn.map_or(call.principal.account.as_str(), account_of);
    // Taken whether or not anybody listens: the next call must not tell them again.
    let moved = arn.map(|arn| moved(world, account, call.region, arn));
    let (name, moves) = moved.unwrap_or_default();
    let change = Change {
        call,
        account,
        arn,
        error: outcome.err(),
        now,
    };
    let World { events, queues, .. } = world;
    let listening = |l: &&mut Listener| l.account == account && l.region == call.region;
    for listener in events.all.values_mut().filter(listening) {
        for body in bodies_for(listener.kinds, &change, &name, &moves) {
            let queue = listener.queue.clone();
            for sent in listener.emitter.emit(body) {
                if let Some(queue) = queues.get_mut(&queue) {
                    sent.put_into(queue, now);
                }
            }
        }
    }
}

type Move = (String, Arc<str>);

/// Name of the secret and the label moves that nobody was told of yet.
fn moved(world: &mut World, account: &str, region: &str, arn: &str) -> (Arc<str>, Vec<Move>) {
    let store = world.stores.get_mut(account, region);
    let name = store.resolve(arn).map(|secret| secret.name.clone());
    let secret = name.ok().and_then(|name| store.get_mut(&name));
    secret.map_or_else(
        || ("".into(), Vec::new()),
        |secret| (secret.name.clone(), std::mem::take(&mut secret.moved)),
    )
}

fn bodies_for(kinds: EventKinds, change: &Change<'_>, name: &str, moves: &[Move]) -> Vec<String> {
    let mut events = Vec::new();
    if kinds.native {
        let told = |(label, _): &&Move| !SILENT.contains(&label.as_str());
        let natives = moves.iter().filter(told);
        events.extend(natives.map(|(label, version)| bodies::native(change, name, label, version)));
    }
    if kinds.cloudtrail && is_told(change.call.operation) {
        events.push(bodies::cloudtrail(change, kinds.old_arn_key));
    }
    let shape = |event: Value| match kinds.sns_wrapped {
        true => bodies::in_sns(&event, change).to_string(),
        false => event.to_string(),
    };
    events.into_iter().map(shape).collect()
}

/// The fields of a request that CloudTrail repeats, in its spelling.
fn parameters(request: &Value) -> Value {
    let kept = REPEATED.iter().filter_map(|name| {
        let value = request.get(*name).filter(|value| !value.is_null())?;
        Some((small_first(name), value.clone()))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

fn small_first(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

/// One copy of an event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    body: String,
    delay: SignedDuration,
}

impl Sent {
    fn put_into(&self, queue: &mut super::sqs::QueueState, now: Timestamp) {
        let arrives = now + self.delay;
        queue.send(&self.body, "events.amazonaws.com", arrives, arrives);
    }
}
