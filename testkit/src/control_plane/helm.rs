//! Helm as users run it. Owns where the program comes from and how it is called.

use std::path::PathBuf;
use std::process::Output;

use tokio::process::Command;

use super::kubectl::fed;
use super::{ControlPlane, blocking};
use crate::go::Program;
use crate::{Error, Result};

/// Names a Helm program, 3 or 4, to be used instead of a built one.
pub const HELM_VARIABLE: &str = "KEYFERRY_TEST_HELM";

/// The Helm version that the Go module requires, without the `v`.
const HELM_VERSION: &str = "4.2.4";

/// The program that the environment names, or else the one that is built on first use.
fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(HELM_VARIABLE) {
        return Ok(named.into());
    }
    built().built()
}

fn built() -> Program {
    Program {
        name: "helm",
        package: "helm.sh/helm/v4/cmd/helm",
        title: format!("helm {HELM_VERSION}"),
        variables: vec![format!(
            "helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}"
        )],
        // Less than half of it is compiled anew where the control plane was built before.
        takes: "about 2 min on 2 cores",
        without_go: "Go 1.26 builds Helm; or set KEYFERRY_TEST_HELM to one",
    }
}

impl ControlPlane {
    /// Runs Helm as the admin, after building it if need be, and comes back with its exit code and
    /// output, whatever they are. Nothing of the person's own Helm settings is read.
    ///
    /// # Errors
    /// No Go toolchain, a failed build, or a program that cannot be run at all.
    pub async fn helm(&self, args: &[&str]) -> Result<Output> {
        let program = blocking(program).await?;
        let home = std::env::temp_dir().join(format!("keyferry-helm-{}", std::process::id()));
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", home.join("kube"))
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"));
        fed(command, None)
            .await
            .map_err(Error::io(format!("run helm {}", args.join(" "))))
    }
}
