//! The forms in which a binding's data leaves for a file or another program. Pure.
//!
//! Each form holds every key and every byte, or it is refused with the key's name: a form that drops something in
//! silence is worse than none. Only a shell has names that it cannot export; those are told.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::core::{SecretValue, dotenv, recipe::TargetRecipe, value::Growing};

/// Keys and values.
pub type Data = BTreeMap<String, SecretValue>;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines `KEY=value`, quoted where needed
    Dotenv,
    /// One object of texts
    Json,
    /// Lines `export KEY='value'`, for eval
    Shell,
    /// A Secret as a manifest
    Secret,
}

/// Text to be written, and what is to be said about it.
#[derive(Default)]
pub struct Text {
    /// The bytes.
    pub bytes: Growing,
    /// Sentences about keys.
    pub warnings: Vec<String>,
}

/// Data in a form. `namespace` is only of use to a manifest; None leaves it out.
///
/// # Errors
/// A sentence that names the key.
pub fn format(
    format: Format,
    data: &Data,
    target: &TargetRecipe,
    namespace: Option<&str>,
) -> Result<Text, String> {
    match format {
        Format::Dotenv => dotenv(data),
        Format::Json => json(data),
        Format::Shell => shell(data),
        Format::Secret => secret(data, target, namespace),
    }
}

fn dotenv(data: &Data) -> Result<Text, String> {
    let pairs = data.iter().map(|(key, value)| (key.as_str(), value));
    let written = dotenv::write(pairs).map_err(|why| why.to_string())?;
    let mut text = Text::default();
    text.bytes.push(written.text.as_bytes());
    text.warnings = written.differs.iter().map(ToString::to_string).collect();
    Ok(text)
}

/// Texts only: a reader could not tell a value that was encoded from one that looks so.
fn json(data: &Data) -> Result<Text, String> {
    let mut object = BTreeMap::new();
    for (key, value) in data {
        let text = value.as_str().ok_or_else(|| {
            format!("{key}: binary: -o json holds texts; -o secret holds any bytes, in base64")
        })?;
        object.insert(key.as_str(), text);
    }
    let mut text = Text::default();
    serde_json::to_writer_pretty(&mut text.bytes, &object).map_err(|_| "no JSON".to_owned())?;
    text.bytes.push(b"\n");
    Ok(text)
}

fn shell(data: &Data) -> Result<Text, String> {
    let mut text = Text::default();
    for (key, value) in data {
        if !is_shell_name(key) {
            let warning = format!("{key}: left out: no shell can export a variable of that name");
            text.warnings.push(warning);
            continue;
        }
        if value.expose().contains(&0) {
            return Err(format!("{key}: a NUL byte: no environment can hold one"));
        }
        text.bytes.push(format!("export {key}='").as_bytes());
        for (at, part) in value.expose().split(|byte| *byte == b'\'').enumerate() {
            if at > 0 {
                text.bytes.push(b"'\\''");
            }
            text.bytes.push(part);
        }
        text.bytes.push(b"'\n");
    }
    Ok(text)
}

fn is_shell_name(key: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    key.bytes().all(word) && !key.starts_with(|first: char| first.is_ascii_digit())
}

/// Every text in quotes: `true`, `1234` and base64 that looks like a number stay texts.
fn secret(data: &Data, target: &TargetRecipe, namespace: Option<&str>) -> Result<Text, String> {
    let mut head = "apiVersion: v1\nkind: Secret\nmetadata:\n".to_owned();
    let mut line = |indent: &str, key: &str, value: &str| {
        let (key, value) = (quoted(key), quoted(value));
        let _ = writeln!(head, "{indent}{key}: {value}");
    };
    line("  ", "name", &target.name);
    if let Some(namespace) = namespace {
        line("  ", "namespace", namespace);
    }
    let maps = [
        ("labels", &target.labels),
        ("annotations", &target.annotations),
    ];
    for (name, map) in maps {
        if !map.is_empty() {
            let _ = writeln!(head, "  {name}:");
        }
        for (key, value) in map {
            let _ = writeln!(head, "    {}: {}", quoted(key), quoted(value));
        }
    }
    let _ = writeln!(head, "type: {}\ndata:", quoted(&target.type_));
    let mut text = Text::default();
    text.bytes.push(head.as_bytes());
    for (key, value) in data {
        text.bytes.push(format!("  {}: \"", quoted(key)).as_bytes());
        text.bytes.push(&encoded(value)?);
        text.bytes.push(b"\"\n");
    }
    Ok(text)
}

/// JSON's quotes are YAML's. Plain field names stay bare.
fn quoted(text: &str) -> String {
    const FIELDS: [&str; 2] = ["name", "namespace"];
    match FIELDS.contains(&text) {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

fn encoded(value: &SecretValue) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut text = Zeroizing::new(vec![0; value.len().div_ceil(3) * 4]);
    let encoded = STANDARD.encode_slice(value.expose(), &mut text);
    encoded.map_err(|_| "no base64".to_owned())?;
    Ok(text)
}

#[cfg(test)]
#[path = "formats_test.rs"]
mod tests;
