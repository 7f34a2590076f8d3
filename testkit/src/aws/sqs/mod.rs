//! SQS standard queues (JSON 1.0): shapes, limits, access checks and texts over [`queue`].
//!
//! Limits and texts follow the Amazon SQS API reference. Not modelled: FIFO queues, dead-letter
//! queues, message attributes, encryption; a short poll sees all messages, where the service
//! may look at a part of its servers only.

mod batch;
mod control;
mod messages;
mod queue;
#[cfg(test)]
mod queue_tests;
mod receipt;
mod registry;

use serde::de::DeserializeOwned;
use serde_json::Value;

use jiff::Timestamp;

use super::World;
use super::error::AwsError;
use super::faults::{FaultCall, member_operation};
use super::iam::{Principal, denied};
use super::policy::Verdict;
use super::store::partition_of;

pub use control::Queue;
pub(crate) use queue::QueueState;
pub use queue::QueueStats;
pub(crate) use receipt::message_of;
pub(crate) use registry::{QueueKey, Queues, name_in};

/// Where an operation stands.
pub(crate) enum Step {
    Done(Value),
    /// A long poll: look again when a queue changes, at the latest then.
    Wait(Timestamp),
}

/// One authenticated call.
pub(crate) struct Scope<'a> {
    pub world: &'a mut World,
    pub caller: &'a Principal,
    pub region: &'a str,
    pub now: Timestamp,
    /// When the call came in, from which a long poll counts.
    pub started: Timestamp,
    /// Number of the call in the log.
    pub seq: u64,
}

/// Runs one operation, or one look of a long poll.
pub(crate) fn handle(
    scope: &mut Scope<'_>,
    operation: &str,
    body: &[u8],
) -> Result<Step, AwsError> {
    let reply = match operation {
        "ReceiveMessage" => return messages::receive(scope, &parse(body)?),
        "SendMessage" => messages::send(scope, &parse(body)?),
        "DeleteMessage" => messages::delete(scope, &parse(body)?),
        "ChangeMessageVisibility" => messages::change_visibility(scope, &parse(body)?),
        "DeleteMessageBatch" => batch::delete(scope, &parse(body)?),
        "ChangeMessageVisibilityBatch" => batch::change_visibility(scope, &parse(body)?),
        "GetQueueUrl" => registry::url(scope, &parse(body)?),
        "GetQueueAttributes" => registry::attributes(scope, &parse(body)?),
        _ => Err(AwsError::new(
            "UnknownOperationException",
            format!("The fake does not know the operation {operation}."),
        )),
    };
    reply.map(Step::Done)
}

impl<'a> Scope<'a> {
    /// The queue behind a URL, if the caller may do this to it. As in IAM a batch needs the right
    /// of its members.
    fn queue(&mut self, operation: &'a str, url: &str) -> Result<&mut QueueState, AwsError> {
        let key = QueueKey::of_url(url, self.region)?;
        self.check(operation, &key)?;
        self.world.queues.get_mut(&key).ok_or_else(missing)
    }

    fn check(&self, operation: &str, key: &QueueKey) -> Result<(), AwsError> {
        let right = member_operation(operation).unwrap_or(operation);
        // SQS writes the action in small letters; IAM compares without case.
        let action = format!("sqs:{}", right.to_ascii_lowercase());
        let arn = key.arn();
        let tags = std::collections::BTreeMap::new();
        let own = self.world.iam.verdict(self.caller, &action, &arn, &tags);
        let policy = self.world.queues.get(key).map(|queue| &queue.policy);
        let named = |patterns: &[String]| self.caller.is_named_by(patterns);
        let verdict = match own {
            Verdict::Allowed if policy.is_some_and(|p| named(&p.deny)) => Verdict::Denied,
            Verdict::Allowed if key.account == self.caller.account => Verdict::Allowed,
            Verdict::Allowed if policy.is_some_and(|p| named(&p.allow)) => Verdict::Allowed,
            Verdict::Allowed => Verdict::NotAllowed,
            refused => refused,
        };
        match verdict {
            Verdict::Allowed => Ok(()),
            verdict => {
                let refused = denied(self.caller, &action, &arn, verdict);
                Err(AwsError {
                    status: 403,
                    ..refused
                })
            }
        }
    }

    fn fault_call(&self, operation: &'a str) -> FaultCall<'a> {
        FaultCall {
            operation,
            account: &self.caller.account,
            region: self.region,
            principal: &self.caller.arn,
            is_later_page: false,
        }
    }
}

/// Reads a request body.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body).map_err(|_| {
        AwsError::new(
            "MissingParameterException",
            "The request must contain all required parameters.",
        )
    })
}

fn missing() -> AwsError {
    AwsError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

/// A parameter outside of its bounds, in SQS's words.
fn invalid_value(parameter: &str, value: impl std::fmt::Display, reason: &str) -> AwsError {
    AwsError::new(
        "InvalidParameterValueException",
        format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"),
    )
}

/// A number of a request, if it is there and within its bounds.
fn bounded(
    parameter: &str,
    value: Option<i64>,
    min: i64,
    max: i64,
) -> Result<Option<i64>, AwsError> {
    match value {
        Some(n) if !(min..=max).contains(&n) => Err(invalid_value(
            parameter,
            n,
            &format!("Must be >= {min} and <= {max}, if provided."),
        )),
        other => Ok(other),
    }
}

/// The code that `x-amzn-query-error` names for an error, by which SDKs know it: SQS spoke the
/// query protocol before (API models, `awsQueryError`; the unmodelled ones from reports of users).
pub(crate) fn query_code(code: &str) -> String {
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        "MessageNotInflight"
        | "TooManyEntriesInBatchRequest"
        | "EmptyBatchRequest"
        | "BatchEntryIdsNotDistinct"
        | "BatchRequestTooLong"
        | "InvalidBatchEntryId"
        | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{code}"),
        "UnrecognizedClientException" => "InvalidClientTokenId".to_owned(),
        "UnknownOperationException" => "InvalidAction".to_owned(),
        _ => code.trim_end_matches("Exception").to_owned(),
    }
}

/// The ARN of a queue.
fn queue_arn(account: &str, region: &str, name: &str) -> String {
    let partition = partition_of(region);
    format!("arn:{partition}:sqs:{region}:{account}:{name}")
}
