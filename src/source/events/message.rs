//! Bodies of messages, taken apart. Pure, and bounded: whoever may send to the queue writes bodies.
//!
//! Forms: EventBridge's JSON as it is, or inside an SNS notification; Secrets Manager's own event, and the two
//! that CloudTrail makes of calls (sources: AWS, "Secret event notifications", "AWS CloudTrail entries for
//! Secrets Manager", "Match events with Amazon EventBridge").

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Hint, HintId, HintKind, Ignored};
use crate::{core::entry::SecretArn, source::wire::parse_arn};

/// Longest body that is looked into. EventBridge sends 256 KiB at most, an SNS envelope doubles some signs; the
/// events meant here have 1 to 4 KiB.
const MAX_BODY: usize = 256 << 10;
/// Longest name of an entry (source: API reference, CreateSecret).
const MAX_NAME: usize = 512;
/// Longest resource of an ARN: a name, hyphen and six characters.
const MAX_RESOURCE: usize = MAX_NAME + 7;
/// Longest staging label (source: API reference, PutSecretValue).
const MAX_LABEL: usize = 256;
/// Longest version id (source: API reference, GetSecretValue).
const MAX_VERSION: usize = 64;

/// Takes a body apart. Never panics; reads at most 256 KiB.
///
/// # Errors
/// Why it means nothing to us.
pub fn parse(body: &str) -> Result<Hint, Ignored> {
    if body.len() > MAX_BODY {
        return Err(Ignored::TooLarge);
    }
    let outer: Outer = json(body)?;
    match (outer.kind.as_deref(), outer.message) {
        (None, _) => event(json(body)?),
        (Some("Notification"), Some(message)) => event(json(&message)?),
        (Some(_), _) => Err(Ignored::Foreign),
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Ignored> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Ignored::Shape,
        _ => Ignored::NotJson,
    })
}

/// What tells an SNS envelope from an event.
#[derive(Deserialize)]
struct Outer {
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

/// EventBridge's envelope (source: AWS, "Events in Amazon EventBridge"). `detail` is looked into only when the
/// rest says that it is ours.
#[derive(Deserialize)]
struct Event<'a> {
    source: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

fn event(event: Event<'_>) -> Result<Hint, Ignored> {
    if event.source.as_deref() != Some("aws.secretsmanager") {
        return Err(Ignored::Foreign);
    }
    let detail = event.detail.map_or("{}", RawValue::get);
    match event.detail_type.as_deref() {
        Some("Secret Label Updated") => native(&event, json(detail)?),
        Some("AWS API Call via CloudTrail") => call(&event, json(detail)?),
        Some("AWS Service Event via CloudTrail") => service(&event, json(detail)?),
        _ => Err(Ignored::Foreign),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Native {
    name: Option<String>,
    label_updated: Option<String>,
    version_id: Option<String>,
}

fn native(event: &Event<'_>, detail: Native) -> Result<Hint, Ignored> {
    let label = label(detail.label_updated)?;
    let arn = event.resources.first().map(|text| complete(text));
    let name = detail.name.map(|name| typed(&name));
    let secret = arn.or(name).ok_or(Ignored::NoSecret)??;
    hint(event, secret, label, detail.version_id, HintKind::Moved)
}

/// CloudTrail's record of a call, or of something the service did by itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: Option<String>,
    event_name: Option<String>,
    error_code: Option<String>,
    request_parameters: Option<Request>,
    response_elements: Option<Response>,
    additional_event_data: Option<Additional>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    secret_id: Option<String>,
    /// Of CreateSecret.
    name: Option<String>,
    /// Becomes the id of the version that PutSecretValue makes.
    client_request_token: Option<String>,
    version_stages: Option<Vec<String>>,
    version_stage: Option<String>,
    move_to_version_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    arn: Option<String>,
    /// As some calls wrote it before February 2024.
    #[serde(rename = "aRN")]
    old_arn: Option<String>,
    version_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct Additional {
    #[serde(rename = "SecretId", alias = "secretId")]
    secret_id: Option<String>,
}

impl Record {
    /// Only what succeeded at Secrets Manager.
    fn succeeded(&self) -> Result<&str, Ignored> {
        if self.event_source.as_deref() != Some("secretsmanager.amazonaws.com") {
            return Err(Ignored::Foreign);
        }
        if self.error_code.is_some() {
            return Err(Ignored::FailedCall);
        }
        self.event_name.as_deref().ok_or(Ignored::Name)
    }
}

fn call(event: &Event<'_>, record: Record) -> Result<Hint, Ignored> {
    let name = record.succeeded()?.to_owned();
    let request = record.request_parameters.unwrap_or_default();
    let response = record.response_elements.unwrap_or_default();
    let (kind, told_label, version) = match name.as_str() {
        "PutSecretValue" => (
            HintKind::Moved,
            put_label(request.version_stages)?,
            response.version_id.or(request.client_request_token),
        ),
        // Its token names a version only where a value came along, which is not told.
        "UpdateSecret" => (HintKind::Moved, None, response.version_id),
        "UpdateSecretVersionStage" => (
            HintKind::Moved,
            label(request.version_stage)?,
            request.move_to_version_id,
        ),
        "DeleteSecret" => (HintKind::Deleted, None, None),
        "RestoreSecret" => (HintKind::Appeared, None, None),
        "CreateSecret" => (HintKind::Appeared, None, response.version_id),
        _ => return Err(Ignored::Name),
    };
    let asked = request
        .secret_id
        .or(request.name.filter(|_| name == "CreateSecret"));
    let secret = match (response.arn.or(response.old_arn), asked) {
        (Some(arn), _) => complete(&arn)?,
        (None, Some(asked)) => typed(&asked)?,
        (None, None) => return Err(Ignored::NoSecret),
    };
    hint(event, secret, told_label, version, kind)
}

fn service(event: &Event<'_>, record: Record) -> Result<Hint, Ignored> {
    if record.succeeded()? != "RotationSucceeded" {
        return Err(Ignored::Name);
    }
    let additional = record.additional_event_data.unwrap_or_default();
    let secret = complete(&additional.secret_id.ok_or(Ignored::NoSecret)?)?;
    hint(event, secret, None, None, HintKind::Moved)
}

/// PutSecretValue without labels moves AWSCURRENT; with labels it moves those.
fn put_label(labels: Option<Vec<String>>) -> Result<Option<String>, Ignored> {
    let Some(labels) = labels.filter(|labels| !labels.is_empty()) else {
        return Ok(None);
    };
    let mut told: Vec<String> = labels
        .into_iter()
        .filter_map(|text| label(Some(text)).ok().flatten())
        .collect();
    match told.len() {
        0 => Err(Ignored::Label),
        1 => Ok(told.pop()),
        _ => Ok(None),
    }
}

fn label(text: Option<String>) -> Result<Option<String>, Ignored> {
    match text.as_deref() {
        Some("AWSPENDING" | "AWSPREVIOUS") => Err(Ignored::Label),
        Some(text) if text.is_empty() || text.len() > MAX_LABEL => Err(Ignored::Shape),
        _ => Ok(text),
    }
}

/// An ARN that AWS wrote.
fn complete(text: &str) -> Result<HintId, Ignored> {
    arn(text).map(HintId::Arn).ok_or(Ignored::NoSecret)
}

/// An id that a caller typed.
fn typed(text: &str) -> Result<HintId, Ignored> {
    let id = match text.starts_with("arn:") {
        true => arn(text).map(HintId::TypedArn),
        false => (text.len() <= MAX_NAME && is_name(text)).then(|| HintId::Name(text.to_owned())),
    };
    id.ok_or(Ignored::NoSecret)
}

fn arn(text: &str) -> Option<SecretArn> {
    let arn = parse_arn(text)?;
    let sound = is_word(&arn.partition)
        && is_word(&arn.region)
        && is_account(&arn.account)
        && arn.resource.len() <= MAX_RESOURCE
        && is_name(&arn.resource);
    sound.then_some(arn)
}

/// Signs of a name (source: API reference, CreateSecret).
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// A region or a partition.
fn is_word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// An ARN says where its entry is; a name is one in the account and region of the event.
fn hint(
    event: &Event<'_>,
    secret: HintId,
    label: Option<String>,
    version_id: Option<String>,
    kind: HintKind,
) -> Result<Hint, Ignored> {
    let (account, region) = match &secret {
        HintId::Arn(arn) | HintId::TypedArn(arn) => (arn.account.clone(), arn.region.clone()),
        HintId::Name(_) => {
            let account = event.account.clone().filter(|text| is_account(text));
            let region = event.region.clone().filter(|text| is_word(text));
            account.zip(region).ok_or(Ignored::Shape)?
        }
    };
    let sound = |id: &String| {
        (1..=MAX_VERSION).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    Ok(Hint {
        account,
        region,
        secret,
        label,
        version_id: version_id.filter(sound),
        kind,
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
