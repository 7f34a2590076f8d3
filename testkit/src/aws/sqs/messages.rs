//! The operations on single messages.

use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::error::AwsError;
use super::queue::Received;
use super::{Scope, Step, bounded, invalid_value};

/// Largest body (SendMessage).
const MAX_BODY: usize = 1024 * 1024;
/// Longest visibility timeout in seconds: 12 hours.
pub(super) const MAX_VISIBILITY: i64 = 43_200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
}

pub(super) fn receive(scope: &mut Scope<'_>, request: &Receive) -> Result<Step, AwsError> {
    let max = bounded("MaxNumberOfMessages", request.max_number_of_messages, 1, 10)?;
    let max = max.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let hidden = bounded(
        "VisibilityTimeout",
        request.visibility_timeout,
        0,
        MAX_VISIBILITY,
    )?;
    let wait = bounded("WaitTimeSeconds", request.wait_time_seconds, 0, 20)?;
    let (now, started) = (scope.now, scope.started);
    let queue = scope.queue("ReceiveMessage", &request.queue_url)?;
    let hidden = hidden.map_or(queue.visibility, SignedDuration::from_secs);
    let wait = wait.map_or(queue.wait, SignedDuration::from_secs);
    let end = started + wait;
    let full = queue.receive(max, hidden, now);
    let got = match full {
        Some(got) => got,
        None if wait.is_zero() => {
            return Err(AwsError::with_status(
                403,
                "OverLimit",
                "Too many messages are in flight.",
            ));
        }
        // A long poll gets no error (Amazon SQS message quotas).
        None => Vec::new(),
    };
    if got.is_empty() && now < end {
        let next = queue.next_due(now);
        return Ok(Step::Wait(next.map_or(end, |due| due.min(end))));
    }
    let names = [
        request.attribute_names.as_slice(),
        &request.message_system_attribute_names,
    ]
    .concat();
    let shown: Vec<Value> = got.iter().map(|message| show(message, &names)).collect();
    let mut reply = json!({});
    if !shown.is_empty() {
        reply["Messages"] = shown.into();
    }
    Ok(Step::Done(reply))
}

fn show(message: &Received, names: &[String]) -> Value {
    let millis = |at: Timestamp| at.as_millisecond().to_string();
    let attributes: Map<String, Value> = [
        ("SenderId", message.sender.to_string()),
        ("SentTimestamp", millis(message.sent)),
        ("ApproximateReceiveCount", message.receives.to_string()),
        (
            "ApproximateFirstReceiveTimestamp",
            millis(message.first_received),
        ),
    ]
    .into_iter()
    .filter(|(name, _)| names.iter().any(|n| n == "All" || n == name))
    .map(|(name, value)| (name.to_owned(), value.into()))
    .collect();
    let mut shown = json!({
        "MessageId": &*message.id,
        "ReceiptHandle": message.handle,
        "MD5OfBody": md5(&message.body),
        "Body": &*message.body,
    });
    if !attributes.is_empty() {
        shown["Attributes"] = attributes.into();
    }
    shown
}

/// Some SDKs compare it with the body; the Rust one does not.
fn md5(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Send {
    queue_url: String,
    message_body: String,
    delay_seconds: Option<i64>,
}

pub(super) fn send(scope: &mut Scope<'_>, request: &Send) -> Result<Value, AwsError> {
    check_body(&request.message_body)?;
    let delay = bounded("DelaySeconds", request.delay_seconds, 0, 900)?;
    let delay = SignedDuration::from_secs(delay.unwrap_or(0));
    let (now, sender) = (scope.now, &scope.caller.user_id);
    let queue = scope.queue("SendMessage", &request.queue_url)?;
    let id = queue.send(&request.message_body, sender, now, now + delay);
    Ok(json!({"MessageId": &*id, "MD5OfMessageBody": md5(&request.message_body)}))
}

/// Refuses what SendMessage refuses: nothing, too much, and signs that XML 1.0 does not know.
fn check_body(body: &str) -> Result<(), AwsError> {
    if body.is_empty() {
        return Err(AwsError::new(
            "MissingParameterException",
            "The request must contain the parameter MessageBody.",
        ));
    }
    if body.len() > MAX_BODY {
        return Err(AwsError::new(
            "InvalidParameterValueException",
            format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {MAX_BODY} bytes."
            ),
        ));
    }
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}')
            || c > '\u{FFFF}'
    };
    if body.chars().all(allowed) {
        return Ok(());
    }
    Err(AwsError::new(
        "InvalidMessageContents",
        "The message contains characters outside the allowed set.",
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    queue_url: String,
    receipt_handle: String,
}

pub(super) fn delete(scope: &mut Scope<'_>, request: &Delete) -> Result<Value, AwsError> {
    let queue = scope.queue("DeleteMessage", &request.queue_url)?;
    queue.delete(&request.receipt_handle)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeVisibility {
    queue_url: String,
    receipt_handle: String,
    visibility_timeout: i64,
}

pub(super) fn change_visibility(
    scope: &mut Scope<'_>,
    request: &ChangeVisibility,
) -> Result<Value, AwsError> {
    let now = scope.now;
    let queue = scope.queue("ChangeMessageVisibility", &request.queue_url)?;
    let hidden = hidden_for(request.visibility_timeout)?;
    queue.change_visibility(&request.receipt_handle, hidden, now)?;
    Ok(json!({}))
}

/// A visibility timeout from a request.
pub(super) fn hidden_for(seconds: i64) -> Result<SignedDuration, AwsError> {
    if (0..=MAX_VISIBILITY).contains(&seconds) {
        return Ok(SignedDuration::from_secs(seconds));
    }
    Err(invalid_value(
        "VisibilityTimeout",
        seconds,
        &format!("Must be between 0 and {MAX_VISIBILITY}."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_hexadecimal() {
        // RFC 1321, A.5.
        assert_eq!(md5("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn bodies_are_checked() {
        let long = "x".repeat(MAX_BODY + 1);
        for (body, good) in [
            ("{}", true),
            ("\t\n\r é 😀", true),
            (&long[1..], true),
            ("", false),
            ("\u{0}", false),
            ("\u{FFFE}", false),
            (&long, false),
        ] {
            assert_eq!(check_body(body).is_ok(), good, "{} bytes", body.len());
        }
    }
}
