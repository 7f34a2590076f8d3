//! `spec.template` and `spec.validate`.

use std::collections::BTreeSet;

use super::Problem;
use super::data::check_key;
use crate::api::binding::{DataItem, Template, Validate, ValueRule};
use crate::api::{Reason, limits};
use crate::core::keys::shown;
use crate::core::recipe::{GateRecipe, RuleRecipe, TemplateRecipe};
use crate::core::template::check_source;

const MAX_TEMPLATES: usize = limits::TEMPLATES as usize;
const MAX_KEYS: usize = limits::NAMED_KEYS as usize;
const MAX_PLACEHOLDERS: usize = limits::PLACEHOLDERS as usize;
const MAX_PLACEHOLDER: usize = limits::PLACEHOLDER_CHARS as usize;
const MAX_RULES: usize = limits::RULES as usize;
const MAX_PATTERN: usize = limits::PATTERN_CHARS as usize;
/// Bytes a compiled pattern, and its cache while it matches, may take.
const PATTERN_MEMORY: usize = 1 << 20;

pub(super) fn template(template: &Template) -> Result<TemplateRecipe, Problem> {
    let field = "spec.template.data";
    if template.data.is_empty() || template.data.len() > MAX_TEMPLATES {
        return Err(Problem::new(
            Reason::TemplateFailed,
            field,
            "must have 1 to 300 keys",
        ));
    }
    for (key, source) in &template.data {
        check_key(field, key)?;
        let refused =
            |sentence| Problem::new(Reason::TemplateFailed, &format!("{field}[{key}]"), sentence);
        check_source(source).map_err(refused)?;
    }
    let keep = template.keep.as_deref().unwrap_or_default();
    check_keys("spec.template.keep", keep)?;
    Ok(TemplateRecipe {
        data: template.data.clone(),
        keep: template.keep.clone(),
    })
}

/// A key is fetched or composed, never both: no order of precedence to remember. Keys of `dataFrom`
/// are checked when they are known.
pub(super) fn no_key_twice(data: &[DataItem], template: &TemplateRecipe) -> Result<(), Problem> {
    let stays = |key: &String| template.keep.as_ref().is_none_or(|keep| keep.contains(key));
    let clash = |item: &&DataItem| template.data.contains_key(&item.key) && stays(&item.key);
    let Some(item) = data.iter().find(clash) else {
        return Ok(());
    };
    let sentence = format!(
        "key {} must not be both fetched in `data` and composed, unless `template.keep` is set without it",
        shown(&item.key)
    );
    Err(Problem::new(
        Reason::DuplicateKey,
        "spec.template.data",
        sentence,
    ))
}

pub(super) fn gate(validate: &Validate) -> Result<GateRecipe, Problem> {
    check_keys("spec.validate.required", &validate.required)?;
    check_keys("spec.validate.allowEmpty", &validate.allow_empty)?;
    let placeholders = &validate.placeholders;
    let bad = |p: &String| p.is_empty() || p.chars().count() > MAX_PLACEHOLDER;
    if placeholders.len() > MAX_PLACEHOLDERS || placeholders.iter().any(bad) {
        let sentence = "must have at most 100 values of 1 to 256 characters";
        return Err(Problem::spec("spec.validate.placeholders", sentence));
    }
    if validate.rules.len() > MAX_RULES {
        return Err(Problem::new(
            Reason::TooLarge,
            "spec.validate.rules",
            "must have at most 100 rules",
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(i) = validate.rules.iter().position(|r| !seen.insert(&r.key)) {
        let field = format!("spec.validate.rules[{i}].key");
        return Err(Problem::new(
            Reason::DuplicateKey,
            &field,
            "must not have two rules",
        ));
    }
    let rules = validate.rules.iter().enumerate();
    Ok(GateRecipe {
        required: validate.required.clone(),
        reject_placeholders: validate.reject_placeholders.unwrap_or(false),
        placeholders: placeholders.clone(),
        allow_empty: validate.allow_empty.clone(),
        rules: rules.map(|(i, r)| rule(i, r)).collect::<Result<_, _>>()?,
    })
}

fn check_keys(field: &str, keys: &[String]) -> Result<(), Problem> {
    if keys.len() > MAX_KEYS {
        return Err(Problem::new(
            Reason::TooLarge,
            field,
            "must have at most 500 keys",
        ));
    }
    keys.iter().try_for_each(|key| check_key(field, key))
}

fn rule(index: usize, rule: &ValueRule) -> Result<RuleRecipe, Problem> {
    let field = format!("spec.validate.rules[{index}]");
    check_key(&format!("{field}.key"), &rule.key)?;
    let min_length = length(&format!("{field}.minLength"), rule.min_length)?;
    let max_length = length(&format!("{field}.maxLength"), rule.max_length)?;
    if let (Some(min), Some(max)) = (min_length, max_length)
        && max < min
    {
        return Err(Problem::new(
            Reason::RuleBroken,
            &field,
            "`maxLength` must not be less than `minLength`",
        ));
    }
    if min_length.is_none() && max_length.is_none() && rule.pattern.is_none() {
        let sentence = "must have at least one of `minLength`, `maxLength` and `pattern`";
        return Err(Problem::new(Reason::RuleBroken, &field, sentence));
    }
    let pattern = rule
        .pattern
        .as_deref()
        .map(|p| compile(&field, p))
        .transpose()?;
    Ok(RuleRecipe {
        key: rule.key.clone(),
        min_length,
        max_length,
        pattern,
    })
}

fn length(field: &str, length: Option<i64>) -> Result<Option<usize>, Problem> {
    let Some(length) = length else {
        return Ok(None);
    };
    match usize::try_from(length) {
        Ok(length) if length <= limits::SECRET_BYTES => Ok(Some(length)),
        _ => Err(Problem::new(
            Reason::RuleBroken,
            field,
            "must be between 0 and 1048576",
        )),
    }
}

fn compile(field: &str, pattern: &str) -> Result<regex::bytes::Regex, Problem> {
    let refused =
        |sentence| Problem::new(Reason::RuleBroken, &format!("{field}.pattern"), sentence);
    if pattern.is_empty() || pattern.chars().count() > MAX_PATTERN {
        return Err(refused("must have 1 to 500 characters"));
    }
    regex::bytes::RegexBuilder::new(pattern)
        .size_limit(PATTERN_MEMORY)
        .dfa_size_limit(PATTERN_MEMORY)
        .nest_limit(50)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => {
                refused("must be simpler: compiled it exceeds 1 MiB")
            }
            _ => refused("must be a regular expression in RE2 syntax"),
        })
}
