//! Who may read what: one pure check, asked before every read and again of what came back.
//!
//! Owns the meaning of access policies. It reads no object and makes no call; where the policies
//! cannot be read or are not synced yet, the caller must not ask but stop (`PolicyUnreadable`).

use std::collections::BTreeMap;

use super::{
    Entry, Finding, PrefixAsk, SecretId, Store, entry::SecretArn, glob::Glob, reference::readings,
};
use crate::api::{Reason, SecretAccessPolicy, names::BUILT_IN_POLICY};

pub mod file;
mod refusal;

pub use file::parse_policy_file;
pub use refusal::{Part, Refused};

/// What stands for the namespace's name in every glob.
const NAMESPACE: &str = "{namespace}";
/// Stands alone for every namespace; no namespace can have this name.
const EVERY_NAMESPACE: &str = "*";

/// What an install does with a request that no policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// Refuse it.
    #[default]
    Enforce,
    /// Let it pass and say so.
    Audit,
    /// Ask no policy.
    Open,
}

impl std::str::FromStr for AccessMode {
    type Err = String;

    /// The words of `--access-policy`.
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "enforce" => Ok(Self::Enforce),
            "audit" => Ok(Self::Audit),
            "open" => Ok(Self::Open),
            other => Err(format!("\"{other}\" is none of enforce, audit, open")),
        }
    }
}

/// One policy, from an object or the install's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// For messages.
    pub name: String,
    /// Names of namespaces; `*` alone for all.
    pub namespaces: Vec<String>,
    /// Labels of namespaces, all of them; empty: none chosen by label.
    pub match_labels: BTreeMap<String, String>,
    /// Globs over names of entries.
    pub secrets: Vec<String>,
    /// Globs over names of parameters; empty: none.
    pub parameters: Vec<String>,
    /// Accounts; empty: the caller's own.
    pub accounts: Vec<String>,
    /// Regions; empty: every region.
    pub regions: Vec<String>,
    /// Globs over roles; empty: none.
    pub role_arns: Vec<String>,
    /// Globs over ServiceAccounts; empty: none.
    pub service_accounts: Vec<String>,
}

impl Policy {
    /// What holds when an install brings no file: a namespace reads what lies under its own name.
    pub fn built_in() -> Self {
        Self {
            name: BUILT_IN_POLICY.to_owned(),
            namespaces: vec![EVERY_NAMESPACE.to_owned()],
            secrets: vec![format!("{NAMESPACE}/*")],
            ..Self::default()
        }
    }

    fn is_about(&self, request: &AccessRequest) -> bool {
        let named = self
            .namespaces
            .iter()
            .any(|name| name == EVERY_NAMESPACE || *name == request.namespace);
        let labelled = !self.match_labels.is_empty()
            && self
                .match_labels
                .iter()
                .all(|(key, value)| request.namespace_labels.get(key) == Some(value));
        named || labelled
    }

    /// The first part of the request that this policy does not allow.
    fn first_refused(&self, request: &AccessRequest) -> Option<Part> {
        let part_is_allowed = |part: &Part| match part {
            Part::Entry => self.allows_entry(request),
            Part::Account => self.allows_account(request),
            Part::Region => self.regions.is_empty() || self.regions.contains(&request.region),
            Part::Role => allows_optional(&self.role_arns, request.role_arn.as_deref(), request),
            Part::ServiceAccount => allows_optional(
                &self.service_accounts,
                request.service_account.as_deref(),
                request,
            ),
        };
        Part::IN_ORDER
            .into_iter()
            .find(|part| !part_is_allowed(part))
    }

    fn allows_entry(&self, request: &AccessRequest) -> bool {
        match &request.asked {
            Asked::Entry(names) | Asked::Parameter(names) => {
                !names.is_empty() && names.iter().all(|name| self.allows_name(name, request))
            }
            Asked::Prefix(prefix) | Asked::Path(prefix) => self
                .globs(request)
                .any(|glob| glob.matches_everything_under(prefix)),
        }
    }

    fn allows_name(&self, name: &str, request: &AccessRequest) -> bool {
        self.globs(request).any(|glob| glob.matches(name))
    }

    /// What may be read of the store that is asked.
    fn names(&self, asked: &Asked) -> &[String] {
        match asked.store() {
            Store::Secrets => &self.secrets,
            Store::Parameters => &self.parameters,
        }
    }

    fn globs(&self, request: &AccessRequest) -> impl Iterator<Item = Glob> {
        self.names(&request.asked)
            .iter()
            .map(|pattern| Glob::expand(pattern, NAMESPACE, &request.namespace))
    }

    /// An account that is not known yet is nobody's: only the caller's own, asked for by name, passes.
    fn allows_account(&self, request: &AccessRequest) -> bool {
        let own = request.caller_account.as_ref();
        match (&request.account, self.accounts.is_empty()) {
            (None, true) => true,
            (None, false) => own.is_some_and(|own| self.accounts.contains(own)),
            (Some(account), true) => own == Some(account),
            (Some(account), false) => self.accounts.contains(account),
        }
    }
}

/// What a request does not use needs no leave.
fn allows_optional(patterns: &[String], used: Option<&str>, request: &AccessRequest) -> bool {
    used.is_none_or(|used| {
        patterns
            .iter()
            .any(|pattern| Glob::expand(pattern, NAMESPACE, &request.namespace).matches(used))
    })
}

impl From<&SecretAccessPolicy> for Policy {
    fn from(object: &SecretAccessPolicy) -> Self {
        let spec = object.spec.clone();
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            namespaces: spec.namespaces.names,
            match_labels: spec.namespaces.match_labels,
            secrets: spec.secrets,
            parameters: spec.parameters,
            accounts: spec.accounts,
            regions: spec.regions,
            role_arns: spec.role_arns,
            service_accounts: spec.service_accounts,
        }
    }
}

/// One request, in all its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRequest {
    /// The binding's namespace.
    pub namespace: String,
    /// Its labels; empty where they cannot be read (namespaced installs), which allows nothing by label.
    pub namespace_labels: BTreeMap<String, String>,
    /// What is read.
    pub asked: Asked,
    /// Account of the entry; None: the caller's own, because it was asked for by name.
    pub account: Option<String>,
    /// Account of the identity that makes the call; None: not known yet.
    pub caller_account: Option<String>,
    /// Region of the read.
    pub region: String,
    /// `source.roleArn`.
    pub role_arn: Option<String>,
    /// `source.serviceAccountName`.
    pub service_account: Option<String>,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One entry: every name it may turn out to have. All of them must be allowed.
    Entry(Vec<String>),
    /// Every entry under a prefix. The names that come back are asked for again, one by one.
    Prefix(String),
    /// One parameter: every name it may turn out to have. All of them must be allowed.
    Parameter(Vec<String>),
    /// Every parameter under a path. The names that come back are asked for again, one by one.
    Path(String),
}

impl Default for Asked {
    /// Names nothing, so nothing allows it.
    fn default() -> Self {
        Self::Entry(Vec::new())
    }
}

impl Asked {
    /// An entry asked for by its name, or the name that AWS answered.
    pub fn name(name: &str) -> Self {
        Self::Entry(vec![name.to_owned()])
    }

    /// An entry asked for by ARN, in both readings.
    pub fn arn(arn: &SecretArn) -> Self {
        Self::Entry(readings(&arn.resource))
    }

    /// Whatever an id means, in all its readings.
    pub fn of(id: &SecretId) -> Self {
        match id.store() {
            Store::Secrets => Self::Entry(id.readings()),
            Store::Parameters => Self::Parameter(id.readings()),
        }
    }

    /// Everything under a prefix or path.
    pub fn under(ask: &PrefixAsk) -> Self {
        match ask.store {
            Store::Secrets => Self::Prefix(ask.prefix.clone()),
            Store::Parameters => Self::Path(ask.prefix.clone()),
        }
    }

    /// What came back.
    pub fn answer(entry: &Entry) -> Self {
        let names = vec![entry.name.clone()];
        match entry.store() {
            Store::Secrets => Self::Entry(names),
            Store::Parameters => Self::Parameter(names),
        }
    }

    /// Where it is kept.
    pub fn store(&self) -> Store {
        match self {
            Self::Entry(_) | Self::Prefix(_) => Store::Secrets,
            Self::Parameter(_) | Self::Path(_) => Store::Parameters,
        }
    }

    /// The name as it was asked for, with a star behind what means everything under it.
    pub fn first(&self) -> String {
        match self {
            Self::Entry(names) | Self::Parameter(names) => {
                names.first().cloned().unwrap_or_default()
            }
            Self::Prefix(prefix) | Self::Path(prefix) => format!("{prefix}*"),
        }
    }
}

/// Why a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// This policy allows all of it.
    ByPolicy(String),
    /// Nobody asks ([`AccessMode::Open`]).
    Open,
    /// Enforcing, it would be refused ([`AccessMode::Audit`]): to be logged, once per change.
    AuditOnly(Refused),
}

/// Whether a request may be made: all of its parts must be allowed by one and the same policy.
///
/// The same function judges the name and account that came back.
///
/// # Errors
/// [`Refused`] with what is needed for a message, in mode Enforce only.
pub fn check(
    mode: AccessMode,
    policies: &[Policy],
    request: &AccessRequest,
) -> Result<Allowed, Box<Refused>> {
    if mode == AccessMode::Open {
        return Ok(Allowed::Open);
    }
    let about: Vec<&Policy> = policies.iter().filter(|p| p.is_about(request)).collect();
    let mut furthest = Part::Entry;
    for policy in &about {
        match policy.first_refused(request) {
            None => return Ok(Allowed::ByPolicy(policy.name.clone())),
            Some(part) => furthest = furthest.max(part),
        }
    }
    let refused = Refused::new(request, furthest, &about);
    match mode {
        AccessMode::Audit => Ok(Allowed::AuditOnly(refused)),
        AccessMode::Enforce | AccessMode::Open => Err(Box::new(refused)),
    }
}

impl From<&Refused> for Finding {
    fn from(refused: &Refused) -> Self {
        Self::new(Reason::AccessNotAllowed, refused.to_string(), refusal::CURE)
    }
}

#[cfg(test)]
mod tests;
