//! `keyferry iam-policy` beside a cluster: what the bindings' statuses tell it, and what it says without rights.

use std::{path::Path, process::Output};

use serde_json::{Value, json};

use crate::{
    case::Case,
    world::{ACCOUNT, REGION},
};

crate::tests![tests: a_binding_in_the_cluster_has_its_policy];

async fn iam_policy(kubeconfig: &Path, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_keyferry"));
    command
        .arg("iam-policy")
        .args(args)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .env_remove("AWS_REGION");
    command.output().await.unwrap()
}

fn resources(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = policy.get("operator").unwrap_or(&policy);
    of["Statement"][0]["Resource"].clone()
}

/// The one line of a run that failed.
fn line(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        said.starts_with("error: ") && said.lines().count() == 1,
        "{said}"
    );
    said
}

async fn a_binding_in_the_cluster_has_its_policy(case: Case) {
    case.put("db", &case.value());
    let spec = json!({"data": [{"key": "PASSWORD", "from": {"secret": case.entry("db")}}]});
    case.binding("backend", spec).await;
    case.synced("backend").await;
    let (admin, namespace) = (case.world.plane.kubeconfig(), case.namespace.as_str());

    // Account and region are those that the operator was seen with.
    let output = iam_policy(admin, &["backend", "-n", namespace]).await;
    let arn = format!(
        "arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{}-??????",
        case.entry("db")
    );
    assert_eq!(resources(&output), json!([arn]));

    let absent = iam_policy(admin, &["nothing", "-n", namespace]).await;
    let expected = format!("there is no ExternalSecretBinding {namespace}/nothing");
    assert!(line(&absent).contains(&expected));

    // Somebody without rights; the namespace is the context's.
    let files = case.world.files.path();
    let plane = &case.world.plane;
    let nobody = plane.service_account_kubeconfig(namespace, "default", files);
    let refused = iam_policy(&nobody.await.unwrap(), &["backend"]).await;
    assert!(line(&refused).contains("refuses this user: may not get externalsecretbindings: RBAC"));
}
