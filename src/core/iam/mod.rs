//! What IAM must allow: the least policy with which bindings are read, by whoever reads them, and who may be whom.
//!
//! Owns which actions the operator needs for which reads; `docs/iam.md` says the same in words. It reads nothing:
//! what AWS alone knows (which key encrypts an entry, whether an ARN is complete) is met in every way it can be.

mod document;
mod names;
mod partition;
mod trust;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

pub use document::{Policy, Statement};
pub use names::{AccountUnknown, KeyArn, KeyArnError};
pub use trust::{Subject, TrustError, assume_role, irsa, pod_identity};

use self::names::{Place, Resources};
use super::{
    Recipe, SecretId, Store, SweepMode, VersionSelector,
    sweep_mode::{BATCH, LIST_FROM},
};

/// Most characters of a managed policy, blanks not counted (source: IAM quotas, "Managed policies").
pub const MANAGED_POLICY_CHARS: usize = 6_144;
/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// The operator's own role.
    Operator,
    /// The role of a ServiceAccount of a binding's namespace.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A role that one of the others assumes.
    Role(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::ServiceAccount { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Role(arn) => f.write_str(arn),
        }
    }
}

/// One binding.
#[derive(Clone, Debug)]
pub struct Asker<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it asks for.
    pub recipe: &'a Recipe,
    /// `status.identity`.
    pub known_as: Option<&'a str>,
    /// Where `status.sources` were read.
    pub seen_in: Option<&'a str>,
}

/// What manifests do not say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Account of whoever reads.
    pub account: Option<String>,
    /// The operator's region.
    pub region: Option<String>,
    /// How entries are looked at.
    pub look: SweepMode,
    /// Customer managed keys; None: any key of the entries' account, through Secrets Manager only.
    pub keys: Option<Vec<KeyArn>>,
}

/// Why no policy can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Nobody says in which account the names are looked up.
    #[error("{0}")]
    Account(AccountUnknown),
    /// Nobody says in which region they are.
    #[error(
        "the region of {0} is not known: set source.region, or name the operator's with --region"
    )]
    Region(String),
}

/// The policy of everybody who reads for these bindings.
///
/// # Errors
/// [`PolicyError`], the first one.
pub fn policies(
    askers: &[Asker<'_>],
    facts: &Facts,
) -> Result<BTreeMap<Identity, Policy>, PolicyError> {
    let mut hubs: BTreeMap<(Identity, String), Hub> = BTreeMap::new();
    let mut assumed: BTreeMap<Identity, BTreeSet<String>> = BTreeMap::new();
    for asker in askers {
        let identity = &asker.recipe.identity;
        let base = base(asker);
        let reader = match &identity.role_arn {
            Some(role) => {
                assumed.entry(base).or_default().insert(role.clone());
                Identity::Role(role.clone())
            }
            None => base,
        };
        let region = region(asker, facts).ok_or_else(|| PolicyError::Region(shown(asker)))?;
        let account = || names::account(asker, askers, &reader, facts);
        for place in std::iter::once(&region).chain(&identity.failover) {
            let hub = hubs.entry((reader.clone(), place.clone())).or_default();
            hub.take(asker, &Place::new(place), &account)
                .map_err(PolicyError::Account)?;
        }
    }
    let mut needs: BTreeMap<Identity, Needs> = BTreeMap::new();
    for ((reader, _), hub) in hubs {
        needs.entry(reader).or_default().add(hub, facts.look);
    }
    for (reader, roles) in assumed {
        needs.entry(reader).or_default().roles.extend(roles);
    }
    let policy = |(reader, needs): (Identity, Needs)| (reader, needs.policy(facts.keys.as_deref()));
    Ok(needs.into_iter().map(policy).collect())
}

/// Where a binding is read while nothing is wrong there.
fn region(asker: &Asker<'_>, facts: &Facts) -> Option<String> {
    let identity = &asker.recipe.identity;
    let elsewhere = |region: &&str| identity.failover.iter().any(|other| other == region);
    let seen = asker.seen_in.filter(|region| !elsewhere(region));
    let known = identity.region.as_deref().or(seen);
    known.or(facts.region.as_deref()).map(str::to_owned)
}

/// Who a binding begins as.
fn base(asker: &Asker<'_>) -> Identity {
    match &asker.recipe.identity.service_account {
        Some(name) => Identity::ServiceAccount {
            namespace: asker.namespace.to_owned(),
            name: name.clone(),
        },
        None => Identity::Operator,
    }
}

fn shown(asker: &Asker<'_>) -> String {
    format!("binding {}/{}", asker.namespace, asker.name)
}

/// What is read as one identity in one region.
#[derive(Debug, Default)]
struct Hub {
    /// Entries whose labels are followed.
    followed: Resources,
    /// Entries of which only pinned versions are read.
    pinned: Resources,
    /// What batches may hold, each with its shortest interval.
    current: BTreeMap<SecretId, Duration>,
    prefixes: bool,
    /// Parameters, those below paths too.
    parameters: Resources,
    /// Paths that are listed.
    paths: Resources,
}

impl Hub {
    fn take(
        &mut self,
        asker: &Asker<'_>,
        place: &Place,
        account: &dyn Fn() -> Result<String, AccountUnknown>,
    ) -> Result<(), AccountUnknown> {
        let recipe = asker.recipe;
        for ask in recipe.asks() {
            if let SecretId::Parameter(id) = &ask.id {
                self.parameters.insert(place.parameter(id, account)?);
                continue;
            }
            let optional = names::is_optional(recipe, &ask);
            let patterns = place.entry(&ask.id, optional, account)?;
            match ask.version {
                VersionSelector::Id(_) => self.pinned.extend(patterns),
                _ => self.followed.extend(patterns),
            }
            if ask.version == VersionSelector::Current {
                let interval = self.current.entry(ask.id).or_insert(Duration::MAX);
                *interval = recipe.refresh_interval.min(*interval);
            }
        }
        for prefix in recipe.prefixes() {
            if prefix.store == Store::Parameters {
                let path = place.path(&prefix.prefix, account)?;
                self.parameters.insert(path.clone());
                self.paths.insert(path);
                continue;
            }
            self.prefixes = true;
            self.followed.extend(place.prefix(&prefix.prefix, account)?);
        }
        Ok(())
    }

    /// Several current values at once are read in batches, whatever the sweep: at the start, and what moved.
    fn batches(&self) -> bool {
        self.prefixes || self.current.len() > 1
    }

    fn lists(&self, look: SweepMode) -> bool {
        let slow = self.current.values().filter(|i| **i >= LIST_FROM).count();
        self.prefixes
            || match look {
                SweepMode::List => !self.followed.is_empty(),
                SweepMode::Auto => slow > BATCH,
                SweepMode::Describe | SweepMode::Batch => false,
            }
    }
}

/// What one identity must be able to do.
#[derive(Debug, Default)]
struct Needs {
    followed: Resources,
    pinned: Resources,
    parameters: Resources,
    paths: Resources,
    batches: bool,
    lists: bool,
    roles: BTreeSet<String>,
}

impl Needs {
    fn add(&mut self, hub: Hub, look: SweepMode) {
        self.batches |= hub.batches();
        self.lists |= hub.lists(look);
        self.followed.extend(hub.followed);
        self.pinned.extend(hub.pinned);
        self.parameters.extend(hub.parameters);
        self.paths.extend(hub.paths);
    }

    fn policy(self, keys: Option<&[KeyArn]>) -> Policy {
        let followed = names::without_covered(&self.followed, &self.followed);
        let pinned = names::without_covered(&self.pinned, &followed);
        let all: Resources = followed.iter().chain(&pinned).cloned().collect();
        let mut policy = Policy::default();
        policy.allow(
            "Read",
            &[
                "secretsmanager:GetSecretValue",
                "secretsmanager:DescribeSecret",
            ],
            followed,
        );
        policy.allow("ReadPinned", &["secretsmanager:GetSecretValue"], pinned);
        // These know no resource but all (source: service authorization reference of Secrets Manager).
        let mut broad = Vec::new();
        broad.extend(self.batches.then_some("secretsmanager:BatchGetSecretValue"));
        broad.extend(self.lists.then_some("secretsmanager:ListSecrets"));
        if !broad.is_empty() {
            policy.allow("Find", &broad, BTreeSet::from(["*".to_owned()]));
        }
        let parameters = names::without_covered(&self.parameters, &self.parameters);
        let paths = names::without_covered(&self.paths, &self.paths);
        policy.allow("ReadParameters", &["ssm:GetParameters"], parameters.clone());
        policy.allow("ListPaths", &["ssm:GetParametersByPath"], paths);
        policy.decrypt(&all, &parameters, keys);
        policy.allow("Assume", &["sts:AssumeRole", "sts:TagSession"], self.roles);
        policy
    }
}

#[cfg(test)]
mod tests;
