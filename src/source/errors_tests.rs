//! The table of refusals: code and words in, reason and sentences out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    core::{SecretId, Store, parse_parameter},
    source::{
        sts::Place,
        sts_errors::{Trusted, role_finding},
        wire::parse_arn,
    },
};

const ROLE: &str = "arn:aws:iam::111122223333:role/estate-reader";

fn caller() -> Caller {
    Caller::parse("arn:aws:sts::111122223333:assumed-role/estate-reader/keyferry-prod-estate")
        .unwrap()
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal {
        code: code.into(),
        message: message.into(),
        status: 400,
        retry_after: None,
    }
}

fn finding(failure: &Failure, id: &SecretId, version: &VersionSelector) -> Finding {
    let caller = caller();
    let subject = Subject {
        operation: match id.store() {
            Store::Secrets => Operation::GetSecretValue,
            Store::Parameters => Operation::GetParameters,
        },
        region: "ap-northeast-2",
        caller: Some(&caller),
        entry: Some((id, version)),
        path: None,
        patience: Duration::from_secs(20),
    };
    read_finding(failure, &subject)
}

#[test]
fn every_refusal_has_its_reason_fact_and_cure() {
    use Reason::*;
    use VersionSelector::{Current, Id, Stage};
    let name = SecretId::Name("estate/kms-token".into());
    let missing = "Secrets Manager can't find the specified secret";
    for (code, message, version, reason, fact, cure) in [
        ("ResourceNotFoundException", format!("{missing}."), Current, SecretNotFound,
            "No secret \"estate/kms-token\" in account 111122223333, region ap-northeast-2.", "Check name and region, or create it."),
        ("ResourceNotFoundException", format!("{missing} value for staging label: AWSCURRENT"), Current, StageMissing,
            "\"estate/kms-token\" in account 111122223333, region ap-northeast-2 has no value with staging label AWSCURRENT.", "Put a value"),
        ("ResourceNotFoundException", format!("{missing} value for staging label: blue"), Stage("blue".into()), StageMissing,
            "has no value with staging label blue.", "Put a value"),
        ("ResourceNotFoundException", format!("{missing} value for VersionId: 1"), Id("1".into()), StageMissing, "has no value with version 1.", "Put"),
        ("ResourceNotFoundException", format!("{missing}."), Stage("blue".into()), SecretNotFound, "No secret", "Check name"),
        ("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.".into(), Current,
            MarkedForDeletion, "\"estate/kms-token\" in account 111122223333, region ap-northeast-2 is marked for deletion", "Restore it"),
        ("AccessDeniedException", "User: x is not authorized to perform: secretsmanager:GetSecretValue on resource: estate/kms-token because no identity-based policy allows the action".into(),
            Current, AccessDenied,
            "arn:aws:sts::111122223333:assumed-role/estate-reader/keyferry-prod-estate may not call secretsmanager:GetSecretValue on \"estate/kms-token\".",
            "Print the statement with: keyferry iam-policy {binding} -n {namespace}."),
        ("AccessDeniedException", "... with an explicit deny in a service control policy".into(), Current, AccessDenied,
            "on \"estate/kms-token\" (by a service control policy).", "Change that policy."),
        ("AccessDeniedException", "Access to KMS is not allowed".into(), Current, KmsAccessDenied,
            "\"estate/kms-token\" is readable, but its KMS key refuses kms:Decrypt to role estate-reader.", "Add it to the key policy"),
        ("DecryptionFailure", String::new(), Current, KmsAccessDenied, "refuses kms:Decrypt", "key policy"),
        ("ThrottlingException", "Rate exceeded".into(), Current, Throttled, "AWS throttles secretsmanager:GetSecretValue in ap-northeast-2", ""),
        ("InternalServiceError", "An error occurred".into(), Current, AwsUnavailable, "failed to answer GetSecretValue (InternalServiceError)", ""),
        ("ExpiredTokenException", "The security token included in the request is expired".into(), Current, NoCredentials,
            "AWS does not accept the credentials of arn:aws:sts::111122223333", "clock"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.".into(), Current, NoCredentials, "(UnrecognizedClientException)", "role"),
        ("InvalidSignatureException", "Signature expired".into(), Current, NoCredentials, "does not accept the signatures", "clock"),
        ("InvalidParameterException", "bad".into(), Current, SecretNotFound, "AWS refuses GetSecretValue for \"estate/kms-token\"", "Check name"),
        ("ValidationException", "bad".into(), Id("x".into()), StageMissing, "refuses version x (ValidationException)", "Name a version"),
    ] {
        let got = finding(&Failure::Refused(refusal(code, &message)), &name, &version);
        assert_eq!(got.reason, reason, "{code} {message}");
        assert_eq!(got.outage, reason == AwsUnavailable, "{code} {message}");
        assert!(got.fact.contains(fact), "{code}: {got}");
        assert!(got.cure.contains(cure) && got.cure.is_empty() == cure.is_empty(), "{code}: {got}");
    }
}

#[test]
fn what_is_refused_of_a_parameter_says_so() {
    use Reason::*;
    use VersionSelector::{Current, Id, Stage};
    let parameter = parse_parameter("/estate/level").unwrap().id;
    let place = "account 111122223333, region ap-northeast-2";
    let version = format!("3-{}", "0".repeat(8));
    for (code, message, version, reason, fact) in [
        ("ParameterNotFound", "", Current, SecretNotFound, format!("No parameter \"/estate/level\" in {place}.")),
        ("ParameterNotFound", "", Id("3".into()), StageMissing,
            format!("Parameter \"/estate/level\" in {place} has no version 3, or does not exist.")),
        ("ParameterNotFound", "", Id(version), StageMissing,
            format!("Parameter \"/estate/level\" in {place} has no version 3, or does not exist.")),
        ("ParameterNotFound", "", Stage("blue".into()), StageMissing,
            format!("Parameter \"/estate/level\" in {place} has no version with label blue, or does not exist.")),
        ("AccessDeniedException", "User: x is not authorized to perform: ssm:GetParameters on resource: y", Current, AccessDenied,
            "may not call ssm:GetParameters on parameter \"/estate/level\".".into()),
        ("AccessDeniedException", "User: x is not authorized to perform: kms:Decrypt on resource: y", Current, KmsAccessDenied,
            "Parameter \"/estate/level\" is readable, but its KMS key refuses kms:Decrypt to role estate-reader.".into()),
        ("InvalidKeyId", "", Current, KmsAccessDenied, "Parameter \"/estate/level\" is readable, but its KMS key".into()),
        ("ThrottlingException", "Rate exceeded", Current, Throttled, "AWS throttles ssm:GetParameters in ap-northeast-2".into()),
        ("InternalServerError", "", Current, AwsUnavailable, "Parameter Store in ap-northeast-2 failed to answer GetParameters".into()),
        ("ValidationException", "bad", Current, SecretNotFound, "AWS refuses GetParameters for parameter \"/estate/level\"".into()),
    ] {
        let mut refusal = refusal(code, message);
        refusal.status = if code == "InternalServerError" { 500 } else { 400 };
        let got = finding(&Failure::Refused(refusal), &parameter, &version);
        assert_eq!(got.reason, reason, "{code} {message}");
        assert!(got.fact.contains(&fact), "{code}: {got}");
    }
    let caller = caller();
    let listing = Subject {
        operation: Operation::GetParametersByPath,
        region: "ap-northeast-2",
        caller: Some(&caller),
        entry: None,
        path: Some("/estate/flags/"),
        patience: Duration::from_secs(20),
    };
    let denied = Failure::Refused(refusal("AccessDeniedException", ""));
    let fact = read_finding(&denied, &listing).fact;
    assert!(
        fact.ends_with("may not call ssm:GetParametersByPath on \"/estate/flags/\"."),
        "{fact}"
    );
}

#[test]
fn credentials_of_nobody_known_are_the_operators() {
    let name = SecretId::Name("a".into());
    let subject = Subject {
        operation: Operation::GetSecretValue,
        region: "ap-northeast-2",
        caller: None,
        entry: Some((&name, &VersionSelector::Current)),
        path: None,
        patience: Duration::from_secs(20),
    };
    let refused = Failure::Refused(refusal("UnrecognizedClientException", ""));
    let fact = read_finding(&refused, &subject).fact;
    assert!(fact.contains("credentials of the operator's"), "{fact}");
}

#[test]
fn no_answer_is_told_apart() {
    let name = SecretId::Name("a".into());
    for (failure, fact, outage) in [
        (
            Failure::Timeout,
            "did not answer GetSecretValue within 20 s.",
            true,
        ),
        (Failure::Unreachable, "cannot be reached.", true),
        (
            Failure::Untrusted,
            "certificate of Secrets Manager in ap-northeast-2 is not trusted.",
            false,
        ),
        (
            Failure::Unreadable(502),
            "something that cannot be read (HTTP 502).",
            true,
        ),
        (Failure::Unreadable(200), "(HTTP 200).", true),
        (Failure::Unreadable(403), "(HTTP 403).", false),
    ] {
        let got = finding(&failure, &name, &VersionSelector::Current);
        assert_eq!(got.reason, Reason::AwsUnavailable);
        assert_eq!(got.outage, outage, "{got}");
        assert!(got.fact.contains(fact), "{got}");
    }
}

#[test]
fn what_aws_asks_us_to_wait_is_kept() {
    let mut slow = refusal("ThrottlingException", "");
    slow.retry_after = Some(Duration::from_secs(7));
    let got = finding(
        &Failure::Refused(slow),
        &SecretId::Name("a".into()),
        &VersionSelector::Current,
    );
    assert_eq!(got.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn another_accounts_entry_is_named_with_its_account() {
    let arn = SecretId::Arn(
        parse_arn("arn:aws:secretsmanager:ap-northeast-2:444455556666:secret:db").unwrap(),
    );
    let got = finding(
        &Failure::Refused(refusal("ResourceNotFoundException", "")),
        &arn,
        &VersionSelector::Current,
    );
    assert!(got.fact.contains("in account 444455556666"), "{got}");
}

#[test]
fn cures_are_addressed_to_a_binding() {
    let denied = Failure::Refused(refusal("AccessDeniedException", ""));
    let got = finding(
        &denied,
        &SecretId::Name("a".into()),
        &VersionSelector::Current,
    );
    let got = addressed(got, "estate", "etl");
    assert_eq!(
        got.cure,
        "Print the statement with: keyferry iam-policy etl -n estate."
    );
}

#[test]
fn a_role_that_cannot_be_assumed_says_whom_it_must_trust() {
    use Reason::*;
    let account = Trusted::ServiceAccount {
        namespace: "estate",
        name: "backend",
    };
    let role = |external_id| Trusted::Role {
        from: "arn:aws:sts::111122223333:assumed-role/op/keyferry",
        external_id,
    };
    for (code, message, trusted, reason, fact, cure) in [
        (
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            account,
            AssumeRoleFailed,
            "Role arn:aws:iam::111122223333:role/estate-reader does not trust ServiceAccount estate/backend.",
            "system:serviceaccount:estate:backend",
        ),
        (
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            Trusted::Operator,
            AssumeRoleFailed,
            "does not trust the operator's ServiceAccount.",
            "sts:AssumeRoleWithWebIdentity",
        ),
        (
            "InvalidIdentityToken",
            "Incorrect token audience",
            account,
            AssumeRoleFailed,
            "wrong audience",
            "sts.amazonaws.com",
        ),
        (
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for https://x",
            account,
            AssumeRoleFailed,
            "account 111122223333 does not know its issuer",
            "Create the IAM OIDC provider",
        ),
        (
            "ExpiredTokenException",
            "Token expired",
            account,
            AssumeRoleFailed,
            "it has expired",
            "clock",
        ),
        (
            "InvalidIdentityToken",
            "not a valid JWT",
            account,
            AssumeRoleFailed,
            "(InvalidIdentityToken)",
            "OIDC provider",
        ),
        (
            "AccessDenied",
            "User: x is not authorized to perform: sts:AssumeRole on resource: y",
            role(true),
            AssumeRoleFailed,
            "arn:aws:sts::111122223333:assumed-role/op/keyferry may not assume role arn:aws:iam::111122223333:role/estate-reader with that external id.",
            "sts:AssumeRole",
        ),
        (
            "AccessDenied",
            "User: x is not authorized to perform: sts:TagSession on resource: y",
            role(false),
            AssumeRoleFailed,
            "may not pass session tags",
            "sts:TagSession",
        ),
        (
            "ExpiredToken",
            "",
            role(false),
            NoCredentials,
            "does not accept the credentials",
            "clock",
        ),
        (
            "ValidationError",
            "",
            role(false),
            AssumeRoleFailed,
            "(ValidationError)",
            "ARN",
        ),
        (
            "Throttling",
            "",
            role(false),
            Throttled,
            "sts:AssumeRole",
            "",
        ),
        (
            "IDPCommunicationError",
            "",
            account,
            AwsUnavailable,
            "STS in eu-west-1 failed to answer",
            "",
        ),
    ] {
        let operation = match trusted {
            Trusted::Role { .. } => Operation::AssumeRole,
            _ => Operation::AssumeRoleWithWebIdentity,
        };
        let place = Place {
            operation,
            region: "eu-west-1",
            patience: Duration::from_secs(20),
        };
        let got = role_finding(
            &Failure::Refused(refusal(code, message)),
            ROLE,
            trusted,
            place,
        );
        assert_eq!(got.reason, reason, "{code} {message}: {got}");
        assert!(got.fact.contains(fact), "{code}: {got}");
        assert!(got.cure.contains(cure), "{code}: {got}");
    }
}
