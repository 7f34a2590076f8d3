//! The documents say what the code says.

#[path = "docs/aws_examples.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod aws_examples;
#[path = "docs/commands.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod commands;
#[path = "docs/parameters.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod parameters;
#[path = "docs/systems.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod systems;

use std::error::Error;

use keyferry::api::{ExternalSecretBinding, Reason};
use keyferry::telemetry::metrics::Metrics;
use serde::Deserialize;

const README: &str = include_str!("../README.md");
const METRICS: &str = include_str!("../docs/metrics.md");

/// Rows of the README's table of reasons: reason to meaning and cure.
fn reasons_in_the_readme() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (reason, rest) = row.split_once("` | ")?;
        let (meaning, cure) = rest.strip_suffix(" |")?.split_once(" | ")?;
        Some((reason, meaning, cure))
    })
    .collect()
}

#[test]
fn the_readme_explains_every_reason_and_its_cure() {
    let rows = reasons_in_the_readme();
    let named: Vec<&str> = rows.iter().map(|(reason, ..)| *reason).collect();
    let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(named, known, "one row per reason, in the order of the enum");
    for (reason, meaning, cure) in rows {
        assert!(
            meaning.len() > 15 && meaning.contains(' '),
            "{reason}: {meaning}"
        );
        assert!(
            !cure.trim().is_empty() && cure.ends_with('.'),
            "{reason}: {cure}"
        );
    }
}

/// Rows of the tables of metrics: name, type and meaning.
fn metrics_on_the_page() -> Vec<(String, String, String)> {
    let rows = METRICS.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let kind = cells.next()?.to_owned();
        let meaning = cells.last()?.to_owned();
        Some((name, kind, meaning))
    })
    .collect()
}

#[test]
fn the_page_of_metrics_has_every_metric_and_no_other() {
    let metrics = Metrics::new();
    let registered = metrics.registered().iter();
    let mut known: Vec<_> = registered
        .map(|metric| (metric.name(), metric.kind.to_owned()))
        .collect();
    let rows = metrics_on_the_page();
    let described = rows
        .iter()
        .map(|(name, kind, _)| (name.clone(), kind.clone()));
    let mut described: Vec<_> = described.collect();
    known.sort();
    described.sort();
    assert_eq!(described, known);
    for (name, _, meaning) in rows {
        assert!(meaning.ends_with('.'), "{name}: {meaning}");
    }
}

#[test]
fn queries_on_the_page_of_metrics_name_metrics_that_are() {
    let metrics = Metrics::new();
    let known: Vec<_> = metrics.registered().iter().collect();
    let mut named = 0;
    let words = METRICS.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for word in words.filter(|word| word.starts_with("keyferry_")) {
        let is_known = known.iter().any(|metric| {
            let series: &[&str] = match metric.kind {
                "histogram" => &["", "_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let name = metric.name();
            series.iter().any(|end| format!("{name}{end}") == word)
        });
        assert!(is_known, "{word}");
        named += 1;
    }
    assert!(named > known.len(), "no query was found");
}

/// Reads bindings and fails on a field that the type does not know.
fn bindings(text: &str) -> Result<Vec<ExternalSecretBinding>, Box<dyn Error>> {
    let mut all = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let raw = serde_yaml::Value::deserialize(document)?;
        let binding: ExternalSecretBinding = serde_yaml::from_value(raw.clone())?;
        let written = serde_yaml::to_value(&binding.spec)?;
        assert_eq!(
            raw.get("spec"),
            Some(&written),
            "a field is unknown or has a default"
        );
        all.push(binding);
    }
    Ok(all)
}

#[test]
fn the_binding_in_the_readme_is_one() -> Result<(), Box<dyn Error>> {
    let (_, from) = README.split_once("```yaml\n").ok_or("no YAML")?;
    let (text, _) = from.split_once("```").ok_or("no end")?;
    let read = bindings(text)?;
    assert_eq!(read.len(), 1);
    Ok(())
}
