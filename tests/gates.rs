//! The gates of the example systems: what their people have is let through, what they leave behind is not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use keyferry::{
    api::{ExternalSecretBinding, Reason},
    core::{ParseSettings, Recipe, SecretValue, dotenv, gate, parse, placeholder::placeholder},
};
use serde::Deserialize;
use serde_json::Value;

const SYSTEMS: [&str; 5] = ["bizi", "fastapi", "ecomind", "estate", "gaara-store"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn values(system: &str) -> BTreeMap<String, SecretValue> {
    let path = root().join(format!("tests/fixtures/systems/{system}.env"));
    let read = dotenv::parse(&fs::read(path).unwrap()).unwrap();
    assert_eq!(read.warnings, [], "{system}");
    read.pairs.into_iter().collect()
}

fn manifests(dir: PathBuf, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => manifests(path, all),
            false => all.push(path),
        }
    }
}

/// The bindings of a system, by name.
fn bindings(system: &str) -> Vec<(String, Recipe)> {
    let mut files = Vec::new();
    manifests(root().join("examples").join(system), &mut files);
    let mut all = Vec::new();
    for file in files.iter().filter(|it| it.ends_with("bindings.yaml")) {
        let text = fs::read_to_string(file).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            let binding: ExternalSecretBinding = serde_json::from_value(value).unwrap();
            let name = binding.metadata.name.unwrap();
            let recipe = parse(system, &name, &binding.spec, &ParseSettings::default());
            all.push((format!("{system}/{name}"), recipe.unwrap()));
        }
    }
    assert!(!all.is_empty(), "{system}");
    all
}

/// What the system has of the keys that a gate judges.
fn data(recipe: &Recipe, values: &BTreeMap<String, SecretValue>) -> BTreeMap<String, SecretValue> {
    let gate = &recipe.gate;
    let keys = gate.required.iter();
    let keys = keys.chain(gate.rules.iter().map(|rule| &rule.key));
    keys.map(|key| (key.clone(), values.get(key).expect(key).clone()))
        .collect()
}

#[test]
fn the_systems_own_values_are_let_through() {
    let mut seen = 0;
    for system in SYSTEMS {
        let values = values(system);
        for (key, value) in values.iter().filter(|(key, _)| *key != "ec2_host") {
            assert_eq!(placeholder(value.expose()), None, "{system}: {key}");
            seen += 1;
        }
        for (name, recipe) in bindings(system) {
            assert_eq!(
                gate::check(&recipe.gate, &data(&recipe, &values)),
                Ok(()),
                "{name}"
            );
        }
    }
    assert!(seen >= 50, "{seen} values");
}

#[test]
fn what_is_left_behind_stops_at_every_key() {
    for system in SYSTEMS {
        let values = values(system);
        for (name, recipe) in bindings(system) {
            let good = data(&recipe, &values);
            for key in &recipe.gate.required {
                for (left, reason) in [
                    ("default-secret", Some(Reason::PlaceholderFound)),
                    ("CHANGEME", Some(Reason::PlaceholderFound)),
                    ("<password>", Some(Reason::PlaceholderFound)),
                    ("your-key-here", Some(Reason::PlaceholderFound)),
                    ("", (key != "ec2_host").then_some(Reason::RequiredMissing)),
                ] {
                    let mut data = good.clone();
                    data.insert(key.clone(), left.to_owned().into());
                    let found = gate::check(&recipe.gate, &data).err();
                    assert_eq!(found.map(|it| it.reason), reason, "{name}: {key}: {left:?}");
                }
                let mut data = good.clone();
                data.remove(key);
                let found = gate::check(&recipe.gate, &data).unwrap_err();
                assert_eq!(found.reason, Reason::RequiredMissing, "{name}: {key}");
            }
        }
    }
}

/// What gaara-store's code falls back to where an entry is missing.
#[test]
fn gaara_stores_fallbacks_are_refused() {
    let values = values("gaara-store");
    let (name, recipe) = bindings("gaara-store").remove(0);
    for (key, left, reason) in [
        ("SECRET_KEY", "default-secret", Reason::PlaceholderFound),
        (
            "JWT_SECRET_KEY",
            "Default-Secret ",
            Reason::PlaceholderFound,
        ),
        ("ENCRYPTION_KEY", "default-secret", Reason::PlaceholderFound),
        (
            "DATABASE_URL",
            "sqlite:///gaara_store.db",
            Reason::RuleBroken,
        ),
        (
            "DATABASE_URL",
            "sqlite+aiosqlite:///./test.db",
            Reason::RuleBroken,
        ),
    ] {
        let mut data = data(&recipe, &values);
        data.insert(key.to_owned(), left.to_owned().into());
        let found = gate::check(&recipe.gate, &data).unwrap_err();
        assert_eq!(found.reason, reason, "{name}: {key}: {left}");
    }
}
