//! Render: from what was read to the complete data of the Secret, or one reason why not.
//!
//! All or nothing: a Secret is never written with some keys of a new pass and some missing. The gate is
//! a call of its own ([`super::gate`]); writing is somebody else's.

mod collect;
mod extract;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;

use super::keys::{MAX_TOTAL, shown};
use super::recipe::TemplateRecipe;
use super::value::Growing;
use super::{Fetched, Finding, Recipe, SecretValue, template};
use crate::api::binding::CreationPolicy;
use crate::api::{Reason, limits};

/// Most distinct entries one binding may use, prefix members included.
pub const MAX_ENTRIES: usize = limits::ENTRIES as usize;

/// The complete data and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Keys and values, never empty, at most 1 MiB of values.
    pub data: BTreeMap<String, SecretValue>,
    /// Every version that was used, distinct, sorted by name.
    pub used: Vec<UsedSource>,
    /// For [`super::gate::check_with_origins`]: the entry behind each fetched key.
    pub origins: BTreeMap<String, String>,
    /// Sentences about what was left out (optional entries and properties).
    pub notes: Vec<String>,
}

/// One version of one entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedSource {
    /// Friendly name as AWS answered it.
    pub name: String,
    /// Full ARN.
    pub arn: String,
    /// Version id.
    pub version_id: String,
    /// When that version was created.
    pub created: Option<Timestamp>,
}

/// Renders a recipe over what was read.
///
/// # Errors
/// The most important finding: failed reads before what is wrong with values, what a person must fix
/// before what passes by itself; with the number of others. It never holds any part of a value.
pub fn render(recipe: &Recipe, fetched: &Fetched) -> Result<Rendered, Finding> {
    let mut rendered = collect::collect(recipe, fetched)?;
    check_count(&rendered.used)?;
    if let Some(template) = &recipe.template {
        rendered.data = apply_template(template, rendered.data)?;
    }
    check_size(&rendered.data)?;
    if rendered.data.is_empty() {
        return Err(nothing_left());
    }
    // A merged Secret keeps its own type, and other keys of it are not ours to judge.
    if recipe.target.creation != CreationPolicy::Merge {
        target::check_type_keys(&recipe.target.type_, &rendered.data)?;
    }
    Ok(rendered)
}

fn check_count(used: &[UsedSource]) -> Result<(), Finding> {
    let distinct: BTreeSet<&str> = used.iter().map(|u| &*u.arn).collect();
    if distinct.len() <= MAX_ENTRIES {
        return Ok(());
    }
    let fact = format!(
        "{} entries are used; a binding may use at most {MAX_ENTRIES}.",
        distinct.len()
    );
    Err(Finding::new(
        Reason::TooLarge,
        fact,
        "Narrow the prefix with include or tags, or split the binding.",
    ))
}

/// Templated keys, and those fetched keys that stay: the ones in `keep` (None: all). A key is fetched
/// or composed, never both.
fn apply_template(
    template: &TemplateRecipe,
    fetched: BTreeMap<String, SecretValue>,
) -> Result<BTreeMap<String, SecretValue>, Finding> {
    let fetched = Arc::new(fetched);
    let mut data = BTreeMap::new();
    for (key, source) in &template.data {
        let value = template::render(source, &fetched).map_err(|what| {
            let fact = format!(
                "The template of key {} was not rendered, {what}.",
                shown(key)
            );
            Finding::new(
                Reason::TemplateFailed,
                fact,
                "Correct spec.template, or fetch what it uses.",
            )
        })?;
        data.insert(key.clone(), value);
    }
    let stays = |key: &String| template.keep.as_ref().is_none_or(|keep| keep.contains(key));
    for (key, value) in fetched.iter().filter(|(key, _)| stays(key)) {
        if data.insert(key.clone(), value.clone()).is_some() {
            let fact =
                format!("Key {key} is given twice: by spec.template.data and by what was fetched.");
            let cure = "Set spec.template.keep without it, or leave it out with exclude.";
            return Err(Finding::new(Reason::DuplicateKey, fact, cure));
        }
    }
    Ok(data)
}

fn check_size(data: &BTreeMap<String, SecretValue>) -> Result<(), Finding> {
    let total: usize = data.values().map(SecretValue::len).sum();
    if total <= MAX_TOTAL {
        return Ok(());
    }
    let fact =
        format!("The values have {total} bytes together; a Secret holds at most {MAX_TOTAL}.");
    Err(Finding::new(
        Reason::TooLarge,
        fact,
        "Take fewer keys, or split the binding.",
    ))
}

/// Everything optional was missing or nothing was included: an empty Secret is never written.
fn nothing_left() -> Finding {
    Finding::new(
        Reason::PropertyMissing,
        "No key is left: everything is optional and missing, or nothing matches include and exclude.",
        "Put one of the entries, or correct include and exclude.",
    )
}

/// Standard or URL-safe base64, padded or not; line breaks and blanks are skipped, as tools insert them.
pub(crate) fn decode_base64(text: &[u8], url_safe: bool) -> Option<SecretValue> {
    let mut compact = Growing::default();
    for part in text.split(u8::is_ascii_whitespace) {
        compact.push(part);
    }
    let alphabet = if url_safe { &URL_SAFE } else { &STANDARD };
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    SecretValue::decoded(&GeneralPurpose::new(alphabet, config), compact.expose())
}

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
