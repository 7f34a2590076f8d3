//! BatchGetSecretValue: by ids, with an error list, or by filters, with pages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::calls::Service;
use super::super::error::AwsError;
use super::super::faults::Effect;
use super::super::reply::throttled;
use super::list::{Filter, Page, page};
use super::{Scope, access, read};

const MAX_IDS: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    #[serde(default)]
    secret_id_list: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn get(scope: &mut Scope<'_>, request: Request) -> Result<Value, AwsError> {
    check(&request)?;
    let (caller, iam) = (scope.caller, &scope.world.iam);
    access::may(iam, caller, "secretsmanager:BatchGetSecretValue")?;
    if !request.secret_id_list.is_empty() {
        return Ok(members(scope, &request.secret_id_list, None));
    }
    access::may(iam, caller, "secretsmanager:ListSecrets")?;
    let want = Page {
        filters: &request.filters,
        size: request.max_results.unwrap_or(MAX_IDS),
        token: request.next_token.as_deref(),
        with_deleted: false,
        descending: false,
    };
    let (secrets, next) = page(scope, &want)?;
    let arns: Vec<String> = secrets.iter().map(|s| s.arn.to_string()).collect();
    Ok(members(scope, &arns, next))
}

fn check(request: &Request) -> Result<(), AwsError> {
    let ids = request.secret_id_list.len();
    if (ids == 0) == request.filters.is_empty() {
        return Err(AwsError::invalid_parameter(
            "You must specify either SecretIdList or Filters, but not both.",
        ));
    }
    if ids > MAX_IDS {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value at 'secretIdList' failed to satisfy constraint: Member must have length less than or equal to {MAX_IDS}"
        )));
    }
    if ids > 0 && (request.max_results.is_some() || request.next_token.is_some()) {
        return Err(AwsError::invalid_parameter(
            "MaxResults and NextToken can only be used with Filters.",
        ));
    }
    match request.max_results {
        Some(n) if !(1..=MAX_IDS).contains(&n) => Err(AwsError::validation(format!(
            "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must be between 1 and {MAX_IDS}"
        ))),
        _ => Ok(()),
    }
}

/// Reads each member; an id asked twice is answered once (what AWS does is not documented).
fn members(scope: &mut Scope<'_>, ids: &[String], next: Option<String>) -> Value {
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        if ids[..index].contains(id) {
            continue;
        }
        match member(scope, id) {
            Some(Ok(value)) => values.push(value),
            Some(Err(error)) => {
                note(scope, id, &error);
                errors.push(json!({
                    "SecretId": id, "ErrorCode": error.code, "Message": error.message,
                }));
            }
            None => {}
        }
    }
    let mut reply = json!({"SecretValues": values, "Errors": errors});
    if let Some(next) = next {
        reply["NextToken"] = next.into();
    }
    reply
}

/// `None`: a fault wants the member to be missing from both lists.
fn member(scope: &mut Scope<'_>, id: &str) -> Option<Result<Value, AwsError>> {
    let call = scope.fault_call("BatchGetSecretValue");
    match scope.world.faults.for_member(&call, id) {
        Some(Effect::Error(error)) => Some(Err(error)),
        Some(Effect::Throttle { .. }) => Some(Err(throttled(Service::SecretsManager))),
        Some(_) => None,
        None => Some(read::read(scope, id, None, None)),
    }
}

fn note(scope: &mut Scope<'_>, id: &str, error: &AwsError) {
    if let Some(call) = scope.world.log.get_mut(scope.seq) {
        call.entry_errors
            .push((id.to_owned(), error.code.to_string()));
    }
}
