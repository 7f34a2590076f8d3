//! One test: a namespace of its own, entries under its name, and the ways to act and to look.

use std::{
    pin::Pin,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use keyferry_testkit::{
    Result,
    aws::{Call, Fault, SecretValue, Service},
    recorder::Version,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::world::{World, other};
pub use crate::{
    secret::{assert_holds, data, holds, revision},
    seen::{condition, entry, is, is_current},
};

/// Ends a test that would hang. Nothing asserts that anything takes less.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what cannot be watched.
pub const PAUSE: Duration = Duration::from_millis(100);

type Run = Box<dyn FnOnce(Case) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A test by its name.
pub struct Test {
    pub name: String,
    pub run: Run,
}

impl Test {
    pub fn new<F>(module: &str, name: &str, run: impl FnOnce(Case) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let file = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{file}::{name}"),
            run: Box::new(move |case| Box::pin(run(case))),
        }
    }
}

/// Lists async functions as tests: `tests![tests: a, b]` makes `pub fn tests()`.
#[macro_export]
macro_rules! tests {
    ($list:ident: $($name:ident),+ $(,)?) => {
        pub fn $list() -> Vec<$crate::case::Test> {
            vec![$($crate::case::Test::new(module_path!(), stringify!($name), $name)),+]
        }
    };
}

/// What one test works with. Clones are the same test.
#[derive(Clone)]
pub struct Case {
    pub world: Arc<World>,
    pub namespace: String,
}

impl Case {
    pub async fn new(world: Arc<World>, test: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = test.split("::").next().unwrap_or("test").replace('_', "-");
        let case = Self {
            world,
            namespace: format!("{file}-{:x}-{number}", std::process::id()),
        };
        case.make_namespace(&case.namespace).await?;
        Ok(case)
    }

    /// Another namespace for the same test; its name begins with this one's.
    pub async fn sibling(&self, word: &str) -> Self {
        let namespace = format!("{}-{word}", self.namespace);
        self.make_namespace(&namespace).await.unwrap();
        Self {
            world: Arc::clone(&self.world),
            namespace,
        }
    }

    async fn make_namespace(&self, name: &str) -> Result<()> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let all: Api<Namespace> = Api::all(self.world.client.clone());
        all.create(&PostParams::default(), &namespace)
            .await
            .map_err(other)?;
        Ok(())
    }

    /// Ends the test's own operators and clears its namespace away.
    pub async fn finish(&self) {
        let all: Api<Namespace> = Api::all(self.world.client.clone());
        all.delete(&self.namespace, &DeleteParams::default())
            .await
            .ok();
    }

    /// The full name of an entry of this namespace.
    pub fn entry(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// A new canary value with characters that every encoding changes.
    pub fn value(&self) -> String {
        self.world.canaries.value()
    }

    /// A new canary value of letters and digits.
    pub fn plain(&self) -> String {
        self.world.canaries.plain()
    }

    /// Makes an entry of this namespace, or a new version of it; returns the version id.
    pub fn put(&self, name: &str, value: &str) -> String {
        let (entries, entry) = (self.world.entries(), self.entry(name));
        if entries.arn(&entry).is_none() {
            entries.create(&entry, value).unwrap();
            return entries.current_version(&entry).unwrap();
        }
        entries.put(&entry, value).unwrap()
    }

    /// The same with bytes.
    pub fn put_binary(&self, name: &str, value: &[u8]) {
        let (entries, entry) = (self.world.entries(), self.entry(name));
        if entries.arn(&entry).is_none() {
            entries.create_binary(&entry, value).unwrap();
            return;
        }
        let version = format!("{:032x}", rand::random::<u128>());
        entries
            .put_with_version(&entry, &version, SecretValue::binary(value), None)
            .unwrap();
    }

    /// How often an entry of this namespace was asked for.
    pub fn reads(&self, name: &str) -> u64 {
        self.world.aws.reads_of(&self.entry(name))
    }

    /// The calls to Secrets Manager that named entries of this namespace.
    pub fn calls(&self) -> Vec<Call> {
        let prefix = self.entry("");
        let mut calls = self.world.aws.calls();
        calls.retain(|call| {
            call.service == Service::SecretsManager
                && call.ids.iter().any(|id| id.contains(&prefix))
        });
        calls
    }

    /// Makes the reads of an entry of this namespace go wrong.
    pub fn fault(&self, name: &str, fault: Fault) {
        let entry = self.entry(name);
        let handle = self.world.aws.fault(fault.entry(&entry));
        self.world.faults.lock().unwrap().insert(entry, handle);
    }

    /// Ends that.
    pub fn mend(&self, name: &str) {
        let handle = self.world.faults.lock().unwrap().remove(&self.entry(name));
        handle.expect("a fault of that entry").clear();
    }

    /// A policy for this namespace: `more` beside its own entries.
    pub async fn allow(&self, word: &str, more: Value) {
        let mut spec =
            json!({"namespaces": {"names": [self.namespace]}, "secrets": ["{namespace}/*"]});
        let all = spec.as_object_mut().unwrap();
        all.extend(more.as_object().cloned().unwrap_or_default());
        let policy = json!({"apiVersion": "keyferry.dev/v1alpha1", "kind": "SecretAccessPolicy",
            "metadata": {"name": self.policy_name(word)}, "spec": spec});
        let output = self
            .kubectl(&["apply", "-f", "-"], Some(&policy.to_string()))
            .await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn policy_name(&self, word: &str) -> String {
        format!("{}-{word}", self.namespace)
    }

    /// Runs kubectl in this namespace; what it prints goes to the leak scan.
    pub async fn kubectl(&self, args: &[&str], input: Option<&str>) -> Output {
        let all = [&["-n", &self.namespace], args].concat();
        let input = input.map(str::as_bytes);
        let output = self.world.plane.kubectl(&all, input).await.unwrap();
        // Secrets are read by other ways: whatever kubectl prints here, a person may see.
        self.world.channels.shown(&output.stdout);
        self.world.channels.shown(&output.stderr);
        output
    }

    /// `kubectl apply` of one object.
    pub async fn apply(&self, manifest: Value) {
        let output = self
            .kubectl(&["apply", "-f", "-"], Some(&manifest.to_string()))
            .await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Applies a binding with kubectl, and waits until the recorder has seen it.
    pub async fn binding(&self, name: &str, spec: Value) {
        let manifest = self.manifest(name, spec).to_string();
        let version = "jsonpath={.metadata.resourceVersion}";
        let output = self
            .kubectl(&["apply", "-o", version, "-f", "-"], Some(&manifest))
            .await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.seen(name, &String::from_utf8_lossy(&output.stdout))
            .await;
    }

    pub fn manifest(&self, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "keyferry.dev/v1alpha1", "kind": "ExternalSecretBinding",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        })
    }

    /// A binding that carries one entry to one key.
    pub async fn bind_one(&self, name: &str, key: &str, entry: &str) {
        self.binding(name, self.one(key, entry)).await;
    }

    /// The spec of such a binding.
    pub fn one(&self, key: &str, entry: &str) -> Value {
        json!({"data": [{"key": key, "from": {"secret": self.entry(entry)}}]})
    }

    /// Merges a patch into a binding, and waits until the recorder has seen it.
    pub async fn patch_binding(&self, name: &str, patch: Value) {
        let api: Api<DynamicObject> = self.dynamic("ExternalSecretBinding");
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        let version = patched.unwrap().resource_version().unwrap();
        self.seen(name, &version).await;
    }

    /// Deletes a binding and waits until it is gone.
    pub async fn delete_binding(&self, name: &str) {
        let api: Api<DynamicObject> = self.dynamic("ExternalSecretBinding");
        api.delete(name, &DeleteParams::default()).await.unwrap();
        let gone = || matches!(self.history(name).last(), Some(Version::Gone)).then_some(());
        let waited = self.world.bindings.until(PATIENCE, gone).await;
        waited.unwrap_or_else(|why| panic!("binding {name} goes away: {why}"));
    }

    pub fn dynamic(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk("keyferry.dev", "v1alpha1", kind);
        let mut resource = ApiResource::from_gvk(&gvk);
        match kind {
            "SecretAccessPolicy" => {
                resource.plural = "secretaccesspolicies".into();
                Api::all_with(self.world.client.clone(), &resource)
            }
            _ => Api::namespaced_with(self.world.client.clone(), &self.namespace, &resource),
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
        K::DynamicType: Default,
    {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }
}
