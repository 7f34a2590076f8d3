//! Secrets as a test handles them, without credentials, quotas or the call log.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::{self, ApiCall};
use super::iam::Principal;
use super::store::{CURRENT, NewSecret, RegionStore, Secret, SecretValue};
use super::{AwsError, Shared, random_uuid};

/// The secrets of one account in one region. Secrets are named by name, partial or full ARN.
#[derive(Clone)]
pub struct Region {
    shared: Arc<Shared>,
    account: String,
    region: String,
}

impl Region {
    pub(crate) fn new(shared: Arc<Shared>, account: &str, region: &str) -> Self {
        Self {
            shared,
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Creates a secret with a text value; returns its ARN.
    ///
    /// # Errors
    /// What CreateSecret refuses: bad names, names in use, values that are empty or too long.
    pub fn create(&self, name: &str, value: &str) -> Result<String, AwsError> {
        self.insert(NewSecret::named(name).first(random_uuid(), SecretValue::text(value)))
    }

    /// Creates a secret with a binary value; returns its ARN.
    ///
    /// # Errors
    /// As [`Region::create`].
    pub fn create_binary(&self, name: &str, value: &[u8]) -> Result<String, AwsError> {
        self.insert(NewSecret::named(name).first(random_uuid(), SecretValue::binary(value)))
    }

    /// Creates a secret without a value, which no read can find; returns its ARN.
    ///
    /// # Errors
    /// As [`Region::create`].
    pub fn create_empty(&self, name: &str) -> Result<String, AwsError> {
        self.insert(NewSecret::named(name))
    }

    /// Creates a secret with a chosen ARN suffix (six letters or digits); returns its ARN.
    ///
    /// # Errors
    /// As [`Region::create`].
    pub fn create_with_suffix(
        &self,
        name: &str,
        suffix: &str,
        value: &str,
    ) -> Result<String, AwsError> {
        let new = NewSecret::named(name).suffix(suffix);
        self.insert(new.first(random_uuid(), SecretValue::text(value)))
    }

    /// Writes a new current value; returns the version id.
    ///
    /// # Errors
    /// What PutSecretValue refuses.
    pub fn put(&self, id: &str, value: &str) -> Result<String, AwsError> {
        let version = random_uuid();
        self.put_with_version(id, &version, SecretValue::text(value), None)?;
        Ok(version)
    }

    /// Writes a version with a chosen id (32 to 64 characters) and labels; `None` makes it current.
    ///
    /// # Errors
    /// What PutSecretValue refuses.
    pub fn put_with_version(
        &self,
        id: &str,
        version: &str,
        value: SecretValue,
        labels: Option<&[&str]>,
    ) -> Result<(), AwsError> {
        value.check()?;
        let labels: Option<Vec<String>> =
            labels.map(|labels| labels.iter().map(|l| (*l).to_owned()).collect());
        let asked = json!({
            "SecretId": id, "ClientRequestToken": version, "VersionStages": labels,
        });
        self.write("PutSecretValue", asked, |store, now| {
            let secret = store.resolve_live(id)?;
            secret.put(version, value, labels.as_deref(), now)?;
            Ok(secret.arn.to_string())
        })
        .map(|_| ())
    }

    /// Moves a label to another version, from wherever it is.
    ///
    /// # Errors
    /// What UpdateSecretVersionStage refuses.
    pub fn move_label(&self, id: &str, label: &str, to_version: &str) -> Result<(), AwsError> {
        self.update_stage(id, label, Some(to_version))
    }

    /// Takes a label away.
    ///
    /// # Errors
    /// What UpdateSecretVersionStage refuses: `AWSCURRENT` cannot be removed.
    pub fn remove_label(&self, id: &str, label: &str) -> Result<(), AwsError> {
        self.update_stage(id, label, None)
    }

    /// Version id under a label, `AWSCURRENT` for instance.
    pub fn version_at(&self, id: &str, label: &str) -> Option<String> {
        self.look(id, |secret| {
            secret.labels.get(label).map(ToString::to_string)
        })
        .flatten()
    }

    /// Version id of the current value.
    pub fn current_version(&self, id: &str) -> Option<String> {
        self.version_at(id, CURRENT)
    }

    /// The value in force, if there is one.
    pub fn current_value(&self, id: &str) -> Option<SecretValue> {
        let value = |secret: &Secret| secret.select(None, None).ok().map(|v| v.value.clone());
        self.look(id, value).flatten()
    }

    /// Tags by key.
    pub fn tags(&self, id: &str) -> BTreeMap<String, String> {
        let tags = self.look(id, |secret| secret.tags.clone());
        tags.unwrap_or_default()
    }

    /// The key that encrypts it; `None` is the default key.
    pub fn key_of(&self, id: &str) -> Option<String> {
        self.look(id, |secret| secret.kms_key_id.clone()).flatten()
    }

    /// How many versions there are, with and without a label.
    pub fn versions(&self, id: &str) -> usize {
        let versions = self.look(id, |secret| secret.versions.len());
        versions.unwrap_or_default()
    }

    /// Full ARN.
    pub fn arn(&self, id: &str) -> Option<String> {
        self.look(id, |secret| secret.arn.to_string())
    }

    /// Marks for deletion after `days` (7 to 30).
    ///
    /// # Errors
    /// What DeleteSecret refuses.
    pub fn delete(&self, id: &str, days: i64) -> Result<(), AwsError> {
        let asked = json!({"SecretId": id, "RecoveryWindowInDays": days});
        self.write("DeleteSecret", asked, |store, now| {
            store.delete(id, days, now).map(|s| s.arn.to_string())
        })
        .map(|_| ())
    }

    /// Takes the deletion mark back.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn restore(&self, id: &str) -> Result<(), AwsError> {
        let asked = json!({"SecretId": id});
        self.write("RestoreSecret", asked, |store, now| {
            store.restore(id, now).map(|s| s.arn.to_string())
        })
        .map(|_| ())
    }

    /// Removes at once, without a recovery window.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn force_delete(&self, id: &str) -> Result<(), AwsError> {
        let asked = json!({"SecretId": id, "ForceDeleteWithoutRecovery": true});
        self.write("DeleteSecret", asked, |store, _| {
            let name = store.resolve(id)?.name.clone();
            let gone = store.remove(&name).ok_or_else(AwsError::not_found)?;
            Ok(gone.arn.to_string())
        })
        .map(|_| ())
    }

    /// Removes at once and creates anew: same name, another ARN. Returns the new ARN.
    ///
    /// # Errors
    /// When there is no such secret, or the value is refused.
    pub fn force_delete_recreate(&self, id: &str, value: &str) -> Result<String, AwsError> {
        let name = self.look(id, |secret| secret.name.to_string());
        let name = name.ok_or_else(AwsError::not_found)?;
        self.force_delete(&name)?;
        self.create(&name, value)
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn tag(&self, id: &str, key: &str, value: &str) -> Result<(), AwsError> {
        self.edit(id, |secret, now| {
            secret.tags.insert(key.to_owned(), value.to_owned());
            secret.changed = now;
            Ok(())
        })
    }

    /// Encrypts with a customer key: readers then need `kms:Decrypt` on its ARN.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn kms_key(&self, id: &str, key_arn: &str) -> Result<(), AwsError> {
        self.edit(id, |secret, _| {
            secret.kms_key_id = Some(key_arn.to_owned());
            Ok(())
        })
    }

    /// Allows principals (globs over their ARNs, or `arn:aws:iam::ACCOUNT:root`) in the resource policy.
    /// Other accounts need it beside their own policy, the full ARN and a customer key.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn allow_principal(&self, id: &str, pattern: &str) -> Result<(), AwsError> {
        self.edit(id, |secret, _| {
            secret.policy.allow.push(pattern.to_owned());
            Ok(())
        })
    }

    /// Denies principals in the resource policy.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn deny_principal(&self, id: &str, pattern: &str) -> Result<(), AwsError> {
        self.edit(id, |secret, _| {
            secret.policy.deny.push(pattern.to_owned());
            Ok(())
        })
    }

    /// Copies a secret as it is now to another region, as a replica: same name, versions and ARN
    /// suffix. Call it again to let later writes arrive.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn replicate(&self, id: &str, to: &str) -> Result<String, AwsError> {
        let secret = self
            .look(id, Clone::clone)
            .ok_or_else(AwsError::not_found)?;
        let copy = secret.replica(&self.region, to);
        let arn = copy.arn.to_string();
        let mut world = self.shared.lock();
        world.stores.get_mut(&self.account, to).insert(copy);
        Ok(arn)
    }

    /// How often this entry was asked for here, alone or in a batch.
    pub fn reads_of(&self, name: &str) -> u64 {
        let world = self.shared.lock();
        world.log.reads_in(&self.account, &self.region, name)
    }

    fn insert(&self, new: NewSecret) -> Result<String, AwsError> {
        let token = new.first.as_ref().map(|(id, _)| id.clone());
        let asked = json!({"Name": new.name, "ClientRequestToken": token});
        self.write("CreateSecret", asked, |store, now| {
            store.create(new, now).map(|arn| arn.to_string())
        })
    }

    fn update_stage(&self, id: &str, label: &str, to: Option<&str>) -> Result<(), AwsError> {
        let from = self.version_at(id, label);
        let asked = json!({
            "SecretId": id, "VersionStage": label,
            "RemoveFromVersionId": from, "MoveToVersionId": to,
        });
        self.write("UpdateSecretVersionStage", asked, |store, now| {
            let secret = store.resolve_live(id)?;
            secret.move_label(label, from.as_deref(), to, now)?;
            Ok(secret.arn.to_string())
        })
        .map(|_| ())
    }

    /// Whose secrets these are: what the fake shares, account and region.
    pub(crate) fn place(&self) -> (&Arc<Shared>, &str, &str) {
        (&self.shared, &self.account, &self.region)
    }

    /// Does what an operation of the service does, as the account itself, and lets the events
    /// follow. `act` returns the ARN it was about, as this does; a refusal causes no event.
    fn write(
        &self,
        operation: &str,
        request: Value,
        act: impl FnOnce(&mut RegionStore, Timestamp) -> Result<String, AwsError>,
    ) -> Result<String, AwsError> {
        let now = self.shared.clock.now();
        let mut world = self.shared.lock();
        let arn = act(world.stores.get_mut(&self.account, &self.region), now)?;
        let call = ApiCall {
            operation,
            principal: &Principal::root(&self.account),
            region: &self.region,
            request,
        };
        events::announce(&mut world, &call, Ok(&arn), now);
        drop(world);
        self.shared.note_queues();
        Ok(arn)
    }

    /// Acts on the store, past events and the log.
    pub(super) fn store<T>(&self, act: impl FnOnce(&mut RegionStore, Timestamp) -> T) -> T {
        let now = self.shared.clock.now();
        let mut world = self.shared.lock();
        act(world.stores.get_mut(&self.account, &self.region), now)
    }

    fn edit(
        &self,
        id: &str,
        change: impl FnOnce(&mut Secret, Timestamp) -> Result<(), AwsError>,
    ) -> Result<(), AwsError> {
        self.store(|store, now| change(store.resolve_live(id)?, now))
    }

    fn look<T>(&self, id: &str, show: impl FnOnce(&Secret) -> T) -> Option<T> {
        self.store(|store, _| store.resolve(id).ok().map(show))
    }
}
