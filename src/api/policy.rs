//! `SecretAccessPolicy`: which namespaces may read which entries.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Who may request what. A request must be allowed in all its parts by one policy.
///
/// In every glob `*` stands for any characters, `/` included, `?` for one, and `{namespace}` for the
/// name of the namespace that asks; the whole text must match.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "keyferry.dev",
    version = "v1alpha1",
    kind = "SecretAccessPolicy",
    plural = "secretaccesspolicies",
    singular = "secretaccesspolicy",
    shortname = "sap",
    category = "keyferry",
    derive = "PartialEq",
    doc = "Lets namespaces read entries of AWS Secrets Manager. Policies only add to one another."
)]
#[serde(rename_all = "camelCase")]
pub struct SecretAccessPolicySpec {
    /// Who may.
    pub namespaces: NamespaceSelection,
    /// Names of entries: anchored globs, `*` for any characters (`/` too), `?` for one, `{namespace}` for the namespace's name. An entry asked for by ARN must be allowed with and without the hyphen and six characters that AWS appends. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Names of Parameter Store parameters: anchored globs. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// AWS accounts of the entries. Absent: the caller's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// AWS regions of the entries. Absent: every region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Roles a binding may name in `source.roleArn`: anchored globs. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_arns: Vec<String>,
    /// ServiceAccounts a binding may name in `source.serviceAccountName`: anchored globs. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
}

/// Namespaces by name or by label; one match is enough.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelection {
    /// Names of namespaces, exactly as they stand; `*` alone means every namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Labels a namespace must carry, all of them. In a mounted policy file only names are allowed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}
