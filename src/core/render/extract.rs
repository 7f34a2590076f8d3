//! One value out of one entry, and in which words it is refused. No message quotes the entry.

use super::collect::counted;
use super::decode_base64;
use crate::api::Reason;
use crate::api::binding::Decode;
use crate::core::json::{self, JsonError};
use crate::core::keys::shown;
use crate::core::recipe::KeyRecipe;
use crate::core::{Entry, EntryValue, Finding, SecretValue};

/// The whole value of an entry, or one property of it.
pub(super) fn extract(entry: &Entry, property: Option<&str>) -> Result<SecretValue, Finding> {
    match property {
        None => Ok(entry.value.bytes().clone()),
        Some(property) => json::property(text(entry)?, property)
            .map_err(|e| json_finding(entry, Some(property), e)),
    }
}

/// The members of an entry's object; one without any is as good as missing.
pub(super) fn object(
    entry: &Entry,
    property: Option<&str>,
) -> Result<Vec<(String, SecretValue)>, Finding> {
    let members =
        json::members(text(entry)?, property).map_err(|e| json_finding(entry, property, e))?;
    if members.is_empty() {
        let fact = format!("{} has no properties.", entry.named());
        return Err(Finding::new(
            Reason::PropertyMissing,
            fact,
            "Put an object that has some.",
        ));
    }
    Ok(members)
}

/// Only `SecretString` can be JSON.
fn text(entry: &Entry) -> Result<&str, Finding> {
    let text = match &entry.value {
        EntryValue::Text(value) => std::str::from_utf8(value.expose()).ok(),
        EntryValue::Binary(_) => None,
    };
    text.ok_or_else(|| {
        let fact = format!("{} is binary, not JSON.", entry.named());
        Finding::new(
            Reason::NotJson,
            fact,
            "Put a JSON object, or take the whole value.",
        )
    })
}

fn json_finding(entry: &Entry, property: Option<&str>, error: JsonError) -> Finding {
    let name = entry.named();
    let asked = property.map(shown).unwrap_or_default();
    match error {
        JsonError::Invalid { line, column } => Finding::new(
            Reason::NotJson,
            format!("{name} is not valid JSON (line {line}, column {column})."),
            "Put a JSON object, or take the whole value.",
        ),
        JsonError::NotAnObject if property.is_some() => Finding::new(
            Reason::NotJson,
            format!("{name} is JSON, but there is no object at {asked}."),
            "Put a JSON object, or take the whole value.",
        ),
        JsonError::NotAnObject => Finding::new(
            Reason::NotJson,
            format!("{name} is JSON, but not an object."),
            "Put a JSON object, or take the whole value.",
        ),
        JsonError::Duplicate {
            name: property,
            line,
            column,
        } => Finding::new(
            Reason::DuplicateKey,
            format!(
                "{name} repeats property {} (line {line}, column {column}).",
                shown(&property)
            ),
            "Put the entry with each property once.",
        ),
        JsonError::Missing { properties } => Finding::new(
            Reason::PropertyMissing,
            format!(
                "{name} has no property {asked} ({}).",
                counted(properties, "property", "properties")
            ),
            "Compose it with spec.template, or name another.",
        ),
    }
}

/// Decodes a key's value as its recipe says.
pub(super) fn decode(
    entry: &Entry,
    key: &KeyRecipe,
    value: SecretValue,
) -> Result<SecretValue, Finding> {
    let (url_safe, name) = match key.decode {
        Decode::None => return Ok(value),
        Decode::Base64 => (false, "Base64"),
        Decode::Base64Url => (true, "Base64Url"),
    };
    decode_base64(value.expose(), url_safe).ok_or_else(|| {
        let fact = format!(
            "{} of {} cannot be decoded (decode: {name}).",
            key.key,
            entry.called()
        );
        Finding::new(
            Reason::RuleBroken,
            fact,
            "Put an encoded value, or take decode away.",
        )
    })
}
