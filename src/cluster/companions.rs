//! The companion Secrets there are at a start. They are not watched: while the operator runs it knows what it made.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::ListParams};

use super::ObjectKey;
use crate::api::names;

/// Their metadata takes a page or two.
const PAGE: u32 = 500;

/// Bindings and the names of the companions they have left behind. `namespaces`: those that are watched; empty: all.
/// What cannot be listed is none: it is tidied away by the next rollout.
pub async fn companions(
    client: &Client,
    namespaces: &[String],
    timeout: Duration,
) -> Vec<(ObjectKey, String)> {
    let apis: Vec<Api<Secret>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some
            .iter()
            .map(|namespace| Api::namespaced(client.clone(), namespace))
            .collect(),
    };
    let mut found = Vec::new();
    for api in apis {
        match tokio::time::timeout(timeout, list(&api)).await {
            Ok(Ok(some)) => found.extend(some),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Secrets left by open rollouts could not be listed");
            }
            Err(_) => tracing::warn!("Secrets left by open rollouts were not listed in time"),
        }
    }
    found
}

async fn list(api: &Api<Secret>) -> kube::Result<Vec<(ObjectKey, String)>> {
    let mut params = ListParams::default()
        .labels(names::LABEL_PART_OF)
        .limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list_metadata(&params).await?;
        for meta in page.items.into_iter().map(|item| item.metadata) {
            let binding = meta
                .labels
                .and_then(|labels| labels.get(names::LABEL_PART_OF).cloned());
            if let (Some(namespace), Some(name), Some(binding)) =
                (meta.namespace, meta.name, binding)
            {
                found.push((ObjectKey::new(&namespace, &binding), name));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
