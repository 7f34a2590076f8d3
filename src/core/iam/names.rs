//! From references to the ARNs that a policy compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use super::{Asker, Facts, Identity, partition::partition, shown};
use crate::core::{
    EntryAsk, ParameterId, Recipe, SecretId,
    recipe::GroupSource,
    reference::{is_account, is_partition, is_region, readings},
};

/// ARNs and patterns of them.
pub(super) type Resources = BTreeSet<String>;

/// The hyphen and the six characters that AWS appends to a name.
const SUFFIX: &str = "-??????";

/// Names are looked up in the account of whoever reads, and nobody says which that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountUnknown {
    binding: String,
    found: BTreeSet<String>,
}

impl fmt::Display for AccountUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the account of {} is ", self.binding)?;
        match self.found.len() {
            0 => f.write_str("not known")?,
            _ => {
                let found: Vec<&str> = self.found.iter().map(String::as_str).collect();
                write!(f, "ambiguous ({})", found.join(", "))?;
            }
        }
        f.write_str(": name the account that reads with --account")
    }
}

/// Where a binding's names are looked up: the account of its role, what was said, the identity its operator was seen
/// with, and at last the one account that its own ARNs name.
pub(super) fn account(
    asker: &Asker<'_>,
    all: &[Asker<'_>],
    reader: &Identity,
    facts: &Facts,
) -> Result<String, AccountUnknown> {
    if let Identity::Role(arn) = reader {
        return Ok(field(arn, 4).to_owned());
    }
    if let Some(account) = &facts.account {
        return Ok(account.clone());
    }
    let alike = |other: &&Asker<'_>| {
        other.recipe.identity.role_arn.is_none() && super::base(other) == *reader
    };
    let seen = all.iter().filter(alike).filter_map(|other| other.known_as);
    let seen: BTreeSet<String> = seen.map(|arn| field(arn, 4).to_owned()).collect();
    let of_arns = || {
        let asks = asker.recipe.asks();
        let accounts = asks.iter().filter_map(|ask| ask.id.account());
        accounts.map(str::to_owned).collect()
    };
    let found: BTreeSet<String> = if seen.is_empty() { of_arns() } else { seen };
    match found.len() {
        1 => Ok(found.into_iter().collect()),
        _ => Err(AccountUnknown {
            binding: shown(asker),
            found,
        }),
    }
}

fn field(arn: &str, at: usize) -> &str {
    arn.split(':').nth(at).unwrap_or_default()
}

/// Whether a read may find nothing.
pub(super) fn is_optional(recipe: &Recipe, ask: &EntryAsk) -> bool {
    let key = recipe
        .keys
        .iter()
        .any(|key| key.optional && key.ask == *ask);
    let group = recipe.groups.iter().any(|group| match &group.from {
        GroupSource::Entry { ask: of, .. } => group.optional && of == ask,
        GroupSource::Prefix(_) => false,
    });
    key || group
}

/// One region, in which everything is asked for.
pub(super) struct Place {
    region: String,
}

type Account<'a> = &'a dyn Fn() -> Result<String, AccountUnknown>;

impl Place {
    pub fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
        }
    }

    /// What an entry's ARN may be. One that may be missing is asked for without AWS's characters: there is no ARN
    /// that has them, and without the right for this one AWS says that the read is denied, not that nothing is there.
    pub fn entry(
        &self,
        id: &SecretId,
        optional: bool,
        account: Account<'_>,
    ) -> Result<Vec<String>, AccountUnknown> {
        let (account, names) = match id {
            SecretId::Arn(arn) => (arn.account.clone(), readings(&arn.resource)),
            other => (account()?, vec![other.display().to_owned()]),
        };
        let mut patterns: Vec<String> = Vec::new();
        if let Some(whole) = names.first() {
            patterns.push(self.arn(&account, &format!("{whole}{SUFFIX}")));
            // It ends as if it were complete, or nothing may be there at all.
            if names.len() > 1 || optional {
                patterns.push(self.arn(&account, whole));
            }
        }
        Ok(patterns)
    }

    /// Everything under a prefix.
    pub fn prefix(
        &self,
        prefix: &str,
        account: Account<'_>,
    ) -> Result<Vec<String>, AccountUnknown> {
        Ok(vec![self.arn(&account()?, &format!("{prefix}*"))])
    }

    /// A parameter, in all its versions.
    pub fn parameter(
        &self,
        id: &ParameterId,
        account: Account<'_>,
    ) -> Result<String, AccountUnknown> {
        let account = match id {
            ParameterId::Name(_) => account()?,
            ParameterId::Arn(arn) => arn.account.clone(),
        };
        Ok(self.parameter_arn(&account, id.display()))
    }

    /// Everything below a path, and the path itself as it is listed: with its last slash.
    pub fn path(&self, path: &str, account: Account<'_>) -> Result<String, AccountUnknown> {
        Ok(self.parameter_arn(&account()?, &format!("{path}*")))
    }

    /// One slash stands before the name, whether it begins with one or not.
    fn parameter_arn(&self, account: &str, name: &str) -> String {
        let region = &self.region;
        let (partition, name) = (partition(region), name.strip_prefix('/').unwrap_or(name));
        format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}")
    }

    fn arn(&self, account: &str, resource: &str) -> String {
        let region = &self.region;
        let partition = partition(region);
        format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{resource}")
    }
}

/// Those that no pattern of `by` with a `*` at its end takes in already.
pub(super) fn without_covered(all: &Resources, by: &Resources) -> Resources {
    let covered = |arn: &&String| {
        let mut wider = by.iter().filter(|other| other != arn);
        wider.any(|other| {
            let start = other.strip_suffix('*');
            start.is_some_and(|start| arn.starts_with(start))
        }) || (!std::ptr::eq(all, by) && by.contains(*arn))
    };
    all.iter().filter(|arn| !covered(arn)).cloned().collect()
}

/// Regions of ARNs, with the accounts in each.
pub(super) fn places(arns: &Resources) -> BTreeMap<String, BTreeSet<String>> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arn in arns {
        let accounts = places.entry(field(arn, 3).to_owned()).or_default();
        accounts.insert(field(arn, 4).to_owned());
    }
    places
}

/// ARN of a key. An alias is none: a right on an alias is no right on its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyArn(String);

impl KeyArn {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no key's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyArnError {
    /// Aliases give no right.
    #[error("an alias gives no right to its key; name the key (aws kms describe-key --key-id ...)")]
    Alias,
    /// Anything else.
    #[error("must be arn:PARTITION:kms:REGION:ACCOUNT:key/ID")]
    Shape,
}

impl FromStr for KeyArn {
    type Err = KeyArnError;

    fn from_str(text: &str) -> Result<Self, KeyArnError> {
        if text.starts_with("alias/") || text.contains(":alias/") {
            return Err(KeyArnError::Alias);
        }
        let fields: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "kms", region, account, key] = fields[..] else {
            return Err(KeyArnError::Shape);
        };
        let id = key.strip_prefix("key/").unwrap_or_default();
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = is_partition(partition)
            && is_region(region)
            && is_account(account)
            && !id.is_empty()
            && id.bytes().all(good);
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(KeyArnError::Shape),
        }
    }
}
