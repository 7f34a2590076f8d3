//! The EKS Pod Identity agent: a ServiceAccount token in, credentials of the associated role out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::World;
use super::error::AwsError;
use super::request::Incoming;
use super::sts::whole_seconds;

/// Audience of the token that the Pod Identity webhook mounts.
const AUDIENCE: &str = "pods.eks.amazonaws.com";
/// Credentials of the agent live six hours.
const LIFETIME: SignedDuration = SignedDuration::from_hours(6);
const CLUSTER: &str = "keyferry-test";

/// Answers GET of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
pub(crate) fn credentials(
    world: &mut World,
    incoming: &Incoming,
    now: Timestamp,
) -> Result<String, AwsError> {
    let token = incoming.authorization.as_deref().unwrap_or_default();
    let invalid = || {
        AwsError::new(
            "InvalidTokenException",
            "Service account token cannot be accepted.",
        )
    };
    let claims = world.issuers.verify(token, now).map_err(|_| invalid())?;
    if !claims.aud.contains(AUDIENCE) {
        return Err(invalid());
    }
    let subject: Vec<&str> = claims.sub.split(':').collect();
    let &["system", "serviceaccount", namespace, name] = subject.as_slice() else {
        return Err(invalid());
    };
    let key = (namespace.to_owned(), name.to_owned());
    let role = world
        .associations
        .get(&key)
        .and_then(|arn| world.iam.role(arn))
        .cloned();
    let role = role.ok_or_else(|| {
        AwsError::with_status(
            404,
            "ResourceNotFoundException",
            "No association found for service account",
        )
    })?;
    if !role.pod_identity {
        return Err(AwsError::new(
            "AccessDeniedException",
            "Unauthorized Exception! EKS does not have permissions to assume the associated role.",
        ));
    }
    let pod = claims
        .kubernetes
        .pod
        .map(|pod| pod.name)
        .unwrap_or_default();
    let tags = session_tags(namespace, name, &pod);
    let transitive = tags.keys().cloned().collect();
    let session_name: String = format!("eks-{CLUSTER}-{name}").chars().take(64).collect();
    let session = world
        .iam
        .open_session(&role, &session_name, tags, transitive, LIFETIME, now);
    Ok(json!({
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.token,
        "AccountId": role.account(),
        "Expiration": whole_seconds(session.expires),
    })
    .to_string())
}

/// The tags EKS puts on such sessions; all are transitive (EKS: "Grant Pods access based on tags").
fn session_tags(namespace: &str, service_account: &str, pod: &str) -> BTreeMap<String, String> {
    [
        ("eks-cluster-name", CLUSTER),
        ("kubernetes-namespace", namespace),
        ("kubernetes-service-account", service_account),
        ("kubernetes-pod-name", pod),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}
