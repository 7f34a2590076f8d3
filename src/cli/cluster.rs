//! A cluster as a person names it: kubeconfig, context, namespace. Every call is bounded, and what goes wrong is
//! one line.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tokio::time::Instant;

use crate::cluster::{
    BindingObject, Bindings, ClusterError, ObjectKey, Raw,
    connect::{Choice, Connection, NoWay, connect},
    secrets::Secrets,
};

/// Which cluster, and where in it.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Context of the kubeconfig [default: its current one]
    #[arg(long)]
    pub context: Option<String>,

    /// Kubeconfig [default: KUBECONFIG, ~/.kube/config, in a pod its ServiceAccount]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace [default: the context's]
    #[arg(short = 'n', long)]
    pub namespace: Option<String>,
}

/// Why a cluster gave no answer: the line a person sees.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ClusterTrouble(String);

/// An API server, until a deadline.
pub struct Cluster {
    connection: Connection,
    namespace: String,
    limit: Duration,
    deadline: Instant,
}

impl ClusterArgs {
    /// The way to the API server. `limit` bounds all calls together, from now on.
    ///
    /// # Errors
    /// One line.
    pub async fn connect(&self, limit: Duration) -> Result<Cluster, ClusterTrouble> {
        let deadline = Instant::now() + limit;
        let choice = Choice {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        };
        let connection = connect(&choice, limit)
            .await
            .map_err(|why: NoWay| ClusterTrouble(format!("no way to an API server: {why}")))?;
        Ok(Cluster {
            namespace: self
                .namespace
                .clone()
                .unwrap_or_else(|| connection.namespace.clone()),
            connection,
            limit,
            deadline,
        })
    }
}

impl Cluster {
    /// The namespace that was named, else the context's.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same, with the whole time from now on: what did not wait for the cluster does not count.
    #[must_use]
    pub fn from_now(mut self) -> Self {
        self.deadline = Instant::now() + self.limit;
        self
    }

    /// Requests for Secrets.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.raw())
    }

    /// Requests that hold values or may be refused: one answer each, no retries.
    pub fn raw(&self) -> Raw {
        Raw::new(self.connection.client.clone(), self.left())
    }

    /// For requests that no file of `cluster` makes.
    pub fn client(&self) -> kube::Client {
        self.connection.client.clone()
    }

    /// One binding.
    ///
    /// # Errors
    /// One line; also when there is none of that name.
    pub async fn binding(&self, key: &ObjectKey) -> Result<BindingObject, ClusterTrouble> {
        let asked = async { Bindings::new(self.raw()).get(key).await };
        let none = || ClusterTrouble(format!("there is no ExternalSecretBinding {key}"));
        self.within(asked).await?.ok_or_else(none)
    }

    /// Every binding of a namespace, or of all.
    ///
    /// # Errors
    /// One line.
    pub async fn bindings(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<BindingObject>, ClusterTrouble> {
        self.within(async { Bindings::new(self.raw()).list(namespace).await })
            .await
    }

    /// Waits for an answer, but not longer than all calls together may take.
    ///
    /// # Errors
    /// One line.
    pub async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterTrouble> {
        let answer = tokio::time::timeout_at(self.deadline, asked).await;
        answer
            .unwrap_or(Err(ClusterError::Timeout))
            .map_err(|error| self.trouble(&error))
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What a call that failed says to a person.
    pub fn trouble(&self, error: &ClusterError) -> ClusterTrouble {
        let server = &self.connection.server;
        ClusterTrouble(match error {
            ClusterError::NotFound => format!(
                "the cluster at {server} does not know keyferry's kinds: install the chart, or `keyferry crds | kubectl apply -f -`"
            ),
            ClusterError::Forbidden { .. } => {
                format!("the API server {server} refuses this user: {error}")
            }
            ClusterError::Timeout => format!(
                "the API server {server} gave no answer within {}",
                crate::core::duration::human(self.limit)
            ),
            ClusterError::Unavailable(why) => format!("the API server {server}: {why}"),
            other => format!("the API server {server}: {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{Router, http::StatusCode};

    use super::*;

    /// A kubeconfig for a server that answers everything with this, or never; what asking for bindings then says.
    async fn asked(answer: Option<(u16, &'static str)>, name: Option<&str>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(move || async move {
            match answer {
                Some((code, body)) => (StatusCode::from_u16(code).unwrap(), body),
                None => std::future::pending().await,
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let said = ask(&server, name).await;
        serving.abort();
        said.replace(&server, "SERVER")
    }

    async fn ask(server: &str, name: Option<&str>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u, namespace: estate}}}}]\nclusters: [{{name: k, cluster: {{server: \"{server}\"}}}}]\nusers: [{{name: u, user: {{token: hunter2}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        let args = ClusterArgs {
            kubeconfig: Some(path),
            ..ClusterArgs::default()
        };
        let cluster = args.connect(Duration::from_secs(1)).await.unwrap();
        let namespace = cluster.namespace();
        let answer = match name {
            Some(name) => {
                let found = cluster.binding(&ObjectKey::new(namespace, name)).await;
                found.map(|one| vec![one])
            }
            None => cluster.bindings(Some(namespace)).await,
        };
        match answer {
            Ok(found) => format!("{} bindings", found.len()),
            Err(trouble) => trouble.to_string(),
        }
    }

    #[tokio::test]
    async fn each_trouble_is_one_clear_line() {
        let forbidden = r#"{"kind":"Status","message":"externalsecretbindings.keyferry.dev is forbidden: User \"eve\" cannot list"}"#;
        let list = r#"{"metadata":{},"items":[]}"#;
        let table = [
            (None, None, "gave no answer within 1s"),
            (Some((401, "no")), None, "SERVER: our token is not accepted"),
            (
                Some((403, forbidden)),
                None,
                "SERVER refuses this user: may not list externalsecretbindings: RBAC",
            ),
            (
                Some((404, "404 page not found")),
                None,
                "does not know keyferry's kinds",
            ),
            (
                Some((404, "404 page not found")),
                Some("ai"),
                "does not know keyferry's kinds",
            ),
            (
                Some((503, "")),
                None,
                "SERVER: it answered with a fault of its own",
            ),
            (Some((200, list)), None, "0 bindings"),
        ];
        for (answer, name, expected) in table {
            let said = asked(answer, name).await;
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("hunter2") && !said.contains('\n'), "{said}");
        }
        let closed = ask("http://127.0.0.1:1", None).await;
        assert_eq!(
            closed,
            "the API server http://127.0.0.1:1: it cannot be reached"
        );
    }
}
