//! The control plane: what it is, who may enter, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use keyferry_testkit::ControlPlane;
use keyferry_testkit::control_plane::{KUBERNETES_VERSION, Options};

#[tokio::test]
async fn version_is_the_one_the_module_requires() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    assert_eq!(
        plane.version().await.unwrap(),
        format!("v{KUBERNETES_VERSION}")
    );
    let output = plane
        .kubectl(&["get", "namespaces", "-o", "name"], None)
        .await
        .unwrap();
    assert!(output.status.success());
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(
        names.lines().any(|name| name == "namespace/kube-system"),
        "{names}"
    );
}
