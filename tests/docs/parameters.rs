//! `docs/parameter-store.md`: its manifests are ones, and its policy is what iam-policy prints for them.

use std::collections::BTreeSet;

use keyferry::{
    api::ExternalSecretBinding,
    core::{
        ParseSettings,
        iam::{Asker, Facts, Identity, policies},
        offline::Checker,
        parse,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/parameter-store.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&*fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

fn manifests() -> Vec<Value> {
    let all = blocks("yaml").into_iter();
    let all = all.map(|text| Value::deserialize(serde_yaml::Deserializer::from_str(text)).unwrap());
    all.filter(|document| document["kind"].is_string())
        .collect()
}

#[test]
fn its_manifests_are_taken() {
    let checker = Checker::new(ParseSettings::default());
    let manifests = manifests();
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        assert_eq!(checker.check(&manifest), [], "{manifest}");
    }
}

#[test]
fn its_policy_is_what_iam_policy_prints_for_its_binding() {
    let binding: ExternalSecretBinding = serde_json::from_value(manifests().remove(0)).unwrap();
    let recipe = parse(
        "estate",
        "backend",
        &binding.spec,
        &ParseSettings::default(),
    )
    .unwrap();
    let asker = Asker {
        namespace: "estate",
        name: "backend",
        recipe: &recipe,
        known_as: None,
        seen_in: None,
    };
    let facts = Facts {
        account: Some("111122223333".into()),
        region: Some("ap-northeast-2".into()),
        ..Facts::default()
    };
    let printed = json!(policies(&[asker], &facts).unwrap()[&Identity::Operator]);
    let of_parameters = |policy: &Value| {
        let all = policy["Statement"].as_array().unwrap().iter();
        let allowed = all.flat_map(|statement| {
            let words = |field: &str| match &statement[field] {
                Value::Array(all) => all.iter().map(|w| w.as_str().unwrap().to_owned()).collect(),
                one => vec![one.as_str().unwrap().to_owned()],
            };
            let resources = words("Resource");
            let actions = words("Action").into_iter();
            actions.flat_map(move |action| {
                let resources = resources.clone().into_iter();
                resources.map(move |resource| format!("{action} {resource}"))
            })
        });
        let allowed = allowed.filter(|line| line.starts_with("ssm:"));
        allowed.collect::<BTreeSet<String>>()
    };
    let shown: Value = serde_json::from_str(blocks("json")[0]).unwrap();
    assert_eq!(of_parameters(&shown), of_parameters(&printed));
    assert_eq!(of_parameters(&shown).len(), 3);
}
