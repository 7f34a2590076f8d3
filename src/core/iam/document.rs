//! Policy documents as IAM takes them, in a stable order.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    KeyArn,
    names::{Resources, places},
    partition::{partition, via_parameter_store, via_secrets_manager},
};

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    /// What it allows.
    #[serde(rename = "Statement")]
    pub statements: Vec<Statement>,
}

/// Operator to key to values.
type Conditions = BTreeMap<&'static str, BTreeMap<String, BTreeSet<String>>>;

/// One statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'static str>,
    effect: Allow,
    /// Who, in a trust policy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    principal: BTreeMap<&'static str, String>,
    #[serde(rename = "Action")]
    actions: Vec<&'static str>,
    #[serde(rename = "Resource", skip_serializing_if = "BTreeSet::is_empty")]
    resources: BTreeSet<String>,
    #[serde(rename = "Condition", skip_serializing_if = "BTreeMap::is_empty")]
    conditions: Conditions,
}

/// The only effect here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
enum Allow {
    #[default]
    Allow,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: "2012-10-17",
            statements: Vec::new(),
        }
    }
}

impl Policy {
    /// Who may become the role, where all of these are equal.
    pub(super) fn trusting(
        kind: &'static str,
        principal: String,
        actions: &[&'static str],
        equals: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        let mut statement = Statement {
            principal: BTreeMap::from([(kind, principal)]),
            actions: actions.to_vec(),
            ..Statement::default()
        };
        if !equals.is_empty() {
            statement.conditions.insert("StringEquals", equals);
        }
        Self {
            statements: vec![statement],
            ..Self::default()
        }
    }

    /// How many characters IAM counts: all but blanks.
    pub fn chars(&self) -> usize {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().filter(|c| !c.is_whitespace()).count()
    }

    /// Adds a statement unless there is nothing it would be about.
    pub(super) fn allow(
        &mut self,
        sid: &'static str,
        actions: &[&'static str],
        resources: Resources,
    ) {
        if !resources.is_empty() {
            self.statements.push(Statement {
                sid: Some(sid),
                actions: actions.to_vec(),
                resources,
                ..Statement::default()
            });
        }
    }

    /// Lets the keys be used on these values: through Secrets Manager and Parameter Store, which decrypt only what their
    /// caller may read.
    pub(super) fn decrypt(
        &mut self,
        secrets: &Resources,
        parameters: &Resources,
        keys: Option<&[KeyArn]>,
    ) {
        let (of_secrets, of_parameters) = (places(secrets), places(parameters));
        let places = places(&secrets.union(parameters).cloned().collect());
        let any = || {
            let all = places.iter().flat_map(|(region, accounts)| {
                let key = move |account| {
                    format!("arn:{}:kms:{region}:{account}:key/*", partition(region))
                };
                accounts.iter().map(key)
            });
            all.collect()
        };
        let resources = match keys {
            Some(keys) => keys.iter().map(|key| key.as_str().to_owned()).collect(),
            None => any(),
        };
        if places.is_empty() {
            return;
        }
        let secrets = of_secrets.keys().map(|region| via_secrets_manager(region));
        let parameters = of_parameters
            .keys()
            .map(|region| via_parameter_store(region));
        let via = secrets.chain(parameters);
        let via = BTreeMap::from([("kms:ViaService".to_owned(), via.collect())]);
        self.allow("Decrypt", &["kms:Decrypt"], resources);
        if let Some(last) = self
            .statements
            .last_mut()
            .filter(|s| s.sid == Some("Decrypt"))
        {
            last.conditions.insert("StringEquals", via);
        }
    }
}
