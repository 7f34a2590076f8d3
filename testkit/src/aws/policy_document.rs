//! Policies as IAM takes them: JSON documents read into statements.
//!
//! Knows what the policies of this project need; whatever else a document says is refused, so that
//! none is taken for more or for less than it is.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::policy::Statement;

/// Why a policy was not taken.
#[derive(Debug, thiserror::Error)]
#[error("policy: {0}")]
pub struct UnreadablePolicy(String);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: String,
    #[serde(rename = "Statement")]
    statements: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: OneOrMore,
    resource: OneOrMore,
    #[serde(default)]
    condition: Map<String, Value>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more.iter().map(String::as_str).collect(),
        }
    }
}

impl Statement {
    /// Reads a policy document.
    ///
    /// # Errors
    /// A document that IAM would refuse, and every condition that is not modelled.
    pub fn of_document(json: &str) -> Result<Vec<Self>, UnreadablePolicy> {
        let refused = |why: String| UnreadablePolicy(why);
        let document: Document = serde_json::from_str(json).map_err(|e| refused(e.to_string()))?;
        if document.version != "2012-10-17" {
            return Err(refused(format!("version {}", document.version)));
        }
        document.statements.iter().map(statement).collect()
    }
}

fn statement(written: &Written) -> Result<Statement, UnreadablePolicy> {
    let (actions, resources) = (written.action.all(), written.resource.all());
    let mut statement = match written.effect {
        Effect::Allow => Statement::allow(&actions, &resources),
        Effect::Deny => Statement::deny(&actions, &resources),
    };
    for (operator, keys) in &written.condition {
        let keys = keys.as_object().into_iter().flatten();
        for (key, values) in keys {
            statement = condition(statement, operator, key, values)?;
        }
    }
    Ok(statement)
}

fn condition(
    statement: Statement,
    operator: &str,
    key: &str,
    values: &Value,
) -> Result<Statement, UnreadablePolicy> {
    let refused = || UnreadablePolicy(format!("condition {operator} on {key} is not modelled"));
    let values: OneOrMore = serde_json::from_value(values.clone()).map_err(|_| refused())?;
    let values = values.all();
    let is_exact = operator == "StringEquals";
    let has_glob = values.iter().any(|value| value.contains(['*', '?']));
    if !(is_exact && !has_glob || operator == "StringLike") {
        return Err(refused());
    }
    if key == "kms:ViaService" {
        return Ok(statement.when_via_service(&values));
    }
    let &[value] = values.as_slice() else {
        return Err(refused());
    };
    match key.split_once('/') {
        Some(("aws:PrincipalTag", tag)) => Ok(statement.when_principal_tag(tag, value)),
        Some(("aws:ResourceTag" | "secretsmanager:ResourceTag", tag)) => {
            Ok(statement.when_resource_tag(tag, value))
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::super::policy::{AccessRequest, Verdict, evaluate};
    use super::*;

    #[test]
    fn a_document_is_read_as_iam_does() {
        let statements = Statement::of_document(
            r#"{"Version": "2012-10-17", "Statement": [
                {"Sid": "Read", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
                 "Resource": ["arn:a-??????", "arn:b"]},
                {"Effect": "Deny", "Action": ["*"], "Resource": "arn:b"},
                {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:key", "Condition":
                 {"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}}}
            ]}"#,
        );
        let statements = statements.unwrap();
        let tags = BTreeMap::new();
        let get = "secretsmanager:GetSecretValue";
        let here = Some("secretsmanager.eu-west-1.amazonaws.com");
        let there = Some("secretsmanager.eu-west-2.amazonaws.com");
        use Verdict::{Allowed, Denied, NotAllowed};
        for (action, resource, via_service, expected) in [
            (get, "arn:a-123456", None, Allowed),
            (get, "arn:a-12345", None, NotAllowed),
            (get, "arn:b", None, Denied),
            ("kms:Decrypt", "arn:key", here, Allowed),
            ("kms:Decrypt", "arn:key", there, NotAllowed),
        ] {
            let request = AccessRequest {
                action,
                resource,
                principal_tags: &tags,
                resource_tags: &tags,
                via_service,
            };
            let verdict = evaluate(&statements, &request);
            assert_eq!(verdict, expected, "{action} {resource} {via_service:?}");
        }
    }

    #[test]
    fn what_is_not_modelled_is_refused() {
        let with = |more: &str| {
            format!(
                r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "a:B", "Resource": "*"{more}}}]}}"#
            )
        };
        assert_eq!(Statement::of_document(&with("")).unwrap().len(), 1);
        for more in [
            r#", "NotAction": "a:C""#,
            r#", "Condition": {"Bool": {"aws:SecureTransport": "true"}}"#,
            r#", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}"#,
            r#", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "a*"}}"#,
            r#", "Condition": {"StringLike": {"aws:PrincipalTag/team": ["a", "b"]}}"#,
        ] {
            assert!(Statement::of_document(&with(more)).is_err(), "{more}");
        }
        for document in ["[]", r#"{"Version": "2008-10-17", "Statement": []}"#] {
            assert!(Statement::of_document(document).is_err(), "{document}");
        }
    }
}
