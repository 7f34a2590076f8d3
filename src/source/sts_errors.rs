//! Failures of STS and of credential providers in words a person can act on. Pure.

use aws_credential_types::provider::error::CredentialsError;

use super::{
    errors::{expired, server_fault, throttled, unavailable},
    failure::{Failure, Refusal},
    metrics::Outcome,
    sts::Place,
};
use crate::{api::Reason, core::Finding};

/// Whom the role has to trust.
#[derive(Clone, Copy)]
pub(super) enum Trusted<'a> {
    /// The operator's own ServiceAccount, by its token file.
    Operator,
    /// A ServiceAccount of a binding's namespace.
    ServiceAccount { namespace: &'a str, name: &'a str },
    /// An identity in AWS.
    Role { from: &'a str, external_id: bool },
}

impl Trusted<'_> {
    fn name(self) -> String {
        match self {
            Self::Operator => "the operator's ServiceAccount".into(),
            Self::ServiceAccount { namespace, name } => {
                format!("ServiceAccount {namespace}/{name}")
            }
            Self::Role { from, .. } => from.into(),
        }
    }
}

/// Why a role could not be assumed.
pub(super) fn role_finding(
    failure: &Failure,
    role: &str,
    trusted: Trusted<'_>,
    place: Place<'_>,
) -> Finding {
    let refusal = match failure {
        Failure::Identity(finding) => return finding.clone(),
        Failure::Refused(refusal) => refusal,
        other => return unavailable(other, place.operation, place.region, place.patience),
    };
    let token = matches!(trusted, Trusted::Operator | Trusted::ServiceAccount { .. });
    match refusal.outcome() {
        Outcome::Throttled => throttled(refusal, place.operation, place.region),
        Outcome::Unavailable => server_fault(refusal, place.operation, place.region),
        Outcome::Expired if !token => expired(refusal, &trusted.name()),
        Outcome::Denied => not_trusted(refusal, role, trusted),
        _ if token => bad_token(refusal, role, trusted),
        _ => plain(
            refusal,
            role,
            trusted,
            "Check the role's ARN, external id and session tags.",
        ),
    }
}

fn failed(fact: String, cure: impl Into<String>) -> Finding {
    Finding::new(Reason::AssumeRoleFailed, fact, cure)
}

fn plain(refusal: &Refusal, role: &str, trusted: Trusted<'_>, cure: &str) -> Finding {
    failed(
        format!(
            "STS refuses role {role} to {} ({}).",
            trusted.name(),
            refusal.code
        ),
        cure,
    )
}

fn not_trusted(refusal: &Refusal, role: &str, trusted: Trusted<'_>) -> Finding {
    let who = trusted.name();
    match trusted {
        Trusted::Operator => failed(
            format!("Role {role} does not trust {who}."),
            "Let its trust policy allow sts:AssumeRoleWithWebIdentity to that ServiceAccount.",
        ),
        Trusted::ServiceAccount { namespace, name } => failed(
            format!("Role {role} does not trust {who}."),
            format!(
                "Let its trust policy allow sts:AssumeRoleWithWebIdentity to system:serviceaccount:{namespace}:{name}."
            ),
        ),
        Trusted::Role { .. } if refusal.says("sts:tagsession") => failed(
            format!("{who} may not pass session tags to role {role}."),
            "Allow sts:TagSession beside sts:AssumeRole in its trust policy and in the caller's policy.",
        ),
        Trusted::Role { external_id, .. } => {
            let with = if external_id {
                " with that external id"
            } else {
                ""
            };
            failed(
                format!("{who} may not assume role {role}{with}."),
                "Allow sts:AssumeRole and sts:TagSession in its trust policy and in the caller's policy.",
            )
        }
    }
}

/// What is wrong with a web identity token, as far as AWS's words tell.
fn bad_token(refusal: &Refusal, role: &str, trusted: Trusted<'_>) -> Finding {
    let who = trusted.name();
    let account = role.split(':').nth(4).unwrap_or_default();
    if refusal.says("audience") {
        return failed(
            format!("STS refuses the token of {who} for role {role}: wrong audience."),
            format!(
                "Add sts.amazonaws.com to the audiences of the IAM OIDC provider in account {account}."
            ),
        );
    }
    if refusal.says("openidconnect provider") || refusal.says("oidc provider") {
        return failed(
            format!(
                "STS refuses the token of {who} for role {role}: account {account} does not know its issuer."
            ),
            format!("Create the IAM OIDC provider of this cluster in account {account}."),
        );
    }
    if refusal.code.starts_with("ExpiredToken") {
        return failed(
            format!("STS refuses the token of {who} for role {role}: it has expired."),
            "Check that the clock of the node is right and that the token volume is being renewed.",
        );
    }
    plain(
        refusal,
        role,
        trusted,
        "Check the role's ARN, its trust policy and the IAM OIDC provider.",
    )
}

/// Why we could not learn who we are.
pub(super) fn caller_finding(failure: &Failure, place: Place<'_>) -> Finding {
    match failure {
        Failure::Identity(finding) => finding.clone(),
        Failure::Refused(refusal) => match refusal.outcome() {
            Outcome::Throttled => throttled(refusal, place.operation, place.region),
            Outcome::Unavailable => server_fault(refusal, place.operation, place.region),
            _ => expired(refusal, "the operator"),
        },
        other => unavailable(other, place.operation, place.region, place.patience),
    }
}

/// STS said yes and sent nothing to work with.
pub(super) fn unusable_reply(place: Place<'_>) -> Finding {
    unavailable(
        &Failure::Unreadable(200),
        place.operation,
        place.region,
        place.patience,
    )
}

/// A provider of the chain that should have credentials and has none. Its own text may hold a reply's body.
pub(super) fn provider_failed(error: &CredentialsError) -> Finding {
    let why = match error {
        CredentialsError::ProviderTimedOut(_) => "it did not answer in time",
        CredentialsError::InvalidConfiguration(_) => "its configuration is not valid",
        _ => "it failed",
    };
    Finding::new(
        Reason::NoCredentials,
        format!("The operator's credential provider gives no AWS credentials: {why}."),
        "Check the AWS profile, or for Pod Identity its agent, the association and NetworkPolicy to 169.254.170.23.",
    )
}
