//! Operators as the tests start and end them, and what is kept of what they said.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use keyferry_testkit::{
    Result,
    api_proxy::ApiProxy,
    install::{self, Rights},
    operator::{Operator, Options, Output, repository},
};

use crate::world::{World, other, role_arn};

/// What the leak scan reads beside the recorders.
#[derive(Default)]
pub struct Channels {
    logs: Mutex<Vec<(String, Output)>>,
    metrics: Mutex<Vec<u8>>,
    errors: Mutex<Vec<u8>>,
}

impl Channels {
    /// Every operator by name, with everything it printed.
    pub fn logs(&self) -> Vec<(String, Output)> {
        self.logs.lock().unwrap().clone()
    }

    pub fn metrics(&self) -> Vec<u8> {
        self.metrics.lock().unwrap().clone()
    }

    pub fn errors(&self) -> Vec<u8> {
        self.errors.lock().unwrap().clone()
    }

    /// Keeps what a person was shown.
    pub fn shown(&self, text: &[u8]) {
        let mut errors = self.errors.lock().unwrap();
        errors.extend_from_slice(text);
        errors.push(b'\n');
    }
}

/// How an operator is started. Its ServiceAccount and namespace have the same name.
pub struct Start {
    name: String,
    rights: Rights,
    args: Vec<String>,
    env: Vec<(String, String)>,
    audience: &'static str,
    identity: Identity,
    proxy: Option<Arc<ApiProxy>>,
}

/// How the operator comes by its credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// IAM Roles for Service Accounts.
    Irsa,
    /// EKS Pod Identity.
    Pod,
    /// Not at all.
    None,
}

impl Start {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rights: Rights::default(),
            args: Vec::new(),
            env: Vec::new(),
            audience: "sts.amazonaws.com",
            identity: Identity::Irsa,
            proxy: None,
        }
    }

    /// Leads its way to the API server through a proxy.
    pub fn through(mut self, proxy: &Arc<ApiProxy>) -> Self {
        self.proxy = Some(Arc::clone(proxy));
        self
    }

    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    pub fn args<T: AsRef<str>>(mut self, args: &[T]) -> Self {
        self.args
            .extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The audience of the operator's web identity token.
    pub fn audience(mut self, audience: &'static str) -> Self {
        self.audience = audience;
        self
    }

    /// Where the credentials come from; IRSA otherwise.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        if identity == Identity::Pod {
            self.audience = "pods.eks.amazonaws.com";
        }
        self
    }

    /// One more variable, or another value for one that is set anyway.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it with what is installed.
    pub async fn launch(self, world: &World) -> Result<Running> {
        let options = self.options(world).await?;
        let operator = match Operator::start(&options).await {
            Ok(operator) => operator,
            Err(why) => {
                world.channels.shown(why.to_string().as_bytes());
                return Err(why);
            }
        };
        let mut logs = world.channels.logs.lock().unwrap();
        logs.push((self.name, operator.output()));
        drop(logs);
        Ok(Running {
            pid: operator.pid(),
            process: Arc::new(tokio::sync::Mutex::new(Some(operator))),
        })
    }

    /// Namespace, ServiceAccount, the chart's rights, and an IAM role that trusts the ServiceAccount.
    pub async fn prepare(&self, world: &World) -> Result<()> {
        install::operator(&world.client, &repository(), &self.name, &self.rights).await?;
        let reads = [
            "secretsmanager:GetSecretValue",
            "secretsmanager:BatchGetSecretValue",
            "secretsmanager:ListSecrets",
            "secretsmanager:DescribeSecret",
            "ssm:GetParameters",
            "ssm:GetParametersByPath",
        ];
        let role = World::role(&self.name)
            .trust_service_account(&self.name, &self.name)
            .trust_pod_identity()
            .allow(&reads, &["*"])
            .allow(&["kms:Decrypt"], &["*:key/open"])
            .allow(&["sts:AssumeRole", "sts:TagSession"], &["*"]);
        world.aws.put_role(role);
        world
            .aws
            .associate(&self.name, &self.name, &role_arn(&self.name));
        Ok(())
    }

    async fn options(&self, world: &World) -> Result<Options> {
        let dir = world.files.path();
        let kubeconfig = world
            .plane
            .service_account_kubeconfig(&self.name, &self.name, dir);
        let mut kubeconfig = kubeconfig.await?;
        if let Some(proxy) = &self.proxy {
            kubeconfig = proxy.kubeconfig(&kubeconfig)?;
        }
        let token = self.token(world).await?;
        let mut env = world.aws.env();
        let token = token.to_string_lossy();
        env.extend(match self.identity {
            Identity::Irsa => world.aws.web_identity_env(&role_arn(&self.name), &token),
            Identity::Pod => world.aws.pod_identity_env(&token),
            Identity::None => Vec::new(),
        });
        env.extend(self.env.iter().cloned());
        let mut args: Vec<String> = [
            "--log-format=json",
            "--log-level=trace",
            "--cluster-name=e2e",
        ]
        .map(str::to_owned)
        .into();
        if !self.rights.watch_namespaces.is_empty() {
            args.push(format!(
                "--watch-namespaces={}",
                self.rights.watch_namespaces.join(",")
            ));
        }
        args.extend(self.args.iter().cloned());
        Ok(Options {
            binary: binary(),
            kubeconfig,
            namespace: self.name.clone(),
            args,
            env,
        })
    }

    async fn token(&self, world: &World) -> Result<PathBuf> {
        let hour = Duration::from_secs(3600);
        let token = world
            .plane
            .service_account_token(&self.name, &self.name, Some(self.audience), hour)
            .await?;
        let path = world.files.path().join(format!("{}.token", self.name));
        std::fs::write(&path, token).map_err(other)?;
        Ok(path)
    }
}

/// Names another build of the operator to be tested, a release build for instance.
const BINARY_VARIABLE: &str = "KEYFERRY_TEST_BINARY";

fn binary() -> PathBuf {
    let named = std::env::var_os(BINARY_VARIABLE);
    named.map_or_else(|| env!("CARGO_BIN_EXE_keyferry").into(), PathBuf::from)
}

/// An operator that runs, or has run.
#[derive(Clone)]
pub struct Running {
    pub pid: u32,
    process: Arc<tokio::sync::Mutex<Option<Operator>>>,
}

impl Running {
    /// The body of `/metrics`; empty once it has ended.
    pub async fn metrics(&self) -> String {
        match self.process.lock().await.as_ref() {
            Some(operator) => operator.metrics().await.unwrap_or_default(),
            None => String::new(),
        }
    }

    /// HTTP code of a path; 0 when there is no answer.
    pub async fn code(&self, path: &str) -> u16 {
        match self.process.lock().await.as_ref() {
            Some(operator) => operator.get(path).await.map_or(0, |(code, _)| code),
            None => 0,
        }
    }

    /// Ends it by SIGTERM, keeping its last metrics; true when it ended well.
    pub async fn terminate(&self, channels: &Channels) -> bool {
        self.keep_metrics(channels).await;
        let taken = self.process.lock().await.take();
        match taken {
            Some(operator) => operator
                .terminate()
                .await
                .is_ok_and(|status| status.success()),
            None => true,
        }
    }

    /// Ends it by SIGKILL, as a lost node does, keeping its last metrics.
    pub async fn crash(&self, channels: &Channels) {
        self.keep_metrics(channels).await;
        self.kill().await;
    }

    /// Ends it by SIGKILL.
    pub async fn kill(&self) {
        let taken = self.process.lock().await.take();
        if let Some(operator) = taken {
            operator.kill().await.ok();
        }
    }

    async fn keep_metrics(&self, channels: &Channels) {
        let text = self.metrics().await;
        channels
            .metrics
            .lock()
            .unwrap()
            .extend_from_slice(text.as_bytes());
    }
}
