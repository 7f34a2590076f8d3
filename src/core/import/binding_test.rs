#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;

use super::*;
use crate::{
    api::ExternalSecretBinding,
    core::{
        Entry, EntryValue, Fetched, ParseSettings, SecretValue, dotenv,
        import::{names, written},
        local::candidate,
        offline::Checker,
        parse,
    },
};

fn binding(source: Source, keys: &[&str]) -> Binding {
    Binding {
        name: "b".into(),
        namespace: None,
        region: None,
        source,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        empty: Vec::new(),
        reject_placeholders: true,
    }
}

fn settings() -> ParseSettings {
    ParseSettings {
        min_refresh_interval: std::time::Duration::from_secs(60),
    }
}

fn entry(name: &str, text: SecretValue) -> Arc<Entry> {
    Arc::new(Entry {
        arn: format!("arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-AbCdEf"),
        name: name.to_owned(),
        version_id: "11111111-1111-4111-8111-111111111111".to_owned(),
        created: None,
        value: EntryValue::Text(text),
    })
}

/// What the binding gives where AWS holds these entries.
fn given(binding: &Binding, entries: &[Arc<Entry>]) -> Vec<(String, Vec<u8>)> {
    static CHECKER: LazyLock<Checker> = LazyLock::new(|| Checker::new(settings()));
    let manifest = binding.manifest();
    let problems = CHECKER.check(&manifest);
    assert!(
        problems.is_empty(),
        "{:?}",
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let typed: ExternalSecretBinding = serde_json::from_value(manifest).unwrap();
    let recipe = parse("n", "b", &typed.spec, &settings()).unwrap();
    let mut fetched = Fetched {
        entries: HashMap::new(),
        listings: HashMap::new(),
    };
    for ask in recipe.asks() {
        fetched.entries.insert(ask, Ok(entries[0].clone()));
    }
    for ask in recipe.prefixes() {
        fetched.listings.insert(ask, Ok(entries.to_vec()));
    }
    let data = candidate(&recipe, &fetched).unwrap().data;
    let data = data.into_iter();
    data.map(|(key, value)| (key, value.expose().to_vec()))
        .collect()
}

#[test]
fn an_entry_with_other_keys_is_narrowed_to_the_files() {
    let text = || "{\"A\":\"one\",\"B\":\"two\",\"C\":3}".to_owned().into();
    for (has_others, keys) in [(false, &["A", "B", "C"][..]), (true, &["A", "C"])] {
        let source = Source::Entry {
            name: "bizi/production".into(),
            has_others,
        };
        let got = given(&binding(source, keys), &[entry("bizi/production", text())]);
        let got: Vec<&str> = got.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(got, keys);
    }
}

#[test]
fn empty_values_and_left_overs_that_were_let_in_are_let_through() {
    let source = Source::Entry {
        name: "fastapi".into(),
        has_others: false,
    };
    let mut binding = binding(source, &["ec2_host", "user"]);
    binding.empty = vec!["ec2_host".into()];
    let text: SecretValue = "{\"ec2_host\":\"\",\"user\":\"ubuntu\"}".to_owned().into();
    assert_eq!(given(&binding, &[entry("fastapi", text)]).len(), 2);
    binding.reject_placeholders = false;
    binding.region = Some("us-east-1".into());
    binding.namespace = Some("fastapi".into());
    let text: SecretValue = "{\"ec2_host\":\"\",\"user\":\"CHANGEME\"}"
        .to_owned()
        .into();
    assert_eq!(given(&binding, &[entry("fastapi", text)]).len(), 2);
    let manifest = binding.manifest();
    assert_eq!(manifest["spec"]["source"]["region"], "us-east-1");
    assert_eq!(manifest["metadata"]["namespace"], "fastapi");
}

/// A group lists a hundred names at most.
#[test]
fn many_keys_are_several_groups() {
    let keys: Vec<String> = (0..230).map(|n| format!("KEY_{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let named = names("p/", &keys).unwrap();
    let source = Source::PerKey {
        prefix: "p/".into(),
        names: named.names.clone(),
        renamed: named.renamed,
    };
    let entries: Vec<_> = named
        .names
        .iter()
        .map(|name| entry(&format!("p/{name}"), name.clone().into()))
        .collect();
    assert_eq!(given(&binding(source, &keys), &entries).len(), 230);
    let text: SecretValue = serde_json::json!(
        keys.iter()
            .map(|key| (*key, *key))
            .collect::<HashMap<_, _>>()
    )
    .to_string()
    .into();
    let source = Source::Entry {
        name: "e".into(),
        has_others: true,
    };
    assert_eq!(
        given(&binding(source, &keys), &[entry("e", text)]).len(),
        230
    );
}

#[test]
fn a_binding_is_named_after_what_it_reads() {
    for (entry, name) in [
        ("bizi/production", "bizi-production"),
        ("gaara-store/production/", "gaara-store-production"),
        ("FastAPIDeploymentSecrets", "fastapideploymentsecrets"),
        (
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:a/b-AbCdEf",
            "a-b-abcdef",
        ),
        ("___", "imported"),
    ] {
        assert_eq!(name_of(entry), name);
    }
    assert_eq!(name_of(&format!("{}/b", "a".repeat(62))).len(), 62);
}

/// Keys as such files have them, and values of every kind that the gate lets through.
fn file() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = "[A-Z][A-Z0-9]{0,4}(_[A-Z0-9]{1,4}){0,2}|[a-z]{1,4}[-.][a-z]{1,4}|[a-z]{2,5}[A-Z][a-z]{1,3}";
    // The digits keep the gate from taking noise for a left-over.
    let value = "Zk7[ -~\n\u{e9}\u{1f511}]{0,12}Q3";
    prop::collection::btree_map(key, value, 1..7).prop_map(|map| map.into_iter().collect())
}

fn text_of(pairs: &[(String, SecretValue)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value));
    dotenv::write(pairs).unwrap().text.to_string()
}

fn back(data: Vec<(String, Vec<u8>)>) -> String {
    let pairs: Vec<_> = data
        .into_iter()
        .map(|(key, value)| (key, SecretValue::new(value)))
        .collect();
    text_of(&pairs)
}

proptest! {
    /// `.env` -> entry or entries -> binding -> rendered data -> `.env`.
    #[test]
    fn a_file_comes_back_as_it_was(file in file()) {
        let pairs: Vec<(String, SecretValue)> = file.into_iter().map(|(k, v)| (k, v.into())).collect();
        let text = text_of(&pairs);
        let pairs = dotenv::parse(text.as_bytes()).unwrap().pairs;
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();

        let whole = entry("bizi/production", written(&pairs).unwrap());
        let source = Source::Entry { name: "bizi/production".into(), has_others: false };
        prop_assert_eq!(&back(given(&binding(source, &keys), &[whole])), &text);

        let Ok(named) = names("g/p/", &keys) else { return Ok(()) };
        let mut entries: Vec<_> = named
            .names
            .iter()
            .zip(&pairs)
            .map(|(name, (_, value))| entry(&format!("g/p/{name}"), value.clone()))
            .collect();
        // Somebody else's, under the same prefix.
        entries.push(entry("g/p/zz-not-ours", "x".to_owned().into()));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let source = Source::PerKey { prefix: "g/p/".into(), names: named.names, renamed: named.renamed };
        prop_assert_eq!(&back(given(&binding(source, &keys), &entries)), &text);
    }
}
