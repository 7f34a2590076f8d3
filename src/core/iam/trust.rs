//! Trust policies: who may become a role.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use super::{Policy, partition::partition};
use crate::core::reference::is_account;

/// A ServiceAccount, `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    namespace: String,
    name: String,
}

/// Why a trust policy cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not two names.
    #[error("must be NAMESPACE/NAME")]
    Subject,
    /// Neither an ARN nor a host with a path.
    #[error(
        "must be the cluster's OIDC issuer, for example https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF, or the ARN of its provider in IAM"
    )]
    Provider,
    /// A provider's ARN names its account; an issuer does not.
    #[error(
        "the account of the OIDC provider is not known: name it with --account, or the provider by its ARN"
    )]
    Account,
}

impl FromStr for Subject {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let good = |part: &str| {
            let allowed =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            !part.is_empty() && part.len() <= 253 && part.bytes().all(allowed)
        };
        match text.split_once('/') {
            Some((namespace, name)) if good(namespace) && good(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(TrustError::Subject),
        }
    }
}

/// IAM roles for service accounts: tokens of that one ServiceAccount, made for STS.
///
/// # Errors
/// [`TrustError`].
pub fn irsa(
    provider: &str,
    account: Option<&str>,
    subject: &Subject,
) -> Result<Policy, TrustError> {
    let (arn, issuer) = provider_of(provider, account)?;
    let equals = BTreeMap::from([
        (format!("{issuer}:aud"), one("sts.amazonaws.com")),
        (
            format!("{issuer}:sub"),
            one(&format!(
                "system:serviceaccount:{}:{}",
                subject.namespace, subject.name
            )),
        ),
    ]);
    Ok(Policy::trusting(
        "Federated",
        arn,
        &["sts:AssumeRoleWithWebIdentity"],
        equals,
    ))
}

/// EKS Pod Identity: its service, for that one ServiceAccount.
pub fn pod_identity(subject: &Subject) -> Policy {
    // Tags that EKS sets and nobody else can (source: EKS, "Pod Identity session tags").
    let tag = |name: &str| format!("aws:RequestTag/kubernetes-{name}");
    let equals = BTreeMap::from([
        (tag("namespace"), one(&subject.namespace)),
        (tag("service-account"), one(&subject.name)),
    ]);
    Policy::trusting(
        "Service",
        "pods.eks.amazonaws.com".to_owned(),
        &["sts:AssumeRole", "sts:TagSession"],
        equals,
    )
}

/// Another role, for bindings with `source.roleArn`; keyferry tags each such session with the binding's namespace.
pub fn assume_role(principal: &str, external_ids: &BTreeSet<String>) -> Policy {
    let id = || ("sts:ExternalId".to_owned(), external_ids.clone());
    let equals = (!external_ids.is_empty()).then(id).into_iter().collect();
    Policy::trusting(
        "AWS",
        principal.to_owned(),
        &["sts:AssumeRole", "sts:TagSession"],
        equals,
    )
}

fn one(value: &str) -> BTreeSet<String> {
    BTreeSet::from([value.to_owned()])
}

/// ARN of the provider in IAM, and the issuer without its scheme.
fn provider_of(text: &str, account: Option<&str>) -> Result<(String, String), TrustError> {
    let good = |issuer: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._/:".contains(&b);
        issuer.contains('.') && !issuer.contains("//") && issuer.bytes().all(allowed)
    };
    if text.starts_with("arn:") {
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", _, "iam", "", of, resource] = fields[..] else {
            return Err(TrustError::Provider);
        };
        let issuer = resource.strip_prefix("oidc-provider/").unwrap_or_default();
        return match is_account(of) && good(issuer) {
            true => Ok((text.to_owned(), issuer.to_owned())),
            false => Err(TrustError::Provider),
        };
    }
    let issuer = text.strip_prefix("https://").unwrap_or(text);
    let issuer = issuer.trim_end_matches('/');
    if !good(issuer) {
        return Err(TrustError::Provider);
    }
    let account = account.ok_or(TrustError::Account)?;
    // `oidc.eks.REGION...`: the region tells the partition.
    let region = issuer.split('.').nth(2).unwrap_or_default();
    let arn = format!(
        "arn:{}:iam::{account}:oidc-provider/{issuer}",
        partition(region)
    );
    Ok((arn, issuer.to_owned()))
}
