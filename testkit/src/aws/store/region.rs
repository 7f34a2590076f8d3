//! All secrets of one account in one region, found by name without scanning.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::distr::Alphanumeric;

use super::super::error::AwsError;
use super::check_name;
use super::names::{SUFFIX_LEN, secret_arn};
use super::{CURRENT, Deletion, PREVIOUS, ResourcePolicy, Secret, SecretRef, SecretValue};

/// What a new secret starts with.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewSecret {
    pub name: String,
    pub suffix: Option<String>,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// First version: id and value.
    pub first: Option<(String, SecretValue)>,
}

impl NewSecret {
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn first(mut self, id: String, value: SecretValue) -> Self {
        self.first = Some((id, value));
        self
    }

    pub fn suffix(mut self, suffix: &str) -> Self {
        self.suffix = Some(suffix.to_owned());
        self
    }
}

/// Which reads see an older state of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleScope {
    /// GetSecretValue and BatchGetSecretValue.
    Values,
    /// Those and DescribeSecret and ListSecretVersionIds.
    Everything,
}

#[derive(Debug)]
struct Stale {
    seen: Arc<Secret>,
    left: Option<u32>,
    scope: StaleScope,
}

/// The secrets of one account and region.
#[derive(Debug)]
pub(crate) struct RegionStore {
    account: String,
    region: String,
    secrets: HashMap<Arc<str>, Secret>,
    /// Creation order, which ListSecrets pages by.
    order: BTreeMap<u64, Arc<str>>,
    next_seq: u64,
    held_list: Option<BTreeMap<u64, Secret>>,
    counted_pages: Option<usize>,
    stale: HashMap<Arc<str>, Stale>,
}

impl RegionStore {
    pub fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            secrets: HashMap::new(),
            order: BTreeMap::new(),
            next_seq: 1,
            held_list: None,
            counted_pages: None,
            stale: HashMap::new(),
        }
    }

    /// Creates a secret, with or without a first value; returns its ARN.
    pub fn create(&mut self, new: NewSecret, now: Timestamp) -> Result<Arc<str>, AwsError> {
        check_name(&new.name)?;
        if let Some((_, value)) = &new.first {
            value.check()?;
        }
        if let Some(existing) = self.secrets.get(new.name.as_str()) {
            return already_there(existing, &new);
        }
        let suffix = new.suffix.unwrap_or_else(random_suffix);
        let arn: Arc<str> = secret_arn(&self.account, &self.region, &new.name, &suffix).into();
        let name: Arc<str> = new.name.into();
        let mut secret = Secret {
            arn: arn.clone(),
            name: name.clone(),
            seq: self.next_seq,
            description: new.description,
            kms_key_id: new.kms_key_id,
            tags: new.tags,
            versions: Vec::new(),
            labels: BTreeMap::new(),
            moved: Vec::new(),
            created: now,
            changed: now,
            accessed: None,
            deletion: None,
            policy: ResourcePolicy::default(),
            primary_region: None,
        };
        if let Some((id, value)) = new.first {
            secret.put(&id, value, None, now)?;
        }
        self.insert(secret);
        Ok(arn)
    }

    /// Puts in a secret as it is (a replica); replaces one of the same name.
    pub fn insert(&mut self, mut secret: Secret) {
        self.remove(&secret.name.clone());
        secret.seq = self.next_seq;
        self.next_seq += 1;
        self.order.insert(secret.seq, secret.name.clone());
        self.secrets.insert(secret.name.clone(), secret);
    }

    /// The secret of this name, deleted ones included.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// Same, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Secret> {
        self.secrets.get_mut(name)
    }

    /// The secret a `SecretId` means, deleted ones included.
    pub fn resolve(&self, id: &str) -> Result<&Secret, AwsError> {
        let wanted = SecretRef::parse(id)?;
        let here = wanted.region.is_none_or(|r| r == self.region);
        self.get(wanted.name)
            .filter(|s| here && (!wanted.complete || &*s.arn == id))
            .ok_or_else(AwsError::not_found)
    }

    /// Same, to change it; refuses a secret that is marked for deletion.
    pub fn resolve_live(&mut self, id: &str) -> Result<&mut Secret, AwsError> {
        let name = self.resolve(id)?.name.clone();
        let secret = self.get_mut(&name).ok_or_else(AwsError::not_found)?;
        secret.check_live()?;
        Ok(secret)
    }

    /// Marks for deletion after `days` (7 to 30).
    pub fn delete(&mut self, id: &str, days: i64, now: Timestamp) -> Result<&Secret, AwsError> {
        if !(7..=30).contains(&days) {
            return Err(AwsError::invalid_parameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let secret = self.resolve_live(id)?;
        secret.deletion = Some(Deletion {
            marked: now,
            due: now + SignedDuration::from_hours(24 * days),
        });
        secret.changed = now;
        Ok(secret)
    }

    /// Takes a deletion mark back.
    pub fn restore(&mut self, id: &str, now: Timestamp) -> Result<&Secret, AwsError> {
        let name = self.resolve(id)?.name.clone();
        let secret = self.get_mut(&name).ok_or_else(AwsError::not_found)?;
        secret.deletion = None;
        secret.changed = now;
        Ok(secret)
    }

    /// Removes at once, without a recovery window.
    pub fn remove(&mut self, name: &str) -> Option<Secret> {
        let secret = self.secrets.remove(name)?;
        self.order.remove(&secret.seq);
        Some(secret)
    }

    /// Removes what a recovery window has run out for.
    pub fn purge(&mut self, now: Timestamp) {
        let due = |s: &&Secret| s.deletion.is_some_and(|d| d.due <= now);
        let names: Vec<_> = self
            .secrets
            .values()
            .filter(due)
            .map(|s| s.name.clone())
            .collect();
        for name in names {
            self.remove(&name);
        }
    }

    /// Secrets as ListSecrets sees them, by creation, beyond a sequence number (which is not part).
    pub fn listed(&self, from: u64, descending: bool) -> Box<dyn Iterator<Item = &Secret> + '_> {
        let range = if descending {
            (Bound::Unbounded, Bound::Excluded(from))
        } else {
            (Bound::Excluded(from), Bound::Unbounded)
        };
        match &self.held_list {
            Some(held) => directed(held.range(range).map(|(_, secret)| secret), descending),
            None => {
                let names = self.order.range(range).map(|(_, name)| name);
                directed(names.filter_map(|n| self.secrets.get(n)), descending)
            }
        }
    }

    /// From now on lists show this moment, whatever is written (the service allows five minutes).
    pub fn hold_list(&mut self) {
        let all = self.secrets.values().map(|s| (s.seq, s.clone()));
        self.held_list = Some(all.collect());
    }

    /// From now on pages of lists hold at most so many secrets, and their tokens count secrets.
    pub fn count_pages(&mut self, most: usize) {
        self.counted_pages = Some(most);
    }

    /// How many secrets a page holds at most, where tokens count them.
    pub fn counted_pages(&self) -> Option<usize> {
        self.counted_pages
    }

    /// Lists are up to date again.
    pub fn release_list(&mut self) {
        self.held_list = None;
    }

    /// Reads of this secret see its present state for the next `times` reads, or until released.
    pub fn hold_reads(&mut self, name: &str, times: Option<u32>, scope: StaleScope) -> bool {
        let Some(secret) = self.secrets.get(name) else {
            return false;
        };
        let seen = Arc::new(secret.clone());
        self.set_stale(seen, times, scope);
        true
    }

    /// Reads see the state before the last move of `AWSCURRENT`; false without a previous version.
    pub fn serve_previous(&mut self, name: &str, times: Option<u32>, scope: StaleScope) -> bool {
        let Some(mut seen) = self.secrets.get(name).cloned() else {
            return false;
        };
        let Some(previous) = seen.labels.remove(PREVIOUS) else {
            return false;
        };
        let newer = seen.labels.insert(CURRENT.to_owned(), previous);
        let newest = seen.versions.last().map(|v| v.id.clone());
        if newest == newer {
            seen.versions.pop();
            seen.labels.retain(|_, at| Some(&*at) != newest.as_ref());
        }
        self.set_stale(Arc::new(seen), times, scope);
        true
    }

    fn set_stale(&mut self, seen: Arc<Secret>, left: Option<u32>, scope: StaleScope) {
        let name = seen.name.clone();
        self.stale.insert(name, Stale { seen, left, scope });
    }

    /// Reads of this secret are up to date again.
    pub fn release_reads(&mut self, name: &str) {
        self.stale.remove(name);
    }

    /// The older state this read has to see, if any; counts the read.
    pub fn stale(&mut self, name: &str, describe: bool) -> Option<Arc<Secret>> {
        let stale = self.stale.get_mut(name)?;
        if describe && stale.scope == StaleScope::Values {
            return None;
        }
        if let Some(left) = &mut stale.left {
            match left.checked_sub(1) {
                Some(rest) => *left = rest,
                None => {
                    self.stale.remove(name);
                    return None;
                }
            }
        }
        Some(stale.seen.clone())
    }
}

/// All stores, made when first used.
#[derive(Debug, Default)]
pub(crate) struct Stores(HashMap<(String, String), RegionStore>);

impl Stores {
    /// The store of an account and region, if anything was ever put there.
    pub fn get(&self, account: &str, region: &str) -> Option<&RegionStore> {
        self.0.get(&(account.to_owned(), region.to_owned()))
    }

    /// The store of an account and region.
    pub fn get_mut(&mut self, account: &str, region: &str) -> &mut RegionStore {
        self.0
            .entry((account.to_owned(), region.to_owned()))
            .or_insert_with(|| RegionStore::new(account, region))
    }

    /// Removes everything whose recovery window has run out.
    pub fn purge(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|store| store.purge(now));
    }
}

fn directed<'a>(
    secrets: impl DoubleEndedIterator<Item = &'a Secret> + 'a,
    descending: bool,
) -> Box<dyn Iterator<Item = &'a Secret> + 'a> {
    if descending {
        Box::new(secrets.rev())
    } else {
        Box::new(secrets)
    }
}

/// CreateSecret for a name in use: harmless if it repeats the first write, refused otherwise.
fn already_there(existing: &Secret, new: &NewSecret) -> Result<Arc<str>, AwsError> {
    if existing.deletion.is_some() {
        return Err(AwsError::invalid_request(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    if let Some((id, value)) = &new.first
        && existing.version(id).is_some_and(|v| v.value == *value)
    {
        return Ok(existing.arn.clone());
    }
    Err(AwsError::new(
        "ResourceExistsException",
        format!(
            "The operation failed because the secret {} already exists.",
            new.name
        ),
    ))
}

fn random_suffix() -> String {
    let rng = rand::rng().sample_iter(Alphanumeric);
    rng.take(SUFFIX_LEN).map(char::from).collect()
}
