//! The install's policy file: the policies that hold in place of the built-in one.
//!
//! It is mounted from a ConfigMap because a chart cannot install a kind and an object of it in one go.

use serde::Deserialize;

use super::Policy;

/// The file as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    policies: Vec<Item>,
}

/// One policy: the fields of a `SecretAccessPolicy`'s spec and a name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Item {
    name: NonEmpty,
    namespaces: Namespaces,
    #[serde(default)]
    secrets: Vec<GlobText>,
    #[serde(default)]
    parameters: Vec<GlobText>,
    #[serde(default)]
    accounts: Vec<Account>,
    #[serde(default)]
    regions: Vec<NonEmpty>,
    #[serde(default)]
    role_arns: Vec<GlobText>,
    #[serde(default)]
    service_accounts: Vec<GlobText>,
}

/// Names only: labels need a watch on namespaces, and namespaced installs use the file alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Namespaces {
    names: Vec<NamespaceName>,
}

/// Text that is checked where it is read, so that the error carries the line.
macro_rules! checked {
    ($name:ident, $check:expr, $message:literal) => {
        #[derive(Deserialize)]
        #[serde(try_from = "String")]
        struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let holds: fn(&str) -> bool = $check;
                if holds(&text) {
                    Ok(Self(text))
                } else {
                    Err(format!("\"{text}\": {}", $message))
                }
            }
        }
    };
}

checked!(NonEmpty, |t| !t.is_empty(), "must not be empty");
checked!(
    Account,
    |t| t.len() == 12 && t.bytes().all(|c| c.is_ascii_digit()),
    "must be the twelve digits of an AWS account, in quotes"
);
checked!(
    GlobText,
    |t| !t.is_empty() && !t.replace(super::NAMESPACE, "").contains(['{', '}']),
    "must be a glob; {namespace} is the only name in braces"
);
checked!(
    NamespaceName,
    |t| t == super::EVERY_NAMESPACE || (!t.is_empty() && t.bytes().all(is_label_character)),
    "must be the name of a namespace, or * for every namespace"
);

const fn is_label_character(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'
}

/// Reads the install's policies: `policies:`, a list of specs with a `name` each, their namespaces by
/// name only. An empty list is allowed and allows nothing.
///
/// # Errors
/// A sentence with the place in the file.
pub fn parse_policy_file(yaml: &str) -> Result<Vec<Policy>, String> {
    if yaml.trim().is_empty() {
        return Err(
            "the access policy file is empty; to allow nothing write `policies: []`".into(),
        );
    }
    let file: File =
        serde_yaml::from_str(yaml).map_err(|e| format!("the access policy file: {e}"))?;
    let policies: Vec<Policy> = file.policies.into_iter().map(Policy::from).collect();
    for (index, policy) in policies.iter().enumerate() {
        let name = &policy.name;
        if policy.namespaces.is_empty() {
            return Err(format!(
                "the access policy file: policy \"{name}\": `namespaces.names` is empty; `*` means every namespace"
            ));
        }
        if policies[..index].iter().any(|other| other.name == *name) {
            return Err(format!(
                "the access policy file: two policies are named \"{name}\""
            ));
        }
    }
    Ok(policies)
}

impl From<Item> for Policy {
    fn from(item: Item) -> Self {
        let globs = |texts: Vec<GlobText>| texts.into_iter().map(|t| t.0).collect();
        Self {
            name: item.name.0,
            namespaces: item.namespaces.names.into_iter().map(|n| n.0).collect(),
            match_labels: std::collections::BTreeMap::new(),
            secrets: globs(item.secrets),
            parameters: globs(item.parameters),
            accounts: item.accounts.into_iter().map(|a| a.0).collect(),
            regions: item.regions.into_iter().map(|r| r.0).collect(),
            role_arns: globs(item.role_arns),
            service_accounts: globs(item.service_accounts),
        }
    }
}
