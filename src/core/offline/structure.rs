//! Structure: unknown fields, types, bounds, enumerations, required fields and list keys, in the API server's words.

use std::collections::HashSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

use super::{Problem, problem};

/// Fields of every object that no schema of ours describes.
const OWN: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Everything that does not fit.
pub(super) fn check(schema: &JSONSchemaProps, manifest: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut all = manifest.clone();
    if let Some(fields) = all.as_object_mut() {
        OWN.iter().for_each(|own| drop(fields.remove(*own)));
    }
    walk(schema, &all, "", &mut problems);
    problems
}

/// The name of an object must be one that Kubernetes takes.
pub(super) fn name(manifest: &Value) -> Option<Problem> {
    let meta = &manifest["metadata"];
    let path = "metadata.name";
    match meta["name"].as_str() {
        None if meta["generateName"].is_string() => None,
        None | Some("") => Some(problem(
            path,
            "Required value: name or generateName is required",
        )),
        Some(name) if is_subdomain(name) => None,
        Some(name) => Some(problem(
            path,
            format!(
                "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
            ),
        )),
    }
}

fn is_subdomain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(fits)
            && label.ends_with(fits)
            && label.chars().all(|c| fits(c) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn walk(schema: &JSONSchemaProps, value: &Value, path: &str, out: &mut Vec<Problem>) {
    if value.is_null() && schema.nullable == Some(true) {
        return;
    }
    if !has_type(schema, value) {
        let (wanted, is) = (schema.type_.as_deref().unwrap_or_default(), type_of(value));
        let said =
            format!("Invalid value: \"{is}\": {path} in body must be of type {wanted}: \"{is}\"");
        out.push(problem(path, said));
        return;
    }
    if let Some(allowed) = &schema.enum_
        && !allowed.iter().any(|one| one.0 == *value)
    {
        let allowed: Vec<String> = allowed.iter().map(|one| one.0.to_string()).collect();
        let said = format!(
            "Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        );
        out.push(problem(path, said));
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, out),
        Value::Array(items) => array(schema, items, path, out),
        Value::String(text) => string(schema, text, path, out),
        Value::Number(number) => range(schema, number.as_f64().unwrap_or_default(), path, out),
        Value::Bool(_) | Value::Null => {}
    }
}

fn has_type(schema: &JSONSchemaProps, value: &Value) -> bool {
    match schema.type_.as_deref() {
        None => true,
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(wanted) => wanted == type_of(value),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn object(
    schema: &JSONSchemaProps,
    fields: &Map<String, Value>,
    path: &str,
    out: &mut Vec<Problem>,
) {
    let join = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    };
    for name in schema.required.iter().flatten() {
        if !fields.contains_key(name) {
            out.push(problem(&join(name), "Required value"));
        }
    }
    too_many(fields.len(), schema.max_properties, "items", path, out);
    let none = Default::default();
    let properties = schema.properties.as_ref().unwrap_or(&none);
    for (name, value) in fields {
        match (properties.get(name), &schema.additional_properties) {
            (Some(inner), _) => walk(inner, value, &join(name), out),
            (None, Some(JSONSchemaPropsOrBool::Schema(inner))) => {
                walk(inner, value, &join(name), out);
            }
            (None, Some(JSONSchemaPropsOrBool::Bool(true))) => {}
            _ if schema.x_kubernetes_preserve_unknown_fields == Some(true) => {}
            _ => {
                let said = format!("unknown field \"{}\"", join(name));
                out.push(problem(&join(name), said));
            }
        }
    }
}

fn array(schema: &JSONSchemaProps, items: &[Value], path: &str, out: &mut Vec<Problem>) {
    too_many(items.len(), schema.max_items, "items", path, out);
    if let Some(least) = schema.min_items.filter(|least| items.len() < size(*least)) {
        let (is, said) = (items.len(), "in body should have at least");
        out.push(problem(
            path,
            format!("Invalid value: {is}: {path} {said} {least} items"),
        ));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
        for (at, item) in items.iter().enumerate() {
            walk(inner, item, &format!("{path}[{at}]"), out);
        }
    }
    duplicates(schema, items, path, out);
}

/// Items of a list map are told apart by their keys, those of a set by themselves.
fn duplicates(schema: &JSONSchemaProps, items: &[Value], path: &str, out: &mut Vec<Problem>) {
    let keys = schema.x_kubernetes_list_map_keys.as_deref();
    let told_apart = |item: &Value| match keys {
        Some(keys) => {
            let own = keys.iter().map(|key| (key.clone(), item[key].clone()));
            Value::Object(own.filter(|(_, value)| !value.is_null()).collect())
        }
        None => item.clone(),
    };
    if !matches!(
        schema.x_kubernetes_list_type.as_deref(),
        Some("map" | "set")
    ) {
        return;
    }
    let mut seen = HashSet::new();
    for (at, item) in items.iter().enumerate() {
        let own = told_apart(item).to_string();
        if !seen.insert(own.clone()) {
            let path = format!("{path}[{at}]");
            out.push(problem(&path, format!("Duplicate value: {own}")));
        }
    }
}

fn string(schema: &JSONSchemaProps, text: &str, path: &str, out: &mut Vec<Problem>) {
    let length = text.chars().count();
    if let Some(most) = schema.max_length.filter(|most| length > size(*most)) {
        out.push(problem(
            path,
            format!("Too long: may not be more than {most} bytes"),
        ));
    }
    if let Some(least) = schema.min_length.filter(|least| length < size(*least)) {
        let said = format!("in body should be at least {least} chars long");
        out.push(problem(
            path,
            format!("Invalid value: {text:?}: {path} {said}"),
        ));
    }
}

fn range(schema: &JSONSchemaProps, number: f64, path: &str, out: &mut Vec<Problem>) {
    let said = match (schema.minimum, schema.maximum) {
        (Some(least), _) if number < least => format!("greater than or equal to {least}"),
        (_, Some(most)) if number > most => format!("less than or equal to {most}"),
        _ => return,
    };
    out.push(problem(
        path,
        format!("Invalid value: {number}: {path} in body should be {said}"),
    ));
}

fn too_many(is: usize, most: Option<i64>, what: &str, path: &str, out: &mut Vec<Problem>) {
    if let Some(most) = most.filter(|most| is > size(*most)) {
        out.push(problem(
            path,
            format!("Too many: {is}: must have at most {most} {what}"),
        ));
    }
}

fn size(bound: i64) -> usize {
    usize::try_from(bound).unwrap_or(0)
}
