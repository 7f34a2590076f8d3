//! Bindings out of what other tools read: External Secrets' objects, SecretProviderClasses of the AWS provider, and task
//! definitions of ECS.
//!
//! Nothing is dropped in silence: each field is carried, or named in a [`Line`]. Meaning is carried, not words: where a
//! field of the same name means something else here, the one that does the same is written.

mod access;
mod external_secret;
mod fields;
mod find;
mod go_template;
mod intervals;
mod missing;
mod paths;
mod provider_class;
mod store;
mod target;
mod task_definition;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::{
    fields::{Fields, Report},
    store::Stores,
};
use crate::api::ExternalSecretBindingSpec;

pub use access::suggestion;
pub use missing::{Missing, Offer, composed, missing};

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is not in the bindings.
    Lost,
    /// It is, or needs not be, and there is something to know.
    Noted,
}

/// One field of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the document.
    pub document: usize,
    /// Kind and name.
    pub object: String,
    /// Path of the field.
    pub path: String,
    /// What became of it.
    pub kept: Kept,
    /// Why, and what to do instead.
    pub why: String,
}

/// A binding that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its namespace, where the original has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Labels of the object itself.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the object itself.
    pub annotations: BTreeMap<String, String>,
    /// What it asks for.
    pub spec: ExternalSecretBindingSpec,
    /// The document it was made from.
    pub document: usize,
    /// What it was made from, for a comment.
    pub from: String,
}

/// Everything that came of some documents.
#[derive(Clone, Debug, Default)]
pub struct Converted {
    /// Bindings, in the order of the documents.
    pub bindings: Vec<Made>,
    /// Fields worth a word, in the order of the documents.
    pub lines: Vec<Line>,
    /// Documents of kinds that have nothing to do with secrets.
    pub others: usize,
}

/// Converts documents. `namespace` is for those that name none.
pub fn convert(documents: &[Value], namespace: Option<&str>) -> Converted {
    let documents: Vec<Document> = documents
        .iter()
        .enumerate()
        .flat_map(|(number, value)| Document::all(number, value, namespace))
        .collect();
    let mut converted = Converted::default();
    let stores = Stores::read(&documents, &mut converted.lines);
    for document in documents {
        document.convert(&stores, &mut converted);
    }
    converted.lines.sort_by_key(|line| line.document);
    converted
}

/// One object, maybe out of a list.
struct Document {
    number: usize,
    /// Where in the document it stands: empty, or `items[3].`.
    within: String,
    value: Value,
    namespace: Option<String>,
}

impl Document {
    fn all(number: usize, value: &Value, namespace: Option<&str>) -> Vec<Self> {
        let one = |within: String, value: &Value| {
            let written = value["metadata"]["namespace"].as_str();
            Self {
                number,
                within,
                value: value.clone(),
                namespace: written.or(namespace).map(str::to_owned),
            }
        };
        let is_list = value["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match value["items"].as_array().filter(|_| is_list) {
            Some(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(n, item)| one(format!("items[{n}]."), item))
                    .collect()
            }
            None => vec![one(String::new(), value)],
        }
    }

    fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// The API group and the version.
    fn group(&self) -> (&str, &str) {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        version.split_once('/').unwrap_or(("", version))
    }

    fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn report(&self) -> Report {
        Report::new(self.number, &format!("{}/{}", self.kind(), self.name()))
    }

    /// Lines of this object, with their place in the document.
    fn told(&self, report: Report) -> impl Iterator<Item = Line> {
        let lines = report.lines.into_iter();
        lines.map(|line| Line {
            path: format!("{}{}", self.within, line.path),
            ..line
        })
    }

    fn convert(&self, stores: &Stores, converted: &mut Converted) {
        let mut report = self.report();
        let made = match (self.group(), self.kind()) {
            (("external-secrets.io", "v1" | "v1beta1"), "ExternalSecret") => {
                external_secret::convert(self, stores, &mut report)
            }
            (("external-secrets.io", _), "SecretStore" | "ClusterSecretStore") => Vec::new(),
            (("secrets-store.csi.x-k8s.io", _), "SecretProviderClass") => {
                provider_class::convert(self, &mut report)
            }
            (("external-secrets.io" | "generators.external-secrets.io", _), kind) => {
                report.lost("kind", whole(kind));
                Vec::new()
            }
            _ if task_definition::is_one(&self.value) => {
                report = Report::new(self.number, &task_definition::label(&self.value));
                task_definition::convert(self, &mut report)
            }
            _ => {
                converted.others += 1;
                Vec::new()
            }
        };
        converted.bindings.extend(made);
        converted.lines.extend(self.told(report));
    }

    /// A binding of a spec that was put together; one that gives no key is none.
    fn made(&self, name: &str, spec: Map<String, Value>, report: &mut Report) -> Option<Made> {
        let count = |field: &str| {
            spec.get(field)
                .and_then(Value::as_array)
                .map_or(0, Vec::len)
        };
        if count("data") + count("dataFrom") == 0 {
            report.lost("", "no binding is made of it: no key is left");
            return None;
        }
        match serde_json::from_value(Value::Object(spec)) {
            Ok(spec) => Some(Made {
                namespace: self.namespace.clone(),
                name: name.to_owned(),
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                spec,
                document: self.number,
                from: format!("{}/{}", self.kind(), self.name()),
            }),
            Err(_) => {
                report.lost(
                    "",
                    "no binding is made of it: a field has a value of another type",
                );
                None
            }
        }
    }
}

/// Why a whole kind is not carried.
fn whole(kind: &str) -> &'static str {
    match kind {
        "ExternalSecret" => "is of an old version: let External Secrets store it as v1 first",
        "PushSecret" | "ClusterPushSecret" => {
            "keyferry writes nothing to AWS; `keyferry import` writes once"
        }
        "ClusterExternalSecret" => "a binding belongs to one namespace: write one in each",
        _ => "keyferry makes no values; put one into an entry, and let AWS rotate it",
    }
}

/// An item of `spec.data`.
fn data_item(key: &str, from: Value, optional: bool) -> Value {
    match optional {
        true => json!({"key": key, "from": from, "optional": true}),
        false => json!({"key": key, "from": from}),
    }
}

/// The object's own fields and those of its metadata, without what every object has, and its name.
fn opened(document: &Document, report: &mut Report) -> (Fields, Fields, String) {
    let mut top = Fields::of("", document.value.clone(), report);
    for known in ["apiVersion", "kind", "status"] {
        top.take(known);
    }
    let mut metadata = top.fields("metadata", report);
    let name = metadata.text("name", report).unwrap_or_default();
    metadata.take("namespace");
    server_fields(&mut metadata, report);
    (top, metadata, name)
}

/// Takes what the API server writes, and nobody needs.
fn server_fields(metadata: &mut Fields, report: &mut Report) {
    const FIELDS: [&str; 9] = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "selfLink",
    ];
    for name in FIELDS {
        if metadata.take(name).is_some() {
            report.note(&metadata.at(name), "belongs to the object that was");
        }
    }
}

#[cfg(test)]
mod tests;
