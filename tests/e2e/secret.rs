//! Secrets: made and changed as others do it, waited for, compared without ever printing a value.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::case::{Case, PATIENCE, PAUSE};

impl Case {
    pub async fn find_secret(&self, name: &str) -> Option<Secret> {
        self.api::<Secret>().get_opt(name).await.unwrap()
    }

    pub async fn secret(&self, name: &str) -> Secret {
        let found = self.find_secret(name).await;
        found.unwrap_or_else(|| panic!("no Secret {name} in {}", self.namespace))
    }

    /// Makes a Secret as somebody else would.
    pub async fn foreign_secret(&self, name: &str, manager: &str, data: &[(&str, &str)]) -> Secret {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let secret = json!({"metadata": {"name": name}, "stringData": data});
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let secret: Secret = serde_json::from_value(secret).unwrap();
        self.api().create(&params, &secret).await.unwrap()
    }

    pub async fn patch_secret(&self, name: &str, manager: &str, patch: Value) -> Secret {
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.api::<Secret>()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap()
    }

    pub async fn delete_secret(&self, name: &str) {
        self.api::<Secret>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the Secret is as `fits` says.
    pub async fn until_secret(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(Option<&Secret>) -> bool,
    ) -> Option<Secret> {
        let last = self
            .poll(|| async {
                let secret = self.find_secret(name).await;
                fits(secret.as_ref()).then_some(secret)
            })
            .await;
        last.unwrap_or_else(|| {
            panic!(
                "Secret {name} of {}: {what}: not so in time",
                self.namespace
            )
        })
    }

    /// Asks until there is an answer; `None` after [`PATIENCE`].
    pub async fn poll<T, F: Future<Output = Option<T>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Option<T> {
        let asking = async {
            loop {
                if let Some(found) = ask().await {
                    return found;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()
    }
}

/// The bytes of a Secret.
pub fn data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    let all = secret.data.iter().flatten();
    all.map(|(key, value)| (key.clone(), value.0.clone()))
        .collect()
}

/// Whether the Secret is there and holds these bytes under that key.
pub fn holds(secret: Option<&Secret>, key: &str, value: &str) -> bool {
    let found = secret
        .and_then(|s| s.data.as_ref())
        .and_then(|data| data.get(key));
    found.is_some_and(|found| found.0 == value.as_bytes())
}

/// Fails when the Secret holds anything but exactly these keys and bytes. Prints keys, never values.
#[track_caller]
pub fn assert_holds<T: AsRef<[u8]>>(secret: &Secret, expected: &[(&str, T)]) {
    let have = data(secret);
    let want: BTreeMap<&str, &[u8]> = expected.iter().map(|(k, v)| (*k, v.as_ref())).collect();
    let keys: Vec<&str> = have.keys().map(String::as_str).collect();
    let wanted: Vec<&str> = want.keys().copied().collect();
    assert_eq!(keys, wanted, "keys of {}", secret.name_any());
    for (key, value) in want {
        let (have, want) = (have[key].len(), value.len());
        assert!(
            secret
                .data
                .as_ref()
                .is_some_and(|data| data[key].0 == value),
            "{}: the bytes of {key} differ ({have} bytes, expected {want})",
            secret.name_any()
        );
    }
}

fn annotation(secret: &Secret, name: &str) -> String {
    secret.annotations().get(name).cloned().unwrap_or_default()
}

pub fn revision(secret: &Secret) -> String {
    annotation(secret, "keyferry.dev/revision")
}
