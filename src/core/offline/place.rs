//! Places: where a path of the validator lies in a manifest, and how the API server writes it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// One field of a manifest.
pub(super) struct Place<'v> {
    /// As the server writes it: keys of maps in brackets.
    pub path: String,
    /// What stands there; None: nothing does.
    pub value: Option<&'v Value>,
}

/// Follows a path in which keys of maps, which may hold dots, stand behind dots like fields.
pub(super) fn of<'v>(schema: &JSONSchemaProps, manifest: &'v Value, path: &str) -> Place<'v> {
    let (mut schema, mut value) = (Some(schema), Some(manifest));
    let (mut written, mut rest) = (String::new(), path);
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some((at, after)) = index(rest) {
            written.push_str(&format!("[{at}]"));
            value = value.and_then(|value| value.get(at));
            schema = schema.and_then(items);
            rest = after;
            continue;
        }
        let of_map = schema.and_then(|schema| values(schema));
        let known = value
            .and_then(Value::as_object)
            .filter(|_| of_map.is_some());
        let key = known.and_then(|fields| {
            let fitting = fields.keys().filter(|key| rest.starts_with(key.as_str()));
            fitting.max_by_key(|key| key.len())
        });
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let step = key.map_or(&rest[..end], |key| &rest[..key.len()]);
        match (of_map.is_some(), written.is_empty()) {
            (true, _) => written.push_str(&format!("[{step}]")),
            (false, true) => written.push_str(step),
            (false, false) => written.push_str(&format!(".{step}")),
        }
        value = value.and_then(|value| value.get(step));
        schema = of_map.or_else(|| schema.and_then(|s| s.properties.as_ref()?.get(step)));
        rest = &rest[step.len()..];
    }
    Place {
        path: written,
        value,
    }
}

/// `[3].rest`: 3 and `.rest`.
fn index(path: &str) -> Option<(usize, &str)> {
    let (at, after) = path.strip_prefix('[')?.split_once(']')?;
    Some((at.parse().ok()?, after))
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(inner) => Some(inner),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The schema of a map's values.
fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(inner) => Some(inner),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

/// A value as the server shows it before its sentence: text and numbers, not what is made of others.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
            format!("{value}: ")
        }
        _ => String::new(),
    }
}
