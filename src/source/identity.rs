//! Who asks: what is sent to STS, the keys that keep identities apart, session names, callers. Pure.

use std::collections::BTreeMap;

use crate::api::names::SESSION_TAG_NAMESPACE;

/// The identity and region of one binding's reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityAsk {
    /// Namespace of the binding.
    pub namespace: String,
    /// Region of the entries; None: the operator's.
    pub region: Option<String>,
    /// Region whose STS is asked; None: the operator's. A failover region brings its own.
    pub sts_region: Option<String>,
    /// The namespace's ServiceAccount to read as; None: the operator's own identity.
    pub service_account: Option<ServiceAccountIdentity>,
    /// Role assumed from the identity above.
    pub role_arn: Option<String>,
    /// External id for that role.
    pub external_id: Option<String>,
    /// Session tags for that role. The tag for the namespace is set by us and cannot be overridden.
    pub session_tags: BTreeMap<String, String>,
}

/// A ServiceAccount that carries an IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceAccountIdentity {
    /// Its name; its namespace is the binding's.
    pub name: String,
    /// Its uid: a recreated ServiceAccount is another identity.
    pub uid: String,
    /// The role its annotation names.
    pub role_arn: String,
}

/// Everything that is sent to STS. Two asks share credentials if and only if this is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CredentialKey {
    /// The operator itself.
    Operator { sts_region: String },
    /// A ServiceAccount of a namespace.
    ServiceAccount {
        sts_region: String,
        namespace: String,
        account: ServiceAccountIdentity,
    },
    /// A role on top of one of the others.
    Role {
        base: Box<CredentialKey>,
        role: RoleStep,
    },
}

impl CredentialKey {
    /// The region whose STS is asked.
    pub(super) fn sts_region(&self) -> &str {
        match self {
            Self::Operator { sts_region } | Self::ServiceAccount { sts_region, .. } => sts_region,
            Self::Role { base, .. } => base.sts_region(),
        }
    }
}

/// One AssumeRole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RoleStep {
    pub namespace: String,
    pub role_arn: String,
    pub external_id: Option<String>,
    /// Complete, with the automatic one, sorted.
    pub tags: BTreeMap<String, String>,
}

/// Credential key + region: values never cross it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HubKey {
    pub credentials: CredentialKey,
    pub region: String,
}

impl IdentityAsk {
    /// The key. `sts_region` is the operator's region, or the ask's where the operator has none.
    pub(super) fn credential_key(&self, sts_region: &str) -> CredentialKey {
        let sts_region = sts_region.to_owned();
        let base = match &self.service_account {
            None => CredentialKey::Operator { sts_region },
            Some(account) => CredentialKey::ServiceAccount {
                sts_region,
                namespace: self.namespace.clone(),
                account: account.clone(),
            },
        };
        let Some(role_arn) = &self.role_arn else {
            return base;
        };
        let mut tags = self.session_tags.clone();
        tags.insert(SESSION_TAG_NAMESPACE.to_owned(), self.namespace.clone());
        let role = RoleStep {
            namespace: self.namespace.clone(),
            role_arn: role_arn.clone(),
            external_id: self.external_id.clone(),
            tags,
        };
        CredentialKey::Role {
            base: Box::new(base),
            role,
        }
    }
}

/// Who AWS says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, or a user's ARN.
    pub arn: String,
    /// Twelve digits.
    pub account: String,
    /// ROLE of an assumed role; a user's name otherwise.
    pub role_name: String,
    /// SESSION of an assumed role; empty otherwise.
    pub session: String,
}

impl Caller {
    /// Takes an STS ARN apart; None if it is none.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':').skip(4);
        let account = fields.next().filter(|a| !a.is_empty())?;
        let mut path = fields.next()?.split('/');
        let kind = path.next()?;
        let rest: Vec<&str> = path.collect();
        let (role_name, session) = match (kind, rest.as_slice()) {
            ("assumed-role", [role, session]) => (*role, *session),
            (_, [.., last]) => (*last, ""),
            (only, []) => (only, ""),
        };
        Some(Self {
            arn: arn.to_owned(),
            account: account.to_owned(),
            role_name: role_name.to_owned(),
            session: session.to_owned(),
        })
    }
}

/// Session name: `keyferry-<cluster>-<namespace>`, either part left out where it is empty; characters that STS
/// refuses become `-`, cut to 64 (source: STS API, RoleSessionName `[\w+=,.@-]{2,64}`).
pub(super) fn session_name(cluster: &str, namespace: &str) -> String {
    let parts = ["keyferry", cluster, namespace];
    let name = parts
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn session_names_are_valid_and_readable() {
        let long = "n".repeat(63);
        for (cluster, namespace, wanted) in [
            ("prod", "estate", "keyferry-prod-estate".to_owned()),
            ("prod", "", "keyferry-prod".to_owned()),
            ("", "", "keyferry".to_owned()),
            ("eks/prod eu", "a", "keyferry-eks-prod-eu-a".to_owned()),
            ("prod", &long, format!("keyferry-prod-{}", "n".repeat(50))),
        ] {
            assert_eq!(session_name(cluster, namespace), wanted);
        }
    }

    #[test]
    fn callers_are_taken_apart() {
        for (arn, wanted) in [
            (
                "arn:aws:sts::111122223333:assumed-role/reader/keyferry-p",
                Some(("111122223333", "reader", "keyferry-p")),
            ),
            (
                "arn:aws-cn:iam::111122223333:user/dev/ana",
                Some(("111122223333", "ana", "")),
            ),
            (
                "arn:aws:iam::111122223333:root",
                Some(("111122223333", "root", "")),
            ),
            ("arn:aws:iam:::root", None),
            ("nonsense", None),
        ] {
            let caller = Caller::parse(arn);
            let got = caller
                .as_ref()
                .map(|c| (c.account.as_str(), c.role_name.as_str(), c.session.as_str()));
            assert_eq!(got, wanted, "{arn}");
        }
    }

    fn ask() -> IdentityAsk {
        IdentityAsk {
            namespace: "estate".into(),
            role_arn: Some("arn:aws:iam::111122223333:role/r".into()),
            ..IdentityAsk::default()
        }
    }

    #[test]
    fn everything_sent_to_sts_is_in_the_key() {
        let base = ask().credential_key("us-east-1");
        let tags = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
        let account = ServiceAccountIdentity {
            name: "a".into(),
            uid: "1".into(),
            role_arn: "r".into(),
        };
        let others = [
            IdentityAsk {
                external_id: Some("x".into()),
                ..ask()
            },
            IdentityAsk {
                session_tags: tags("team", "a"),
                ..ask()
            },
            IdentityAsk {
                session_tags: tags("team", "b"),
                ..ask()
            },
            IdentityAsk {
                role_arn: None,
                ..ask()
            },
            IdentityAsk {
                role_arn: Some("other".into()),
                ..ask()
            },
            IdentityAsk {
                namespace: "pay".into(),
                ..ask()
            },
            IdentityAsk {
                service_account: Some(account.clone()),
                ..ask()
            },
            IdentityAsk {
                service_account: Some(ServiceAccountIdentity {
                    uid: "2".into(),
                    ..account.clone()
                }),
                ..ask()
            },
            IdentityAsk {
                service_account: Some(ServiceAccountIdentity {
                    role_arn: "s".into(),
                    ..account
                }),
                ..ask()
            },
        ];
        let mut keys: Vec<_> = others
            .iter()
            .map(|o| o.credential_key("us-east-1"))
            .collect();
        keys.push(base.clone());
        keys.push(ask().credential_key("us-west-2"));
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert_ne!(a, b);
            }
        }
        let elsewhere = IdentityAsk {
            region: Some("eu-west-1".into()),
            ..ask()
        };
        assert_eq!(
            elsewhere.credential_key("us-east-1"),
            base,
            "the region of reads is not sent to STS"
        );
    }

    #[test]
    fn the_namespace_tag_cannot_be_overridden_and_the_operator_is_shared() {
        let forged = IdentityAsk {
            session_tags: BTreeMap::from([(
                SESSION_TAG_NAMESPACE.to_owned(),
                "kube-system".to_owned(),
            )]),
            ..ask()
        };
        let CredentialKey::Role { role, .. } = forged.credential_key("us-east-1") else {
            panic!("no role step")
        };
        assert_eq!(role.tags[SESSION_TAG_NAMESPACE], "estate");

        let plain = |namespace: &str| IdentityAsk {
            namespace: namespace.into(),
            ..IdentityAsk::default()
        };
        assert_eq!(
            plain("a").credential_key("us-east-1"),
            plain("b").credential_key("us-east-1")
        );
    }
}
