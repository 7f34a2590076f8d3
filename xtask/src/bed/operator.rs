//! The operator as its chart installs it, as far as rights and identity go.

use std::path::Path;
use std::time::Duration;

use keyferry_testkit::ControlPlane;
use keyferry_testkit::aws::FakeAws;
use keyferry_testkit::install::{self, Rights};
use keyferry_testkit::operator::Options;

use crate::workspace::{Ended, root};

/// Name and namespace of the operator's ServiceAccount.
pub(crate) const OPERATOR: &str = "keyferry";

/// Longest that a token of the operator's ServiceAccount for STS may be needed.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Makes its namespace and ServiceAccount with the chart's rights.
pub(crate) async fn install(plane: &ControlPlane) -> Ended {
    let client = plane.client().await?;
    install::operator(&client, &root()?, OPERATOR, &Rights::default()).await?;
    Ok(())
}

/// How to start it as its ServiceAccount, with a web identity for `role`. Refused if it could do
/// more than the chart lets it.
pub(crate) async fn options(
    plane: &ControlPlane,
    aws: &FakeAws,
    role: &str,
    binary: &Path,
    dir: &Path,
) -> Ended<Options> {
    let kubeconfig = plane
        .service_account_kubeconfig(OPERATOR, OPERATOR, dir)
        .await?;
    let everything = ["auth", "can-i", "*", "*", "--all-namespaces"];
    if plane
        .kubectl_as(&kubeconfig, &everything, None)
        .await?
        .status
        .success()
    {
        return Err("the operator's ServiceAccount has the rights of an admin".into());
    }
    let audience = Some("sts.amazonaws.com");
    let token = plane
        .service_account_token(OPERATOR, OPERATOR, audience, TOKEN_LIFETIME)
        .await?;
    let token_file = dir.join("sts-token");
    std::fs::write(&token_file, token)?;
    let mut env = aws.env();
    env.extend(aws.web_identity_env(role, &token_file.display().to_string()));
    Ok(Options {
        binary: binary.to_owned(),
        kubeconfig,
        namespace: OPERATOR.into(),
        args: Vec::new(),
        env,
    })
}
