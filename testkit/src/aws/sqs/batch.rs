//! The batches: up to ten entries, each with an outcome of its own.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::calls::Service;
use super::super::error::AwsError;
use super::super::faults::Effect;
use super::super::reply::throttled;
use super::messages::hidden_for;
use super::receipt::message_of;
use super::registry::name_in;
use super::{Scope, query_code};

const MAX_ENTRIES: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

pub(super) fn delete(scope: &mut Scope<'_>, batch: &Batch) -> Result<Value, AwsError> {
    let operation = "DeleteMessageBatch";
    each(scope, operation, batch, |scope, entry| {
        let queue = scope.queue(operation, &batch.queue_url)?;
        queue.delete(&entry.receipt_handle)
    })
}

pub(super) fn change_visibility(scope: &mut Scope<'_>, batch: &Batch) -> Result<Value, AwsError> {
    let operation = "ChangeMessageVisibilityBatch";
    each(scope, operation, batch, |scope, entry| {
        let now = scope.now;
        let queue = scope.queue(operation, &batch.queue_url)?;
        // Without a timeout nothing is asked of the entry; the service takes zero.
        let hidden = hidden_for(entry.visibility_timeout.unwrap_or(0))?;
        queue.change_visibility(&entry.receipt_handle, hidden, now)
    })
}

fn each<'a>(
    scope: &mut Scope<'a>,
    operation: &'static str,
    batch: &Batch,
    act: impl Fn(&mut Scope<'a>, &Entry) -> Result<(), AwsError>,
) -> Result<Value, AwsError> {
    scope.queue(operation, &batch.queue_url)?;
    check(&batch.entries)?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for entry in &batch.entries {
        let done = match fault(scope, operation, batch, entry) {
            Some(error) => Err(error),
            None => act(scope, entry),
        };
        match done {
            Ok(()) => good.push(json!({"Id": entry.id})),
            Err(error) => {
                if let Some(call) = scope.world.log.get_mut(scope.seq) {
                    let failed = (entry.id.clone(), error.code.to_string());
                    call.entry_errors.push(failed);
                }
                bad.push(json!({
                    "Id": entry.id,
                    "SenderFault": error.status < 500,
                    "Code": query_code(&error.code),
                    "Message": error.message,
                }));
            }
        }
    }
    Ok(json!({"Successful": good, "Failed": bad}))
}

/// A fault on one entry: it names the message or the queue.
fn fault(
    scope: &mut Scope<'_>,
    operation: &'static str,
    batch: &Batch,
    entry: &Entry,
) -> Option<AwsError> {
    let call = scope.fault_call(operation);
    let message = message_of(&entry.receipt_handle).unwrap_or_default();
    let ids = [message.as_str(), name_in(&batch.queue_url)];
    let faults = &mut scope.world.faults;
    let effect = ids.iter().find_map(|id| faults.for_member(&call, id))?;
    match effect {
        Effect::Error(error) => Some(error),
        Effect::Throttle { .. } => Some(throttled(Service::Sqs)),
        _ => None,
    }
}

fn check(entries: &[Entry]) -> Result<(), AwsError> {
    let refuse = |code: &'static str, text: String| Err(AwsError::new(code, text));
    if entries.is_empty() {
        return refuse(
            "EmptyBatchRequest",
            "There should be at least one entry in the request.".to_owned(),
        );
    }
    if entries.len() > MAX_ENTRIES {
        let n = entries.len();
        let text =
            format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {n}.");
        return refuse("TooManyEntriesInBatchRequest", text);
    }
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|e| e.id == entry.id) {
            let text = format!("Id {} repeated.", entry.id);
            return refuse("BatchEntryIdsNotDistinct", text);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=80).contains(&entry.id.len()) || !entry.id.bytes().all(allowed) {
            let text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.";
            return refuse("InvalidBatchEntryId", text.to_owned());
        }
    }
    Ok(())
}
