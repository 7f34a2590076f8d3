//! Bindings, as the API server showed them.

use std::sync::Arc;

use keyferry_testkit::recorder::Version;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::case::{Case, PATIENCE};

impl Case {
    /// Every version of a binding so far.
    pub fn history(&self, name: &str) -> Vec<Version> {
        self.world.bindings.history(&self.namespace, name)
    }

    /// Every status that a binding ever had, oldest first.
    pub fn statuses(&self, name: &str) -> Vec<Value> {
        let is = |version: Version| match version {
            Version::Is(object) => Some(object["status"].clone()),
            Version::Gone => None,
        };
        self.history(name).into_iter().filter_map(is).collect()
    }

    pub async fn seen(&self, name: &str, version: &str) {
        let wanted: u64 = version.parse().unwrap();
        let seen = |object: &Value| {
            let have = object["metadata"]["resourceVersion"].as_str();
            have.and_then(|text| text.parse::<u64>().ok())
                .is_some_and(|have| have >= wanted)
        };
        self.until(name, "seen by the recorder", seen).await;
    }

    /// Waits until the binding, as last seen, is as `fits` says.
    pub async fn until(&self, name: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Arc<Value> {
        let latest = || self.world.bindings.latest(&self.namespace, name);
        let found = || latest().filter(|object| fits(object));
        match self.world.bindings.until(PATIENCE, found).await {
            Ok(object) => object,
            Err(why) => {
                let status = latest().map(|object| format!("{:#}", object["status"]));
                let status = status.unwrap_or_else(|| "no such binding".to_owned());
                panic!(
                    "binding {name} of {}: {what}: {why}; last status: {status}",
                    self.namespace
                )
            }
        }
    }

    /// Waits until the binding is in sync at its present generation; returns its status.
    pub async fn synced(&self, name: &str) -> Value {
        let synced = |object: &Value| is_current(object) && is(object, "Synced", "True", "Synced");
        self.until(name, "in sync", synced).await["status"].clone()
    }

    /// Waits until `Synced` is False for a reason, at the present generation; returns its status.
    pub async fn failing(&self, name: &str, reason: &str) -> Value {
        let failing = |object: &Value| is_current(object) && is(object, "Synced", "False", reason);
        let what = format!("not in sync because of {reason}");
        self.until(name, &what, failing).await["status"].clone()
    }

    /// Waits until `RolledOut` is as said.
    pub async fn rolled_out(&self, name: &str, status: &str, reason: &str) -> Value {
        let fits = |object: &Value| is_current(object) && is(object, "RolledOut", status, reason);
        let what = format!("RolledOut={status} because of {reason}");
        self.until(name, &what, fits).await["status"].clone()
    }

    /// Asks for a refresh as a person does, and waits until it was acted on; returns the status.
    pub async fn refresh(&self, name: &str) -> Value {
        let token = format!("{:x}", rand::random::<u64>());
        self.ask_refresh(name, &token).await;
        let handled = |object: &Value| object["status"]["lastHandledRefresh"] == json!(token);
        self.until(name, "refreshed", handled).await["status"].clone()
    }

    pub async fn ask_refresh(&self, name: &str, token: &str) {
        let patch = json!({"metadata": {"annotations": {"keyferry.dev/refresh": token}}});
        let api: Api<DynamicObject> = self.dynamic("ExternalSecretBinding");
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

/// The status speaks of the spec as it stands.
pub fn is_current(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// A condition of an object, or Null.
pub fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"]
        .as_array()
        .or(object["conditions"].as_array());
    let found = all.and_then(|all| all.iter().find(|c| c["type"] == kind));
    found.cloned().unwrap_or(Value::Null)
}

/// Whether a condition has that status and reason.
pub fn is(object: &Value, kind: &str, status: &str, reason: &str) -> bool {
    let found = condition(object, kind);
    found["status"] == status && found["reason"] == reason
}

/// What the status of a binding says of a workload, or Null.
pub fn entry<'a>(object: &'a Value, name: &str) -> &'a Value {
    let rollouts = object["status"]["rollouts"].as_array();
    let mut all = rollouts
        .or(object["rollouts"].as_array())
        .into_iter()
        .flatten();
    all.find(|e| e["name"] == name).unwrap_or(&Value::Null)
}
