//! A real Kubernetes control plane for tests: API server, controller manager,
//! scheduler, etcd and kubectl, on loopback.
//!
//! Owns where the control plane comes from, its lifetime and the ways in. It
//! must not know what is tested: nothing of keyferry's API is named here.
//!
//! Three origins, the first that is set wins:
//! 1. `KEYFERRY_TEST_KUBECONFIG`: a cluster that already runs (`cargo xtask
//!    control-plane` prints such a path). It is never stopped from here. Any
//!    name but this one is ignored, so that a person's own `KUBECONFIG` is never
//!    used by accident.
//! 2. `KUBEBUILDER_ASSETS`: a folder with `etcd`, `kube-apiserver`, `kubectl`,
//!    and for anything that needs controllers also `kube-controller-manager`
//!    and `kube-scheduler`.
//! 3. Otherwise the Go module beside this crate, built on first use.

mod access;
mod assets;
mod build;
mod helm;
mod kubectl;
mod supervised;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{Error, Result};

pub(crate) use access::write_private;
pub use build::KUBERNETES_VERSION;
pub use helm::HELM_VARIABLE;

/// Names the kubeconfig of a running cluster to be used instead of an own one.
pub const KUBECONFIG_VARIABLE: &str = "KEYFERRY_TEST_KUBECONFIG";

/// Names a folder of Kubernetes programs to be used instead of built ones.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Whether [`ControlPlane::start`] would have to build the control plane first, for which it needs
/// Go and minutes.
pub fn builds_on_start() -> bool {
    let named = [KUBECONFIG_VARIABLE, ASSETS_VARIABLE];
    named.iter().all(|name| std::env::var_os(name).is_none()) && !is_built()
}

/// Whether the built program, which is kubectl too, is there already.
pub fn is_built() -> bool {
    build::cached().is_some()
}

/// How to start a control plane.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where keys, data and logs go. Without one: a new folder under the
    /// system's temporary folder, removed at the end.
    pub dir: Option<PathBuf>,
}

/// A running control plane. Dropping it stops it, and so does the end of this
/// process, whichever way it ends.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    kubectl: kubectl::Program,
    running: Running,
}

/// What must be stopped at the end.
#[derive(Debug)]
enum Running {
    /// A cluster that somebody else started.
    Foreign,
    Supervised(supervised::Supervisor),
    Assets(assets::Processes),
}

impl ControlPlane {
    /// Starts a control plane, or takes the one that the environment names, and
    /// comes back when it is ready: the API answers, and controllers work.
    ///
    /// # Errors
    /// A failed build, a component that ends or is not ready within three
    /// minutes (the end of its log is in the message), or an unusable kubeconfig.
    pub async fn start(options: Options) -> Result<Self> {
        crate::install_crypto();
        if let Some(kubeconfig) = std::env::var_os(KUBECONFIG_VARIABLE) {
            return Self::existing(Path::new(&kubeconfig)).await;
        }
        Self::own(options).await
    }

    /// Starts a control plane of one's own, also where the environment names one to share: for what
    /// others must not see, or what the kinds and objects of others would disturb.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn own(options: Options) -> Result<Self> {
        crate::install_crypto();
        if let Some(assets) = std::env::var_os(ASSETS_VARIABLE) {
            return Self::from_assets(Path::new(&assets), options).await;
        }
        Self::built(options).await
    }

    /// Starts the built program, whatever the environment names.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn built(options: Options) -> Result<Self> {
        crate::install_crypto();
        let binary = Self::program().await?;
        let own_dir = options.dir.is_none();
        let dir = options.dir.unwrap_or_else(new_dir);
        supervised::start(binary, dir, own_dir).await
    }

    /// Starts the programs in a folder. Missing controllers are named on standard
    /// error; what needs them then waits for ever.
    ///
    /// # Errors
    /// No `etcd`, `kube-apiserver` or `kubectl` there, or one that ends or is not
    /// ready within three minutes (the end of its log is in the message).
    pub async fn from_assets(assets: &Path, options: Options) -> Result<Self> {
        crate::install_crypto();
        let own_dir = options.dir.is_none();
        assets::start(assets, options.dir.unwrap_or_else(new_dir), own_dir).await
    }

    /// The built program, after building it if need be. Called by a name such
    /// as `kubectl` or with it as the first argument, it is that program.
    ///
    /// # Errors
    /// No Go toolchain, or a failed build.
    pub async fn program() -> Result<PathBuf> {
        blocking(build::binary).await
    }

    /// Uses a cluster that already runs, and will not stop it.
    ///
    /// # Errors
    /// No such file, or no answer from its API server.
    pub async fn existing(kubeconfig: &Path) -> Result<Self> {
        crate::install_crypto();
        let plane = Self {
            kubeconfig: std::path::absolute(kubeconfig)
                .map_err(Error::io("find the kubeconfig"))?,
            kubectl: kubectl::Program::find(),
            running: Running::Foreign,
        };
        plane.version().await?;
        Ok(plane)
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A new admin client. It belongs to the async runtime that asks for it, so
    /// tests that share a control plane each take their own.
    ///
    /// # Errors
    /// A kubeconfig that cannot be read.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig).await
    }

    /// The server's version, such as `v1.36.3`.
    ///
    /// # Errors
    /// No answer from the API server.
    pub async fn version(&self) -> Result<String> {
        let client = self.client().await?;
        let info = client.apiserver_version().await;
        Ok(info
            .map_err(Error::kube("ask the API server for its version"))?
            .git_version)
    }

    /// The API server's audit log: one JSON line per completed write, with user,
    /// verb and object but no bodies; Leases and the control plane's own
    /// components are left out. `None` for a cluster that has none to be read.
    pub fn audit_log(&self) -> Option<PathBuf> {
        Some(self.kubeconfig.with_file_name("audit.log")).filter(|path| path.exists())
    }

    /// The id of the supervising process. `None` for a cluster that somebody
    /// else started.
    pub fn pid(&self) -> Option<u32> {
        match &self.running {
            Running::Supervised(supervisor) => Some(supervisor.pid()),
            Running::Assets(_) | Running::Foreign => None,
        }
    }

    /// Stops what was started and waits for its end. Dropping does the same.
    pub fn stop(self) {}
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Foreign => {}
            Running::Supervised(supervisor) => supervisor.stop(),
            Running::Assets(processes) => processes.stop(),
        }
    }
}

/// A client from a kubeconfig and nothing else: no environment, no in-cluster
/// files.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let doing = || format!("read {}", kubeconfig.display());
    let config =
        Kubeconfig::read_from(kubeconfig).map_err(|e| Error::other(format!("{}: {e}", doing())))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(|e| Error::other(format!("{}: {e}", doing())))?;
    Client::try_from(config).map_err(Error::kube(doing()))
}

fn new_dir() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!(
        "keyferry-control-plane-{}-{number}",
        std::process::id()
    ))
}

/// Runs what blocks on a thread made for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::other(format!("a blocking task ended early: {e}")))?
}
