//! The least that any operator needs for as many new Secrets: a bare loop that writes the same bytes,
//! one POST and one status apply for each binding, as many at once as the operator.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::objects::{self, AT_ONCE, send};
use super::plan::{Place, Plan};
use super::process::Usage;
use crate::workspace::Ended;

/// What the loop needed.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    pub(crate) took: Duration,
    /// Processor seconds of the benchmark meanwhile, its own watches included.
    pub(crate) cpu: f64,
    /// How long each POST took, the shortest first.
    pub(crate) posts: Vec<Duration>,
}

/// A Secret and a status that the operator has written, to be written again for other bindings.
pub(crate) struct Template {
    secret: Value,
    status: Value,
}

impl Template {
    /// What the operator has made of the first binding of a set.
    ///
    /// # Errors
    /// When it has made nothing of it.
    pub(crate) async fn take(client: &Client, plan: Plan, set: &str) -> Ended<Self> {
        let place = plan.places().next().ok_or("there are no bindings")?;
        let (namespace, name) = (place.namespace(set), place.name());
        let get = |path| send(client, Method::GET, path, "application/json", Vec::new());
        let mut secret = get(format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await?;
        let mut binding = get(objects::bindings(&namespace, &format!("/{name}"))).await?;
        let meta = secret["metadata"].as_object_mut();
        let meta = meta.ok_or("a Secret without metadata")?;
        meta.retain(|field, _| {
            matches!(field.as_str(), "labels" | "annotations" | "ownerReferences")
        });
        Ok(Self {
            secret,
            status: binding["status"].take(),
        })
    }

    fn secret(&self, place: Place, set: &str, binding: &Value) -> Vec<u8> {
        let mut secret = self.secret.clone();
        let meta = &mut secret["metadata"];
        meta["name"] = json!(place.name());
        meta["namespace"] = json!(place.namespace(set));
        meta["ownerReferences"][0]["name"] = json!(place.name());
        meta["ownerReferences"][0]["uid"] = binding["metadata"]["uid"].clone();
        secret.to_string().into_bytes()
    }

    fn status(&self, place: Place, set: &str, binding: &Value) -> Vec<u8> {
        let meta = json!({
            "name": place.name(),
            "namespace": place.namespace(set),
            "resourceVersion": binding["metadata"]["resourceVersion"],
        });
        let object = json!({
            "apiVersion": binding["apiVersion"], "kind": binding["kind"],
            "metadata": meta, "status": self.status,
        });
        object.to_string().into_bytes()
    }
}

/// Runs the loop over bindings that were just made.
///
/// # Errors
/// When the API server refuses a write.
pub(crate) async fn run(
    client: &Client,
    template: &Template,
    set: &str,
    made: &[(Place, Value)],
) -> Ended<Floor> {
    let cpu = Usage::of(std::process::id())?.cpu;
    let started = Instant::now();
    let writes = made
        .iter()
        .map(|(place, binding)| write(client, template, set, *place, binding));
    let mut posts: Vec<Duration> = stream::iter(writes)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let took = started.elapsed();
    posts.sort_unstable();
    Ok(Floor {
        took,
        cpu: Usage::of(std::process::id())?.cpu - cpu,
        posts,
    })
}

async fn write(
    client: &Client,
    template: &Template,
    set: &str,
    place: Place,
    binding: &Value,
) -> Ended<Duration> {
    let namespace = place.namespace(set);
    let path = format!("/api/v1/namespaces/{namespace}/secrets?fieldManager=keyferry");
    let body = template.secret(place, set, binding);
    let begun = Instant::now();
    send(client, Method::POST, path, "application/json", body).await?;
    let took = begun.elapsed();
    let name = place.name();
    let to = format!("/{name}/status?fieldManager=keyferry&force=true");
    let body = template.status(place, set, binding);
    let form = "application/apply-patch+yaml";
    let path = objects::bindings(&namespace, &to);
    send(client, Method::PATCH, path, form, body).await?;
    Ok(took)
}
