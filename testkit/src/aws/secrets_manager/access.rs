//! Finds the secret a call is about and decides whether the caller may touch it.

use std::collections::BTreeMap;

use super::super::World;
use super::super::error::AwsError;
use super::super::iam::{Iam, Principal, account_of, denied};
use super::super::policy::Verdict;
use super::super::store::{Secret, SecretRef, partition_of};

/// A secret the caller may touch: in which store, and under which name.
pub(super) struct Found {
    pub account: String,
    pub name: String,
}

/// Checks the right first and existence second, as AWS does: without the right a caller does not
/// learn whether a secret exists.
pub(super) fn find(
    world: &World,
    caller: &Principal,
    region: &str,
    action: &str,
    id: &str,
) -> Result<Found, AwsError> {
    let wanted = SecretRef::parse(id)?;
    let account = wanted.account.unwrap_or(&caller.account);
    let store = world.stores.get(account, region);
    let resolved = store.map_or_else(|| Err(AwsError::not_found()), |s| s.resolve(id));
    let none = BTreeMap::new();
    let (resource, tags) = match &resolved {
        Ok(secret) => (secret.arn.to_string(), &secret.tags),
        Err(_) => (absent_arn(account, region, id, wanted.name), &none),
    };
    let verdict = world.iam.verdict(caller, action, &resource, tags);
    if verdict != Verdict::Allowed {
        return Err(denied(caller, action, id, verdict));
    }
    let secret = resolved?;
    check_resource_policy(caller, account, action, id, secret)?;
    Ok(Found {
        account: account.to_owned(),
        name: secret.name.to_string(),
    })
}

/// The ARN a policy is compared with when there is no such secret.
fn absent_arn(account: &str, region: &str, id: &str, name: &str) -> String {
    if id.starts_with("arn:") {
        return id.to_owned();
    }
    let partition = partition_of(region);
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}")
}

/// An action that has no single secret, such as ListSecrets.
pub(super) fn may(iam: &Iam, caller: &Principal, action: &str) -> Result<(), AwsError> {
    may_on(iam, caller, action, "*")
}

/// An action on a resource without a policy of its own.
pub(super) fn may_on(
    iam: &Iam,
    caller: &Principal,
    action: &str,
    resource: &str,
) -> Result<(), AwsError> {
    match iam.verdict(caller, action, resource, &BTreeMap::new()) {
        Verdict::Allowed => Ok(()),
        verdict => Err(denied(caller, action, resource, verdict)),
    }
}

fn check_resource_policy(
    caller: &Principal,
    owner: &str,
    action: &str,
    id: &str,
    secret: &Secret,
) -> Result<(), AwsError> {
    let names = |patterns: &[String]| caller.is_named_by(patterns);
    let refuse = |why: String| {
        let arn = &caller.arn;
        let text =
            format!("User: {arn} is not authorized to perform: {action} on resource: {id} {why}");
        Err(AwsError::new("AccessDeniedException", text))
    };
    if names(&secret.policy.deny) {
        return refuse("with an explicit deny in a resource-based policy".to_owned());
    }
    if owner != caller.account && !names(&secret.policy.allow) {
        return refuse(format!(
            "because no resource-based policy allows the {action} action"
        ));
    }
    Ok(())
}

/// Whether the caller may decrypt what the secret's key encrypted. The default key is open to the
/// owner's account and closed to all others.
pub(super) fn check_key(iam: &Iam, caller: &Principal, secret: &Secret) -> Result<(), AwsError> {
    let owner = account_of(&secret.arn);
    let Some(key) = customer_key(secret) else {
        if owner == caller.account {
            return Ok(());
        }
        return Err(AwsError::invalid_request(
            "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.",
        ));
    };
    let region = secret.arn.split(':').nth(3).unwrap_or_default();
    let read = ("kms:Decrypt", "secretsmanager");
    match iam.verdict_on_key(caller, read, region, key) {
        Verdict::Allowed => Ok(()),
        _ => Err(AwsError::new(
            "AccessDeniedException",
            "Access to KMS is not allowed",
        )),
    }
}

/// Whether the caller may encrypt a new value with this key (source: AWS, "Secret encryption and decryption":
/// writing needs GenerateDataKey and Decrypt).
pub(super) fn check_writing_key(
    iam: &Iam,
    caller: &Principal,
    region: &str,
    key: Option<&str>,
) -> Result<(), AwsError> {
    let Some(key) = key.filter(|key| is_customers(key)) else {
        return Ok(());
    };
    let may = |action| {
        iam.verdict_on_key(caller, (action, "secretsmanager"), region, key) == Verdict::Allowed
    };
    if may("kms:GenerateDataKey") && may("kms:Decrypt") {
        return Ok(());
    }
    Err(AwsError::new(
        "AccessDeniedException",
        "Access to KMS is not allowed",
    ))
}

fn customer_key(secret: &Secret) -> Option<&str> {
    secret.kms_key_id.as_deref().filter(|key| is_customers(key))
}

fn is_customers(key: &str) -> bool {
    !key.ends_with("alias/aws/secretsmanager")
}
