//! Failures of AWS calls in words a person can act on. Pure: one table in, findings out.
//!
//! `{binding}` and `{namespace}` in a cure stay open: one read can answer many bindings. [`addressed`] fills
//! them where the finding meets a binding.

use std::time::Duration;

use super::{
    failure::{Failure, Refusal},
    identity::Caller,
    metrics::{Operation, Outcome},
};
use crate::{
    api::Reason,
    core::{Finding, SecretId, Store, VersionSelector, sources::shown_version},
};

/// Puts the names of a binding into a finding's cure.
pub fn addressed(mut finding: Finding, namespace: &str, binding: &str) -> Finding {
    finding.cure = finding
        .cure
        .replace("{binding}", binding)
        .replace("{namespace}", namespace);
    finding
}

/// The cure of a missing IAM right.
const PRINT_STATEMENT: &str =
    "Print the statement with: keyferry iam-policy {binding} -n {namespace}.";

/// What a failed Secrets Manager call was about.
pub(super) struct Subject<'a> {
    pub operation: Operation,
    pub region: &'a str,
    pub caller: Option<&'a Caller>,
    pub entry: Option<(&'a SecretId, &'a VersionSelector)>,
    /// The path of parameters that was listed.
    pub path: Option<&'a str>,
    /// The whole call was bounded by this.
    pub patience: Duration,
}

impl Subject<'_> {
    fn entry_name(&self) -> String {
        match self.entry {
            Some((SecretId::Name(name), _)) => format!("\"{name}\""),
            Some((SecretId::Arn(arn), _)) => format!("\"{}\"", super::wire::arn_text(arn)),
            Some((SecretId::Parameter(id), _)) => Store::Parameters.called(&id.request()),
            None => self
                .path
                .map_or_else(|| "the entries".into(), |path| format!("\"{path}\"")),
        }
    }

    /// `account A, region R` as far as known.
    fn place(&self) -> String {
        let named = self.entry.and_then(|(id, _)| id.account());
        let account = named.or(self.caller.map(|c| c.account.as_str()));
        match account {
            Some(account) => format!("account {account}, region {}", self.region),
            None => format!("region {}", self.region),
        }
    }

    fn who(&self) -> String {
        self.caller
            .map_or_else(|| "The operator's AWS identity".into(), |c| c.arn.clone())
    }

    /// The parameter it was about, as a sentence begins with it, and its version.
    fn parameter(&self) -> Option<(String, &VersionSelector)> {
        match self.entry? {
            (SecretId::Parameter(id), version) => {
                Some((Store::Parameters.named(&id.request()), version))
            }
            _ => None,
        }
    }

    /// The entry as a sentence begins with it.
    fn named(&self) -> String {
        self.parameter()
            .map_or_else(|| self.entry_name(), |(named, _)| named)
    }

    fn version(&self) -> Option<String> {
        match self.entry?.1 {
            VersionSelector::Current => Some("staging label AWSCURRENT".into()),
            VersionSelector::Stage(stage) => Some(format!("staging label {stage}")),
            VersionSelector::Id(id) => Some(format!("version {id}")),
        }
    }
}

/// The finding of a failed Secrets Manager call.
pub(super) fn read_finding(failure: &Failure, subject: &Subject<'_>) -> Finding {
    match failure {
        Failure::Identity(finding) => finding.clone(),
        Failure::Refused(refusal) => refused(refusal, subject),
        Failure::OverBudget(wait) => over_budget(*wait, subject.operation, subject.region),
        other => unavailable(other, subject.operation, subject.region, subject.patience),
    }
}

fn refused(refusal: &Refusal, subject: &Subject<'_>) -> Finding {
    match refusal.outcome() {
        Outcome::NotFound => not_found(refusal, subject),
        Outcome::Denied => denied(refusal, subject),
        Outcome::Throttled => throttled(refusal, subject.operation, subject.region),
        Outcome::Expired => {
            let who = subject.caller.map(|caller| caller.arn.as_str());
            expired(refusal, who.unwrap_or("the operator's AWS identity"))
        }
        Outcome::Unavailable => server_fault(refusal, subject.operation, subject.region),
        Outcome::Refused | Outcome::Ok => other_refusal(refusal, subject),
    }
}

fn not_found(refusal: &Refusal, subject: &Subject<'_>) -> Finding {
    if let Some((named, version)) = subject.parameter() {
        return parameter_not_found(&named, version, subject);
    }
    let (entry, place) = (subject.entry_name(), subject.place());
    if refusal.code == "InvalidRequestException" {
        return Finding::new(
            Reason::MarkedForDeletion,
            format!("{entry} in {place} is marked for deletion and cannot be read."),
            "Restore it, or remove it from the binding.",
        );
    }
    // AWS has one code for a missing entry and a missing version of it; the words differ.
    let of_version = refusal.says("secret value for") || refusal.says("staging label");
    let version = subject.version().filter(|_| of_version);
    match version {
        Some(version) => Finding::new(
            Reason::StageMissing,
            format!("{entry} in {place} has no value with {version}."),
            "Put a value, move the label, or name another version.",
        ),
        None => Finding::new(
            Reason::SecretNotFound,
            format!("No secret {entry} in {place}."),
            "Check name and region, or create it.",
        ),
    }
}

/// AWS has one list of names that mean nothing, whether the parameter is missing or only that version of it.
fn parameter_not_found(named: &str, version: &VersionSelector, subject: &Subject<'_>) -> Finding {
    let place = subject.place();
    let version = match version {
        VersionSelector::Current => {
            return Finding::new(
                Reason::SecretNotFound,
                format!("No {} in {place}.", subject.entry_name()),
                "Check name and region, or create it.",
            );
        }
        VersionSelector::Stage(label) => format!("version with label {label}"),
        VersionSelector::Id(id) => format!("version {}", shown_version(id)),
    };
    Finding::new(
        Reason::StageMissing,
        format!("{named} in {place} has no {version}, or does not exist."),
        "Put the parameter or the label, or name another version.",
    )
}

fn denied(refusal: &Refusal, subject: &Subject<'_>) -> Finding {
    let entry = subject.entry_name();
    if is_keys(refusal) {
        let role = subject.caller.map_or_else(
            || "the operator's identity".into(),
            |c| format!("role {}", c.role_name),
        );
        return Finding::new(
            Reason::KmsAccessDenied,
            format!(
                "{} is readable, but its KMS key refuses kms:Decrypt to {role}.",
                subject.named()
            ),
            "Add it to the key policy and allow kms:Decrypt on the key.",
        );
    }
    let what = match (subject.entry, subject.path) {
        (None, None) => subject.operation.action().to_owned(),
        _ => format!("{} on {entry}", subject.operation.action()),
    };
    let (by, cure) = match denied_by(refusal) {
        Some(by) => (
            format!(" ({by})"),
            format!("Change that policy. {PRINT_STATEMENT}"),
        ),
        None => (String::new(), PRINT_STATEMENT.to_owned()),
    };
    Finding::new(
        Reason::AccessDenied,
        format!("{} may not call {what}{by}.", subject.who()),
        cure,
    )
}

/// Whether it is a key that denies. AWS says AccessDenied for a key, too; names cannot hold a space or colon, so these
/// words are not one.
pub(super) fn is_keys(refusal: &Refusal) -> bool {
    let plain = matches!(
        refusal.code.as_str(),
        "AccessDeniedException" | "AccessDenied"
    );
    !plain || refusal.says("access to kms") || refusal.says("kms:")
}

/// Which policy refuses, as far as AWS says it. Our words, chosen by AWS's.
fn denied_by(refusal: &Refusal) -> Option<&'static str> {
    let known = [
        ("vpc endpoint policy", "by the policy of a VPC endpoint"),
        ("service control policy", "by a service control policy"),
        ("resource control policy", "by a resource control policy"),
        ("permissions boundary", "by a permissions boundary"),
        ("session policy", "by a session policy"),
        (
            "deny in a resource-based policy",
            "by an explicit deny in the entry's resource policy",
        ),
        ("explicit deny", "by an explicit deny"),
    ];
    known
        .into_iter()
        .find(|(words, _)| refusal.says(words))
        .map(|(_, ours)| ours)
}

pub(super) fn throttled(refusal: &Refusal, operation: Operation, region: &str) -> Finding {
    let mut finding = Finding::new(
        Reason::Throttled,
        format!(
            "AWS throttles {} in {region}: the account's request quota is used up.",
            operation.action()
        ),
        "",
    );
    finding.retry_after = refusal.retry_after;
    finding
}

/// Ours, not AWS's: nothing was sent.
fn over_budget(wait: Duration, operation: Operation, region: &str) -> Finding {
    let mut finding = Finding::new(
        Reason::Throttled,
        format!(
            "The operator's share of the account's request quota for {} in {region} is used up.",
            operation.action()
        ),
        "If it lasts, raise --aws-quota-share.",
    );
    finding.retry_after = Some(wait);
    finding
}

pub(super) fn expired(refusal: &Refusal, who: &str) -> Finding {
    Finding::new(
        Reason::NoCredentials,
        format!(
            "AWS does not accept the credentials of {who} ({}), nor new ones.",
            refusal.code
        ),
        "Check the role and that the clock of the node is right.",
    )
}

pub(super) fn server_fault(refusal: &Refusal, operation: Operation, region: &str) -> Finding {
    let mut finding = Finding::new(
        Reason::AwsUnavailable,
        format!(
            "{} in {region} failed to answer {} ({}).",
            operation.service(),
            operation.as_str(),
            refusal.code
        ),
        "",
    );
    finding.retry_after = refusal.retry_after;
    finding.outage = true;
    finding
}

fn other_refusal(refusal: &Refusal, subject: &Subject<'_>) -> Finding {
    let code = &refusal.code;
    match code.as_str() {
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "RequestTimeTooSkewed" => Finding::new(
            Reason::NoCredentials,
            format!(
                "AWS does not accept the signatures of {} ({code}).",
                subject.who()
            ),
            "Check that the clock of the node is right.",
        ),
        // A version id or label that AWS finds malformed, or that contradicts the entry.
        _ if subject
            .entry
            .is_some_and(|(_, v)| *v != VersionSelector::Current) =>
        {
            Finding::new(
                Reason::StageMissing,
                format!(
                    "{} refuses {} ({code}).",
                    subject.named(),
                    subject.version().unwrap_or_default()
                ),
                "Name a version or label that the entry has.",
            )
        }
        _ => Finding::new(
            Reason::SecretNotFound,
            format!(
                "AWS refuses {} for {} in {} ({code}).",
                subject.operation.as_str(),
                subject.entry_name(),
                subject.place()
            ),
            "Check name and region.",
        ),
    }
}

/// No answer, or none that can be read.
pub(super) fn unavailable(
    failure: &Failure,
    operation: Operation,
    region: &str,
    patience: Duration,
) -> Finding {
    let (service, call) = (operation.service(), operation.as_str());
    let (fact, cure) = match failure {
        Failure::Timeout => (
            format!(
                "{service} in {region} did not answer {call} within {} s.",
                patience.as_secs_f32().ceil()
            ),
            "If it lasts, check the network path, VPC endpoint and NetworkPolicy.",
        ),
        Failure::Untrusted => (
            format!("The certificate of {service} in {region} is not trusted."),
            "If a proxy replaces certificates, put its CA into AWS_CA_BUNDLE.",
        ),
        Failure::Unreadable(status) => (
            format!(
                "{service} in {region} answered {call} with something that cannot be read (HTTP {status})."
            ),
            "If it lasts, check the proxy or VPC endpoint in between.",
        ),
        _ => (
            format!("{service} in {region} cannot be reached."),
            "If it lasts, check the network path, proxy and NetworkPolicy.",
        ),
    };
    let mut finding = Finding::new(Reason::AwsUnavailable, fact, cure);
    // What a proxy means, or a certificate that nobody trusts, is no outage of the region.
    finding.outage = failure.may_pass();
    finding
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
