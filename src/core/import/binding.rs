//! The binding that gives back exactly the keys that were brought in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{limits, names::GROUP};

/// Where the keys lie now.
#[derive(Clone, Debug)]
pub enum Source {
    /// In one JSON entry.
    Entry {
        /// Its name.
        name: String,
        /// It has other keys, too.
        has_others: bool,
    },
    /// One entry a key.
    PerKey {
        /// What the names begin with.
        prefix: String,
        /// What follows.
        names: Vec<String>,
        /// Keys that a rule does not give, by name.
        renamed: BTreeMap<String, String>,
    },
}

/// What the binding says.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// Its namespace, if one is said.
    pub namespace: Option<String>,
    /// Region of the entries, if one is said.
    pub region: Option<String>,
    /// Where the keys are.
    pub source: Source,
    /// The keys.
    pub keys: Vec<String>,
    /// Those that are empty.
    pub empty: Vec<String>,
    /// Whether left-overs are refused from now on; not where some were let in.
    pub reject_placeholders: bool,
}

impl Binding {
    /// The manifest.
    pub fn manifest(&self) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let mut validate = json!({"required": self.keys});
        if self.reject_placeholders {
            validate["rejectPlaceholders"] = json!(true);
        }
        if !self.empty.is_empty() {
            validate["allowEmpty"] = json!(self.empty);
        }
        let mut spec = json!({"dataFrom": self.groups(), "validate": validate});
        if let Some(region) = &self.region {
            spec["source"] = json!({"region": region});
        }
        json!({
            "apiVersion": format!("{GROUP}/v1alpha1"),
            "kind": "ExternalSecretBinding",
            "metadata": metadata,
            "spec": spec,
        })
    }

    /// Groups of as many names as a group may list.
    fn groups(&self) -> Vec<Value> {
        let most = usize::try_from(limits::GLOBS).unwrap_or(usize::MAX);
        match &self.source {
            Source::Entry {
                name,
                has_others: false,
            } => vec![json!({"secret": name})],
            Source::Entry { name, .. } => {
                let groups = self.keys.chunks(most);
                groups
                    .map(|keys| json!({"secret": name, "include": keys}))
                    .collect()
            }
            Source::PerKey {
                prefix,
                names,
                renamed,
            } => {
                let groups = names.chunks(most);
                groups
                    .map(|names| {
                        let mut rename = json!({"case": "UpperSnake"});
                        let keys: BTreeMap<_, _> = renamed
                            .iter()
                            .filter(|(name, _)| names.contains(name))
                            .collect();
                        if !keys.is_empty() {
                            rename["keys"] = json!(keys);
                        }
                        json!({"prefix": prefix, "include": names, "rename": rename})
                    })
                    .collect()
            }
        }
    }
}

/// A binding's name after an entry or prefix: `bizi/production` becomes `bizi-production`.
pub fn name_of(entry: &str) -> String {
    let entry = match entry.strip_prefix("arn:") {
        Some(arn) => arn.rsplit(':').next().unwrap_or_default(),
        None => entry,
    };
    let lower = entry.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let most = usize::try_from(limits::BINDING_NAME_CHARS).unwrap_or(usize::MAX);
    let name: String = words.join("-").chars().take(most).collect();
    match name.trim_end_matches('-') {
        "" => "imported".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
#[path = "binding_test.rs"]
mod tests;
