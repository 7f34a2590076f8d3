//! A fake AWS as one cluster and one account see it.

use keyferry_testkit::ControlPlane;
use keyferry_testkit::aws::{FakeAws, Options, Role};

use crate::workspace::Ended;

/// An account number of AWS's own examples.
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "ap-northeast-2";

/// A fake with the real quotas that verifies tokens with the cluster's own keys.
pub(crate) async fn trusting(plane: &ControlPlane) -> Ended<FakeAws> {
    let aws = FakeAws::start(Options {
        region: REGION.into(),
        ..Options::default()
    })
    .await?;
    aws.trust_issuer(&plane.issuer().await?, &plane.jwks().await?.to_string())?;
    Ok(aws)
}

/// A role that this ServiceAccount (of a namespace of its name) may take, and that reads entries of
/// these names (globs) and nothing else.
pub(crate) fn reader(arn: &str, account: &str, names: &[&str]) -> Role {
    let entry = |name| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}");
    let entries: Vec<String> = names.iter().map(entry).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let read = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:DescribeSecret",
    ];
    let list = [
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:ListSecrets",
    ];
    Role::new(arn)
        .trust_service_account(account, account)
        .allow(&read, &entries)
        .allow(&list, &["*"])
}
