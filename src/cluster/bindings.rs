//! Bindings read once, without a watch: what the command line asks for.

use kube::Resource;

use super::{
    BindingObject, ClusterError, ObjectKey, Raw,
    raw::{Accept, List, path},
};
use crate::api::ExternalSecretBinding;

/// As RBAC names them.
const RESOURCE: &str = "externalsecretbindings";
/// Bindings of one page: each may take some tens of KiB.
const PAGE: usize = 100;

/// Bindings of the API server.
#[derive(Clone)]
pub struct Bindings {
    raw: Raw,
}

impl Bindings {
    /// Requests go through `raw`.
    pub fn new(raw: Raw) -> Self {
        Self { raw }
    }

    /// One binding; None if there is none.
    ///
    /// # Errors
    /// [`ClusterError::NotFound`] where the cluster does not know the kind; any other answer but 200.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<BindingObject>, ClusterError> {
        let uri = path(&group(), &key.namespace, &plural(), Some(&key.name));
        match self.raw.get(RESOURCE, Accept::Whole, uri).await {
            Ok(found) => Ok(Some(found)),
            // The same answer for an unknown kind: a list tells.
            Err(ClusterError::NotFound) => {
                let of_kind = format!("{}?limit=1", all(Some(&key.namespace)));
                let page = self
                    .raw
                    .get::<List<BindingObject>>(RESOURCE, Accept::Whole, of_kind);
                page.await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Every binding of a namespace, or of all.
    ///
    /// # Errors
    /// [`ClusterError::NotFound`] where the cluster does not know the kind; any other answer but 200.
    pub async fn list(&self, namespace: Option<&str>) -> Result<Vec<BindingObject>, ClusterError> {
        let first = format!("{}?limit={PAGE}", all(namespace));
        self.raw.list(RESOURCE, Accept::Whole, &first).await
    }
}

fn group() -> String {
    let (group, version) = (
        ExternalSecretBinding::group(&()),
        ExternalSecretBinding::version(&()),
    );
    format!("/apis/{group}/{version}")
}

fn plural() -> String {
    ExternalSecretBinding::plural(&()).into_owned()
}

fn all(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => path(&group(), namespace, &plural(), None),
        None => format!("{}/{}", group(), plural()),
    }
}
