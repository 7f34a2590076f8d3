//! The install key in the cluster: 32 random bytes in a Secret of the operator's namespace.
//!
//! Read by every replica, made by the leader before its first pass. Losing it costs one rewrite of
//! annotations per Secret; a second one beside the first would do so for ever, hence the care here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::{TryRngCore, rngs::OsRng};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{ClusterError, secrets::Secrets};
use crate::{
    api::names,
    core::{
        InstallKey, SecretValue, change::Data, ownership::TYPE_OPAQUE, revision::INSTALL_KEY_LEN,
        write_plan::LiveSecret,
    },
};

/// Key of the bytes within the Secret.
pub const DATA_KEY: &str = "key";
/// How often a create race is looked at again.
const TRIES: usize = 5;

/// Why there is no install key. Each stops all passes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstallKeyError {
    /// The API server's answer.
    #[error("Secret {namespace}/{}: {error}", names::INSTALL_KEY_SECRET)]
    Cluster {
        /// The operator's namespace.
        namespace: String,
        /// The answer.
        error: ClusterError,
    },
    /// A Secret of that name that does not hold 32 bytes.
    #[error(
        "Secret {namespace}/{} holds no 32 bytes under \"{DATA_KEY}\". Delete it; a new key is made and costs one rewrite of annotations, no restart.",
        names::INSTALL_KEY_SECRET
    )]
    Malformed {
        /// The operator's namespace.
        namespace: String,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// The install key; made if, and only if, the API server says that there is none.
///
/// # Errors
/// Any other answer, or a Secret that holds no key.
pub async fn ensure(secrets: &Secrets, namespace: &str) -> Result<InstallKey, InstallKeyError> {
    for _ in 0..TRIES {
        if let Some(key) = read(secrets, namespace).await? {
            return Ok(key);
        }
        match create(secrets, namespace).await {
            // Read again: what was stored is what counts.
            Ok(())
            | Err(InstallKeyError::Cluster {
                error: ClusterError::AlreadyExists,
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(failed(namespace, ClusterError::Conflict))
}

/// The install key, if there is one: for replicas that do not lead.
///
/// # Errors
/// Any answer but 200 and 404, or a Secret that holds no key.
pub async fn read(
    secrets: &Secrets,
    namespace: &str,
) -> Result<Option<InstallKey>, InstallKeyError> {
    let found = secrets
        .get(namespace, names::INSTALL_KEY_SECRET)
        .await
        .map_err(|error| failed(namespace, error))?;
    found
        .map(|live| {
            key_in(&live).ok_or_else(|| InstallKeyError::Malformed {
                namespace: namespace.to_owned(),
            })
        })
        .transpose()
}

fn key_in(live: &LiveSecret) -> Option<InstallKey> {
    let bytes: [u8; INSTALL_KEY_LEN] = live.data.get(DATA_KEY)?.expose().try_into().ok()?;
    Some(InstallKey::new(bytes))
}

async fn create(secrets: &Secrets, namespace: &str) -> Result<(), InstallKeyError> {
    let mut bytes = Zeroizing::new(vec![0; INSTALL_KEY_LEN]);
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| InstallKeyError::NoRandomness)?;
    let data = Data::from([(
        DATA_KEY.to_owned(),
        SecretValue::new(std::mem::take(&mut *bytes)),
    )]);
    let meta = ObjectMeta {
        name: Some(names::INSTALL_KEY_SECRET.to_owned()),
        namespace: Some(namespace.to_owned()),
        // An uninstall must not take it: the next install would have to rewrite every Secret.
        annotations: Some(BTreeMap::from([(
            names::ANNOTATION_HELM_KEEP.to_owned(),
            "keep".to_owned(),
        )])),
        ..ObjectMeta::default()
    };
    let made = secrets.create(namespace, &meta, TYPE_OPAQUE, &data).await;
    made.map(|_| ()).map_err(|error| failed(namespace, error))
}

fn failed(namespace: &str, error: ClusterError) -> InstallKeyError {
    InstallKeyError::Cluster {
        namespace: namespace.to_owned(),
        error,
    }
}
