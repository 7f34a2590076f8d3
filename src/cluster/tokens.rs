//! Tokens of ServiceAccounts by TokenRequest: for STS only, short-lived, dropped after use.

use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use zeroize::Zeroizing;

use crate::{api::Reason, core::Finding};

/// The one audience that is ever asked for.
const AUDIENCE: &str = "sts.amazonaws.com";
/// The shortest lifetime the API server gives (source: TokenRequest, expirationSeconds).
const LIFETIME_SECONDS: i64 = 600;

/// A token of that ServiceAccount for STS.
///
/// # Errors
/// `OperatorForbidden`, or `AssumeRoleFailed` when there is no such ServiceAccount or no answer.
pub async fn request(
    client: Client,
    timeout: Duration,
    namespace: String,
    name: String,
) -> Result<Zeroizing<String>, Finding> {
    let api: Api<ServiceAccount> = Api::namespaced(client, &namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(LIFETIME_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let call = api.create_token_request(&name, &params, &request);
    let account = format!("ServiceAccount {namespace}/{name}");
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(reply)) => reply
            .status
            .map(|status| Zeroizing::new(status.token))
            .ok_or_else(|| no_token(&account, "the API server's reply holds none")),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Finding::new(
            Reason::OperatorForbidden,
            format!("The operator may not create serviceaccounts/token for {account}."),
            "Install with serviceAccountIdentity allowed; we notice at the next try.",
        )),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Finding::new(
            Reason::AssumeRoleFailed,
            format!("{account} does not exist."),
            "Create it; we notice at once.",
        )),
        Ok(Err(_)) => Err(no_token(
            &account,
            "the API server refused or was not reached",
        )),
        Err(_) => Err(no_token(&account, "the API server gave no answer in time")),
    }
}

fn no_token(account: &str, why: &str) -> Finding {
    Finding::new(
        Reason::AssumeRoleFailed,
        format!("No token of {account}: {why}."),
        String::new(),
    )
}
