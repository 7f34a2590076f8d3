//! `spec.validate.preflight`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Problem, bounded};
use crate::api::preflight::{Preflight, PreflightAmounts};
use crate::api::{Reason, limits};
use crate::core::recipe::PreflightRecipe;

/// Default of `timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest `timeout`.
const LONGEST: Duration = Duration::from_secs(3600);
const FIELD: &str = "spec.validate.preflight";
const MAX_WORDS: usize = limits::PREFLIGHT_WORDS as usize;
const MAX_WORD: usize = limits::PREFLIGHT_WORD_CHARS as usize;

pub(super) fn preflight(preflight: &Preflight) -> Result<PreflightRecipe, Problem> {
    if !is_image(&preflight.image) {
        let sentence = "must be the name of an image, for example postgres:17";
        return Err(problem("image", sentence));
    }
    for (field, words) in [("command", &preflight.command), ("args", &preflight.args)] {
        if words.len() > MAX_WORDS || words.iter().any(|word| is_long(word)) {
            let sentence = "must have at most 50 words of at most 4096 characters";
            return Err(problem(field, sentence));
        }
    }
    let resources = preflight.resources.clone().unwrap_or_default();
    let field = format!("{FIELD}.timeout");
    let timeout = bounded(&field, preflight.timeout.as_deref(), LONGEST)?;
    Ok(PreflightRecipe {
        image: preflight.image.clone(),
        command: preflight.command.clone(),
        args: preflight.args.clone(),
        env: variables(preflight)?,
        requests: amounts("resources.requests", resources.requests)?,
        limits: amounts("resources.limits", resources.limits)?,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        show_message: preflight.show_message.unwrap_or(false),
    })
}

fn problem(field: &str, sentence: &str) -> Problem {
    Problem::spec(&format!("{FIELD}.{field}"), sentence)
}

fn is_long(text: &str) -> bool {
    text.chars().count() > MAX_WORD
}

fn is_image(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    text.len() <= limits::IMAGE_CHARS as usize
        && text.bytes().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn variables(preflight: &Preflight) -> Result<Vec<(String, String)>, Problem> {
    if preflight.env.len() > limits::PREFLIGHT_VARIABLES as usize {
        return Err(problem("env", "must have at most 50 variables"));
    }
    let mut seen = BTreeSet::new();
    for (i, variable) in preflight.env.iter().enumerate() {
        let field = format!("env[{i}]");
        if !is_variable(&variable.name) || is_long(&variable.value) {
            let sentence = "must have the name of a variable and at most 4096 characters of value";
            return Err(problem(&field, sentence));
        }
        if !seen.insert(&variable.name) {
            let field = format!("{FIELD}.{field}.name");
            let sentence = "must not be set twice";
            return Err(Problem::new(Reason::DuplicateKey, &field, sentence));
        }
    }
    let pair = |v: &crate::api::preflight::PreflightVariable| (v.name.clone(), v.value.clone());
    Ok(preflight.env.iter().map(pair).collect())
}

/// A name that every version of Kubernetes takes (source: `IsEnvVarName`).
fn is_variable(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.len() <= limits::PREFLIGHT_VARIABLE_CHARS as usize
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn amounts(
    field: &str,
    amounts: Option<PreflightAmounts>,
) -> Result<BTreeMap<&'static str, String>, Problem> {
    let amounts = amounts.unwrap_or_default();
    let both = [("cpu", amounts.cpu), ("memory", amounts.memory)];
    let given = both
        .into_iter()
        .filter_map(|(name, amount)| Some((name, amount?)));
    let given: BTreeMap<_, _> = given.collect();
    match given.iter().find(|(_, amount)| !is_amount(amount)) {
        None => Ok(given),
        Some((name, _)) => Err(problem(
            &format!("{field}.{name}"),
            "must be an amount as Kubernetes writes it, for example 100m or 64Mi",
        )),
    }
}

fn is_amount(text: &str) -> bool {
    let digits = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let units = ["Ki", "Mi", "Gi", "Ti", "m", "k", "M", "G", "T"];
    let unit = units.iter().find_map(|unit| text.strip_suffix(unit));
    let number = unit.unwrap_or(text);
    match number.split_once('.') {
        Some((whole, part)) => digits(whole, 12) && digits(part, 3),
        None => digits(number, 12),
    }
}
