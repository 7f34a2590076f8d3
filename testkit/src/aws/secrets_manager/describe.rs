//! DescribeSecret and ListSecretVersionIds.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::AwsError;
use super::super::store::Secret;
use super::list::metadata;
use super::{Scope, access, day, seconds};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    secret_id: String,
}

pub(super) fn describe(scope: &mut Scope<'_>, request: Describe) -> Result<Value, AwsError> {
    let action = "secretsmanager:DescribeSecret";
    // A secret marked for deletion can be described.
    with_secret(scope, action, &request.secret_id, |secret| {
        Value::Object(metadata(secret, "VersionIdsToStages"))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionIds {
    secret_id: String,
    #[serde(default)]
    include_deprecated: bool,
}

/// All versions on one page: the fake keeps about a hundred of them at most.
pub(super) fn version_ids(scope: &mut Scope<'_>, request: VersionIds) -> Result<Value, AwsError> {
    let action = "secretsmanager:ListSecretVersionIds";
    with_secret(scope, action, &request.secret_id, |secret| {
        let mut versions = Vec::new();
        for version in &secret.versions {
            let stages = secret.stages_of(&version.id);
            if stages.is_empty() && !request.include_deprecated {
                continue;
            }
            let mut entry = json!({
                "VersionId": &*version.id,
                "CreatedDate": seconds(version.created),
            });
            if !stages.is_empty() {
                entry["VersionStages"] = stages.into();
            }
            if let Some(accessed) = secret.accessed {
                entry["LastAccessedDate"] = day(accessed);
            }
            versions.push(entry);
        }
        json!({"ARN": &*secret.arn, "Name": &*secret.name, "Versions": versions})
    })
}

fn with_secret(
    scope: &mut Scope<'_>,
    action: &str,
    id: &str,
    show: impl FnOnce(&Secret) -> Value,
) -> Result<Value, AwsError> {
    let found = access::find(scope.world, scope.caller, scope.region, action, id)?;
    let store = scope.world.stores.get_mut(&found.account, scope.region);
    if let Some(older) = store.stale(&found.name, true) {
        return Ok(show(&older));
    }
    let secret = store.get(&found.name);
    secret.map(show).ok_or_else(AwsError::not_found)
}
