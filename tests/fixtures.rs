//! The manifests under `examples/reference` and `tests/fixtures`, as far as they can be judged without
//! an API server. The test bed applies the same files to a real one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use keyferry::{
    api::{ExternalSecretBinding, SecretAccessPolicy, crds::crds},
    core::{ParseSettings, offline::Checker},
};
use serde::Deserialize;
use serde_json::Value;

fn files(dir: &str) -> Vec<(PathBuf, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The manifests in a directory; a file may hold several.
fn documents(dir: &str) -> Vec<(PathBuf, Value)> {
    let files = files(dir).into_iter();
    files
        .flat_map(|(path, text)| {
            let all = serde_yaml::Deserializer::from_str(&text);
            let all = all.map(|document| Value::deserialize(document).unwrap());
            all.map(|value| (path.clone(), value)).collect::<Vec<_>>()
        })
        .collect()
}

/// Through our own types and back: a field that the types do not know would be lost.
fn round_trip(value: &Value) -> Value {
    match value["kind"].as_str().unwrap() {
        "ExternalSecretBinding" => {
            let typed: ExternalSecretBinding = serde_json::from_value(value.clone()).unwrap();
            serde_json::to_value(typed).unwrap()
        }
        "SecretAccessPolicy" => {
            let typed: SecretAccessPolicy = serde_json::from_value(value.clone()).unwrap();
            serde_json::to_value(typed).unwrap()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn examples_keep_their_spec_through_our_types() {
    for dir in ["examples/reference", "tests/fixtures/accepted"] {
        for (path, value) in documents(dir) {
            assert_eq!(
                round_trip(&value)["spec"],
                value["spec"],
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn examples_use_every_field_of_both_specs() {
    let mut known = BTreeSet::new();
    for crd in crds() {
        let schema = crd.spec.versions[0].schema.clone().unwrap();
        let root = schema.open_api_v3_schema.unwrap();
        let spec = &root.properties.as_ref().unwrap()["spec"];
        fields(&crd.spec.names.kind, spec, &mut known);
    }
    let mut used = BTreeSet::new();
    for (_, value) in documents("examples/reference") {
        collect(
            value["kind"].as_str().unwrap(),
            &value["spec"],
            &known,
            &mut used,
        );
    }
    let missing: Vec<_> = known.difference(&used).collect();
    assert!(missing.is_empty(), "no example uses {missing:#?}");
}

fn fields(path: &str, schema: &JSONSchemaProps, known: &mut BTreeSet<String>) {
    for (name, child) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        known.insert(path.clone());
        fields(&path, child, known);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(child)) = &schema.items {
        fields(path, child, known);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(child)) = &schema.additional_properties {
        fields(path, child, known);
    }
}

/// Paths of an object as `fields` writes them; the names of a map's entries are no fields.
fn collect(path: &str, value: &Value, known: &BTreeSet<String>, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (name, child) in entries {
                let field = format!("{path}.{name}");
                if known.contains(&field) {
                    used.insert(field.clone());
                    collect(&field, child, known, used);
                } else {
                    collect(path, child, known, used);
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(path, item, known, used)),
        _ => {}
    }
}

/// What the test on a real API server looks for in its answer stands on the first line.
#[test]
fn every_refused_manifest_says_what_is_expected() {
    for (path, text) in files("tests/fixtures/refused") {
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ");
        assert!(expected.is_some_and(|e| e.len() >= 8), "{}", path.display());
        let _: Value = serde_yaml::from_str(&text).unwrap();
    }
    let steps = files("tests/fixtures/type-change");
    for (path, text) in &steps {
        let refused = path.to_string_lossy().contains("-refused-");
        assert_eq!(
            text.starts_with("# expect: "),
            refused,
            "{}",
            path.display()
        );
    }
    assert_eq!(steps.len(), 7);
}

/// What the API server says of the same files is asked in `tests/crds.rs`.
#[test]
fn without_a_server_the_same_manifests_are_refused_with_the_same_words() {
    let checker = Checker::new(ParseSettings::default());
    let mut wrong = Vec::new();
    for (path, text) in files("tests/fixtures/refused") {
        let expected = text.lines().next().unwrap();
        let expected = expected.strip_prefix("# expect: ").unwrap();
        let said: Vec<String> = serde_yaml::Deserializer::from_str(&text)
            .flat_map(|document| checker.check(&Value::deserialize(document).unwrap()))
            .map(|problem| problem.to_string())
            .collect();
        if !said.iter().any(|said| said.contains(expected)) {
            wrong.push(format!("{}\n  {expected}\n  {said:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_a_server_the_same_manifests_are_taken() {
    let checker = Checker::new(ParseSettings::default());
    let mut wrong = Vec::new();
    for dir in ["tests/fixtures/accepted", "examples/reference"] {
        for (path, value) in documents(dir) {
            let said = checker.check(&value);
            if !said.is_empty() {
                wrong.push(format!("{}: {said:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
