//! The gate: all of `spec.validate` must hold or nothing is written. Messages name keys and rules, never values.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::placeholder::placeholder;
use super::recipe::{GateRecipe, RuleRecipe};
use super::{Finding, SecretValue};
use crate::api::Reason;

/// Where each key's value comes from, as messages say it: `"bizi/production" version 9e02cc41`.
pub type Origins = BTreeMap<String, String>;

/// Checks complete data.
///
/// # Errors
/// `RequiredMissing`, `PlaceholderFound` or `RuleBroken` for the first key in this order, with the number
/// of further ones.
pub fn check(gate: &GateRecipe, data: &BTreeMap<String, SecretValue>) -> Result<(), Finding> {
    check_with_origins(gate, data, &Origins::new())
}

/// [`check`] whose messages also say where a value comes from.
///
/// # Errors
/// As [`check`].
pub fn check_with_origins(
    gate: &GateRecipe,
    data: &BTreeMap<String, SecretValue>,
    origins: &Origins,
) -> Result<(), Finding> {
    let mut findings = Vec::new();
    findings.extend(
        gate.required
            .iter()
            .filter_map(|key| missing(gate, data, key)),
    );
    let named = |key: &str| match origins.get(key) {
        Some(origin) => format!("{key} of {origin}"),
        None => key.to_owned(),
    };
    for (key, value) in data {
        findings.extend(left_behind(gate, key, value).map(|rule| refused(&named(key), rule)));
    }
    for rule in &gate.rules {
        findings.extend(broken(gate, rule, data).map(|what| {
            let fact = format!("{} {what}.", named(&rule.key));
            Finding::new(
                Reason::RuleBroken,
                fact,
                "Put a value that fits, or change spec.validate.rules.",
            )
        }));
    }
    let others = findings.len().saturating_sub(1);
    let Some(mut first) = findings.into_iter().next() else {
        return Ok(());
    };
    match others {
        0 => {}
        1 => first.fact.push_str(" One more rule does not hold."),
        n => first
            .fact
            .push_str(&format!(" {n} more rules do not hold.")),
    }
    Err(first)
}

fn may_be_empty(gate: &GateRecipe, key: &str) -> bool {
    gate.allow_empty.iter().any(|k| k == key)
}

fn missing(gate: &GateRecipe, data: &BTreeMap<String, SecretValue>, key: &str) -> Option<Finding> {
    let what = match data.get(key) {
        None => "missing",
        Some(value) if value.is_empty() && !may_be_empty(gate, key) => "empty",
        Some(_) => return None,
    };
    Some(Finding::new(
        Reason::RequiredMissing,
        format!("Required key {key} is {what}."),
        "Put a value, or take it off spec.validate.required.",
    ))
}

/// The placeholder rule that a value breaks.
fn left_behind(gate: &GateRecipe, key: &str, value: &SecretValue) -> Option<&'static str> {
    if value.is_empty() && may_be_empty(gate, key) {
        return None;
    }
    let bytes = value.expose().trim_ascii();
    let listed = |p: &String| same_without_case(p, bytes);
    if gate.placeholders.iter().any(listed) {
        return Some("spec.validate.placeholders");
    }
    if gate.reject_placeholders {
        placeholder(value.expose())
    } else {
        None
    }
}

fn same_without_case(listed: &str, value: &[u8]) -> bool {
    match std::str::from_utf8(value) {
        Ok(text) => *Zeroizing::new(text.to_lowercase()) == listed.trim().to_lowercase(),
        Err(_) => false,
    }
}

fn refused(named: &str, rule: &str) -> Finding {
    let fact = match rule {
        "empty" => format!("{named} is empty (rule: \"empty\")."),
        _ => format!("{named} looks like a placeholder (rule: \"{rule}\")."),
    };
    let cure = match rule {
        "empty" => "Put a real value, or list the key in spec.validate.allowEmpty.",
        _ => "Put a real value.",
    };
    Finding::new(Reason::PlaceholderFound, fact, cure)
}

/// What a value does not keep to; rules hold for absent keys and for allowed empty values.
fn broken(
    gate: &GateRecipe,
    rule: &RuleRecipe,
    data: &BTreeMap<String, SecretValue>,
) -> Option<String> {
    let value = data.get(&rule.key)?;
    if value.is_empty() && may_be_empty(gate, &rule.key) {
        return None;
    }
    if let Some(min) = rule.min_length.filter(|min| value.len() < *min) {
        return Some(format!("is shorter than {min} bytes (rule: minLength)"));
    }
    if let Some(max) = rule.max_length.filter(|max| value.len() > *max) {
        return Some(format!("is longer than {max} bytes (rule: maxLength)"));
    }
    let pattern = rule.pattern.as_ref()?;
    (!pattern.is_match(value.expose()))
        .then(|| "does not match its pattern (rule: pattern)".to_owned())
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
