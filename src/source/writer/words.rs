//! What a write that did not happen says to whoever asked for it. Pure; AWS's own text is searched, never shown.

use std::time::Duration;

use crate::{
    api::Reason,
    core::{Finding, SecretId, VersionSelector, parse_reference},
    source::{
        errors::{self, is_keys, read_finding},
        failure::{Failure, Refusal},
        identity::Caller,
        metrics::{Operation, Outcome},
        person::in_person,
    },
};

/// What a call was about.
pub(super) struct Subject<'a> {
    pub operation: Operation,
    pub entry: &'a str,
    pub region: &'a str,
    pub caller: Option<Caller>,
    pub patience: Duration,
}

/// There is no such entry (or no such version of it).
pub(super) fn is_missing(refusal: &Refusal) -> bool {
    refusal.code == "ResourceNotFoundException"
}

/// The entry is there, and nothing under the label. AWS has one code for both; the words differ.
pub(super) fn has_no_value(refusal: &Refusal) -> bool {
    is_missing(refusal) && (refusal.says("secret value for") || refusal.says("staging label"))
}

/// Somebody has made it.
pub(super) fn exists(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.code == "ResourceExistsException")
}

/// A right is missing, of the caller's or of a key.
pub(super) fn is_denied(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.outcome() == Outcome::Denied)
}

/// A right of the caller's is missing, and not of a key.
pub(super) fn is_plainly_denied(failure: &Failure) -> bool {
    is_denied(failure) && !matches!(failure, Failure::Refused(refusal) if is_keys(refusal))
}

/// A failed call in words.
pub(super) fn told(failure: &Failure, subject: &Subject<'_>) -> Finding {
    let id = parse_reference(subject.entry).map(|reference| reference.ask.id);
    let id = id.unwrap_or_else(|_| SecretId::Name(subject.entry.to_owned()));
    let mut finding = in_person(read_finding(
        failure,
        &errors::Subject {
            operation: subject.operation,
            region: subject.region,
            caller: subject.caller.as_ref(),
            entry: Some((&id, &VersionSelector::Current)),
            path: None,
            patience: subject.patience,
        },
    ));
    let (entry, action) = (subject.entry, subject.operation.action());
    match finding.reason {
        Reason::AccessDenied => finding.cure = format!("Allow {action} on it."),
        Reason::KmsAccessDenied if subject.operation != Operation::GetSecretValue => {
            let who = subject.caller.as_ref().map_or("you", |caller| &caller.arn);
            finding.fact = format!(
                "The KMS key of \"{entry}\" refuses kms:GenerateDataKey or kms:Decrypt to {who}."
            );
            finding.cure = "Allow both on the key, in its policy and in yours.".to_owned();
        }
        Reason::MarkedForDeletion => {
            finding.fact = format!(
                "\"{entry}\" in region {} is scheduled for deletion; until then nobody can read it or make one of that name.",
                subject.region
            );
            finding.cure = format!(
                "Restore it (aws secretsmanager restore-secret --secret-id {entry}), or name another."
            );
        }
        Reason::Throttled if is_limit(failure) => {
            finding.fact = format!(
                "\"{entry}\" has as many versions or staging labels as AWS allows (LimitExceededException)."
            );
            finding.cure =
                "Versions without a label go after a day; take labels off that nobody needs."
                    .to_owned();
        }
        _ => {}
    }
    finding
}

fn is_limit(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.code == "LimitExceededException")
}

/// Neither way is open.
pub(super) fn no_way(failure: &Failure, subject: &Subject<'_>) -> Finding {
    let mut finding = told(failure, subject);
    if finding.reason == Reason::AccessDenied {
        finding.cure = "Allow secretsmanager:PutSecretValue and UpdateSecretVersionStage on it, or UpdateSecret alone.".to_owned();
    }
    finding
}

/// Somebody made the entry after it was found missing.
pub(super) fn made_meanwhile(entry: &str, version: Option<&str>) -> Finding {
    let version = version.map_or(String::new(), |id| format!(" (version {id})"));
    Finding::new(
        Reason::TargetConflict,
        format!("Somebody else made \"{entry}\" meanwhile{version}; nothing was overwritten."),
        "Run this again, with --merge or --replace if the two differ.",
    )
}

/// AWSCURRENT has moved since it was read.
pub(super) fn lost(entry: &str, now: Option<&str>, clean: bool) -> Finding {
    let now = now.map_or("no version".to_owned(), |id| format!("version {id}"));
    let mut fact = format!(
        "Somebody else wrote \"{entry}\" meanwhile: AWSCURRENT is {now}. It was not overwritten."
    );
    if !clean {
        fact.push_str(&format!(
            " Our version is still there under the label {LABEL}.",
            LABEL = super::LABEL
        ));
    }
    Finding::new(
        Reason::TargetConflict,
        fact,
        "Run this again: it begins with what is there now.",
    )
}

/// The version is there, and not yet the current one.
pub(super) fn waits_under_label(mut finding: Finding, version: &str) -> Finding {
    finding.fact.push_str(&format!(
        " Version {version} was written and is not the current one (label {}).",
        super::LABEL
    ));
    if finding.cure.is_empty() {
        finding.cure = "Run this again.".to_owned();
    }
    finding
}

/// UpdateSecret came after a write that nobody had read.
pub(super) fn overtook(entry: &str, theirs: Option<&str>, ours: &str) -> Finding {
    let theirs = theirs.map_or("a version that has no label any more".to_owned(), |id| {
        format!("version {id}, now AWSPREVIOUS")
    });
    Finding::new(
        Reason::TargetConflict,
        format!(
            "Somebody else wrote \"{entry}\" in the moment before this did: their value is {theirs}; ours is version {ours}, AWSCURRENT."
        ),
        format!(
            "Compare the two (aws secretsmanager get-secret-value --secret-id {entry} --version-stage AWSPREVIOUS) and put back what is missing."
        ),
    )
}

/// Somebody wrote right after UpdateSecret.
pub(super) fn overtaken(entry: &str, now: Option<&str>, ours: &str) -> Finding {
    let now = now.map_or("no version".to_owned(), |id| format!("version {id}"));
    Finding::new(
        Reason::TargetConflict,
        format!(
            "\"{entry}\" was written (version {ours}), and AWSCURRENT is {now}: somebody else wrote after it."
        ),
        "Run this again: it begins with what is there now.",
    )
}

/// Our label stays behind.
pub(super) fn label_left(entry: &str) -> String {
    format!(
        "the label {} could not be taken off a version of \"{entry}\"; the next import does that",
        super::LABEL
    )
}
