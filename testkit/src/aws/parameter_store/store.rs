//! What the fake Parameter Store remembers: parameters, their versions and labels. Pure data with the service's own
//! rules.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::error::AwsError;
use super::super::store::partition_of;

/// Largest value of an advanced parameter (source: Systems Manager quotas).
const MAX_VALUE_BYTES: usize = 8_192;
/// Versions that are kept; the oldest goes unless it carries a label (source: PutParameter API reference).
const MAX_VERSIONS: usize = 100;
/// Labels of one version (source: LabelParameterVersion API reference).
const MAX_LABELS: usize = 10;

/// How a value is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Encrypted; without a key with `alias/aws/ssm`.
    Secure(Option<String>),
}

/// One version. `Debug` does not show the value.
#[derive(Clone)]
pub(crate) struct Version {
    pub number: i64,
    pub value: Arc<str>,
    pub modified: Timestamp,
}

/// One parameter.
#[derive(Clone)]
pub(crate) struct Parameter {
    pub arn: String,
    pub name: String,
    pub kind: Kind,
    pub versions: Vec<Version>,
    pub labels: BTreeMap<String, i64>,
}

impl Parameter {
    /// The latest version, or the one of a number or label.
    pub fn select(&self, selector: Option<&str>) -> Option<&Version> {
        let Some(selector) = selector else {
            return self.versions.last();
        };
        let by_label = self.labels.get(selector).copied();
        let number = by_label.or_else(|| selector.parse().ok())?;
        self.versions.iter().find(|v| v.number == number)
    }
}

/// The parameters of one account and region.
pub(crate) struct ParameterStore {
    account: String,
    region: String,
    parameters: BTreeMap<String, Parameter>,
}

impl ParameterStore {
    /// Makes a parameter or a new version of it; returns the version.
    pub fn put(
        &mut self,
        name: &str,
        value: &str,
        kind: Kind,
        now: Timestamp,
    ) -> Result<i64, AwsError> {
        check_name(name)?;
        if !(1..=MAX_VALUE_BYTES).contains(&value.len()) {
            let text = "Member must have length between 1 and 8192";
            return Err(AwsError::validation(text));
        }
        let arn = arn_of(&self.account, &self.region, name);
        let parameter = self
            .parameters
            .entry(name.to_owned())
            .or_insert_with(|| Parameter {
                arn,
                name: name.to_owned(),
                kind: kind.clone(),
                versions: Vec::new(),
                labels: BTreeMap::new(),
            });
        parameter.kind = kind;
        let number = parameter.versions.last().map_or(1, |last| last.number + 1);
        parameter.versions.push(Version {
            number,
            value: value.into(),
            modified: now,
        });
        if parameter.versions.len() > MAX_VERSIONS {
            let oldest = parameter.versions[0].number;
            if parameter.labels.values().any(|at| *at == oldest) {
                parameter.versions.pop();
                let code = "ParameterMaxVersionLimitExceeded";
                return Err(AwsError::new(code, "The oldest version carries a label."));
            }
            parameter.versions.remove(0);
        }
        Ok(number)
    }

    /// Puts a label on a version, from wherever it is.
    pub fn label(&mut self, name: &str, label: &str, number: i64) -> Result<(), AwsError> {
        let parameter = self.parameters.get_mut(name).ok_or_else(not_found)?;
        let lower = label.to_lowercase();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        let good = (1..=100).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with(|c: char| c.is_ascii_digit())
            && !lower.starts_with("aws")
            && !lower.starts_with("ssm");
        if !good {
            return Err(AwsError::validation("The label is not valid."));
        }
        if !parameter.versions.iter().any(|v| v.number == number) {
            let code = "ParameterVersionNotFound";
            return Err(AwsError::new(code, "There is no such version."));
        }
        let others = parameter.labels.iter();
        let others = others.filter(|(other, at)| **at == number && *other != label);
        if others.count() >= MAX_LABELS {
            let code = "ParameterVersionLabelLimitExceeded";
            return Err(AwsError::new(code, "A version has 10 labels at most."));
        }
        parameter.labels.insert(label.to_owned(), number);
        Ok(())
    }

    /// Removes a parameter with all its versions.
    pub fn delete(&mut self, name: &str) -> Result<(), AwsError> {
        self.parameters.remove(name).map(drop).ok_or_else(not_found)
    }

    /// By name or ARN.
    pub fn get(&self, id: &str) -> Option<&Parameter> {
        match id.starts_with("arn:") {
            false => self.parameters.get(id),
            true => self.parameters.values().find(|p| p.arn == id),
        }
    }

    /// Everything under a path, by name, behind a name.
    pub fn under<'a>(
        &'a self,
        path: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Parameter> {
        let from = match after {
            Some(after) => Bound::Excluded(after.to_owned()),
            None => Bound::Included(path.to_owned()),
        };
        let all = self.parameters.range((from, Bound::Unbounded));
        all.map(|(_, parameter)| parameter)
            .take_while(move |parameter| parameter.name.starts_with(path))
    }
}

/// All stores, made when first used.
#[derive(Default)]
pub(crate) struct ParameterStores(HashMap<(String, String), ParameterStore>);

impl ParameterStores {
    /// The store of an account and region, if anything was ever put there.
    pub fn get(&self, account: &str, region: &str) -> Option<&ParameterStore> {
        self.0.get(&(account.to_owned(), region.to_owned()))
    }

    /// The store of an account and region.
    pub fn get_mut(&mut self, account: &str, region: &str) -> &mut ParameterStore {
        let new = || ParameterStore {
            account: account.to_owned(),
            region: region.to_owned(),
            parameters: BTreeMap::new(),
        };
        let key = (account.to_owned(), region.to_owned());
        self.0.entry(key).or_insert_with(new)
    }
}

/// The ARN of a name, with one slash whether the name begins with one or not.
pub(crate) fn arn_of(account: &str, region: &str, name: &str) -> String {
    let partition = partition_of(region);
    let name = name.strip_prefix('/').unwrap_or(name);
    format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}")
}

pub(crate) fn not_found() -> AwsError {
    AwsError::new("ParameterNotFound", "")
}

/// Refuses what PutParameter refuses: other characters, levels without a slash in front, more than 15 levels.
fn check_name(name: &str) -> Result<(), AwsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let level = |level: &str| !level.is_empty() && level.bytes().all(allowed);
    let good = match name.strip_prefix('/') {
        Some(levels) => levels.split('/').all(level) && levels.split('/').count() <= 15,
        None => level(name),
    };
    let lower = name.trim_start_matches('/').to_lowercase();
    if good && !lower.starts_with("aws") && !lower.starts_with("ssm") {
        return Ok(());
    }
    Err(AwsError::validation("Parameter name: it is not valid."))
}
