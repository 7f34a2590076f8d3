//! The Secrets Manager API (JSON 1.1) over the store: shapes, access checks and texts.
//!
//! Each operation takes the request body and answers JSON or the error that AWS would give.

mod access;
mod batch;
mod describe;
mod list;
mod read;
mod write;

use serde::de::DeserializeOwned;
use serde_json::Value;

use jiff::Timestamp;

use super::World;
use super::error::AwsError;
use super::faults::FaultCall;
use super::iam::Principal;

/// One authenticated call.
pub(crate) struct Scope<'a> {
    pub world: &'a mut World,
    pub caller: &'a Principal,
    pub region: &'a str,
    pub now: Timestamp,
    /// Number of the call in the log.
    pub seq: u64,
    /// A fault asks for an empty page.
    pub empty_page: bool,
}

impl<'a> Scope<'a> {
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

/// Runs one operation.
pub(crate) fn handle(
    scope: &mut Scope<'_>,
    operation: &str,
    body: &[u8],
) -> Result<Value, AwsError> {
    match operation {
        "GetSecretValue" => read::get(scope, parse(body)?),
        "BatchGetSecretValue" => batch::get(scope, parse(body)?),
        "DescribeSecret" => describe::describe(scope, parse(body)?),
        "ListSecretVersionIds" => describe::version_ids(scope, parse(body)?),
        "ListSecrets" => list::list(scope, parse(body)?),
        "CreateSecret" => write::create(scope, parse(body)?),
        "PutSecretValue" => write::put(scope, parse(body)?),
        "UpdateSecret" => write::update(scope, parse(body)?),
        "UpdateSecretVersionStage" => write::update_stage(scope, parse(body)?),
        "DeleteSecret" => write::delete(scope, parse(body)?),
        "RestoreSecret" => write::restore(scope, parse(body)?),
        "TagResource" => write::tag(scope, parse(body)?),
        "UntagResource" => write::untag(scope, parse(body)?),
        _ => Err(AwsError::new("UnknownOperationException", "")),
    }
}

/// Reads a request body. The reason is not repeated: it could quote a value.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body)
        .map_err(|_| AwsError::new("SerializationException", "The request body is not valid."))
}

/// Times go over the wire as seconds since the epoch with a fraction (AWS JSON 1.1 protocol).
fn seconds(at: Timestamp) -> Value {
    #[allow(clippy::cast_precision_loss)] // Milliseconds since 1970 fit in 53 bits.
    let seconds = at.as_millisecond() as f64 / 1000.0;
    seconds.into()
}

/// The day of an access, which is all the service remembers.
fn day(at: Timestamp) -> Value {
    let days = at.as_second().div_euclid(86_400);
    (days * 86_400).into()
}
