//! The rights table: every right the operator needs, and why.
//!
//! The one source of RBAC: the chart's roles are generated from it, demo and tests run under
//! exactly these rights. Code that needs a new right adds it here, or is refused.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::api::names::{GROUP, INSTALL_KEY_SECRET};

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// In every watched namespace: a ClusterRole, or a Role in each of `watchNamespaces`.
    Watched,
    /// On objects that have no namespace: not granted with `watchNamespaces`.
    Cluster,
    /// In the operator's own namespace.
    Own,
    /// In every watched namespace, if the install allows `source.serviceAccountName`.
    ServiceAccountIdentity,
}

impl Scope {
    /// All scopes, in the order of the generated file.
    pub const ALL: [Self; 4] = [
        Self::Watched,
        Self::Cluster,
        Self::Own,
        Self::ServiceAccountIdentity,
    ];

    /// The scope's word in the generated file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Cluster => "cluster",
            Self::Own => "own",
            Self::ServiceAccountIdentity => "serviceAccountIdentity",
        }
    }
}

/// One right.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// Where it is needed.
    pub scope: Scope,
    /// API group; empty is the core group.
    pub group: &'static str,
    /// Resources in the plural, subresources as `resource/sub`.
    pub resources: &'static [&'static str],
    /// Names it is limited to; empty: all.
    pub names: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// What it is for.
    pub why: &'static str,
}

const READ: &[&str] = &["get", "list", "watch"];

/// Every right the operator has.
pub const RIGHTS: &[Right] = &[
    Right {
        scope: Scope::Watched,
        group: GROUP,
        resources: &["externalsecretbindings"],
        names: &[],
        verbs: &["get", "list", "watch", "patch"],
        why: "reads the bindings; sets and drops the finalizer of Merge with deletionPolicy Delete",
    },
    Right {
        scope: Scope::Watched,
        group: GROUP,
        resources: &["externalsecretbindings/status"],
        names: &[],
        verbs: &["patch"],
        why: "writes the status",
    },
    Right {
        scope: Scope::Watched,
        group: GROUP,
        resources: &["externalsecretbindings/finalizers"],
        names: &[],
        verbs: &["update"],
        why: "an ownerReference that blocks deletion needs it where OwnerReferencesPermissionEnforcement is on (OpenShift)",
    },
    Right {
        scope: Scope::Watched,
        group: "",
        resources: &["secrets"],
        names: &[],
        verbs: &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
        why: "writes, repairs and removes the target Secrets",
    },
    Right {
        scope: Scope::Watched,
        group: "apps",
        resources: &["deployments", "statefulsets", "daemonsets"],
        names: &[],
        verbs: &["get", "list", "watch", "patch"],
        why: "finds the workloads that use a Secret, sets the marker that restarts them, follows the rollout",
    },
    Right {
        scope: Scope::Watched,
        group: "batch",
        resources: &["cronjobs", "jobs"],
        names: &[],
        verbs: READ,
        why: "says which ones take the new value at their next run; a Secret in use is not removed on rename",
    },
    Right {
        scope: Scope::Watched,
        group: "",
        resources: &["pods"],
        names: &[],
        verbs: &["get", "list", "watch", "delete"],
        why: "says why a new pod does not become ready; on a rollback deletes the pods that a StatefulSet waits for in vain; a Secret in use is not removed on rename",
    },
    Right {
        scope: Scope::Watched,
        group: "events.k8s.io",
        resources: &["events"],
        names: &[],
        verbs: &["create", "patch"],
        why: "events on the bindings; patch counts repetitions up",
    },
    Right {
        scope: Scope::Cluster,
        group: GROUP,
        resources: &["secretaccesspolicies"],
        names: &[],
        verbs: READ,
        why: "which namespace may read which entries",
    },
    Right {
        scope: Scope::Cluster,
        group: "",
        resources: &["namespaces"],
        names: &[],
        verbs: READ,
        why: "labels, for policies that select namespaces; nothing is written into one that is terminating",
    },
    Right {
        scope: Scope::Own,
        group: "",
        resources: &["secrets"],
        names: &[INSTALL_KEY_SECRET],
        verbs: &["get"],
        why: "the install key, which makes revisions unguessable",
    },
    Right {
        scope: Scope::Own,
        group: "",
        resources: &["secrets"],
        names: &[],
        verbs: &["create"],
        why: "makes the install key once (create cannot be limited to a name)",
    },
    Right {
        scope: Scope::ServiceAccountIdentity,
        group: "",
        resources: &["serviceaccounts"],
        names: &[],
        verbs: READ,
        why: "reads the role annotation and notices when it is added",
    },
    Right {
        scope: Scope::ServiceAccountIdentity,
        group: "",
        resources: &["serviceaccounts/token"],
        names: &[],
        verbs: &["create"],
        why: "a 10 minute token with the audience sts.amazonaws.com, to assume that role",
    },
];

/// The rules of one scope.
pub fn rules(scope: Scope) -> Vec<PolicyRule> {
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    RIGHTS
        .iter()
        .filter(|right| right.scope == scope)
        .map(|right| PolicyRule {
            api_groups: Some(own(&[right.group])),
            resources: Some(own(right.resources)),
            resource_names: Some(own(right.names)).filter(|names| !names.is_empty()),
            verbs: own(right.verbs),
            ..PolicyRule::default()
        })
        .collect()
}

/// The file `charts/keyferry/files/rules.yaml`: RBAC rules by scope.
///
/// # Errors
/// When the rules cannot be written as YAML.
pub fn rules_yaml() -> Result<String, serde_saphyr::SerializeError> {
    let by_scope: BTreeMap<&str, Vec<PolicyRule>> = Scope::ALL
        .map(|scope| (scope.as_str(), rules(scope)))
        .into();
    let text = serde_saphyr::to_string(&by_scope)?;
    Ok(format!(
        "# Generated from src/cluster/rights.rs by `cargo xtask generate`. Do not edit.\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_wildcard_and_no_way_up() {
        for right in RIGHTS {
            let words = right
                .resources
                .iter()
                .chain(right.verbs)
                .chain([&right.group]);
            assert!(
                words.into_iter().all(|word| !word.contains('*')),
                "{right:?}"
            );
            assert_ne!(right.group, "rbac.authorization.k8s.io");
            for verb in right.verbs {
                assert!(!["escalate", "bind", "impersonate", "deletecollection"].contains(verb));
            }
            let forbidden = [
                "pods/exec",
                "pods/log",
                "pods/attach",
                "nodes",
                "nodes/proxy",
            ];
            assert!(
                right
                    .resources
                    .iter()
                    .all(|resource| !forbidden.contains(resource))
            );
            assert!(!right.why.is_empty());
        }
    }

    #[test]
    fn tokens_are_made_only_where_the_install_allows_it() {
        for scope in [Scope::Watched, Scope::Cluster, Scope::Own] {
            let resources: Vec<_> = rules(scope)
                .into_iter()
                .filter_map(|r| r.resources)
                .flatten()
                .collect();
            assert!(
                resources
                    .iter()
                    .all(|resource| !resource.starts_with("serviceaccounts"))
            );
        }
    }

    #[test]
    fn every_right_stands_in_one_row() {
        let mut seen = BTreeSet::new();
        for right in RIGHTS {
            for resource in right.resources {
                for verb in right.verbs {
                    let fresh = seen.insert((right.scope, right.group, *resource, *verb));
                    assert!(fresh, "{resource} {verb} twice");
                }
            }
        }
    }

    #[test]
    fn the_file_says_what_the_table_says() {
        let text = rules_yaml().unwrap();
        let read: BTreeMap<String, Vec<PolicyRule>> = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read.len(), Scope::ALL.len());
        for scope in Scope::ALL {
            assert_eq!(read[scope.as_str()], rules(scope));
        }
    }
}
