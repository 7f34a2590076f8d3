//! Manifests and waiting.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use keyferry_testkit::shared::{Bed, bed};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// A namespace of one test, and the ways into it.
pub struct Place {
    pub bed: &'static Bed,
    pub client: Client,
    pub namespace: String,
}

pub async fn place(purpose: &str) -> Place {
    let bed = bed().await.unwrap();
    Place {
        bed,
        client: bed.plane.client().await.unwrap(),
        namespace: bed.namespace(purpose).await.unwrap(),
    }
}

impl Place {
    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `kubectl apply`, as a person does it.
    pub async fn apply(&self, manifest: Value) {
        let input = manifest.to_string();
        let args = ["apply", "-n", &self.namespace, "-f", "-"];
        let output = self
            .bed
            .plane
            .kubectl(&args, Some(input.as_bytes()))
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub async fn secret(&self, name: &str, data: Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": data});
        let secrets: Api<Secret> = self.api();
        let params = PatchParams::apply("test").force();
        secrets
            .patch(name, &params, &Patch::Apply(secret))
            .await
            .unwrap();
    }

    /// What the only running container of the only pod captured.
    pub fn captured(&self, variable: &str) -> Option<String> {
        let pods = self.bed.nodes.pods(&self.namespace, &[]);
        let environment = pods.first()?.containers.last()?.environment.clone()?;
        environment.get(variable).map(str::to_owned)
    }

    pub async fn delete_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

/// Asks until the answer is yes. The limit only ends a test that would hang.
pub async fn until<F: Future<Output = bool>>(what: &str, mut asked: impl FnMut() -> F) {
    for _ in 0..2400 {
        if asked().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}: not so after a minute");
}

/// The pods that are not being deleted.
pub async fn living(pods: &Api<Pod>) -> Vec<Pod> {
    let mut list = pods.list(&Default::default()).await.unwrap().items;
    list.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    list
}

pub async fn status(pods: &Api<Pod>, name: &str) -> Value {
    let pod = pods.get_opt(name).await.unwrap();
    pod.map_or(Value::Null, |pod| json!(pod.status))
}

pub fn names<K: kube::Resource>(objects: &[K]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

pub fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == kind);
    found.map_or(Value::Null, |c| c["status"].clone())
}

pub fn container() -> Value {
    json!({
        "name": "app", "image": "app:1",
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}}],
    })
}

pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec})
}

pub fn deployment(name: &str, replicas: u32, container: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container]},
            },
        },
    })
}
