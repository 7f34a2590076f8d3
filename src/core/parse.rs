//! From a binding's spec to a [`Recipe`]: defaults are applied and every rule of the API is checked
//! again, because the CRD in a cluster may be older than this binary and the CLI has no server.
//!
//! Nothing after this looks at raw spec strings.

mod checks;
mod data;
mod preflight;
mod rollout;
mod source;
mod target;

use std::time::Duration;

use super::{Finding, Recipe, duration};
use crate::api::binding::ExternalSecretBindingSpec;
use crate::api::{Reason, limits};

pub use rollout::{DEFAULT_MIN_INTERVAL, DEFAULT_TIMEOUT};
pub use target::check_target;

/// Default of `refreshInterval`.
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(300);
/// Least default of `staleAfter`.
pub const DEFAULT_STALE: Duration = Duration::from_secs(3600);

const LEAST: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);
/// Longest `staleAfter`: thirty days.
const LONGEST_STALE: Duration = Duration::from_secs(30 * 86_400);

/// What the install adds to every binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseSettings {
    /// `--min-refresh-interval`: shorter intervals are raised to it.
    pub min_refresh_interval: Duration,
}

/// A broken rule: where in the spec and in which words.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    reason: Reason,
    sentence: String,
}

impl Problem {
    /// A rule that has no reason of its own in the closed list. Such specs are refused by the API server;
    /// only an older CRD lets them through.
    fn spec(field: &str, sentence: impl std::fmt::Display) -> Self {
        Self::new(Reason::InvalidKey, field, sentence)
    }

    fn new(reason: Reason, field: &str, sentence: impl std::fmt::Display) -> Self {
        Self {
            reason,
            sentence: format!("{field}: {sentence}."),
        }
    }

    fn into_finding(self, cure: impl Into<String>) -> Finding {
        Finding::new(self.reason, self.sentence, cure)
    }
}

/// Parses the spec of binding `namespace/name`.
///
/// # Errors
/// The first broken rule. Reasons with a word of their own (`InvalidKey` for keys, `DuplicateKey`,
/// `TypeNotAllowed`, `TemplateFailed`, `RuleBroken` for a pattern, `TooLarge` for counts) use it.
pub fn parse(
    namespace: &str,
    name: &str,
    spec: &ExternalSecretBindingSpec,
    settings: &ParseSettings,
) -> Result<Recipe, Finding> {
    let cure = || format!("Correct the binding {namespace}/{name}; we notice at once.");
    parse_spec(name, spec, settings).map_err(|problem| problem.into_finding(cure()))
}

fn parse_spec(
    name: &str,
    spec: &ExternalSecretBindingSpec,
    settings: &ParseSettings,
) -> Result<Recipe, Problem> {
    if name.is_empty() || name.len() > limits::BINDING_NAME_CHARS as usize {
        return Err(Problem::spec(
            "metadata.name",
            "must have at most 63 characters",
        ));
    }
    if spec.data.is_empty() && spec.data_from.is_empty() {
        return Err(Problem::spec("spec", "must have `data` or `dataFrom`"));
    }
    let (refresh_interval, refresh_interval_raised_from, stale_after) = intervals(spec, settings)?;
    let keys = data::keys(&spec.data)?;
    let groups = data::groups(&spec.data_from)?;
    let template = spec.template.as_ref().map(checks::template).transpose()?;
    let gate = match &spec.validate {
        Some(validate) => checks::gate(validate)?,
        None => Default::default(),
    };
    let validate = spec.validate.as_ref();
    let preflight = validate.and_then(|validate| validate.preflight.as_ref());
    if let Some(template) = &template {
        checks::no_key_twice(&spec.data, template)?;
    }
    let mut recipe = Recipe {
        identity: source::identity(spec.source.as_ref())?,
        refresh_interval,
        refresh_interval_raised_from,
        stale_after,
        keys,
        groups,
        template,
        gate,
        preflight: preflight.map(preflight::preflight).transpose()?,
        target: target::target(name, spec.target.as_ref())?,
        rollout: spec.rollout.as_ref().map(rollout::rollout).transpose()?,
        suspended: spec.suspend.unwrap_or(false),
    };
    let asks = recipe.asks();
    recipe.identity.region = source::region(recipe.identity.region.take(), &asks)?;
    source::failover_is_elsewhere(&recipe.identity)?;
    source::failover_is_for_secrets(&recipe.identity, &asks, &recipe.prefixes())?;
    Ok(recipe)
}

/// Interval after the floor, what it was before, staleAfter.
fn intervals(
    spec: &ExternalSecretBindingSpec,
    settings: &ParseSettings,
) -> Result<(Duration, Option<Duration>, Duration), Problem> {
    let written = bounded(
        "spec.refreshInterval",
        spec.refresh_interval.as_deref(),
        DAY,
    )?;
    let stale = bounded(
        "spec.staleAfter",
        spec.stale_after.as_deref(),
        LONGEST_STALE,
    )?;
    if let (Some(interval), Some(stale)) = (written, stale)
        && stale < interval
    {
        let sentence = "must not be shorter than `refreshInterval`";
        return Err(Problem::spec("spec.staleAfter", sentence));
    }
    let floor = settings.min_refresh_interval;
    let interval = written.unwrap_or(DEFAULT_REFRESH).max(floor);
    let raised_from = written.filter(|w| *w < floor);
    let stale = stale.unwrap_or_else(|| DEFAULT_STALE.max(interval.saturating_mul(2)));
    Ok((interval, raised_from, stale.max(interval)))
}

/// A duration between 10s and `most`.
fn bounded(field: &str, text: Option<&str>, most: Duration) -> Result<Option<Duration>, Problem> {
    text.map(|text| between(field, text, LEAST, most))
        .transpose()
}

fn between(field: &str, text: &str, least: Duration, most: Duration) -> Result<Duration, Problem> {
    let value = duration::parse(text).map_err(|e| Problem::spec(field, e))?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let hint = match field {
        "spec.refreshInterval" => "; to stop refreshing set `suspend: true`",
        _ => "",
    };
    let (least, most) = (duration::human(least), duration::human(most));
    Err(Problem::spec(
        field,
        format!("must be between {least} and {most}{hint}"),
    ))
}

/// A name as most Kubernetes objects have it (source: RFC 1123 subdomain, apimachinery validation).
fn is_dns_subdomain(name: &str) -> bool {
    let label = |l: &str| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        l.bytes().all(|b| alphanumeric(b) || b == b'-')
            && l.bytes().next().is_some_and(alphanumeric)
            && l.bytes().last().is_some_and(alphanumeric)
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
