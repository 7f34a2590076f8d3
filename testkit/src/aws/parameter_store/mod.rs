//! The Parameter Store API (JSON 1.1) as far as it reads: GetParameters and GetParametersByPath. Writes go through
//! [`Region`](super::Region).

mod control;
mod store;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use store::ParameterStores;
use store::{Kind, Parameter, Version, arn_of};

use super::World;
use super::error::AwsError;
use super::iam::{Principal, denied};
use super::policy::Verdict;

/// Names of one GetParameters, and items of a page (source: API reference).
const MOST: usize = 10;
/// What stands for a value that was not decrypted.
const CIPHERTEXT: &str = "AQICAHcipherTextOfTheFake=";

/// One authenticated call.
pub(crate) struct Scope<'a> {
    pub world: &'a mut World,
    pub caller: &'a Principal,
    pub region: &'a str,
    /// A fault asks for an empty page.
    pub empty_page: bool,
}

/// Runs one operation.
pub(crate) fn handle(
    scope: &mut Scope<'_>,
    operation: &str,
    body: &[u8],
) -> Result<Value, AwsError> {
    match operation {
        "GetParameters" => get(scope, &parse(body)?),
        "GetParametersByPath" => by_path(scope, &parse(body)?),
        _ => Err(AwsError::new("UnknownOperationException", "")),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body)
        .map_err(|_| AwsError::new("SerializationException", "The request body is not valid."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

/// Any name that may not be read, or whose key may not be used, fails the call.
fn get(scope: &mut Scope<'_>, request: &Get) -> Result<Value, AwsError> {
    if !(1..=MOST).contains(&request.names.len()) {
        return Err(AwsError::validation(
            "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10",
        ));
    }
    let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
    for wire in &request.names {
        let (id, selector) = split(wire);
        let asked = Asked::of(scope, id);
        may(scope, "ssm:GetParameters", &asked.arn)?;
        let World {
            parameters: stores,
            log,
            ..
        } = &mut *scope.world;
        log.read(&asked.account, scope.region, id);
        let here = stores.get(&asked.account, scope.region);
        let parameter = here.and_then(|store| store.get(id)).cloned();
        let found = parameter.as_ref();
        match found.and_then(|p| Some((p, p.select(selector)?))) {
            None => invalid.push(wire.clone()),
            Some((parameter, version)) => {
                if request.with_decryption {
                    check_key(scope, parameter)?;
                }
                let mut shown = shown(parameter, version, request.with_decryption);
                if let Some(selector) = selector {
                    shown["Selector"] = format!(":{selector}").into();
                }
                parameters.push(shown);
            }
        }
    }
    Ok(json!({"Parameters": parameters, "InvalidParameters": invalid}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

fn by_path(scope: &mut Scope<'_>, request: &ByPath) -> Result<Value, AwsError> {
    let size = request.max_results.unwrap_or(MOST);
    if !(1..=MOST).contains(&size) || !request.path.starts_with('/') {
        return Err(AwsError::validation("Path or MaxResults is not valid."));
    }
    let account = scope.caller.account.clone();
    // The path is compared as it was sent, with its last slash.
    let arn = arn_of(&account, scope.region, &request.path);
    may(scope, "ssm:GetParametersByPath", &arn)?;
    let after = request.next_token.as_deref().map(position).transpose()?;
    let after = after.filter(|after| !after.is_empty());
    if scope.empty_page {
        let token = token(after.as_deref().unwrap_or_default());
        return Ok(json!({"Parameters": [], "NextToken": token}));
    }
    let path = format!("{}/", request.path.trim_end_matches('/'));
    let store = scope.world.parameters.get(&account, scope.region);
    let under = store
        .into_iter()
        .flat_map(|s| s.under(&path, after.as_deref()));
    let level = |p: &&Parameter| request.recursive || !p.name[path.len()..].contains('/');
    let mut page: Vec<Parameter> = under.filter(level).take(size + 1).cloned().collect();
    let more = page.len() > size;
    page.truncate(size);
    let mut shown_page = Vec::new();
    for parameter in &page {
        if request.with_decryption {
            check_key(scope, parameter)?;
        }
        let latest = parameter.versions.last();
        shown_page.extend(latest.map(|v| shown(parameter, v, request.with_decryption)));
    }
    let mut reply = json!({"Parameters": shown_page});
    if let Some(last) = page.last().filter(|_| more) {
        reply["NextToken"] = token(&last.name).into();
    }
    Ok(reply)
}

fn token(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("after {after}"))
}

fn position(token: &str) -> Result<String, AwsError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        text.strip_prefix("after ").map(str::to_owned)
    };
    read().ok_or_else(|| AwsError::new("InvalidNextToken", "The specified token isn't valid."))
}

/// Name or ARN, and what stands behind it.
fn split(wire: &str) -> (&str, Option<&str>) {
    let at = match wire.starts_with("arn:") {
        true => wire.match_indices(':').nth(5).map(|(at, _)| at),
        false => wire.find(':'),
    };
    match at {
        Some(at) => (&wire[..at], Some(&wire[at + 1..])),
        None => (wire, None),
    }
}

struct Asked {
    account: String,
    arn: String,
}

impl Asked {
    fn of(scope: &Scope<'_>, id: &str) -> Self {
        let own = &scope.caller.account;
        match id.starts_with("arn:") {
            true => Self {
                account: id.split(':').nth(4).unwrap_or_default().to_owned(),
                arn: id.to_owned(),
            },
            false => Self {
                account: own.clone(),
                arn: arn_of(own, scope.region, id),
            },
        }
    }
}

/// Without the right a caller does not learn whether a parameter exists. Parameters that other accounts share are
/// not modelled.
fn may(scope: &Scope<'_>, action: &str, arn: &str) -> Result<(), AwsError> {
    let caller = scope.caller;
    let own = arn.split(':').nth(4) == Some(caller.account.as_str());
    let verdict = scope
        .world
        .iam
        .verdict(caller, action, arn, &BTreeMap::new());
    match verdict {
        Verdict::Allowed if own => Ok(()),
        Verdict::Allowed => Err(denied(caller, action, arn, Verdict::NotAllowed)),
        verdict => Err(denied(caller, action, arn, verdict)),
    }
}

/// The default key is open to everybody in the account; another one is the caller's to be allowed.
fn check_key(scope: &Scope<'_>, parameter: &Parameter) -> Result<(), AwsError> {
    let Kind::Secure(Some(key)) = &parameter.kind else {
        return Ok(());
    };
    let iam = &scope.world.iam;
    match iam.verdict_on_key(scope.caller, ("kms:Decrypt", "ssm"), scope.region, key) {
        Verdict::Allowed => Ok(()),
        verdict => Err(denied(scope.caller, "kms:Decrypt", key, verdict)),
    }
}

fn shown(parameter: &Parameter, version: &Version, decrypted: bool) -> Value {
    let (kind, value) = match &parameter.kind {
        Kind::Text => ("String", &*version.value),
        Kind::Secure(_) if decrypted => ("SecureString", &*version.value),
        Kind::Secure(_) => ("SecureString", CIPHERTEXT),
    };
    json!({
        "Name": parameter.name, "ARN": parameter.arn, "Type": kind, "Value": value,
        "Version": version.number, "LastModifiedDate": seconds(version.modified),
        "DataType": "text",
    })
}

/// Times go over the wire as seconds since the epoch with a fraction.
fn seconds(at: Timestamp) -> Value {
    #[allow(clippy::cast_precision_loss)] // Milliseconds since 1970 fit in 53 bits.
    let seconds = at.as_millisecond() as f64 / 1000.0;
    seconds.into()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn what_stands_behind_a_name_is_its_version() {
        let arn = "arn:aws:ssm:us-east-1:111122223333:parameter/a/b";
        for (id, selector) in [
            ("/a/b", None),
            ("/a/b", Some("3")),
            (arn, None),
            (arn, Some("x")),
        ] {
            let wire = selector.map_or(id.to_owned(), |s| format!("{id}:{s}"));
            assert_eq!(split(&wire), (id, selector), "{wire}");
        }
    }
}
