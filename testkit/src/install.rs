//! Installs the operator's CRDs, namespace, ServiceAccount and exactly the chart's rights.

use std::path::Path;

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::ApiResource,
};
use serde_json::{Value, json};

use crate::{ControlPlane, Error, Result};

/// Which of the chart's rights the operator gets.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Empty: the whole cluster; otherwise Roles in these namespaces only.
    pub watch_namespaces: Vec<String>,
    /// The chart's value `serviceAccountIdentity`.
    pub service_account_identity: bool,
    /// The chart's value `allowPreflight`.
    pub preflight: bool,
}

/// Applies the CRDs with plain `kubectl apply`, as a person would.
///
/// # Errors
/// When kubectl refuses.
pub async fn crds(plane: &ControlPlane, repository: &Path) -> Result<()> {
    let dir = repository.join("crds").display().to_string();
    kubectl(plane, &["apply", "-f", &dir]).await?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    kubectl(plane, &wait).await?;
    Ok(())
}

/// Runs kubectl as the admin and returns what it printed; a failure carries what it complained.
///
/// # Errors
/// When kubectl cannot run or says no.
pub async fn kubectl(plane: &ControlPlane, args: &[&str]) -> Result<String> {
    let output = plane.kubectl(args, None).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!(
        "kubectl {}: {}",
        args.join(" "),
        complaint.trim()
    )))
}

/// Makes namespace and ServiceAccount of that name and binds the chart's rights to them.
///
/// # Errors
/// When the rules cannot be read or the API server refuses.
pub async fn operator(
    client: &Client,
    repository: &Path,
    name: &str,
    rights: &Rights,
) -> Result<()> {
    let path = repository.join("charts/keyferry/files/rules.yaml");
    let text =
        std::fs::read_to_string(&path).map_err(Error::io(format!("read {}", path.display())))?;
    let rules: Value = serde_yaml::from_str(&text)
        .map_err(|e| Error::other(format!("{}: {e}", path.display())))?;
    for object in objects(&rules, name, rights) {
        apply(client, object).await?;
    }
    Ok(())
}

/// The chart's `rbac.yaml` in Rust; the chart's own rendering is compared with the same rules file.
fn objects(rules: &Value, name: &str, rights: &Rights) -> Vec<Value> {
    let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": name}]);
    let group = "rbac.authorization.k8s.io";
    let pair = |kind: &str, role: &str, namespace: Option<&str>, rules: Value| {
        let meta = json!({"name": role, "namespace": namespace});
        let api = format!("{group}/v1");
        [
            json!({"apiVersion": api, "kind": kind, "metadata": meta, "rules": rules}),
            json!({"apiVersion": api, "kind": format!("{kind}Binding"), "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": kind, "name": role}, "subjects": subject}),
        ]
    };
    let list = |key: &str| rules[key].as_array().cloned().unwrap_or_default();
    let mut watched = list("watched");
    if rights.service_account_identity {
        watched.extend(list("serviceAccountIdentity"));
    }
    if rights.preflight {
        watched.extend(list("preflight"));
    }
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": name}}),
    ];
    all.extend(pair(
        "Role",
        &format!("{name}-own"),
        Some(name),
        Value::from(list("own")),
    ));
    if rights.watch_namespaces.is_empty() {
        watched.extend(list("cluster"));
        all.extend(pair("ClusterRole", name, None, Value::from(watched)));
    } else {
        for namespace in &rights.watch_namespaces {
            all.extend(pair(
                "Role",
                name,
                Some(namespace),
                Value::from(watched.clone()),
            ));
        }
    }
    all
}

async fn apply(client: &Client, object: Value) -> Result<()> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, name, namespace) = (
        text("/kind"),
        text("/metadata/name"),
        text("/metadata/namespace"),
    );
    let api_version = text("/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &namespace, &resource)
    };
    let params = PatchParams::apply("testkit").force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .map_err(Error::kube(format!("apply {kind} {name}")))?;
    Ok(())
}
