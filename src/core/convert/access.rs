//! What the cluster's access policy will refuse, and the policy that would let it through.

use std::collections::BTreeSet;

use crate::core::{
    Recipe, Store,
    access::{AccessMode, AccessRequest, Asked, Policy, check},
};

/// A `SecretAccessPolicy`, as YAML, without which a namespace may not read this by the built-in policy; None if it may.
pub fn suggestion(namespace: &str, recipes: &[&Recipe]) -> Option<String> {
    let mut needed = Needed::default();
    for recipe in recipes {
        let (asks, prefixes) = (recipe.asks(), recipe.prefixes());
        let asked = asks.iter().map(|ask| Asked::of(&ask.id));
        for asked in asked.chain(prefixes.iter().map(Asked::under)) {
            let request = AccessRequest {
                namespace: namespace.to_owned(),
                asked,
                role_arn: recipe.identity.role_arn.clone(),
                service_account: recipe.identity.service_account.clone(),
                ..AccessRequest::default()
            };
            if check(AccessMode::Enforce, &[Policy::built_in()], &request).is_err() {
                needed.add(request);
            }
        }
    }
    needed.policy(namespace)
}

/// What no part of the built-in policy allows.
#[derive(Default)]
struct Needed {
    secrets: BTreeSet<String>,
    parameters: BTreeSet<String>,
    roles: BTreeSet<String>,
    accounts: BTreeSet<String>,
}

impl Needed {
    fn add(&mut self, request: AccessRequest) {
        let names = match request.asked.store() {
            Store::Secrets => &mut self.secrets,
            Store::Parameters => &mut self.parameters,
        };
        match request.asked {
            Asked::Entry(all) | Asked::Parameter(all) => names.extend(all),
            under => drop(names.insert(under.first())),
        }
        self.roles.extend(request.role_arn);
        self.accounts.extend(request.service_account);
    }

    fn policy(&self, namespace: &str) -> Option<String> {
        let mut text = format!(
            "apiVersion: keyferry.dev/v1alpha1\nkind: SecretAccessPolicy\nmetadata:\n  name: {namespace}\nspec:\n  namespaces:\n    names: [{namespace}]\n"
        );
        let fields = [
            ("secrets", &self.secrets),
            ("parameters", &self.parameters),
            ("roleArns", &self.roles),
            ("serviceAccounts", &self.accounts),
        ];
        for (field, items) in fields.iter().filter(|(_, items)| !items.is_empty()) {
            let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
            text.push_str(&format!("  {field}: [{}]\n", items.join(", ")));
        }
        fields
            .iter()
            .any(|(_, items)| !items.is_empty())
            .then_some(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::SecretAccessPolicy,
        core::{ParseSettings, parse},
    };

    fn recipe(spec: Value) -> Recipe {
        let spec = serde_json::from_value(spec).unwrap();
        parse("estate", "one", &spec, &ParseSettings::default()).unwrap()
    }

    #[test]
    fn what_is_suggested_lets_everything_through() {
        let own = recipe(json!({"data": [{"key": "A", "from": {"secret": "estate/a"}}]}));
        assert_eq!(suggestion("estate", &[&own]), None);
        let role = "arn:aws:iam::111122223333:role/reader";
        let arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:pay/jwt-secret";
        let foreign = recipe(json!({
            "source": {"roleArn": role},
            "data": [
                {"key": "A", "from": {"secret": arn}},
                {"key": "B", "from": {"parameter": "/pay/level"}},
            ],
            "dataFrom": [{"prefix": "shared/"}, {"parameterPath": "/shared/"}],
        }));
        let text = suggestion("estate", &[&own, &foreign]).unwrap();
        let object: SecretAccessPolicy = serde_yaml::from_str(&text).unwrap();
        let policy = Policy::from(&object);
        assert_eq!(policy.secrets, ["pay/jwt", "pay/jwt-secret", "shared/*"]);
        assert_eq!(policy.parameters, ["/pay/level", "/shared/*"]);
        let asks = foreign.asks();
        let asked = asks.iter().map(|ask| Asked::of(&ask.id));
        for asked in asked.chain(foreign.prefixes().iter().map(Asked::under)) {
            let request = AccessRequest {
                namespace: "estate".into(),
                asked,
                role_arn: Some(role.into()),
                ..AccessRequest::default()
            };
            let policies = [policy.clone()];
            let allowed = check(AccessMode::Enforce, &policies, &request);
            assert!(allowed.is_ok(), "{request:?}");
        }
    }
}
