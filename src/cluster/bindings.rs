//! Bindings read once, without a watch: what the command line asks for.

use http::Method;
use kube::Resource;

use super::{
    BindingObject, ClusterError, ObjectKey, Raw,
    error::Asked,
    raw::{Accept, Call, List, path, segment},
};
use crate::api::ExternalSecretBinding;

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
        match self.call("get", uri).await {
            Ok(found) => Ok(Some(found)),
            // The same answer for an unknown kind: a list tells.
            Err(ClusterError::NotFound) => {
                let of_kind = format!("{}?limit=1", all(Some(&key.namespace)));
                self.call::<List<BindingObject>>("list", of_kind).await?;
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
        let (all, mut found, mut next) = (all(namespace), Vec::new(), String::new());
        loop {
            let uri = format!("{all}?limit={PAGE}&continue={}", segment(&next));
            let page: List<BindingObject> = self.call("list", uri).await?;
            found.extend(page.items.into_iter().flatten());
            next = page.metadata.continue_.unwrap_or_default();
            if next.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        verb: &'static str,
        uri: String,
    ) -> Result<T, ClusterError> {
        let asked = Asked {
            verb,
            resource: "externalsecretbindings",
        };
        let call = Call {
            asked,
            method: Method::GET,
            uri,
            accept: Accept::Whole,
            body: None,
        };
        self.raw.call(call).await
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
