//! References to entries: names, ARNs and the form that ECS task definitions use.
//!
//! A reference is text only: whether an ARN ends in AWS's six characters is never assumed, because a
//! name such as `.../jwt-secret` looks exactly like it. What an entry is really called is learnt from
//! replies.

use crate::api::limits;

use super::{
    entry::{EntryAsk, SecretArn, SecretId, Store, VersionSelector},
    parameter::ParameterId,
};

/// Longest reference in characters (the API's own limit).
pub const MAX_REFERENCE: usize = limits::REFERENCE_CHARS as usize;
/// Longest name of an entry (source: CreateSecret API, `Name`).
pub const MAX_NAME: usize = limits::ENTRY_NAME_CHARS as usize;
/// Hyphen and the six characters AWS appends to a name in an ARN.
const SUFFIX: usize = 7;

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What is read.
    pub ask: EntryAsk,
    /// The `json-key` of an ECS reference.
    pub property: Option<String>,
}

/// Why a text is not a reference. The sentences continue "`spec...secret`: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing.
    #[error("must not be empty")]
    Empty,
    /// More than [`MAX_REFERENCE`] or, for the name, [`MAX_NAME`] characters.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A character that Secrets Manager does not allow.
    #[error("must be a name of letters, digits and /_+=.@- or an ARN")]
    Characters,
    /// Not the shape of an ARN of an entry.
    #[error("must be arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME: {0}")]
    Arn(&'static str),
    /// A tail without exactly three fields.
    #[error(
        "must end, after the name, in `:json-key:version-stage:version-id` with all three colons"
    )]
    Tail,
    /// Both a stage and a version id.
    #[error("must name a version stage or a version id, not both")]
    StageAndId,
    /// A bad stage.
    #[error("must name a version stage of 1 to 256 characters")]
    Stage,
    /// A bad version id.
    #[error("must name a version id of 32 to 64 characters")]
    VersionId,
}

/// Parses a name, a full or partial ARN of any partition, or an ECS reference
/// `ARN:json-key:version-stage:version-id` whose fields may be empty.
///
/// # Errors
/// [`ReferenceError`], whose text holds nothing of the reference.
pub fn parse_reference(text: &str) -> Result<Reference, ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if text.chars().count() > MAX_REFERENCE {
        return Err(ReferenceError::TooLong(MAX_REFERENCE));
    }
    match text.strip_prefix("arn:") {
        Some(rest) => parse_arn(rest),
        None => Ok(Reference {
            ask: EntryAsk {
                id: SecretId::Name(check_name(text, MAX_NAME)?.to_owned()),
                version: VersionSelector::Current,
            },
            property: None,
        }),
    }
}

/// A name as Secrets Manager allows it, at most `max` characters.
pub(crate) fn check_name(name: &str, max: usize) -> Result<&str, ReferenceError> {
    if name.is_empty() {
        Err(ReferenceError::Empty)
    } else if !name.bytes().all(is_name_byte) {
        Err(ReferenceError::Characters)
    } else if name.len() > max {
        Err(ReferenceError::TooLong(max))
    } else {
        Ok(name)
    }
}

/// The account of an ARN; None where it names none.
pub fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b)
}

fn parse_arn(rest: &str) -> Result<Reference, ReferenceError> {
    let mut fields = rest.split(':');
    let mut next = || fields.next().unwrap_or_default();
    let (partition, service, region, account) = (next(), next(), next(), next());
    let (kind, resource) = (next(), next());
    if !is_partition(partition) {
        return Err(ReferenceError::Arn(
            "the partition is aws, aws-cn, aws-us-gov or the like",
        ));
    }
    if service != "secretsmanager" {
        return Err(ReferenceError::Arn("this one is of another service"));
    }
    if !is_region(region) {
        return Err(ReferenceError::Arn("the region is not one"));
    }
    if !is_account(account) {
        return Err(ReferenceError::Arn("the account must have twelve digits"));
    }
    if kind != "secret" {
        return Err(ReferenceError::Arn("this one is not of a secret"));
    }
    check_name(resource, MAX_NAME + SUFFIX)?;
    let tail: Vec<&str> = fields.collect();
    let (property, version) = parse_tail(&tail)?;
    let id = SecretId::Arn(SecretArn {
        partition: partition.to_owned(),
        region: region.to_owned(),
        account: account.to_owned(),
        resource: resource.to_owned(),
    });
    Ok(Reference {
        ask: EntryAsk { id, version },
        property,
    })
}

/// The fields after the resource; a colon in front of each stands even when it is empty
/// (source: ECS developer guide, "Pass Secrets Manager secrets through environment variables").
fn parse_tail(tail: &[&str]) -> Result<(Option<String>, VersionSelector), ReferenceError> {
    if !matches!(tail.len(), 0 | 3) {
        return Err(ReferenceError::Tail);
    }
    let field = |i: usize| tail.get(i).copied().filter(|f| !f.is_empty());
    let version = version_selector(field(1), field(2))?;
    Ok((field(0).map(str::to_owned), version))
}

/// A stage or a version id; neither means AWSCURRENT.
///
/// # Errors
/// [`ReferenceError::StageAndId`], [`ReferenceError::Stage`] or [`ReferenceError::VersionId`].
pub(crate) fn version_selector(
    stage: Option<&str>,
    id: Option<&str>,
) -> Result<VersionSelector, ReferenceError> {
    match (stage, id) {
        (None, None) | (Some("AWSCURRENT"), None) => Ok(VersionSelector::Current),
        (Some(_), Some(_)) => Err(ReferenceError::StageAndId),
        (Some(stage), None) if is_stage(stage) => Ok(VersionSelector::Stage(stage.to_owned())),
        (Some(_), None) => Err(ReferenceError::Stage),
        (None, Some(id)) if is_version_id(id) => Ok(VersionSelector::Id(id.to_owned())),
        (None, Some(_)) => Err(ReferenceError::VersionId),
    }
}

fn is_stage(stage: &str) -> bool {
    let most = limits::VERSION_STAGE_CHARS as usize;
    (1..=most).contains(&stage.chars().count())
}

fn is_version_id(id: &str) -> bool {
    let (least, most) = (limits::VERSION_ID_MIN_CHARS, limits::VERSION_ID_MAX_CHARS);
    (least as usize..=most as usize).contains(&id.chars().count())
}

pub(crate) fn is_partition(partition: &str) -> bool {
    let mut words = partition.split('-');
    words.next() == Some("aws")
        && partition.len() <= 32
        && words.all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
}

/// `us-east-1`, `us-gov-west-1`, `us-isob-east-1`: words of letters, then a number.
pub(crate) fn is_region(region: &str) -> bool {
    let words: Vec<&str> = region.split('-').collect();
    let Some((number, names)) = words.split_last() else {
        return false;
    };
    region.len() <= 32
        && names.len() >= 2
        && names[0].len() >= 2
        && names
            .iter()
            .all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn is_account(account: &str) -> bool {
    account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
}

impl SecretId {
    /// How messages call the entry: the name, or the last part of the ARN as it was written.
    pub fn display(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Arn(arn) => &arn.resource,
            Self::Parameter(id) => id.display(),
        }
    }

    /// Where the entry is kept.
    pub fn store(&self) -> Store {
        match self {
            Self::Name(_) | Self::Arn(_) => Store::Secrets,
            Self::Parameter(_) => Store::Parameters,
        }
    }

    /// What is sent to AWS as `SecretId`: the name or the whole ARN.
    pub fn request(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Arn(a) => format!(
                "arn:{}:secretsmanager:{}:{}:secret:{}",
                a.partition, a.region, a.account, a.resource
            ),
            Self::Parameter(id) => id.request(),
        }
    }

    /// Every name the entry may have: a name is itself; the resource of an ARN is read as it stands and,
    /// if it ends in a hyphen and six letters or digits, also without them. Which one holds is known
    /// only from AWS's reply, so all must be allowed before the call.
    pub fn readings(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone()],
            Self::Arn(arn) => readings(&arn.resource),
            Self::Parameter(id) => id.readings(),
        }
    }

    /// Region of an ARN.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) | Self::Parameter(ParameterId::Name(_)) => None,
            Self::Arn(arn) => Some(&arn.region),
            Self::Parameter(ParameterId::Arn(arn)) => Some(&arn.region),
        }
    }

    /// Account of an ARN.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Name(_) | Self::Parameter(ParameterId::Name(_)) => None,
            Self::Arn(arn) => Some(&arn.account),
            Self::Parameter(ParameterId::Arn(arn)) => Some(&arn.account),
        }
    }
}

/// The names that an ARN's resource may stand for: the text itself, and without the hyphen and six
/// characters that AWS appends. Which one it is, only AWS knows.
pub fn readings(resource: &str) -> Vec<String> {
    std::iter::once(resource)
        .chain(without_suffix(resource))
        .map(str::to_owned)
        .collect()
}

/// The text before a hyphen and six letters or digits at the end; None without them or with nothing before.
fn without_suffix(resource: &str) -> Option<&str> {
    let (bare, suffix) = resource.rsplit_once('-')?;
    let six = suffix.len() == SUFFIX - 1 && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
    (six && !bare.is_empty()).then_some(bare)
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
