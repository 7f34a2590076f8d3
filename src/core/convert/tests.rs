#![allow(clippy::unwrap_used)]
//! Files under `tests/fixtures/convert`: objects of other tools of our own making, in the shapes that their documents
//! show, and what becomes of them.

use std::{fs, path::Path, sync::Arc};

use serde::Deserialize;

use super::*;
use crate::core::{
    Entry, EntryAsk, EntryValue, Fetched, Finding, ParseSettings, Recipe, SecretId, Store,
    VersionSelector, parse, render,
};

/// One case of `same-bytes`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    objects: Vec<Value>,
    /// Values by name; by label or id where there are several.
    entries: BTreeMap<String, Value>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// What External Secrets, the driver or ECS would give.
    secret: BTreeMap<String, String>,
    /// Paths of what is noted; nothing else is said.
    notes: Vec<String>,
    #[serde(default)]
    target: Option<Value>,
}

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/convert")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

fn documents(text: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(text);
    all.map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn recipe(made: &Made) -> Recipe {
    let namespace = made.namespace.as_deref().unwrap_or("default");
    parse(namespace, &made.name, &made.spec, &ParseSettings::default()).unwrap()
}

fn entry(name: &str, value: &str) -> Arc<Entry> {
    Arc::new(Entry {
        arn: format!("arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-XyZaBc"),
        name: name.to_owned(),
        version_id: "123e4567-e89b-12d3-a456-426614174000".into(),
        created: None,
        value: EntryValue::Text(value.to_owned().into()),
    })
}

/// A parameter of Parameter Store.
fn parameter(name: &str, value: &str) -> Arc<Entry> {
    let resource = name.trim_start_matches('/');
    Arc::new(Entry {
        arn: format!("arn:aws:ssm:us-east-1:111122223333:parameter/{resource}"),
        ..(*entry(name, value)).clone()
    })
}

fn kept(store: Store, name: &str, value: &str) -> Arc<Entry> {
    match store {
        Store::Secrets => entry(name, value),
        Store::Parameters => parameter(name, value),
    }
}

fn absent() -> Finding {
    Finding::new(crate::api::Reason::SecretNotFound, "No such entry.", "")
}

/// What reading these entries gives.
fn fetched(recipe: &Recipe, case: &Case) -> Fetched {
    let value = |ask: &EntryAsk| {
        let label = match &ask.version {
            VersionSelector::Current => "AWSCURRENT",
            VersionSelector::Stage(text) | VersionSelector::Id(text) => text,
        };
        let names = match &ask.id {
            SecretId::Name(name) => vec![name.clone()],
            other => [other.readings(), vec![other.display().to_owned()]].concat(),
        };
        let found = names
            .iter()
            .find_map(|name| Some((name, case.entries.get(name)?)));
        let (name, value) = found.ok_or_else(absent)?;
        let text = match value {
            Value::Object(versions) => versions.get(label).and_then(Value::as_str),
            other => other.as_str().filter(|_| label == "AWSCURRENT"),
        };
        text.map(|text| kept(ask.id.store(), name, text))
            .ok_or_else(absent)
    };
    let members = |ask: &crate::core::PrefixAsk| {
        assert_eq!(ask.tags, case.tags);
        let under = case
            .entries
            .iter()
            .filter(|(name, _)| name.starts_with(&ask.prefix));
        Ok(under
            .map(|(name, value)| kept(ask.store, name, value.as_str().unwrap()))
            .collect())
    };
    Fetched {
        entries: recipe
            .asks()
            .into_iter()
            .map(|ask| (ask.clone(), value(&ask)))
            .collect(),
        listings: recipe
            .prefixes()
            .into_iter()
            .map(|ask| (ask.clone(), members(&ask)))
            .collect(),
    }
}

#[test]
fn what_is_carried_gives_the_same_bytes() {
    for (file, text) in files("same-bytes") {
        let case: Case = serde_yaml::from_str(&text).unwrap();
        let converted = convert(&case.objects, None);
        let lost: Vec<_> = converted
            .lines
            .iter()
            .filter(|line| line.kept == Kept::Lost)
            .collect();
        assert!(lost.is_empty(), "{file}: {lost:?}");
        let [made] = converted.bindings.as_slice() else {
            panic!("{file}: {} bindings", converted.bindings.len());
        };
        let recipe = recipe(made);
        let rendered = render(&recipe, &fetched(&recipe, &case)).unwrap();
        let data: BTreeMap<String, String> = rendered
            .data
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(data, case.secret, "{file}");
        let mut notes: Vec<&str> = converted
            .lines
            .iter()
            .map(|line| line.path.as_str())
            .collect();
        let mut expected: Vec<&str> = case.notes.iter().map(String::as_str).collect();
        notes.sort();
        expected.sort();
        assert_eq!(notes, expected, "{file}");
        if let Some(expected) = &case.target {
            let target = serde_json::to_value(made.spec.target.as_ref().unwrap()).unwrap();
            let fields = expected.as_object().unwrap().iter();
            let own = case.objects[0]["metadata"]["name"].as_str();
            for (field, value) in
                fields.filter(|(field, value)| *field != "name" || value.as_str() != own)
            {
                assert_eq!(&target[field], value, "{file}: {field}");
            }
        }
    }
}

/// Paths of all leaves, and of all objects.
fn walk(path: &str, value: &Value, leaves: &mut Vec<String>, objects: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            objects.push(path.to_owned());
            for (name, inner) in fields {
                walk(
                    &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
                    inner,
                    leaves,
                    objects,
                );
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                walk(&format!("{path}/{n}"), inner, leaves, objects);
            }
        }
        _ => leaves.push(path.to_owned()),
    }
}

/// A JSON pointer as lines write paths.
fn shown(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<usize>() {
            Ok(number) => path.push_str(&format!("[{number}]")),
            Err(_) if path.is_empty() => path.push_str(&part),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}

fn is_told(converted: &Converted, document: usize, path: &str) -> bool {
    converted.lines.iter().any(|line| {
        let around = path == line.path
            || path
                .strip_prefix(&line.path)
                .is_some_and(|rest| rest.starts_with(['.', '[']));
        line.document == document && (around || line.path == "kind" || line.path.is_empty())
    })
}

/// Fields of the CSI provider lie in a text: they are walked as if they were written in place.
fn with_objects(document: &Value, inner: Option<&Value>) -> Value {
    let mut document = document.clone();
    if let Some(inner) = inner {
        document["spec"]["parameters"]["objects"] = serde_yaml::to_string(inner).unwrap().into();
    }
    document
}

#[test]
fn every_field_is_carried_or_told() {
    let (mut looked, mut silent) = (0, Vec::new());
    for (file, text) in files("every-field") {
        let all = documents(&text);
        let whole = convert(&all, None);
        for (number, document) in all.iter().enumerate() {
            let objects = document["spec"]["parameters"]["objects"].as_str();
            let inner: Option<Value> = objects.map(|text| serde_yaml::from_str(text).unwrap());
            let mut check = |path: String, changed: Value, before: &Converted| {
                looked += 1;
                let mut others = all.clone();
                others[number] = changed;
                let after = convert(&others, None);
                let carried = before.bindings != after.bindings;
                if !carried && !is_told(before, number, &path) && !is_told(&after, number, &path) {
                    silent.push(format!("{file}: {path}"));
                }
            };
            let (mut leaves, mut nodes) = (Vec::new(), Vec::new());
            walk("", document, &mut leaves, &mut nodes);
            for leaf in leaves {
                // What a document is, where a store that is of no use stands, and the default that is written.
                let plain = [
                    "/apiVersion",
                    "/kind",
                    "/metadata/name",
                    "/spec/provider/aws/service",
                ];
                let of_store = leaf == "/metadata/namespace" && document["kind"] == "SecretStore";
                if of_store || plain.contains(&leaf.as_str()) {
                    continue;
                }
                check(shown(&leaf), without(document, &leaf), &whole);
            }
            for node in nodes {
                let mut more = document.clone();
                more.pointer_mut(&node).unwrap()["zzz"] = "more".into();
                check(shown(&format!("{node}/zzz")), more, &whole);
            }
            if let Some(inner) = inner {
                let (mut leaves, mut nodes) = (Vec::new(), Vec::new());
                walk("", &inner, &mut leaves, &mut nodes);
                let at = |pointer: &str| format!("spec.parameters.objects{}", shown(pointer));
                for leaf in leaves {
                    check(
                        at(&leaf),
                        with_objects(document, Some(&without(&inner, &leaf))),
                        &whole,
                    );
                }
                for node in nodes {
                    let mut more = inner.clone();
                    more.pointer_mut(&node).unwrap()["zzz"] = "more".into();
                    check(
                        at(&format!("{node}/zzz")),
                        with_objects(document, Some(&more)),
                        &whole,
                    );
                }
            }
        }
    }
    assert!(
        silent.is_empty(),
        "dropped in silence:\n{}",
        silent.join("\n")
    );
    assert!(looked > 200, "{looked}");
}

/// The value without one leaf.
fn without(value: &Value, leaf: &str) -> Value {
    let mut changed = value.clone();
    let (parent, last) = leaf.rsplit_once('/').unwrap();
    let last = last.replace("~1", "/").replace("~0", "~");
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(&last)),
        Value::Array(items) => drop(items.remove(last.parse().unwrap())),
        _ => unreachable!(),
    }
    changed
}
