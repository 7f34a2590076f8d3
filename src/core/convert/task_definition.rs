//! Task definitions of ECS: the variables that containers take from entries.

use serde_json::{Map, Value, json};

use super::{
    Document, Made, data_item,
    fields::{Fields, Report},
};
use crate::core::keys::key_problem;

/// What describes a container and not its secrets.
const OF_CONTAINERS: &str = "describes the container: it belongs into the workload's manifest";

/// As `aws ecs describe-task-definition` gives it, or as it is registered.
fn definition(value: &Value) -> &Value {
    value.get("taskDefinition").unwrap_or(value)
}

pub(super) fn is_one(value: &Value) -> bool {
    definition(value)["containerDefinitions"].is_array()
}

pub(super) fn label(value: &Value) -> String {
    format!(
        "TaskDefinition/{}",
        definition(value)["family"].as_str().unwrap_or_default()
    )
}

pub(super) fn convert(document: &Document, report: &mut Report) -> Vec<Made> {
    let wrapped = document.value.get("taskDefinition").is_some();
    let mut outer = Fields::of("", document.value.clone(), report);
    let mut definition = match wrapped {
        true => outer.fields("taskDefinition", report),
        false => std::mem::replace(&mut outer, Fields::of("", Value::Null, report)),
    };
    outer.take("tags");
    outer.end(report);
    let family = definition
        .text("family", report)
        .unwrap_or_else(|| "task".to_owned());
    let mut all: Vec<(String, Vec<(String, Value)>)> = Vec::new();
    for (path, item) in definition.items("containerDefinitions", report) {
        let mut container = Fields::of(&path, item, report);
        let name = container.text("name", report).unwrap_or_default();
        all.push((name, secrets(&mut container, report)));
        rest(container, report);
    }
    for name in definition.names() {
        definition.take(&name);
        report.note(
            &definition.at(&name),
            "describes the task: it belongs into the workload's manifest",
        );
    }
    all.retain(|(_, secrets)| !secrets.is_empty());
    let alike = agree(&all);
    let mut made = Vec::new();
    match alike {
        true => {
            let mut together: Vec<(String, Value)> = Vec::new();
            for (key, from) in all.into_iter().flat_map(|(_, secrets)| secrets) {
                if !together.iter().any(|(other, _)| *other == key) {
                    together.push((key, from));
                }
            }
            made.extend(binding(document, &name_of(&[&family]), together, report));
        }
        false => {
            for (container, secrets) in all {
                let name = name_of(&[&family, &container]);
                made.extend(binding(document, &name, secrets, report));
            }
        }
    }
    made
}

fn binding(
    document: &Document,
    name: &str,
    secrets: Vec<(String, Value)>,
    report: &mut Report,
) -> Option<Made> {
    let data = secrets
        .into_iter()
        .map(|(key, from)| data_item(&key, from, false));
    let spec = Map::from_iter([("data".to_owned(), data.collect())]);
    let from = report.object().to_owned();
    document
        .made(name, spec, report)
        .map(|made| Made { from, ..made })
}

fn secrets(container: &mut Fields, report: &mut Report) -> Vec<(String, Value)> {
    let mut secrets = Vec::new();
    for (path, item) in container.items("secrets", report) {
        let mut secret = Fields::of(&path, item, report);
        let (key, value) = (
            secret.text("name", report),
            secret.text("valueFrom", report),
        );
        secret.end(report);
        let (Some(key), Some(value)) = (key, value) else {
            continue;
        };
        if let Some(problem) = key_problem(&key) {
            report.lost(&path, format!("\"{key}\": a key {problem}"));
            continue;
        }
        // ECS takes anything but the ARN of an entry for a parameter.
        let from = match value.split(':').nth(2) {
            Some("secretsmanager") => json!({"secret": value}),
            _ => json!({"parameter": value}),
        };
        secrets.push((key, from));
    }
    secrets
}

/// What else a container takes from entries, and everything that is no secret.
fn rest(mut container: Fields, report: &mut Report) {
    container.lost(
        &["repositoryCredentials"],
        "a pod's imagePullSecrets name a Secret of type kubernetes.io/dockerconfigjson: compose it by spec.template",
        report,
    );
    if container.has("logConfiguration") {
        let mut logs = container.fields("logConfiguration", report);
        logs.lost(
            &["secretOptions"],
            "are for the log driver, which is the cluster's here",
            report,
        );
        for name in logs.names() {
            logs.take(&name);
            report.note(&logs.at(&name), OF_CONTAINERS);
        }
    }
    for name in container.names() {
        container.take(&name);
        report.note(&container.at(&name), OF_CONTAINERS);
    }
}

/// No two containers take different values under one name.
fn agree(all: &[(String, Vec<(String, Value)>)]) -> bool {
    let pairs: Vec<&(String, Value)> = all.iter().flat_map(|(_, secrets)| secrets).collect();
    pairs.iter().all(|(key, from)| {
        let mut others = pairs.iter().filter(|(other, _)| other == key);
        others.all(|(_, other)| other == from)
    })
}

/// A name of Kubernetes out of names of ECS.
fn name_of(parts: &[&str]) -> String {
    let joined = parts.join("-").to_lowercase();
    let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = joined.chars().map(good).take(63).collect();
    name.trim_matches('-').to_owned()
}
