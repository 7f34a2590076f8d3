//! A `.env` file in place of AWS: its keys are the final ones, and the same gate judges them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::Refusal;
use crate::{
    api::Reason,
    core::{Finding, Recipe, Rendered, SecretValue, gate, keys::key_problem},
};

/// The data of a file, and what of the two does not fit.
#[derive(Debug, Default)]
pub struct Substitute {
    /// The data, as if it had been read from AWS.
    pub rendered: Rendered,
    /// Keys of the file that the binding would not give.
    pub left_out: Vec<String>,
    /// Keys that the binding always gives and the file does not have.
    pub lacking: Vec<String>,
}

/// What the pairs of `file` give in place of the binding's sources.
///
/// # Errors
/// [`Refusal::Gate`] as for values of AWS; [`Refusal::NotGiven`] when no key of the binding stands in the file.
pub fn substitute(
    recipe: &Recipe,
    pairs: Vec<(String, SecretValue)>,
    file: &str,
) -> Result<Substitute, Refusal> {
    let known = known_keys(recipe);
    let mut substitute = Substitute::default();
    let rendered = &mut substitute.rendered;
    for (key, value) in pairs {
        let given = known.as_ref().is_none_or(|known| known.contains(&*key));
        if !given || key_problem(&key).is_some() {
            substitute.left_out.push(key);
            continue;
        }
        rendered.origins.insert(key.clone(), file.to_owned());
        rendered.data.insert(key, value);
    }
    if rendered.data.is_empty() {
        let fact = format!("No key of the binding stands in {file}.");
        let finding = Finding::new(Reason::PropertyMissing, fact, "Write its keys there.");
        return Err(Refusal::NotGiven(finding));
    }
    let judged = gate::check_with_origins(&recipe.gate, &rendered.data, &rendered.origins);
    judged.map_err(Refusal::Gate)?;
    let lacking = always_given(recipe).filter(|key| !rendered.data.contains_key(*key));
    substitute.lacking = lacking.map(str::to_owned).collect();
    Ok(substitute)
}

/// Every key that the binding may give; None where that depends on what lies in AWS.
fn known_keys(recipe: &Recipe) -> Option<BTreeSet<&str>> {
    let fetched = recipe.keys.iter().map(|key| key.key.as_str());
    let by_groups = !recipe.groups.is_empty();
    let Some(template) = &recipe.template else {
        return (!by_groups).then(|| fetched.collect());
    };
    let composed = template.data.keys().map(String::as_str);
    match &template.keep {
        Some(keep) => Some(composed.chain(keep.iter().map(String::as_str)).collect()),
        None if by_groups => None,
        None => Some(composed.chain(fetched).collect()),
    }
}

/// Keys that are there whatever is optional.
fn always_given(recipe: &Recipe) -> impl Iterator<Item = &str> {
    let template = recipe.template.as_ref();
    let keep = template.and_then(|template| template.keep.as_ref());
    let kept = move |key: &str| keep.is_none_or(|keep| keep.iter().any(|it| it == key));
    let fetched = recipe.keys.iter().filter(|key| !key.optional);
    let fetched = fetched
        .map(|key| key.key.as_str())
        .filter(move |it| kept(it));
    let composed: Option<&BTreeMap<_, _>> = template.map(|template| &template.data);
    let composed = composed.into_iter().flat_map(|data| data.keys());
    fetched.chain(composed.map(String::as_str))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::core::{ParseSettings, parse};

    fn from_file(spec: Value, keys: &[&str]) -> Result<Substitute, Refusal> {
        let spec = serde_json::from_value(spec).unwrap();
        let recipe = parse("estate", "b", &spec, &ParseSettings::default()).unwrap();
        let pairs = keys
            .iter()
            .map(|key| ((*key).to_owned(), SecretValue::from("changeme".to_owned())));
        substitute(&recipe, pairs.collect(), ".env")
    }

    #[test]
    fn keys_that_the_binding_would_not_give_are_left_out_where_they_are_known() {
        let data = json!([
            {"key": "A", "from": {"secret": "a"}},
            {"key": "B", "from": {"secret": "b"}, "optional": true},
        ]);
        let group = json!([{"secret": "s"}]);
        let composed = json!({"data": {"U": "{{ A }}"}});
        let keep = json!({"data": {"U": "{{ A }}"}, "keep": ["A"]});
        for (spec, left_out, lacking) in [
            (json!({"data": data}), vec!["U", "X"], vec!["A"]),
            (json!({"data": data, "dataFrom": group}), vec![], vec!["A"]),
            (
                json!({"data": data, "template": composed}),
                vec!["X"],
                vec!["A"],
            ),
            (
                json!({"data": data, "dataFrom": group, "template": composed}),
                vec![],
                vec!["A"],
            ),
            (
                json!({"data": data, "dataFrom": group, "template": keep}),
                vec!["B", "X"],
                vec!["A"],
            ),
        ] {
            let found = from_file(spec.clone(), &["B", "U", "X"]).unwrap();
            assert_eq!(found.left_out, left_out, "{spec}");
            assert_eq!(found.lacking, lacking, "{spec}");
        }
    }

    #[test]
    fn the_same_gate_judges_a_file() {
        let data = json!([{"key": "A", "from": {"secret": "a"}}]);
        let strict = json!({"data": data, "validate": {"rejectPlaceholders": true}});
        let refusal = from_file(strict, &["A"]).unwrap_err();
        assert!(matches!(refusal, Refusal::Gate(_)) && !refusal.is_outage());
        assert!(
            refusal
                .to_string()
                .starts_with("PlaceholderFound: A of .env ")
        );
        let required = json!({"data": data, "validate": {"required": ["A"]}});
        assert!(matches!(
            from_file(required, &["B"]),
            Err(Refusal::NotGiven(_))
        ));
        assert!(from_file(json!({"data": data}), &["A"]).is_ok());
    }

    #[test]
    fn a_key_that_no_secret_holds_is_left_out() {
        let found = from_file(json!({"dataFrom": [{"secret": "s"}]}), &["A", "..b"]).unwrap();
        assert_eq!(found.left_out, ["..b"]);
    }
}
