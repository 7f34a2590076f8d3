//! The one writer of binding statuses.
//!
//! Both loops hand their part in as a function of the status as it is; the store applies the full
//! result with the resourceVersion it was computed from, and only when something changed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::lock::Mutex as AsyncMutex;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use serde_json::json;

use super::{
    binding::{BindingObject, BindingRow, ObjectKey},
    views::Views,
};
use crate::api::{ExternalSecretBindingStatus as Status, names};

/// How often a status write that lost a race is computed again.
const ATTEMPTS: usize = 6;

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The binding is gone, or another one of that name stands there now.
    #[error("the binding is gone")]
    Gone,
    /// Every attempt lost a race.
    #[error("status of {0}: somebody else keeps writing it")]
    Contended(ObjectKey),
    /// The API server refused or did not answer.
    #[error("status of {key}: {what}")]
    Api {
        /// The binding.
        key: ObjectKey,
        /// HTTP code and reason, or what kind of failure; no body.
        what: String,
    },
}

/// Applies statuses.
pub struct StatusStore {
    client: Client,
    views: Arc<Views>,
    timeout: Duration,
    locks: Mutex<HashMap<ObjectKey, Arc<AsyncMutex<()>>>>,
}

impl StatusStore {
    /// A store that writes within `timeout` a call.
    pub fn new(client: Client, views: Arc<Views>, timeout: Duration) -> Self {
        Self {
            client,
            views,
            timeout,
            locks: Mutex::default(),
        }
    }

    /// Computes the status of the binding with that uid anew and writes it when it differs.
    /// Returns the status before and after.
    ///
    /// # Errors
    /// [`ReportError::Gone`] when the binding was deleted or replaced meanwhile.
    pub async fn update(
        &self,
        key: &ObjectKey,
        uid: &str,
        compute: impl FnMut(&BindingRow, &Status) -> Status,
    ) -> Result<(Status, Status), ReportError> {
        let lock = Arc::clone(self.locks.lock().entry(key.clone()).or_default());
        let written = {
            let _guard = lock.lock().await;
            self.write(key, uid, compute).await
        };
        self.leave(key, lock);
        written
    }

    async fn write(
        &self,
        key: &ObjectKey,
        uid: &str,
        mut compute: impl FnMut(&BindingRow, &Status) -> Status,
    ) -> Result<(Status, Status), ReportError> {
        for _ in 0..ATTEMPTS {
            let row = self
                .views
                .binding(key)
                .filter(|row| row.uid == uid)
                .ok_or(ReportError::Gone)?;
            let before = row.status();
            let after = compute(&row, &before);
            if after == before {
                return Ok((before, after));
            }
            if self.apply(key, &row, &after).await? {
                return Ok((before, after));
            }
            self.reread(key).await?;
        }
        Err(ReportError::Contended(key.clone()))
    }

    /// A lock that nobody else holds or waits for is given up.
    fn leave(&self, key: &ObjectKey, lock: Arc<AsyncMutex<()>>) {
        let mut locks = self.locks.lock();
        drop(lock);
        if locks
            .get(key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(key);
        }
    }

    /// The client that statuses are written with.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Forgets a binding that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.locks.lock().remove(key);
    }

    fn api(&self, key: &ObjectKey) -> Api<BindingObject> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// False: the copy was stale.
    async fn apply(
        &self,
        key: &ObjectKey,
        row: &BindingRow,
        status: &Status,
    ) -> Result<bool, ReportError> {
        let body = json!({
            "apiVersion": format!("{}/v1alpha1", names::GROUP),
            "kind": "ExternalSecretBinding",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "resourceVersion": row.resource_version,
            },
            "status": status,
        });
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let api = self.api(key);
        let patch = Patch::Apply(&body);
        self.views.begin_write(key);
        let reply = bounded(
            key,
            self.timeout,
            api.patch_status(&key.name, &params, &patch),
        )
        .await;
        self.views.end_write(key);
        let reply = match reply {
            Ok(reply) => reply,
            Err(Failure::Conflict) => return Ok(false),
            Err(Failure::Gone) => return Err(ReportError::Gone),
            Err(Failure::Other(error)) => return Err(error),
        };
        // The status subresource ignores a wrong uid: only the reply tells whose status it became.
        let same = reply.uid().as_deref() == Some(&row.uid);
        self.views.put_binding(reply);
        if same {
            Ok(true)
        } else {
            Err(ReportError::Gone)
        }
    }

    async fn reread(&self, key: &ObjectKey) -> Result<(), ReportError> {
        match bounded(key, self.timeout, self.api(key).get(&key.name)).await {
            Ok(object) => {
                self.views.put_binding(object);
                Ok(())
            }
            Err(Failure::Gone) => Err(ReportError::Gone),
            Err(Failure::Conflict) => Ok(()),
            Err(Failure::Other(error)) => Err(error),
        }
    }
}

enum Failure {
    Conflict,
    Gone,
    Other(ReportError),
}

async fn bounded<T>(
    key: &ObjectKey,
    timeout: Duration,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Failure> {
    let other = |what: String| {
        Failure::Other(ReportError::Api {
            key: key.clone(),
            what,
        })
    };
    match tokio::time::timeout(timeout, call).await {
        Err(_) => Err(other("no answer in time".to_owned())),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failure::Conflict),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failure::Gone),
        Ok(Err(kube::Error::Api(status))) => {
            Err(other(format!("{} {}", status.code, status.reason)))
        }
        Ok(Err(_)) => Err(other("the API server could not be reached".to_owned())),
    }
}
