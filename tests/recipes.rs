//! The rules of the API stand twice: in the CRD, and in `core::parse` for what gets past an older CRD and
//! for the CLI. The manifests that were tried on a real API server must be judged alike by both.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

use keyferry::api::ExternalSecretBinding;
use keyferry::core::{Finding, ParseSettings, Recipe, parse};
use serde::Deserialize;
use serde_json::Value;

/// What parsing says of each binding in a directory; None where the types already refuse the manifest.
fn judged(dir: &str) -> Vec<(String, Option<Result<Recipe, Finding>>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            if value["kind"] != "ExternalSecretBinding" {
                continue;
            }
            let binding = serde_json::from_value::<ExternalSecretBinding>(value).ok();
            all.push((name.clone(), binding.map(|b| judge(&b))));
        }
    }
    assert!(!all.is_empty());
    all
}

fn judge(binding: &ExternalSecretBinding) -> Result<Recipe, Finding> {
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    parse("estate", name, &binding.spec, &ParseSettings::default())
}

#[test]
fn what_the_server_accepts_becomes_a_recipe() {
    for dir in ["examples/reference", "tests/fixtures/accepted"] {
        for (name, judged) in judged(dir) {
            if let Err(finding) = judged.expect("the types take what the server takes") {
                panic!("{name}: {finding}");
            }
        }
    }
}

#[test]
fn what_the_server_refuses_becomes_none() {
    let accepted: Vec<String> = judged("tests/fixtures/refused")
        .into_iter()
        .filter(|(_, judged)| matches!(judged, Some(Ok(_))))
        .map(|(name, _)| name)
        .collect();
    // Pruned or refused by the server's schema; our types do not see an unknown field at all.
    assert_eq!(accepted, ["preflight-volume", "unknown-field"]);
}
