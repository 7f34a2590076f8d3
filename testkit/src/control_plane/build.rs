//! The control plane as a Go program: which version, and how it is told it.

use std::path::PathBuf;

use crate::Result;
use crate::go::Program;

/// The Kubernetes version that the Go module requires, without the `v`.
pub const KUBERNETES_VERSION: &str = "1.36.3";

/// The built program. See [`Program::built`].
///
/// # Errors
/// Those of [`Program::built`].
pub(super) fn binary() -> Result<PathBuf> {
    program().built()
}

/// The cached program if there is one; never builds.
pub(super) fn cached() -> Option<PathBuf> {
    program().cached()
}

fn program() -> Program {
    Program {
        name: "control-plane",
        package: ".",
        title: format!("control plane {KUBERNETES_VERSION}"),
        variables: version(),
        takes: "about 4 min on 2 cores",
        without_go: "Go 1.26 builds the control plane; or set KUBEBUILDER_ASSETS",
    }
}

/// `/version`, kubectl and the API's own defaults follow these variables, which
/// Kubernetes' release build sets the same way.
fn version() -> Vec<String> {
    let (major, rest) = KUBERNETES_VERSION.split_once('.').unwrap_or(("", ""));
    let minor = rest.split('.').next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    vec![
        format!("{package}.gitVersion=v{KUBERNETES_VERSION}"),
        format!("{package}.gitMajor={major}"),
        format!("{package}.gitMinor={minor}"),
        format!("{package}.gitTreeState=clean"),
    ]
}
