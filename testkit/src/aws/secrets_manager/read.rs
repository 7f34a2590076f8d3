//! GetSecretValue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::World;
use super::super::error::AwsError;
use super::super::store::{Secret, SecretRef, SecretValue, Version};
use super::{Scope, access, seconds};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    pub secret_id: String,
    pub version_id: Option<String>,
    pub version_stage: Option<String>,
}

pub(super) fn get(scope: &mut Scope<'_>, request: Request) -> Result<Value, AwsError> {
    let id = &request.secret_id;
    if request
        .version_id
        .as_ref()
        .is_some_and(|v| !(32..=64).contains(&v.len()))
    {
        return Err(AwsError::invalid_parameter(
            "Invalid VersionId. Must be between 32 and 64 characters.",
        ));
    }
    let (version, stage) = (
        request.version_id.as_deref(),
        request.version_stage.as_deref(),
    );
    read(scope, id, version, stage)
}

/// One read of one entry: a call of its own or a member of a batch.
pub(super) fn read(
    scope: &mut Scope<'_>,
    id: &str,
    version: Option<&str>,
    stage: Option<&str>,
) -> Result<Value, AwsError> {
    let (region, caller) = (scope.region, scope.caller);
    count(scope, id);
    let action = "secretsmanager:GetSecretValue";
    let found = access::find(scope.world, caller, region, action, id)?;
    let World { stores, iam, .. } = &mut *scope.world;
    let store = stores.get_mut(&found.account, region);
    let stale = store.stale(&found.name, false);
    let secret = store.get_mut(&found.name).ok_or_else(AwsError::not_found)?;
    secret.accessed = Some(scope.now);
    let secret: &Secret = stale.as_deref().unwrap_or(secret);
    secret.check_live()?;
    let selected = secret.select(version, stage)?;
    access::check_key(iam, caller, secret)?;
    Ok(render(secret, selected))
}

/// Counts the read under the secret's name, or under what was asked if there is none.
fn count(scope: &mut Scope<'_>, id: &str) {
    let caller = &scope.caller.account;
    let wanted = SecretRef::parse(id).ok();
    let account = wanted.as_ref().and_then(|w| w.account).unwrap_or(caller);
    let name = wanted.as_ref().map_or(id, |w| w.name);
    scope.world.log.read(account, scope.region, name);
}

fn render(secret: &Secret, version: &Version) -> Value {
    let mut map = Map::new();
    map.insert("ARN".into(), (&*secret.arn).into());
    map.insert("Name".into(), (&*secret.name).into());
    map.insert("VersionId".into(), (&*version.id).into());
    match &version.value {
        SecretValue::Text(text) => map.insert("SecretString".into(), (&**text).into()),
        SecretValue::Binary(bytes) => {
            map.insert("SecretBinary".into(), STANDARD.encode(bytes).into())
        }
    };
    let stages = secret.stages_of(&version.id);
    if !stages.is_empty() {
        map.insert("VersionStages".into(), stages.into());
    }
    map.insert("CreatedDate".into(), seconds(version.created));
    Value::Object(map)
}
