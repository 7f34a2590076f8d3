//! The operations that change secrets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::AwsError;
use super::super::random_uuid;
use super::super::store::{NewSecret, RegionStore, Secret, SecretValue, partition_of};
use super::{Scope, access, seconds};

/// The value part of a request, as text or as base64.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ValueFields {
    client_request_token: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
}

impl ValueFields {
    /// Version id and value, if a value is there at all.
    fn take(self) -> Result<Option<(String, SecretValue)>, AwsError> {
        let value = match (self.secret_string, self.secret_binary) {
            (Some(_), Some(_)) => {
                return Err(AwsError::invalid_parameter(
                    "You can't specify both a binary secret value and a string secret value in the same secret.",
                ));
            }
            (Some(text), None) => SecretValue::text(text),
            (None, Some(encoded)) => SecretValue::binary(
                STANDARD
                    .decode(encoded)
                    .map_err(|_| AwsError::new("SerializationException", "Not base64."))?,
            ),
            (None, None) => return Ok(None),
        };
        value.check()?;
        let id = self.client_request_token.unwrap_or_else(random_uuid);
        if !(32..=64).contains(&id.len()) {
            return Err(AwsError::invalid_parameter(
                "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
            ));
        }
        Ok(Some((id, value)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

fn tag_map(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    add_replica_regions: Vec<ReplicaRegion>,
    #[serde(flatten)]
    value: ValueFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplicaRegion {
    region: String,
}

/// Most tags of a secret, and the limits of one (AWS Secrets Manager: TagResource).
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

fn check_tags(tags: &[Tag]) -> Result<(), AwsError> {
    let too_long = |tag: &Tag| {
        !(1..=MAX_TAG_KEY).contains(&tag.key.chars().count())
            || tag.value.chars().count() > MAX_TAG_VALUE
    };
    if tags.len() > MAX_TAGS || tags.iter().any(too_long) {
        return Err(AwsError::validation(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint",
        ));
    }
    if tags.iter().any(|tag| tag.key.starts_with("aws:")) {
        return Err(AwsError::invalid_request(
            "Tag keys that begin with aws: are reserved.",
        ));
    }
    Ok(())
}

pub(super) fn create(scope: &mut Scope<'_>, request: Create) -> Result<Value, AwsError> {
    let (account, region) = (scope.caller.account.as_str(), scope.region);
    let partition = partition_of(region);
    let resource = format!(
        "arn:{partition}:secretsmanager:{region}:{account}:secret:{}",
        request.name
    );
    let mut actions = vec!["secretsmanager:CreateSecret"];
    if !request.tags.is_empty() {
        actions.push("secretsmanager:TagResource");
    }
    if !request.add_replica_regions.is_empty() {
        actions.push("secretsmanager:ReplicateSecretToRegions");
    }
    for action in actions {
        access::may_on(&scope.world.iam, scope.caller, action, &resource)?;
    }
    check_tags(&request.tags)?;
    let replicas = request.add_replica_regions;
    if replicas.iter().any(|replica| replica.region == region) {
        return Err(AwsError::invalid_parameter(
            "Invalid replica region: a secret cannot be replicated to its own region.",
        ));
    }
    let key = request.kms_key_id.as_deref();
    access::check_writing_key(&scope.world.iam, scope.caller, scope.region, key)?;
    let first = request.value.take()?;
    let id = first.as_ref().map(|(id, _)| id.clone());
    let new = NewSecret {
        name: request.name.clone(),
        suffix: None,
        description: request.description,
        kms_key_id: request.kms_key_id,
        tags: tag_map(request.tags),
        first,
    };
    let store = scope.world.stores.get_mut(account, region);
    let arn = store.create(new, scope.now)?;
    let made = store.get(&request.name).cloned();
    for (replica, secret) in replicas.iter().zip(made.iter().cycle()) {
        let copy = secret.replica(region, &replica.region);
        let there = scope.world.stores.get_mut(account, &replica.region);
        there.insert(copy);
    }
    let mut reply = json!({"ARN": &*arn, "Name": request.name});
    if let Some(id) = id {
        reply["VersionId"] = id.into();
    }
    Ok(reply)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    secret_id: String,
    version_stages: Option<Vec<String>>,
    #[serde(flatten)]
    value: ValueFields,
}

pub(super) fn put(scope: &mut Scope<'_>, request: Put) -> Result<Value, AwsError> {
    let action = "secretsmanager:PutSecretValue";
    access::find(
        scope.world,
        scope.caller,
        scope.region,
        action,
        &request.secret_id,
    )?;
    check_key(scope, &request.secret_id, None)?;
    change(scope, action, &request.secret_id, |secret, now| {
        let Some((id, value)) = request.value.take()? else {
            return Err(AwsError::invalid_request(
                "You must provide either SecretString or SecretBinary.",
            ));
        };
        secret.put(&id, value, request.version_stages.as_deref(), now)?;
        let mut reply = identity(secret);
        reply["VersionStages"] = secret.stages_of(&id).into();
        reply["VersionId"] = id.into();
        Ok(reply)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    secret_id: String,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(flatten)]
    value: ValueFields,
}

pub(super) fn update(scope: &mut Scope<'_>, request: Update) -> Result<Value, AwsError> {
    let action = "secretsmanager:UpdateSecret";
    access::find(
        scope.world,
        scope.caller,
        scope.region,
        action,
        &request.secret_id,
    )?;
    check_key(scope, &request.secret_id, request.kms_key_id.as_deref())?;
    change(scope, action, &request.secret_id, |secret, now| {
        let value = request.value.take()?;
        let id = value.as_ref().map(|(id, _)| id.clone());
        if let Some((id, value)) = value {
            secret.put(&id, value, None, now)?;
        }
        secret.description = request.description.or(secret.description.take());
        secret.kms_key_id = request.kms_key_id.or(secret.kms_key_id.take());
        secret.changed = now;
        let mut reply = identity(secret);
        if let Some(id) = id {
            reply["VersionId"] = id.into();
        }
        Ok(reply)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateStage {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

pub(super) fn update_stage(scope: &mut Scope<'_>, r: UpdateStage) -> Result<Value, AwsError> {
    let action = "secretsmanager:UpdateSecretVersionStage";
    change(scope, action, &r.secret_id, |secret, now| {
        let (from, to) = (
            r.remove_from_version_id.as_deref(),
            r.move_to_version_id.as_deref(),
        );
        secret.move_label(&r.version_stage, from, to, now)?;
        Ok(identity(secret))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    secret_id: String,
    recovery_window_in_days: Option<i64>,
    #[serde(default)]
    force_delete_without_recovery: bool,
}

pub(super) fn delete(scope: &mut Scope<'_>, request: Delete) -> Result<Value, AwsError> {
    let forced = request.force_delete_without_recovery;
    if forced && request.recovery_window_in_days.is_some() {
        return Err(AwsError::invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        ));
    }
    let action = "secretsmanager:DeleteSecret";
    let (store, name, now) = found(scope, action, &request.secret_id)?;
    if forced {
        let secret = store.remove(&name).ok_or_else(AwsError::not_found)?;
        let mut reply = identity(&secret);
        reply["DeletionDate"] = seconds(now);
        return Ok(reply);
    }
    let days = request.recovery_window_in_days.unwrap_or(30);
    let secret = store.delete(&name, days, now)?;
    let mut reply = identity(secret);
    reply["DeletionDate"] = secret.deletion.map(|d| seconds(d.due)).into();
    Ok(reply)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Restore {
    secret_id: String,
}

pub(super) fn restore(scope: &mut Scope<'_>, request: Restore) -> Result<Value, AwsError> {
    let action = "secretsmanager:RestoreSecret";
    let (store, name, now) = found(scope, action, &request.secret_id)?;
    store.restore(&name, now).map(identity)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagRequest {
    secret_id: String,
    tags: Vec<Tag>,
}

pub(super) fn tag(scope: &mut Scope<'_>, request: TagRequest) -> Result<Value, AwsError> {
    let action = "secretsmanager:TagResource";
    check_tags(&request.tags)?;
    change(scope, action, &request.secret_id, |secret, now| {
        secret.tags.extend(tag_map(request.tags));
        secret.changed = now;
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagRequest {
    secret_id: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(scope: &mut Scope<'_>, request: UntagRequest) -> Result<Value, AwsError> {
    let action = "secretsmanager:UntagResource";
    change(scope, action, &request.secret_id, |secret, now| {
        secret.tags.retain(|key, _| !request.tag_keys.contains(key));
        secret.changed = now;
        Ok(json!({}))
    })
}

fn identity(secret: &Secret) -> Value {
    json!({"ARN": &*secret.arn, "Name": &*secret.name})
}

/// Finds a secret that may be written, deleted or not. Replicas are read-only.
fn found<'w>(
    scope: &'w mut Scope<'_>,
    action: &str,
    id: &str,
) -> Result<(&'w mut RegionStore, String, Timestamp), AwsError> {
    let found = access::find(scope.world, scope.caller, scope.region, action, id)?;
    let store = scope.world.stores.get_mut(&found.account, scope.region);
    let secret = store.get(&found.name);
    if secret.is_some_and(|s| s.primary_region.is_some()) {
        return Err(AwsError::invalid_request(
            "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
        ));
    }
    Ok((store, found.name, scope.now))
}

/// Whether the caller may encrypt what it writes; a secret that is not found is refused later.
fn check_key(scope: &Scope<'_>, id: &str, key: Option<&str>) -> Result<(), AwsError> {
    let store = scope.world.stores.get(&scope.caller.account, scope.region);
    let secret = store.and_then(|store| store.resolve(id).ok());
    let key = key.or_else(|| secret?.kms_key_id.as_deref());
    access::check_writing_key(&scope.world.iam, scope.caller, scope.region, key)
}

/// Changes a secret that is not marked for deletion.
fn change(
    scope: &mut Scope<'_>,
    action: &str,
    id: &str,
    edit: impl FnOnce(&mut Secret, Timestamp) -> Result<Value, AwsError>,
) -> Result<Value, AwsError> {
    let (store, name, now) = found(scope, action, id)?;
    edit(store.resolve_live(&name)?, now)
}
