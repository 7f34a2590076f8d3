//! Parameters of Parameter Store: what they are called, and how their versions are told apart.
//!
//! A parameter is one more kind of entry: everything that holds for entries of Secrets Manager holds for it.

use aws_lc_rs::digest;
use jiff::Timestamp;

use super::{
    entry::{EntryAsk, SecretId, VersionSelector},
    reference::{is_account, is_partition, is_region, parse_reference},
};
use crate::api::limits;

/// Longest text that names a parameter.
const MAX: usize = limits::PARAMETER_CHARS as usize;
/// Longest label.
const MAX_LABEL: usize = limits::PARAMETER_LABEL_CHARS as usize;
/// Digits of a version number.
const MAX_DIGITS: usize = 18;
/// Characters that tell a version from another one of the same number.
const TELLING: usize = 8;

/// Which parameter: by name or by ARN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParameterId {
    /// A name in the caller's own account.
    Name(String),
    /// An ARN.
    Arn(ParameterArn),
}

/// `arn:PARTITION:ssm:REGION:ACCOUNT:parameterRESOURCE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterArn {
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso`...
    pub partition: String,
    /// Region of the parameter.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// What follows `parameter`: begins with a slash, whether the name does or not.
    pub resource: String,
}

/// Why a text names no parameter. The sentences continue "`parameter` ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// More than the API allows.
    #[error("must have 1 to {MAX} characters")]
    Length,
    /// No name.
    #[error(
        "must be a name of letters, digits and _.-, with levels beginning with /, or an ARN: /estate/config/log-level"
    )]
    Name,
    /// Not the shape of an ARN of a parameter.
    #[error("must be arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME")]
    Arn,
    /// Neither number nor label behind the colon.
    #[error("must end, after the name, in nothing, `:` and a version number, or `:` and a label")]
    Version,
}

/// Parses a name or ARN, maybe with a colon and a version number or label behind it, as Parameter Store's own API
/// has it (source: GetParameters, `Names`).
///
/// # Errors
/// [`ParameterError`], whose text holds nothing of the parameter.
pub fn parse_parameter(text: &str) -> Result<EntryAsk, ParameterError> {
    if text.is_empty() || text.chars().count() > MAX {
        return Err(ParameterError::Length);
    }
    let (id, selector) = match text.strip_prefix("arn:") {
        Some(rest) => {
            let fields: Vec<&str> = rest.splitn(6, ':').collect();
            let (arn, selector) = parse_fields(&fields).ok_or(ParameterError::Arn)?;
            (ParameterId::Arn(arn), selector)
        }
        None => {
            let (name, selector) = split(text);
            if !is_name(name) {
                return Err(ParameterError::Name);
            }
            (ParameterId::Name(name.to_owned()), selector)
        }
    };
    let version = match selector {
        None => VersionSelector::Current,
        Some(number) if is_number(number) => VersionSelector::Id(number.to_owned()),
        Some(label) if is_label(label) => VersionSelector::Stage(label.to_owned()),
        Some(_) => return Err(ParameterError::Version),
    };
    Ok(EntryAsk {
        id: SecretId::Parameter(id),
        version,
    })
}

/// A path with a slash at its end; None for what is no path of one level or more.
pub fn path(text: &str) -> Option<String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    let good = bare.starts_with('/') && is_name(bare) && text.len() <= MAX;
    good.then(|| format!("{bare}/"))
}

/// A version of what a secret's name or ARN, or a parameter's ARN, means.
pub fn ask(reference: &str, version: VersionSelector) -> Option<EntryAsk> {
    let id = match ParameterArn::parse(reference) {
        Some(arn) => SecretId::Parameter(ParameterId::Arn(arn)),
        None => parse_reference(reference).ok()?.ask.id,
    };
    Some(EntryAsk { id, version })
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, selector)) => (name, Some(selector)),
        None => (text, None),
    }
}

/// The fields after `arn:`.
fn parse_fields<'a>(fields: &[&'a str]) -> Option<(ParameterArn, Option<&'a str>)> {
    let (partition, service, region, account, resource) = match *fields {
        [partition, service, region, account, resource] => {
            (partition, service, region, account, (resource, None))
        }
        [partition, service, region, account, resource, selector] => (
            partition,
            service,
            region,
            account,
            (resource, Some(selector)),
        ),
        _ => return None,
    };
    let (resource, selector) = resource;
    let name = resource.strip_prefix("parameter")?;
    let good = service == "ssm"
        && is_partition(partition)
        && is_region(region)
        && is_account(account)
        && name.starts_with('/')
        && is_name(name);
    let arn = ParameterArn {
        partition: partition.to_owned(),
        region: region.to_owned(),
        account: account.to_owned(),
        resource: name.to_owned(),
    };
    good.then_some((arn, selector))
}

/// One level, or several of which each begins with a slash (source: PutParameter, `Name`).
fn is_name(name: &str) -> bool {
    let level = |level: &str| {
        !level.is_empty()
            && level
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    match name.strip_prefix('/') {
        Some(levels) => levels.split('/').all(level),
        None => level(name),
    }
}

fn is_number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0')
}

/// A label does not begin with a digit (source: Systems Manager user guide, "Working with parameter labels").
fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

impl ParameterArn {
    /// Takes the ARN of a reply apart.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.strip_prefix("arn:")?.splitn(6, ':').collect();
        let (arn, selector) = parse_fields(&fields)?;
        selector.is_none().then_some(arn)
    }
}

impl std::fmt::Display for ParameterArn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            partition,
            region,
            account,
            resource,
        } = self;
        write!(
            f,
            "arn:{partition}:ssm:{region}:{account}:parameter{resource}"
        )
    }
}

impl ParameterId {
    /// How messages call the parameter.
    pub fn display(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Arn(arn) => &arn.resource,
        }
    }

    /// What is sent to AWS: the name or the whole ARN.
    pub fn request(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Arn(arn) => arn.to_string(),
        }
    }

    /// Every name the parameter may have. An ARN does not tell whether a name of one level begins with a slash.
    pub fn readings(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone()],
            Self::Arn(arn) => match arn.resource.strip_prefix('/') {
                Some(bare) if !bare.contains('/') => vec![bare.to_owned(), arn.resource.clone()],
                _ => vec![arn.resource.clone()],
            },
        }
    }

    /// Whether a name is one the parameter may have.
    pub fn may_be(&self, name: &str) -> bool {
        self.readings().iter().any(|reading| reading == name)
    }
}

/// The id of a version: its number, a hyphen, and what tells it from the version of the same number of another
/// parameter, or of one of the same name that was deleted. Numbers begin anew there.
pub fn version_id(arn: &str, number: i64, modified: Option<Timestamp>) -> String {
    let modified = modified.map_or(0, |at| at.as_millisecond());
    let text = format!("{arn} {number} {modified}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let telling = hash.as_ref().iter().take(TELLING / 2);
    let telling: String = telling.map(|byte| format!("{byte:02x}")).collect();
    format!("{number}-{telling}")
}

/// The number in the id of a parameter's version; None for anything else. Ids of secrets have 32 characters or more.
pub fn number(version_id: &str) -> Option<&str> {
    let (number, telling) = version_id.split_once('-')?;
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (is_number(number) && telling.len() == TELLING && telling.bytes().all(hexadecimal))
        .then_some(number)
}

/// Whether a version is the one that was asked for by its id, or by its number alone.
pub fn is_version(asked: &str, version_id: &str) -> bool {
    asked == version_id || number(version_id) == Some(asked)
}

#[cfg(test)]
#[path = "parameter_tests.rs"]
mod tests;
