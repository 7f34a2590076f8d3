//! Access policies and the labels that they select by, read once, without a watch: what the command line asks for.

use std::collections::BTreeMap;

use http::Method;
use kube::Resource;
use serde::de::DeserializeOwned;

use super::{
    ClusterError, Raw,
    error::Asked,
    raw::{Accept, Call, List, MetadataOnly, segment},
};
use crate::api::SecretAccessPolicy;

/// Policies of one page.
const PAGE: usize = 100;

/// Access policies of the API server.
#[derive(Clone)]
pub struct Policies {
    raw: Raw,
}

impl Policies {
    /// Requests go through `raw`.
    pub fn new(raw: Raw) -> Self {
        Self { raw }
    }

    /// Every policy.
    ///
    /// # Errors
    /// [`ClusterError::NotFound`] where the cluster does not know the kind; any other answer but 200.
    pub async fn list(&self) -> Result<Vec<SecretAccessPolicy>, ClusterError> {
        let (group, version) = (
            SecretAccessPolicy::group(&()),
            SecretAccessPolicy::version(&()),
        );
        let all = format!(
            "/apis/{group}/{version}/{}",
            SecretAccessPolicy::plural(&())
        );
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let uri = format!("{all}?limit={PAGE}&continue={}", segment(&next));
            let call = call("list", "secretaccesspolicies", uri, Accept::Whole);
            let page: List<SecretAccessPolicy> = self.answer(call).await?;
            found.extend(page.items.into_iter().flatten());
            next = page.metadata.continue_.unwrap_or_default();
            if next.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The labels of a namespace; of one that is not there yet: none.
    ///
    /// # Errors
    /// Any answer but 200 and 404.
    pub async fn namespace_labels(
        &self,
        namespace: &str,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let uri = format!("/api/v1/namespaces/{}", segment(namespace));
        let call = call("get", "namespaces", uri, Accept::Metadata);
        match self.answer::<MetadataOnly>(call).await {
            Ok(found) => Ok(found.metadata.labels.unwrap_or_default()),
            Err(ClusterError::NotFound | ClusterError::NamespaceTerminating) => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    async fn answer<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClusterError> {
        self.raw.call(call).await
    }
}

fn call(verb: &'static str, resource: &'static str, uri: String, accept: Accept) -> Call {
    Call {
        asked: Asked { verb, resource },
        method: Method::GET,
        uri,
        accept,
        body: None,
    }
}
