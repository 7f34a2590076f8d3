//! Raw requests: bodies that may hold values pass through here and nowhere else.
//!
//! kube's typed calls log bodies they cannot decode; these do not. Nothing here retries: one request,
//! one answer, bounded by one timeout.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::{Client, client::Body};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::error::{Asked, ClusterError, from_answer};
use crate::core::value::Growing;

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Answers above this many bytes are not read: far more than a Secret with all its metadata.
const MAX_ANSWER: usize = 8 << 20;
/// The timeout of one request unless set otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// The object as it is.
    Whole,
    /// Its metadata only: the reply to a write then holds no data.
    Metadata,
    /// The metadata of each object of a list.
    MetadataList,
}

impl Accept {
    fn header(self) -> &'static str {
        match self {
            Self::Whole => "application/json",
            Self::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Self::MetadataList => {
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
            }
        }
    }
}

/// Content types of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A whole object, or delete options.
    Json,
    /// JSON merge patch, RFC 7386.
    MergePatch,
    /// Server-side apply. JSON is YAML.
    Apply,
}

impl Content {
    fn header(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// One request.
pub struct Call {
    /// In the words of RBAC, for errors.
    pub asked: Asked,
    /// HTTP method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub uri: String,
    /// Form of the answer.
    pub accept: Accept,
    /// Body and its type.
    pub body: Option<(Content, Zeroizing<Vec<u8>>)>,
}

/// The metadata of an answer.
#[derive(Deserialize)]
pub(super) struct MetadataOnly {
    pub metadata: ObjectMeta,
}

/// A listing, or a page of one.
#[derive(Deserialize)]
pub(super) struct List<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    /// Null for a list of nothing but metadata that holds none.
    pub items: Option<Vec<T>>,
}

/// A client for raw requests.
#[derive(Clone)]
pub struct Raw {
    client: Client,
    timeout: Duration,
}

impl Raw {
    /// `timeout` bounds each request from sending to the last byte of the answer.
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// Sends one request and decodes the answer.
    ///
    /// # Errors
    /// What the API server answered, or that it did not answer in time or in our form.
    pub async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClusterError> {
        let body = self.bytes(call).await?;
        serde_json::from_slice(body.expose())
            .map_err(|_| ClusterError::Unavailable("it sent a body we cannot decode"))
    }

    /// One object.
    ///
    /// # Errors
    /// Any answer but 200.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        resource: &'static str,
        accept: Accept,
        uri: String,
    ) -> Result<T, ClusterError> {
        self.call(reading("get", resource, accept, uri)).await
    }

    /// Every item of a list, page by page; `first` is the path with the query that each page has.
    ///
    /// # Errors
    /// Any answer but 200.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        resource: &'static str,
        accept: Accept,
        first: &str,
    ) -> Result<Vec<T>, ClusterError> {
        let (mut uri, mut all) = (first.to_owned(), Vec::new());
        loop {
            let page: List<T> = self.call(reading("list", resource, accept, uri)).await?;
            all.extend(page.items.into_iter().flatten());
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => uri = format!("{first}&continue={}", segment(&token)),
                None => return Ok(all),
            }
        }
    }

    async fn bytes(&self, call: Call) -> Result<Growing, ClusterError> {
        let asked = call.asked;
        let exchange = async {
            let answer = self
                .client
                .send(request(call)?)
                .await
                .map_err(not_reached)?;
            let (code, wait) = (answer.status(), retry_after(answer.headers()));
            let body = gathered(Limited::new(answer.into_body(), MAX_ANSWER)).await?;
            if code.is_success() {
                Ok(body)
            } else {
                Err(from_answer(asked, code.as_u16(), wait, body.expose()))
            }
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or(Err(ClusterError::Timeout))
    }
}

fn reading(verb: &'static str, resource: &'static str, accept: Accept, uri: String) -> Call {
    Call {
        asked: Asked { verb, resource },
        method: Method::GET,
        uri,
        accept,
        body: None,
    }
}

/// What is listed at `path`, with that label selector.
pub(super) fn labelled(path: &str, selector: &str) -> String {
    format!("{path}?labelSelector={}", segment(selector))
}

/// The path of all of a namespace's objects, or of the one with that name; `all`: without the namespace, for example
/// `/api/v1` and `secrets`.
pub(super) fn path(group: &str, namespace: &str, plural: &str, name: Option<&str>) -> String {
    let all = format!("{group}/namespaces/{}/{plural}", segment(namespace));
    name.map_or(all.clone(), |name| format!("{all}/{}", segment(name)))
}

/// One segment of a path, or a value of a query, percent-encoded.
pub(super) fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// The whole body in a buffer of ours: the one that `collect` makes would not be wiped.
async fn gathered(mut body: Limited<Body>) -> Result<Growing, ClusterError> {
    let mut whole = Growing::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ClusterError::Unavailable("the answer broke off"))?;
        if let Some(part) = frame.data_ref() {
            whole.push(part);
        }
    }
    Ok(whole)
}

fn request(call: Call) -> Result<Request<Body>, ClusterError> {
    let builder = Request::builder()
        .method(call.method)
        .uri(call.uri)
        .header(header::ACCEPT, call.accept.header());
    let request = match call.body {
        None => builder.body(Body::empty()),
        Some((content, bytes)) => builder
            .header(header::CONTENT_TYPE, content.header())
            // The buffer is zeroed when the last reference to it goes.
            .body(Body::from(Bytes::from_owner(bytes))),
    };
    request.map_err(|_| ClusterError::Unavailable("a name of ours makes no path"))
}

/// kube's own text may hold anything the connection saw: only the kind is kept.
fn not_reached(error: kube::Error) -> ClusterError {
    ClusterError::Unavailable(match error {
        kube::Error::Auth(_) => "no credentials for it",
        kube::Error::HyperError(_) | kube::Error::Service(_) => "it cannot be reached",
        _ => "the request could not be sent",
    })
}

fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
