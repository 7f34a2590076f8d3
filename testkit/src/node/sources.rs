//! The Secrets and ConfigMaps that one container or one pod's volumes name,
//! read from the API server at the moment they are needed, never cached.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

/// Which objects are needed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct References {
    pub(super) secrets: BTreeSet<String>,
    pub(super) config_maps: BTreeSet<String>,
}

impl References {
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.config_maps.is_empty()
    }
}

/// What was found of them: content by name and key.
#[derive(Default)]
pub(super) struct Sources {
    secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Sources {
    pub(super) fn secret(&self, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.secrets.get(name)
    }

    pub(super) fn config_map(&self, name: &str) -> Option<&BTreeMap<String, Vec<u8>>> {
        self.config_maps.get(name)
    }

    #[cfg(test)]
    pub(super) fn with_secret(mut self, name: &str, data: &[(&str, &str)]) -> Self {
        self.secrets.insert(name.into(), bytes(data));
        self
    }

    #[cfg(test)]
    pub(super) fn with_config_map(mut self, name: &str, data: &[(&str, &str)]) -> Self {
        self.config_maps.insert(name.into(), bytes(data));
        self
    }
}

#[cfg(test)]
fn bytes(data: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    data.iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Reads them now; what does not exist is left out.
pub(super) async fn fetch(
    client: &Client,
    namespace: &str,
    wanted: References,
) -> kube::Result<Sources> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut sources = Sources::default();
    for name in wanted.secrets {
        if let Some(secret) = secrets.get_opt(&name).await? {
            let data = secret.data.unwrap_or_default();
            let data = data
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect();
            sources.secrets.insert(name, data);
        }
    }
    for name in wanted.config_maps {
        if let Some(map) = config_maps.get_opt(&name).await? {
            let text = map.data.unwrap_or_default().into_iter();
            let binary = map.binary_data.unwrap_or_default().into_iter();
            let data = text
                .map(|(key, value)| (key, value.into_bytes()))
                .chain(binary.map(|(key, value)| (key, value.0)))
                .collect();
            sources.config_maps.insert(name, data);
        }
    }
    Ok(sources)
}
