//! Ways in for others than the admin: tokens of ServiceAccounts, and the keys
//! by which anybody can verify such tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::ControlPlane;
use crate::{Error, Result};

/// Long enough for every test and every afternoon with a demo.
const KUBECONFIG_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

impl ControlPlane {
    /// The issuer that stands in service account tokens (`iss`).
    ///
    /// # Errors
    /// No answer, or a server without OpenID discovery.
    pub async fn issuer(&self) -> Result<String> {
        let discovery = self.get("/.well-known/openid-configuration").await?;
        discovery["issuer"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::other("the API server's OpenID configuration has no issuer"))
    }

    /// The public keys of service account tokens: a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// No answer from the API server.
    pub async fn jwks(&self) -> Result<Value> {
        self.get("/openid/v1/jwks").await
    }

    /// A token of a ServiceAccount for one audience (`None`: the API server's
    /// own). The server shortens no lifetime but refuses less than ten minutes.
    ///
    /// # Errors
    /// No such ServiceAccount, or a lifetime that the server refuses.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        lifetime: Duration,
    ) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.map(str::to_owned).into_iter().collect(),
                expiration_seconds: Some(lifetime.as_secs().try_into().unwrap_or(i64::MAX)),
                ..Default::default()
            },
            ..Default::default()
        };
        let reply = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(Error::kube(format!(
                "request a token of ServiceAccount {namespace}/{name}"
            )))?;
        reply
            .status
            .map(|status| status.token)
            .ok_or_else(|| Error::other("the API server's reply holds no token"))
    }

    /// Writes `<namespace>-<name>.kubeconfig` into `dir` (made if missing): the
    /// same server, entered as that ServiceAccount, valid for 30 days. A process
    /// that uses it has exactly the rights that RBAC gives the ServiceAccount.
    ///
    /// # Errors
    /// No such ServiceAccount, or a file that cannot be written.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        dir: &Path,
    ) -> Result<PathBuf> {
        let token = self
            .service_account_token(namespace, name, None, KUBECONFIG_TOKEN_LIFETIME)
            .await?;
        let admin = Kubeconfig::read_from(self.kubeconfig())
            .map_err(|e| Error::other(format!("read the admin's kubeconfig: {e}")))?;
        let cluster = current_cluster(&admin)?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "account",
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "contexts": [{"name": "account", "context": {
                "cluster": "cluster", "user": "account", "namespace": namespace,
            }}],
            "users": [{"name": "account", "user": {"token": token}}],
        });
        std::fs::create_dir_all(dir).map_err(Error::io(format!("make {}", dir.display())))?;
        let path = dir.join(format!("{namespace}-{name}.kubeconfig"));
        // JSON is YAML too.
        write_private(&path, config.to_string().as_bytes())?;
        Ok(path)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let doing = format!("GET {path}");
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|e| Error::other(format!("{doing}: {e}")))?;
        let client = self.client().await?;
        client.request(request).await.map_err(Error::kube(doing))
    }
}

/// The cluster of the current context, as JSON, with its authority inside.
fn current_cluster(config: &Kubeconfig) -> Result<Value> {
    let current = config.current_context.as_deref();
    config
        .contexts
        .iter()
        .find(|context| Some(context.name.as_str()) == current)
        .and_then(|context| context.context.as_ref())
        .and_then(|context| config.clusters.iter().find(|c| c.name == context.cluster))
        .and_then(|cluster| serde_json::to_value(&cluster.cluster).ok())
        .ok_or_else(|| Error::other("the admin's kubeconfig has no current cluster"))
}

pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(Error::io(format!("write {}", path.display())))
}
