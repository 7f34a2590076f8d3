//! Makes and removes the benchmark's objects, as many at once as the operator writes.

use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::plan::{Place, Plan};
use crate::workspace::Ended;

/// Requests under way at once: the operator's own default.
pub(crate) const AT_ONCE: usize = 16;

const BINDINGS: &str = "/apis/keyferry.dev/v1alpha1";

/// One request with a JSON body, and the JSON that came back.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn send(
    client: &Client,
    method: Method,
    path: String,
    content: &str,
    body: Vec<u8>,
) -> Ended<Value> {
    let request = Request::builder()
        .method(method)
        .uri(&path)
        .header("content-type", content)
        .body(body)?;
    let reply = client.request(request).await;
    reply.map_err(|e| format!("{path}: {e}").into())
}

/// Path of a binding, or without a name of all bindings of a namespace.
pub(crate) fn bindings(namespace: &str, name: &str) -> String {
    format!("{BINDINGS}/namespaces/{namespace}/externalsecretbindings{name}")
}

/// Makes the namespaces of a set.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn namespaces(client: &Client, plan: Plan, set: &str) -> Ended {
    for n in 0..plan.namespaces {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("{set}-{n}")}});
        let path = "/api/v1/namespaces".to_owned();
        let body = object.to_string().into_bytes();
        send(client, Method::POST, path, "application/json", body).await?;
    }
    Ok(())
}

/// Makes the bindings of a set; gives back what the API server made of them.
///
/// # Errors
/// When the API server refuses one.
pub(crate) async fn create(client: &Client, plan: Plan, set: &str) -> Ended<Vec<(Place, Value)>> {
    let made = plan.places().map(async |place| {
        let path = bindings(&place.namespace(set), "");
        let body = place.object(plan, set).to_string().into_bytes();
        let object = send(client, Method::POST, path, "application/json", body).await?;
        Ended::Ok((place, object))
    });
    stream::iter(made)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Removes the bindings of a set and their Secrets. They are gone some time later.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn remove(client: &Client, plan: Plan, set: &str) -> Ended {
    for n in 0..plan.namespaces {
        let namespace = format!("{set}-{n}");
        let secrets = format!(
            "/api/v1/namespaces/{namespace}/secrets?labelSelector=keyferry.dev/managed%3Dtrue"
        );
        for path in [bindings(&namespace, ""), secrets] {
            let nothing = Vec::new();
            send(client, Method::DELETE, path, "application/json", nothing).await?;
        }
    }
    Ok(())
}
