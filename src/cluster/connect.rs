//! The way to an API server: a kubeconfig's, or the pod's own. Serves the operator and the command line.
//!
//! No text of kube's errors is taken over that could quote a kubeconfig, which holds credentials, or the
//! answer of a program that gives some.

use std::{path::PathBuf, time::Duration};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Client, Config,
    client::AuthError,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError, LoadDataError},
};

/// Which kubeconfig, and which of its contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// None: `KUBECONFIG`, `~/.kube/config`, and where there is none the pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// None: the current one.
    pub context: Option<String>,
}

/// A client, and what is known without asking.
pub struct Connection {
    /// Each request through it is bounded by whoever makes it; it tries nothing again by itself.
    pub client: Client,
    /// URL of the API server, for messages.
    pub server: String,
    /// Namespace of the context.
    pub namespace: String,
}

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct NoWay(String);

/// Finds the API server and prepares a client. Nothing is sent yet, but the program that a kubeconfig names for
/// credentials runs.
///
/// # Errors
/// One sentence.
pub async fn connect(choice: &Choice, timeout: Duration) -> Result<Connection, NoWay> {
    let mut config = found(choice).await?;
    // kube's own retries wait up to minutes; every call is bounded, and tried again by whoever wants to.
    config.default_retry = false;
    config.connect_timeout = Some(timeout);
    config.proxy_url = proxy(
        config.proxy_url,
        &config.cluster_url,
        &Matcher::from_env(),
        |name| std::env::var(name).ok(),
    );
    let (server, namespace) = (shown(&config.cluster_url), config.default_namespace.clone());
    // A program for credentials may take long, or wait for a person.
    let made = tokio::task::spawn_blocking(move || Client::try_from(config));
    let client = match tokio::time::timeout(timeout, made).await {
        Ok(Ok(made)) => made.map_err(|error| NoWay(no_client(&error).to_owned()))?,
        Ok(Err(_)) => return Err(NoWay("a client could not be made".to_owned())),
        Err(_) => {
            let sentence =
                "the program that the kubeconfig names for credentials gave none in time";
            return Err(NoWay(sentence.to_owned()));
        }
    };
    Ok(Connection {
        client,
        server,
        namespace,
    })
}

async fn found(choice: &Choice) -> Result<Config, NoWay> {
    let options = KubeConfigOptions {
        context: choice.context.clone(),
        ..KubeConfigOptions::default()
    };
    let found = match &choice.kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        },
        None => match (Config::from_kubeconfig(&options).await, Config::incluster()) {
            (Err(_), Ok(pod)) if choice.context.is_none() => return Ok(pod),
            (found, _) => found,
        },
    };
    found.map_err(|error| NoWay(no_kubeconfig(&error)))
}

/// Without what could stand before an `@`.
fn shown(server: &Uri) -> String {
    let host = server.host().unwrap_or_default();
    let port = server.port_u16().map(|port| format!(":{port}"));
    let scheme = server.scheme_str().unwrap_or("https");
    format!("{scheme}://{host}{}", port.unwrap_or_default())
}

fn no_kubeconfig(error: &KubeconfigError) -> String {
    let of_data = |what: &str, error: &LoadDataError| match error {
        LoadDataError::ReadFile(why, path) => format!("{what} {}: {why}", path.display()),
        LoadDataError::DecodeBase64(_) => format!("{what} is not base64"),
        LoadDataError::NoBase64DataOrFile => format!("{what} is missing"),
    };
    let why = match error {
        KubeconfigError::ReadConfig(why, path) => {
            return format!("kubeconfig {}: {why}", path.display());
        }
        KubeconfigError::CurrentContextNotSet => {
            return "no kubeconfig names a context; set KUBECONFIG, or use --kubeconfig and --context"
                .to_owned();
        }
        KubeconfigError::LoadContext(name) => format!("it has no context \"{name}\""),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster \"{name}\""),
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("it is no kubeconfig (line {})", at.line()),
            None => "it is no kubeconfig".to_owned(),
        },
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "it names no usable server".to_owned()
        }
        KubeconfigError::LoadCertificateAuthority(why) => of_data("its certificate authority", why),
        KubeconfigError::LoadClientCertificate(why) => of_data("its client certificate", why),
        KubeconfigError::LoadClientKey(why) => of_data("its client key", why),
        KubeconfigError::ParseCertificates(_) => "its certificates are no PEM".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "its proxy is no URL".to_owned(),
        _ => "it cannot be used".to_owned(),
    };
    format!("kubeconfig: {why}")
}

fn no_client(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Auth(AuthError::AuthExecStart(_)) => {
            "the program that the kubeconfig names for credentials cannot be started"
        }
        kube::Error::Auth(AuthError::AuthExecRun { .. }) => {
            "the program that the kubeconfig names for credentials failed; `kubectl version` shows what it says"
        }
        kube::Error::Auth(_) => "the kubeconfig gives no usable credentials",
        _ => "the kubeconfig's certificates or credentials cannot be used",
    }
}

/// The proxy to the API server. kube takes HTTPS_PROXY for a kubeconfig that names none and does not
/// know NO_PROXY: a proxy that came from there is used only where NO_PROXY lets it.
fn proxy(
    proxy: Option<Uri>,
    server: &Uri,
    environment: &Matcher,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<Uri> {
    let from_environment = ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .filter_map(|name| variable(name)?.parse::<Uri>().ok())
        .any(|uri| Some(uri) == proxy);
    if !from_environment {
        return proxy;
    }
    environment.intercept(server).and(proxy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_proxy_from_the_environment_obeys_no_proxy_and_one_from_the_kubeconfig_stands() {
        let given: Uri = "http://proxy.example:3128".parse().unwrap();
        let own: Uri = "http://other.example:3128".parse().unwrap();
        let (inside, outside): (Uri, Uri) = (
            "https://10.0.0.1:6443".parse().unwrap(),
            "https://eks.example".parse().unwrap(),
        );
        let environment = Matcher::builder()
            .https("http://proxy.example:3128")
            .no("10.0.0.0/8")
            .build();
        let set =
            |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy.example:3128".to_owned());
        let cases = [
            (Some(&given), &inside, None),
            (Some(&given), &outside, Some(&given)),
            (Some(&own), &inside, Some(&own)),
            (None, &outside, None),
        ];
        for (named, server, expected) in cases {
            let chosen = proxy(named.cloned(), server, &environment, set);
            assert_eq!(chosen.as_ref(), expected, "{server}");
        }
    }

    #[test]
    fn a_server_is_shown_without_credentials() {
        for (url, expected) in [
            (
                "https://user:hunter2@eks.example/path?x=y",
                "https://eks.example",
            ),
            ("http://127.0.0.1:6443", "http://127.0.0.1:6443"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), expected);
        }
    }

    /// Why this kubeconfig leads nowhere.
    async fn refused(text: &str, context: Option<&str>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, text).unwrap();
        let choice = Choice {
            kubeconfig: Some(path),
            context: context.map(str::to_owned),
        };
        let made = connect(&choice, Duration::from_millis(300)).await;
        made.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_one_sentence_without_its_text() {
        let user = |user: &str| {
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: {{server: \"http://127.0.0.1:1\"}}}}]\nusers: [{{name: u, user: {user}}}]\n"
            )
        };
        let exec = |command: &str| {
            user(&format!(
                "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, \"{command}\"], interactiveMode: Never}}}}"
            ))
        };
        let table = [
            (
                refused("token: [hunter2", None).await,
                "it is no kubeconfig (line 1)",
            ),
            (
                refused(&user("{}"), Some("prod")).await,
                "it has no context \"prod\"",
            ),
            (
                refused(&exec("echo hunter2; exit 3"), None).await,
                "for credentials failed",
            ),
            (refused(&exec("sleep 2"), None).await, "gave none in time"),
        ];
        for (sentence, expected) in table {
            assert!(sentence.contains(expected), "{sentence}");
            assert!(
                !sentence.contains("hunter2") && !sentence.contains('\n'),
                "{sentence}"
            );
        }
        let absent = Choice {
            kubeconfig: Some("/no/such/kubeconfig".into()),
            context: None,
        };
        let why = connect(&absent, Duration::from_secs(1))
            .await
            .err()
            .unwrap();
        assert!(
            why.to_string()
                .starts_with("kubeconfig /no/such/kubeconfig: "),
            "{why}"
        );
    }
}
