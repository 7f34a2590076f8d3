//! Access policies and the labels that they select by, read once, without a watch: what the command line asks for.

use std::collections::BTreeMap;

use kube::Resource;

use super::{
    ClusterError, Raw,
    raw::{Accept, MetadataOnly, segment},
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
        let first = format!("{all}?limit={PAGE}");
        self.raw
            .list("secretaccesspolicies", Accept::Whole, &first)
            .await
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
        let found = self
            .raw
            .get::<MetadataOnly>("namespaces", Accept::Metadata, uri);
        match found.await {
            Ok(found) => Ok(found.metadata.labels.unwrap_or_default()),
            Err(ClusterError::NotFound | ClusterError::NamespaceTerminating) => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }
}
