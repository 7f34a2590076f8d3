//! What access policies say of a binding's reads, of what was asked for and of what came back. Pure.

use crate::core::{
    Fetched, Finding, Recipe,
    access::{self, AccessMode, AccessRequest, Asked, Policy},
    reference::account_of,
};

/// The first read that no policy allows, as the operator would refuse it. `base` says who asks, and from where.
pub fn refused(
    policies: &[Policy],
    base: &AccessRequest,
    recipe: &Recipe,
    fetched: &Fetched,
) -> Option<Finding> {
    let asks = recipe.asks().into_iter();
    let asks = asks.map(|ask| (Asked::of(&ask.id), ask.id.account().map(str::to_owned)));
    let prefixes = recipe.prefixes().into_iter();
    let prefixes = prefixes.map(|ask| (Asked::under(&ask), None));
    let entries = fetched
        .entries
        .values()
        .filter_map(|read| read.as_ref().ok());
    let members = fetched
        .listings
        .values()
        .filter_map(|read| read.as_ref().ok());
    let answers = entries.chain(members.flatten());
    let account = |arn| account_of(arn).map(str::to_owned);
    let answers = answers.map(|entry| (Asked::answer(entry), account(&entry.arn)));
    asks.chain(prefixes)
        .chain(answers)
        .find_map(|(asked, account)| {
            let request = AccessRequest {
                asked,
                account,
                ..base.clone()
            };
            let checked = access::check(AccessMode::Enforce, policies, &request);
            checked.err().map(|refused| Finding::from(&*refused))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::core::{Entry, EntryValue, ParseSettings, SecretValue, parse};

    fn refused_of(from: serde_json::Value, answered: Option<&str>) -> Option<String> {
        let spec = serde_json::from_value(from).unwrap();
        let recipe = parse("estate", "b", &spec, &ParseSettings::default()).unwrap();
        let mut fetched = Fetched::default();
        for (ask, name) in recipe.asks().into_iter().zip(answered) {
            let entry = Entry {
                arn: format!("arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-AbCdEf"),
                name: name.to_owned(),
                version_id: "v".to_owned(),
                created: None,
                value: EntryValue::Text(SecretValue::from("x".to_owned())),
            };
            fetched.entries.insert(ask, Ok(Arc::new(entry)));
        }
        let base = AccessRequest {
            namespace: "estate".to_owned(),
            caller_account: Some("111122223333".to_owned()),
            region: "us-east-1".to_owned(),
            role_arn: recipe.identity.role_arn.clone(),
            ..AccessRequest::default()
        };
        let found = refused(&[Policy::built_in()], &base, &recipe, &fetched);
        found.map(|finding| finding.to_string())
    }

    #[test]
    fn what_is_asked_and_what_comes_back_is_judged() {
        let data = |secret: &str| json!({"data": [{"key": "A", "from": {"secret": secret}}]});
        let other = "arn:aws:secretsmanager:us-east-1:444455556666:secret:estate/a-AbCdEf";
        for (spec, answered, says) in [
            (data("estate/a"), Some("estate/a"), None),
            (
                data("pay/stripe"),
                None,
                Some("read \"pay/stripe\" (policy \"default\" allows estate/*)"),
            ),
            (data("estate/a"), Some("pay/a"), Some("read \"pay/a\"")),
            (data(other), None, Some("in account 444455556666")),
            (json!({"dataFrom": [{"prefix": "estate/"}]}), None, None),
            (
                json!({"dataFrom": [{"prefix": "e"}]}),
                None,
                Some("read \"e*\""),
            ),
            (
                json!({"source": {"roleArn": "arn:aws:iam::111122223333:role/r"}, "data": [{"key": "A", "from": {"secret": "estate/a"}}]}),
                None,
                Some("with role arn:aws:iam::111122223333:role/r"),
            ),
        ] {
            let found = refused_of(spec.clone(), answered);
            match says {
                None => assert_eq!(found, None, "{spec}"),
                Some(says) => assert!(
                    found.as_ref().is_some_and(|it| it.contains(says)),
                    "{spec}: {found:?}"
                ),
            }
        }
    }
}
