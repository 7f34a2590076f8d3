//! What the tests of the target Secret share: one control plane, a namespace for each test.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use keyferry::{
    api::binding::{CreationPolicy, DeletionPolicy},
    cluster::{
        Raw,
        apply::{ApplyError, Intent, Outcome, Seen, Write, Written, write},
        error::Asked,
        raw::{Accept, Call, Content, DEFAULT_TIMEOUT},
        secrets::Secrets,
    },
    core::{
        Finding, InstallKey, SecretValue,
        change::{Data, Repairs, Wanted},
        ownership::Claim,
        recipe::TargetRecipe,
        sources::SourceVersion,
        write_plan::LiveSecret,
    },
};
use keyferry_testkit::{ControlPlane, control_plane::Options};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// One that does not serve our kinds: the bindings of these tests are only names and uids, and where
/// the garbage collector can look for them it deletes the Secrets that name them as owners.
async fn plane() -> &'static ControlPlane {
    PLANE
        .get_or_init(|| async { ControlPlane::own(Options::default()).await.unwrap() })
        .await
}

/// A binding by name; its uid is `uid-<name>`.
#[derive(Clone, Copy)]
pub struct Binding(&'static str, &'static str);

pub fn binding(name: &'static str) -> Binding {
    match name {
        "a" => Binding("a", "uid-a"),
        "b" => Binding("b", "uid-b"),
        other => Binding(other, "uid-other"),
    }
}

pub fn target(name: &str) -> TargetRecipe {
    TargetRecipe {
        name: name.to_owned(),
        type_: "Opaque".to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        creation: CreationPolicy::Owner,
        deletion: DeletionPolicy::Delete,
    }
}

pub fn bytes(pairs: &[(&str, &[u8])]) -> Data {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), SecretValue::new(value.to_vec())))
        .collect()
}

pub fn done(written: Result<Written, ApplyError>) -> Outcome {
    match written.unwrap() {
        Written::Done(outcome) => outcome,
        other => panic!("not written: {other:?}"),
    }
}

pub fn finding(written: Result<Written, ApplyError>) -> Finding {
    match written {
        Err(ApplyError::Finding(finding)) => finding,
        other => panic!("no finding: {other:?}"),
    }
}

/// One test's namespace and its clients.
pub struct Bed {
    namespace: &'static str,
    client: Client,
    pub secrets: Secrets,
    key: InstallKey,
    /// The status says that the Secret was written before.
    pub existed: bool,
    pub now: Timestamp,
}

impl Bed {
    pub async fn new(namespace: &'static str) -> Self {
        let bed = Self::without_namespace(namespace).await;
        let made: Namespace =
            serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::all(bed.client.clone())
            .create(&PostParams::default(), &made)
            .await
            .unwrap();
        bed
    }

    pub async fn without_namespace(namespace: &'static str) -> Self {
        let client = plane().await.client().await.unwrap();
        Self {
            namespace,
            secrets: Secrets::new(Raw::new(client.clone(), DEFAULT_TIMEOUT)),
            client,
            key: InstallKey::new([5; 32]),
            existed: false,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    pub fn claim<'a>(&'a self, by: Binding, target: &'a TargetRecipe) -> Claim<'a> {
        Claim {
            namespace: self.namespace,
            binding: by.0,
            binding_uid: by.1,
            target,
        }
    }

    pub async fn write(
        &self,
        by: Binding,
        target: &TargetRecipe,
        data: &Data,
        seen: Seen,
    ) -> Result<Written, ApplyError> {
        self.write_version(by, target, data, seen, "v1").await
    }

    pub async fn write_version(
        &self,
        by: Binding,
        target: &TargetRecipe,
        data: &Data,
        seen: Seen,
        version: &str,
    ) -> Result<Written, ApplyError> {
        self.write_with(by, target, data, seen, version, &Repairs::default())
            .await
    }

    pub async fn write_with(
        &self,
        by: Binding,
        target: &TargetRecipe,
        data: &Data,
        seen: Seen,
        version: &str,
        repairs: &Repairs,
    ) -> Result<Written, ApplyError> {
        self.send(
            &self.secrets,
            (by, target, data, version),
            seen,
            Intent::NotNeeded,
            repairs,
        )
        .await
    }

    pub async fn write_intent(
        &self,
        by: Binding,
        target: &TargetRecipe,
        data: &Data,
        seen: Seen,
        intent: Intent,
    ) -> Result<Written, ApplyError> {
        self.send(
            &self.secrets,
            (by, target, data, "v1"),
            seen,
            intent,
            &Repairs::default(),
        )
        .await
    }

    pub async fn write_as(
        &self,
        secrets: &Secrets,
        by: Binding,
        target: &TargetRecipe,
        data: &Data,
        seen: Seen,
    ) -> Result<Written, ApplyError> {
        self.send(
            secrets,
            (by, target, data, "v1"),
            seen,
            Intent::NotNeeded,
            &Repairs::default(),
        )
        .await
    }

    async fn send(
        &self,
        secrets: &Secrets,
        (by, target, data, version): (Binding, &TargetRecipe, &Data, &str),
        seen: Seen,
        intent: Intent,
        repairs: &Repairs,
    ) -> Result<Written, ApplyError> {
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:estate/db-AbCdEf";
        let read = [SourceVersion {
            arn,
            selector: "",
            version_id: version,
            created: None,
        }];
        let wanted = Wanted {
            claim: self.claim(by, target),
            key: &self.key,
            data,
            read: &read,
            back: None,
            forgive: false,
            inherited: &[],
            outcome: keyferry::core::annotations::RevisionOutcome::Written,
            existed: self.existed,
            now: self.now,
        };
        let exists = |name: &str| name == "alive";
        write(
            secrets,
            Write {
                wanted,
                seen,
                intent,
                binding_exists: &exists,
                repairs,
            },
        )
        .await
    }

    pub async fn live(&self, name: &str) -> LiveSecret {
        self.secrets
            .get(self.namespace, name)
            .await
            .unwrap()
            .expect("no such Secret")
    }

    /// A Secret made by somebody else.
    pub async fn foreign(&self, name: &str, manager: &str, data: &[(&str, &str)], meta: Value) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        let mut secret = json!({"metadata": meta, "stringData": data});
        secret["metadata"]["name"] = json!(name);
        let secret: Secret = serde_json::from_value(secret).unwrap();
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        Api::namespaced(self.client.clone(), self.namespace)
            .create(&params, &secret)
            .await
            .unwrap();
    }

    pub async fn kubectl(&self, args: &[&str]) {
        self.kubectl_in(args, "").await;
    }

    pub async fn kubectl_in(&self, args: &[&str], stdin: &str) {
        let args = [args, &["-n", self.namespace]].concat();
        let output = plane()
            .await
            .kubectl(&args, Some(stdin.as_bytes()))
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Secrets as a ServiceAccount of this namespace that has only these verbs on them.
    pub async fn as_account(&self, name: &str, verbs: &[&str]) -> Secrets {
        self.kubectl(&["create", "serviceaccount", name]).await;
        if !verbs.is_empty() {
            let verbs = format!("--verb={}", verbs.join(","));
            let account = format!("--serviceaccount={}:{name}", self.namespace);
            self.kubectl(&["create", "role", name, &verbs, "--resource=secrets"])
                .await;
            self.kubectl(&[
                "create",
                "rolebinding",
                name,
                &format!("--role={name}"),
                &account,
            ])
            .await;
        }
        let dir = std::env::temp_dir().join(format!(
            "keyferry-secrets-{}-{}",
            std::process::id(),
            self.namespace
        ));
        let path = plane()
            .await
            .service_account_kubeconfig(self.namespace, name, &dir)
            .await
            .unwrap();
        let config = kube::config::Kubeconfig::read_from(path).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default())
            .await
            .unwrap();
        Secrets::new(Raw::new(Client::try_from(config).unwrap(), DEFAULT_TIMEOUT))
    }

    /// What the API server answers to each kind of write, whole.
    pub async fn raw_replies(&self) -> Vec<(&'static str, Value)> {
        let raw = Raw::new(self.client.clone(), DEFAULT_TIMEOUT);
        let all = format!("/api/v1/namespaces/{}/secrets", self.namespace);
        let one = format!("{all}/s?fieldManager=x&force=true");
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"A": "aHVudGVyMg=="}});
        let calls = [
            ("POST", Method::POST, all, Content::Json),
            ("PUT", Method::PUT, one.clone(), Content::Json),
            (
                "merge patch",
                Method::PATCH,
                one.clone().replace("&force=true", ""),
                Content::MergePatch,
            ),
            ("apply", Method::PATCH, one, Content::Apply),
        ];
        let mut replies = Vec::new();
        for (name, method, uri, content) in calls {
            let body = Zeroizing::new(object.to_string().into_bytes());
            let asked = Asked {
                verb: "update",
                resource: "secrets",
            };
            let call = Call {
                asked,
                method,
                uri,
                accept: Accept::Metadata,
                body: Some((content, body)),
            };
            replies.push((name, raw.call::<Value>(call).await.unwrap()));
        }
        replies
    }
}

/// A server that takes connections and says nothing.
pub async fn silent_server() -> Secrets {
    keyferry_testkit::install_crypto();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    let client = Client::try_from(kube::Config::new(uri)).unwrap();
    Secrets::new(Raw::new(client, Duration::from_millis(100)))
}
