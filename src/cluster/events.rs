//! Events about bindings.
//!
//! What was told a moment ago is counted up; another text is another event. kube's own recorder counts
//! everything of one reason and action up under the first text, and a person then reads old news.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;

use super::binding::ObjectKey;
use crate::{
    api::{ExternalSecretBinding, names},
    core::events::Note,
};

/// For how long after its last repetition an event is counted up (as long as client-go's recorder does).
const SERIES: SignedDuration = SignedDuration::from_mins(6);

/// Publishes events about bindings.
pub struct Events {
    client: Client,
    instance: String,
    timeout: Duration,
    told: Mutex<HashMap<Told, Standing>>,
}

/// A binding's uid and what was said about it.
type Told = (String, Note);

/// The event that says so.
#[derive(Debug)]
struct Standing {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Events {
    /// `instance` is the pod's name.
    pub fn new(client: Client, instance: Option<String>, timeout: Duration) -> Self {
        Self {
            client,
            instance: instance.unwrap_or_else(|| names::FIELD_MANAGER.to_owned()),
            timeout,
            told: Mutex::default(),
        }
    }

    /// Publishes notes in order. An event that cannot be written is logged and lost: the condition says the same.
    pub async fn publish(&self, key: &ObjectKey, uid: &str, notes: &[Note], now: Timestamp) {
        for note in notes {
            let told = (uid.to_owned(), note.clone());
            let before = self.take(&told, now);
            let call = async {
                match before {
                    Some(standing) => self.count_up(key, standing, now).await,
                    None => self.create(key, uid, note, now).await,
                }
            };
            match tokio::time::timeout(self.timeout, call).await {
                Ok(Ok(standing)) => drop(self.told.lock().insert(told, standing)),
                _ => {
                    tracing::warn!(binding = %key, reason = %note.reason, "event not written");
                }
            }
        }
    }

    /// The event to count up, if there is one. It is put back once that was acknowledged.
    fn take(&self, told: &Told, now: Timestamp) -> Option<Standing> {
        let mut all = self.told.lock();
        all.retain(|_, standing| now.duration_since(standing.last) < SERIES);
        all.remove(told)
    }

    async fn create(
        &self,
        key: &ObjectKey,
        uid: &str,
        note: &Note,
        now: Timestamp,
    ) -> Result<Standing, kube::Error> {
        let mut binding = ExternalSecretBinding::new(&key.name, Default::default());
        binding.metadata.namespace = Some(key.namespace.clone());
        binding.metadata.uid = Some(uid.to_owned());
        let event = Event {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.clone()),
                generate_name: Some(format!("{}-", key.name)),
                ..ObjectMeta::default()
            },
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(note.reason.as_str().to_owned()),
            action: Some(note.action.to_owned()),
            note: Some(note.text.clone()),
            regarding: Some(kube::Resource::object_ref(&binding, &())),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(names::FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let created = self.api(key).create(&PostParams::default(), &event).await?;
        Ok(Standing {
            name: created.name_any(),
            count: 1,
            last: now,
        })
    }

    async fn count_up(
        &self,
        key: &ObjectKey,
        standing: Standing,
        now: Timestamp,
    ) -> Result<Standing, kube::Error> {
        let count = standing.count + 1;
        let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&series));
        self.api(key).patch(&standing.name, &params, &patch).await?;
        Ok(Standing {
            count,
            last: now,
            ..standing
        })
    }

    fn api(&self, key: &ObjectKey) -> Api<Event> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }
}
