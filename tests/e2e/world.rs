//! What all tests share: control plane, nodes, fake AWS, canaries, recorders, operators.
//!
//! Owns their start and their end, also after a panic and Ctrl-C.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use keyferry_testkit::{
    ControlPlane, NodeSimulator, Result,
    aws::{self, FakeAws, FaultHandle, Region, Role},
    canary::Canaries,
    control_plane,
    install::{self, Rights},
    node,
    operator::repository,
    recorder::Recorder,
};
use kube::Client;
use tempfile::TempDir;

use crate::operators::{Channels, Running, Start};

/// The account that all entries lie in.
pub const ACCOUNT: &str = "111122223333";
/// The operators' region.
pub const REGION: &str = "ap-northeast-2";
/// Namespace and ServiceAccount of the shared operator.
pub const SHARED: &str = "keyferry";

/// A DaemonSet has as many pods.
const NODES: usize = 3;

/// What all tests share.
pub struct World {
    pub plane: ControlPlane,
    pub nodes: NodeSimulator,
    pub aws: FakeAws,
    pub canaries: Canaries,
    pub bindings: Recorder,
    pub events: Recorder,
    pub channels: Channels,
    pub client: Client,
    /// Kubeconfigs and tokens of the operators.
    pub files: TempDir,
    /// Faults in force, by entry.
    pub faults: Mutex<HashMap<String, FaultHandle>>,
    operators: Arc<Mutex<Vec<Running>>>,
}

impl World {
    pub async fn start() -> Result<Self> {
        let plane = ControlPlane::start(control_plane::Options::default()).await?;
        // First of all: the garbage collector learns of new kinds every 30 seconds.
        install::crds(&plane, &repository()).await?;
        let client = plane.client().await?;
        let nodes = NodeSimulator::start(
            client.clone(),
            node::Options {
                nodes: NODES,
                ..node::Options::default()
            },
        )
        .await?;
        let aws = FakeAws::start(aws::Options::default())
            .await
            .map_err(other)?;
        let keys = plane.jwks().await?.to_string();
        aws.trust_issuer(&plane.issuer().await?, &keys)
            .map_err(other)?;
        let record = |path: &str| Recorder::start(client.clone(), path);
        let world = Self {
            bindings: record("/apis/keyferry.dev/v1alpha1/externalsecretbindings"),
            events: record("/apis/events.k8s.io/v1/events"),
            plane,
            nodes,
            aws,
            canaries: Canaries::default(),
            channels: Channels::default(),
            client,
            files: tempfile::tempdir().map_err(other)?,
            faults: Mutex::default(),
            operators: Arc::default(),
        };
        tokio::spawn(end_on_signal(Arc::clone(&world.operators)));
        Ok(world)
    }

    /// The entries of the operators' account and region.
    pub fn entries(&self) -> Region {
        self.aws.account(ACCOUNT).region(REGION)
    }

    /// Starts the operator of the first phase: the whole cluster, every kind of identity.
    pub async fn start_shared(&self) -> Result<()> {
        let rights = Rights {
            watch_namespaces: Vec::new(),
            service_account_identity: true,
            preflight: false,
        };
        let start = Start::new(SHARED).rights(rights).args(&[
            "--allow-service-account-identity",
            "--min-refresh-interval=10s",
        ]);
        self.start_operator(start).await?;
        Ok(())
    }

    /// Starts an operator under exactly the chart's rights, with an IRSA role of its own.
    pub async fn start_operator(&self, start: Start) -> Result<Running> {
        start.prepare(self).await?;
        self.launch_operator(start).await
    }

    /// Starts an operator with what is installed already.
    pub async fn launch_operator(&self, start: Start) -> Result<Running> {
        let running = start.launch(self).await?;
        self.operators().push(running.clone());
        Ok(running)
    }

    /// Ends every operator that still runs, keeping its last metrics.
    pub async fn stop_operators(&self) {
        let all = std::mem::take(&mut *self.operators());
        for running in all {
            running.terminate(&self.channels).await;
        }
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.nodes.stop().await.ok();
        self.plane.stop();
    }

    /// A role in the operators' account.
    pub fn role(name: &str) -> Role {
        Role::new(&role_arn(name))
    }

    fn operators(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.operators.lock().unwrap()
    }
}

/// The ARN of a role in the operators' account.
pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// What a test bed's part complained of.
pub fn other(error: impl std::fmt::Display) -> keyferry_testkit::Error {
    keyferry_testkit::Error::Other(error.to_string())
}

/// Operators end with us; the control plane sees the end of its standard input by itself.
async fn end_on_signal(operators: Arc<Mutex<Vec<Running>>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    let all = std::mem::take(&mut *operators.lock().unwrap());
    for running in all {
        running.kill().await;
    }
    std::process::exit(130);
}
