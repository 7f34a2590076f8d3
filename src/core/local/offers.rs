//! What to write instead of a property that an entry does not have. Pure.

use crate::core::{
    EntryValue, Fetched, Recipe, Store,
    compose::of_object,
    json::{self, JsonError},
};

/// For each item of `spec.data` whose property is missing and can be composed: a sentence, and YAML to be pasted.
pub fn offers(recipe: &Recipe, fetched: &Fetched) -> Vec<String> {
    let offer = |at: usize| {
        let key = recipe.keys.get(at)?;
        // What is offered reads from a secret.
        let wanted = match key.ask.id.store() {
            Store::Secrets => key.property.as_deref()?,
            Store::Parameters => return None,
        };
        let entry = fetched.entries.get(&key.ask)?.as_ref().ok()?;
        let EntryValue::Text(value) = &entry.value else {
            return None;
        };
        let text = value.as_str()?;
        let missing = matches!(json::property(text, wanted), Err(JsonError::Missing { .. }));
        let composed = missing.then(|| of_object(wanted, text)).flatten()?;
        let others = recipe.keys.iter().map(|other| other.key.as_str());
        let others: Vec<&str> = others.filter(|other| *other != key.key).collect();
        let spec = composed.spec(&key.ask.id.request(), &key.key, &others);
        Some(format!("compose it, in place of spec.data[{at}]:\n{spec}"))
    };
    (0..recipe.keys.len()).filter_map(offer).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::core::{Entry, ParseSettings, SecretValue, parse};

    #[test]
    fn a_missing_url_is_composed_of_the_parts_and_no_value_is_shown() {
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecomind/prod/database";
        let spec = json!({"data": [
            {"key": "JWT", "from": {"secret": "ecomind/prod/jwt"}},
            {"key": "connection-string", "from": {"secret": format!("{arn}:connection_string::")}},
            {"key": "NAME", "from": {"secret": arn, "property": "dbname"}},
            {"key": "NOPE", "from": {"secret": arn, "property": "nope"}},
        ]});
        let spec = serde_json::from_value(spec).unwrap();
        let recipe = parse("ecomind", "b", &spec, &ParseSettings::default()).unwrap();
        let entry = Entry {
            arn: format!("{arn}-AbCdEf"),
            name: "ecomind/prod/database".to_owned(),
            version_id: "v".to_owned(),
            created: None,
            value: EntryValue::Text(SecretValue::from(
                json!({"engine": "postgres", "host": "hunter2", "port": 5432, "dbname": "hunter2", "username": "hunter2", "password": "hunter2"}).to_string(),
            )),
        };
        let mut fetched = Fetched::default();
        let ask = recipe.keys[1].ask.clone();
        fetched.entries.insert(ask, Ok(Arc::new(entry)));
        let found = offers(&recipe, &fetched);
        assert_eq!(found.len(), 1, "{found:?}");
        for part in [
            "in place of spec.data[1]:\n",
            "- secret: \"arn:aws:secretsmanager:us-east-1:123456789012:secret:ecomind/prod/database\"\n",
            "\"connection-string\": \"postgresql://{{ username | urlencode }}:",
            "/{{ dbname }}?sslmode=require\"",
            "keep: [JWT, NAME, NOPE]",
        ] {
            assert!(found[0].contains(part), "{part}: {}", found[0]);
        }
        assert!(!found[0].contains("hunter2"));
    }
}
