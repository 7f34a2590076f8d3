//! Requests on Secrets, one method a request. No decision is made here.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    ClusterError, Raw,
    error::Asked,
    raw::{self, Accept, Call, Content, MetadataOnly, labelled, segment},
    secret_body::{Incoming, Outgoing},
};
use crate::{
    api::names,
    core::{change::Data, managers, target_meta::TargetMeta, write_plan::LiveSecret},
};

/// Companion and candidate Secrets in one page of a list: their annotations may take 160 KiB each.
const PARTS: usize = 40;

/// Secrets of the API server.
#[derive(Clone)]
pub struct Secrets {
    raw: Raw,
}

impl Secrets {
    /// Requests go through `raw`.
    pub fn new(raw: Raw) -> Self {
        Self { raw }
    }

    /// The Secret with its bytes; None if there is none.
    ///
    /// # Errors
    /// Any answer but 200 and 404.
    pub async fn get(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<LiveSecret>, ClusterError> {
        let found = self.read::<Incoming>(namespace, name, Accept::Whole);
        Ok(found.await?.map(Into::into))
    }

    /// Its metadata; the bytes stay at the API server.
    ///
    /// # Errors
    /// Any answer but 200 and 404.
    pub async fn get_meta(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ObjectMeta>, ClusterError> {
        let found = self.read::<MetadataOnly>(namespace, name, Accept::Metadata);
        Ok(found.await?.map(|it| it.metadata))
    }

    /// The metadata of the companion and candidate Secrets of a binding.
    ///
    /// # Errors
    /// Any answer but 200.
    pub async fn parts_of(
        &self,
        namespace: &str,
        binding: &str,
    ) -> Result<Vec<ObjectMeta>, ClusterError> {
        let selector = format!("{}={binding}", names::LABEL_PART_OF);
        self.parts(path(namespace, None), &selector).await
    }

    /// The same of all bindings, in a namespace or in all.
    ///
    /// # Errors
    /// Any answer but 200.
    pub async fn all_parts(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<ObjectMeta>, ClusterError> {
        let all = namespace.map_or("/api/v1/secrets".to_owned(), |n| path(n, None));
        self.parts(all, names::LABEL_PART_OF).await
    }

    async fn parts(&self, all: String, selector: &str) -> Result<Vec<ObjectMeta>, ClusterError> {
        let first = format!("{}&limit={PARTS}", labelled(&all, selector));
        let parts = self
            .raw
            .list("secrets", Accept::MetadataList, &first)
            .await?;
        let metadata = |item: MetadataOnly| item.metadata;
        Ok(parts.into_iter().map(metadata).collect())
    }

    /// POST of a new Secret.
    ///
    /// # Errors
    /// `AlreadyExists` in a create race.
    pub async fn create(
        &self,
        namespace: &str,
        meta: &ObjectMeta,
        type_: &str,
        data: &Data,
    ) -> Result<ObjectMeta, ClusterError> {
        let body = whole(meta, type_, data)?;
        let uri = managed(path(namespace, None), names::FIELD_MANAGER);
        self.write("create", Method::POST, uri, Content::Json, body)
            .await
    }

    /// PUT over the Secret that `meta` (with uid and resourceVersion) was read from.
    ///
    /// # Errors
    /// `Conflict` when it is no longer that one.
    pub async fn replace(
        &self,
        namespace: &str,
        name: &str,
        meta: &ObjectMeta,
        type_: &str,
        data: &Data,
    ) -> Result<ObjectMeta, ClusterError> {
        let body = whole(meta, type_, data)?;
        let uri = managed(path(namespace, Some(name)), names::FIELD_MANAGER);
        self.write("update", Method::PUT, uri, Content::Json, body)
            .await
    }

    /// Merge patch of metadata alone, under a manager of its own: the time of [`names::FIELD_MANAGER`]
    /// stays the time the bytes last changed.
    ///
    /// # Errors
    /// `Conflict` when the resourceVersion in the patch is no longer the live one.
    pub async fn patch_metadata(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<ObjectMeta, ClusterError> {
        let uri = managed(path(namespace, Some(name)), names::METADATA_FIELD_MANAGER);
        let body = Zeroizing::new(patch.to_string().into_bytes());
        self.write("patch", Method::PATCH, uri, Content::MergePatch, body)
            .await
    }

    /// Server-side apply, without force, of the part of one Merge binding over the Secret `live`. What
    /// the binding applied before and leaves out now goes; without `data` and `meta` that is all of it.
    ///
    /// # Errors
    /// `FieldConflict` with the fields of others, `Conflict` when the Secret is no longer `live`.
    pub async fn apply(
        &self,
        namespace: &str,
        binding: &str,
        live: &ObjectMeta,
        part: Option<(&TargetMeta, &Data)>,
    ) -> Result<ObjectMeta, ClusterError> {
        let name = live.name.clone().unwrap_or_default();
        let meta = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.to_owned()),
            // Without the uid an apply would create a Secret that is gone by now.
            uid: live.uid.clone(),
            resource_version: live.resource_version.clone(),
            labels: part.map(|(meta, _)| meta.labels.clone()),
            annotations: part.map(|(meta, _)| meta.annotations.clone()),
            ..ObjectMeta::default()
        };
        let body = Outgoing {
            meta: &meta,
            type_: None,
            data: part.map(|(_, data)| data),
        }
        .encode()?;
        let uri = managed(
            path(namespace, Some(&name)),
            &managers::merge_manager(binding),
        );
        self.write("patch", Method::PATCH, uri, Content::Apply, body)
            .await
    }

    /// Deletes exactly the Secret `live`, if it was not changed since. True if it was there.
    ///
    /// # Errors
    /// `Conflict` when it is no longer that one.
    pub async fn delete(&self, namespace: &str, live: &ObjectMeta) -> Result<bool, ClusterError> {
        let name = live.name.as_deref().unwrap_or_default();
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": live.uid, "resourceVersion": live.resource_version},
        });
        let body = Zeroizing::new(options.to_string().into_bytes());
        let call = call(
            "delete",
            Method::DELETE,
            path(namespace, Some(name)),
            Accept::Metadata,
            Some((Content::Json, body)),
        );
        absent_is_none(self.raw.call::<IgnoredAny>(call).await).map(|gone| gone.is_some())
    }

    async fn read<T: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        accept: Accept,
    ) -> Result<Option<T>, ClusterError> {
        let uri = path(namespace, Some(name));
        absent_is_none(
            self.raw
                .call(call("get", Method::GET, uri, accept, None))
                .await,
        )
    }

    async fn write(
        &self,
        verb: &'static str,
        method: Method,
        uri: String,
        content: Content,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<ObjectMeta, ClusterError> {
        let call = call(verb, method, uri, Accept::Metadata, Some((content, body)));
        self.raw
            .call::<MetadataOnly>(call)
            .await
            .map(|reply| reply.metadata)
    }
}

fn whole(meta: &ObjectMeta, type_: &str, data: &Data) -> Result<Zeroizing<Vec<u8>>, ClusterError> {
    let (type_, data) = (Some(type_), Some(data));
    Outgoing { meta, type_, data }.encode()
}

fn call(
    verb: &'static str,
    method: Method,
    uri: String,
    accept: Accept,
    body: Option<(Content, Zeroizing<Vec<u8>>)>,
) -> Call {
    Call {
        asked: Asked {
            verb,
            resource: "secrets",
        },
        method,
        uri,
        accept,
        body,
    }
}

fn path(namespace: &str, name: Option<&str>) -> String {
    raw::path("/api/v1", namespace, "secrets", name)
}

fn managed(path: String, manager: &str) -> String {
    format!("{path}?fieldManager={}", segment(manager))
}

fn absent_is_none<T>(answer: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClusterError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
