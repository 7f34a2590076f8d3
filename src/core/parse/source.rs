//! `spec.source`: who reads, and where.

use std::collections::BTreeSet;

use super::{Problem, is_dns_subdomain};
use crate::api::binding::Source;
use crate::api::limits;
use crate::api::names::SESSION_TAG_NAMESPACE;
use crate::core::recipe::IdentityRecipe;
use crate::core::reference::{is_account, is_partition, is_region};
use crate::core::{EntryAsk, PrefixAsk, Store};

const FAILOVER: &str = "spec.source.failoverRegions";

pub(super) fn identity(source: Option<&Source>) -> Result<IdentityRecipe, Problem> {
    let Some(source) = source else {
        return Ok(IdentityRecipe::default());
    };
    let refuse =
        |field: &str, sentence: &str| Err(Problem::spec(&format!("spec.source.{field}"), sentence));
    if source.region.as_deref().is_some_and(|r| !is_region(r)) {
        return refuse("region", "must be an AWS region such as us-east-1");
    }
    if source
        .service_account_name
        .as_deref()
        .is_some_and(|n| !is_dns_subdomain(n))
    {
        return refuse("serviceAccountName", "must be the name of a ServiceAccount");
    }
    if source.role_arn.as_deref().is_some_and(|a| !is_role_arn(a)) {
        return refuse("roleArn", "must be arn:PARTITION:iam::ACCOUNT:role/NAME");
    }
    if source.role_arn.is_none()
        && (source.external_id.is_some() || !source.session_tags.is_empty())
    {
        return refuse(
            "roleArn",
            "must be set: `externalId` and `sessionTags` are sent when it is assumed",
        );
    }
    if source
        .external_id
        .as_deref()
        .is_some_and(|id| !is_external_id(id))
    {
        return refuse(
            "externalId",
            "must have 2 to 1224 letters, digits or +=,.@:/-_",
        );
    }
    check_tags(source)?;
    Ok(IdentityRecipe {
        region: source.region.clone(),
        failover: failover(&source.failover_regions)?,
        service_account: source.service_account_name.clone(),
        role_arn: source.role_arn.clone(),
        external_id: source.external_id.clone(),
        session_tags: source.session_tags.clone(),
    })
}

fn failover(regions: &[String]) -> Result<Vec<String>, Problem> {
    let distinct: BTreeSet<&String> = regions.iter().collect();
    let refuse = |sentence: &str| Err(Problem::spec(FAILOVER, sentence));
    if regions.len() > limits::FAILOVER_REGIONS as usize {
        return refuse("must have at most 5 regions");
    }
    if !regions.iter().all(|region| is_region(region)) {
        return refuse("must be AWS regions such as us-east-1");
    }
    if distinct.len() < regions.len() {
        return refuse("must not name a region twice");
    }
    Ok(regions.to_vec())
}

/// What is asked first is no place to fall back on.
pub(super) fn failover_is_elsewhere(identity: &IdentityRecipe) -> Result<(), Problem> {
    match &identity.region {
        Some(region) if identity.failover.contains(region) => {
            let sentence = format!("must not hold {region}: it is asked first anyway");
            Err(Problem::spec(FAILOVER, sentence))
        }
        _ => Ok(()),
    }
}

/// Parameter Store has no replicas.
pub(super) fn failover_is_for_secrets(
    identity: &IdentityRecipe,
    asks: &BTreeSet<EntryAsk>,
    prefixes: &BTreeSet<PrefixAsk>,
) -> Result<(), Problem> {
    let parameters = asks.iter().any(|ask| ask.id.store() == Store::Parameters)
        || prefixes.iter().any(|ask| ask.store == Store::Parameters);
    if identity.failover.is_empty() || !parameters {
        return Ok(());
    }
    let sentence = "must not be set for parameters: Parameter Store has no replicas";
    Err(Problem::spec(FAILOVER, sentence))
}

/// Limits of STS (source: AssumeRole API, `Tags`); names that AWS or keyferry sets itself are refused.
fn check_tags(source: &Source) -> Result<(), Problem> {
    let field = "spec.source.sessionTags";
    if source.session_tags.len() > limits::SESSION_TAGS as usize {
        return Err(Problem::spec(field, "must have at most 49 tags"));
    }
    for (key, value) in &source.session_tags {
        let lower = key.to_lowercase();
        let reserved = lower.starts_with("aws:") || lower == SESSION_TAG_NAMESPACE;
        if !is_tag_key(key) || value.chars().count() > limits::TAG_VALUE_CHARS as usize {
            return Err(Problem::spec(
                field,
                "must have names of 1 to 128 letters, digits, blanks and _.:/=+@- and values of at most 256 characters",
            ));
        }
        if reserved {
            return Err(Problem::spec(
                field,
                "must not set tags that begin with aws: nor the one keyferry sets itself",
            ));
        }
    }
    Ok(())
}

/// The region of the reads: as written, else the one of the ARNs, which must all agree.
pub(super) fn region(
    written: Option<String>,
    asks: &BTreeSet<EntryAsk>,
) -> Result<Option<String>, Problem> {
    let mut region = written;
    for of_arn in asks.iter().filter_map(|ask| ask.id.region()) {
        match &region {
            Some(known) if known != of_arn => {
                let sentence = format!("must agree with the ARNs: found {known} and {of_arn}");
                return Err(Problem::spec("spec.source.region", sentence));
            }
            Some(_) => {}
            None => region = Some(of_arn.to_owned()),
        }
    }
    Ok(region)
}

fn is_role_arn(arn: &str) -> bool {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = fields[..] else {
        return false;
    };
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+=,.@-".contains(&b);
    is_partition(partition)
        && is_account(account)
        && !name.is_empty()
        && arn.len() <= limits::ROLE_ARN_CHARS as usize
        && name.bytes().all(allowed)
}

fn is_external_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&b);
    (2..=limits::EXTERNAL_ID_CHARS as usize).contains(&id.len()) && id.bytes().all(allowed)
}

fn is_tag_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b" _.:/=+@-".contains(&b);
    (1..=128).contains(&key.len()) && key.bytes().all(allowed)
}
