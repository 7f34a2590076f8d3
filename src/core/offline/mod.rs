//! Offline: what the API server would say of a manifest, from the schemas and rules that it is given.
//!
//! Owns the order of the checks: unknown fields and shapes, then the rules in CEL, then what only the operator would
//! find (templates, patterns). The words are the server's, so that a person reads the same sentence before and after.

mod place;
mod structure;

use std::collections::HashMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube_cel::{CompiledSchema, ErrorKind, ValidationErrors, Validator, compile_schema};
use serde_json::Value;

use super::{ParseSettings, parse};
use crate::api::{ExternalSecretBindingSpec, crds::crds, names::GROUP};

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its path, as the API server writes it: `spec.data[1].key`. Empty: the whole object.
    pub path: String,
    /// What the API server says after the path.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// Judges manifests of our kinds. Made once: it compiles every rule.
#[derive(Debug)]
pub struct Checker {
    kinds: HashMap<String, Kind>,
    validator: Validator,
    settings: ParseSettings,
}

#[derive(Debug)]
struct Kind {
    version: String,
    schema: JSONSchemaProps,
    rules: CompiledSchema,
    sentences: HashMap<String, Sentence>,
}

/// What is said when a rule does not hold.
#[derive(Debug)]
struct Sentence {
    message: String,
    names_a_field: bool,
}

/// The sentences of all rules below a schema, by the rule.
fn sentences(schema: &Value, all: &mut HashMap<String, Sentence>) {
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap_or_default().to_owned();
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let sentence = Sentence {
            message: text(rule, "message"),
            names_a_field: rule["fieldPath"].is_string(),
        };
        all.insert(text(rule, "rule"), sentence);
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|inner| sentences(inner, all)),
        Value::Array(items) => items.iter().for_each(|inner| sentences(inner, all)),
        _ => {}
    }
}

impl Checker {
    /// A checker of the kinds as this binary knows them, with the floors of an install.
    pub fn new(settings: ParseSettings) -> Self {
        let kinds = crds().into_iter().filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let schema = version.schema?.open_api_v3_schema?;
            let written = serde_json::to_value(&schema).ok()?;
            let rules = compile_schema(&written);
            let mut said = HashMap::new();
            sentences(&written, &mut said);
            let version = format!("{GROUP}/{}", version.name);
            let kind = Kind {
                version,
                schema,
                rules,
                sentences: said,
            };
            Some((crd.spec.names.kind, kind))
        });
        Self {
            kinds: kinds.collect(),
            validator: Validator::new(),
            settings,
        }
    }

    /// True for a manifest of one of our kinds.
    pub fn knows(&self, manifest: &Value) -> bool {
        let version = manifest["apiVersion"].as_str().unwrap_or_default();
        version.split('/').next() == Some(GROUP)
    }

    /// Everything that is wrong with a manifest; nothing else is looked at once the API server would look no further.
    pub fn check(&self, manifest: &Value) -> Vec<Problem> {
        let word = |field: &str| manifest[field].as_str().unwrap_or_default();
        let Some(kind) = self.kinds.get(word("kind")) else {
            let message = format!("there is no kind \"{}\" in {GROUP}", word("kind"));
            return vec![problem("kind", message)];
        };
        if word("apiVersion") != kind.version {
            let message = format!("must be {}", kind.version);
            return vec![problem("apiVersion", message)];
        }
        let mut problems = structure::check(&kind.schema, manifest);
        problems.extend(structure::name(manifest));
        if problems.is_empty() {
            problems = self.rules(kind, manifest);
        }
        if problems.is_empty() && word("kind") == "ExternalSecretBinding" {
            problems.extend(self.carried_out(manifest));
        }
        problems
    }

    fn rules(&self, kind: &Kind, manifest: &Value) -> Vec<Problem> {
        let judged = self
            .validator
            .validate_compiled(&kind.rules, manifest, None);
        let broken = judged.err().map(ValidationErrors::into_vec);
        let broken = broken.unwrap_or_default().into_iter();
        let mut problems: Vec<Problem> = broken
            .map(|error| {
                let place = place::of(&kind.schema, manifest, &error.field_path);
                let said = kind.sentences.get(&error.rule);
                // The server shows the value that the rule is about: that of the whole object, which it leaves out,
                // where the rule names another field.
                let elsewhere = said.is_some_and(|said| said.names_a_field);
                let value = place.value.filter(|_| !elsewhere);
                // A rule that cannot be evaluated (a pattern that is none) is a rule that does not hold.
                let message = match error.kind {
                    ErrorKind::EvaluationError => said.map_or(error.message, |s| s.message.clone()),
                    _ => error.message,
                };
                let shown = place::shown(value);
                problem(&place.path, format!("Invalid value: {shown}{message}"))
            })
            .collect();
        problems.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
        problems
    }

    /// What stops the operator though the API server takes it.
    fn carried_out(&self, manifest: &Value) -> Option<Problem> {
        let text = |field: &str| manifest["metadata"][field].as_str().unwrap_or("default");
        let spec: Result<ExternalSecretBindingSpec, _> =
            serde_json::from_value(manifest["spec"].clone());
        match spec {
            Ok(spec) => {
                let refused =
                    parse(text("namespace"), text("name"), &spec, &self.settings).err()?;
                Some(problem("spec", refused.to_string()))
            }
            Err(error) => Some(problem("spec", format!("cannot be read: {error}"))),
        }
    }
}

fn problem(path: &str, message: impl Into<String>) -> Problem {
    Problem {
        path: path.to_owned(),
        message: message.into(),
    }
}
