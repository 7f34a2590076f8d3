//! A control plane from a folder of Kubernetes programs, as envtest keeps them.
//! Owns their flags and their end; the programs may be of any recent version,
//! so only flags that have been there for long are used.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use serde_json::json;

use super::{ASSETS_VARIABLE, ControlPlane, Running, client, kubectl};
use crate::{Error, Result};

/// A loaded machine needs many times the usual few seconds.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Without these nothing works.
const NEEDED: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// Without these the API works, but nothing acts on it.
const CONTROLLERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// Runs a program until it ends or standard input does, whichever is first, so
/// that it never outlives the process that holds the pipe's other end.
const SUPERVISE: &str = r#"exec 3<&0; "$@" 3<&- & child=$!
(read -r _ <&3; kill -KILL "$child") & wait "$child""#;

/// The running programs, in the order of their start.
#[derive(Debug)]
pub(super) struct Processes {
    children: Vec<(&'static str, Child)>,
    dir: PathBuf,
    remove_dir: bool,
}

impl Processes {
    /// Kills in reverse order: there is no state worth a clean end.
    pub(super) fn stop(&mut self) {
        while let Some((_, mut child)) = self.children.pop() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        if std::mem::take(&mut self.remove_dir) {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    fn spawn(&mut self, assets: &Path, name: &'static str, flags: &[String]) -> Result<()> {
        let log = File::create(self.log(name)).map_err(Error::io(format!("log of {name}")))?;
        let again = log
            .try_clone()
            .map_err(Error::io(format!("log of {name}")))?;
        let child = Command::new("sh")
            .args(["-c", SUPERVISE, "sh"])
            .arg(assets.join(name))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(again)
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("start {name}")))?;
        self.children.push((name, child));
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Asks until the answer is yes, unless a program ends.
    async fn until(&mut self, what: &str, mut done: impl AsyncFnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !done().await {
            for (name, child) in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    let log = self.dir.join(format!("{name}.log"));
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().collect();
                    let end = lines[lines.len().saturating_sub(12)..].join("\n");
                    return Err(Error::other(format!("{name} ended ({status}):\n{end}")));
                }
            }
            if started.elapsed() > READY_WITHIN {
                let dir = self.dir.display();
                return Err(Error::other(format!(
                    "{what}: not within 3 min, logs in {dir}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) async fn start(assets: &Path, dir: PathBuf, remove_dir: bool) -> Result<ControlPlane> {
    let controllers = inspect(assets)?;
    let dir = std::path::absolute(dir).map_err(Error::io("find the directory"))?;
    let _ = fs::remove_dir_all(dir.join("etcd"));
    fs::create_dir_all(&dir).map_err(Error::io(format!("make {}", dir.display())))?;
    let kubeconfig = dir.join("kubeconfig");
    let mut running = Processes {
        dir: dir.clone(),
        remove_dir,
        children: Vec::new(),
    };
    let [etcd, peer, server] = [free_port(0)?, free_port(1)?, free_port(2)?];
    let token = token()?;
    write(
        &dir.join("tokens.csv"),
        &format!("{token},admin,admin,system:masters\n"),
    )?;
    write(&kubeconfig, &admin(&dir, server, &token))?;

    running.spawn(assets, "etcd", &etcd_flags(&dir, etcd, peer))?;
    running.spawn(assets, "kube-apiserver", &server_flags(&dir, etcd, server))?;
    running
        .until("the API server is ready", async || ready(&kubeconfig).await)
        .await?;
    for name in &controllers {
        running.spawn(assets, name, &controller_flags(name, &dir))?;
    }
    if controllers.contains(&"kube-controller-manager") {
        running
            .until("controllers work", async || {
                controllers_work(&kubeconfig).await
            })
            .await?;
    }
    Ok(ControlPlane {
        kubeconfig,
        kubectl: kubectl::Program::alone(assets.join("kubectl")),
        running: Running::Assets(running),
    })
}

/// The controllers that are there. Says on standard error which are not and
/// what will not work without them.
fn inspect(assets: &Path) -> Result<Vec<&'static str>> {
    let missing = |name: &&str| !assets.join(name).exists();
    let needed: Vec<_> = NEEDED.into_iter().filter(missing).collect();
    if !needed.is_empty() {
        return Err(Error::other(format!(
            "{ASSETS_VARIABLE}={}: no {} there",
            assets.display(),
            needed.join(", ")
        )));
    }
    let absent: Vec<_> = CONTROLLERS.into_iter().filter(missing).collect();
    if !absent.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "control plane: {ASSETS_VARIABLE}={} has no {}: no workload will make or run a pod, \
             no ServiceAccount token comes by itself and nothing is garbage collected. \
             Unset it to have all of them built.",
            assets.display(),
            absent.join(" and no ")
        );
    }
    Ok(CONTROLLERS
        .into_iter()
        .filter(|name| !missing(name))
        .collect())
}

fn etcd_flags(dir: &Path, client: u16, peer: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync=true".into(),
        "--log-level=warn".into(),
    ]
}

/// The server makes its own certificate in `certs`, and its RSA key also signs
/// service account tokens, so that no key has to be made here.
fn server_flags(dir: &Path, etcd: u16, port: u16) -> Vec<String> {
    let certs = dir.join("certs");
    let key = certs.join("apiserver.key");
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", certs.display()),
        format!("--token-auth-file={}", dir.join("tokens.csv").display()),
        "--authorization-mode=RBAC".into(),
        format!("--service-account-issuer=https://127.0.0.1:{port}"),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
    ]
}

fn controller_flags(name: &str, dir: &Path) -> Vec<String> {
    let mut flags = vec![
        format!("--kubeconfig={}", dir.join("kubeconfig").display()),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
    ];
    if name == "kube-controller-manager" {
        let certs = dir.join("certs");
        let key = certs.join("apiserver.key");
        flags.push(format!(
            "--root-ca-file={}",
            certs.join("apiserver.crt").display()
        ));
        flags.push(format!(
            "--service-account-private-key-file={}",
            key.display()
        ));
    }
    flags
}

/// JSON is YAML too. The authority is the file that the server will write.
fn admin(dir: &Path, port: u16, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "admin",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": dir.join("certs").join("apiserver.crt"),
        }}],
        "contexts": [{"name": "admin", "context": {"cluster": "test", "user": "admin"}}],
        "users": [{"name": "admin", "user": {"token": token}}],
    })
    .to_string()
}

async fn ready(kubeconfig: &Path) -> bool {
    let Ok(client) = client(kubeconfig).await else {
        return false; // the server has not written its certificate yet
    };
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    client.request_text(request).await.is_ok()
}

async fn controllers_work(kubeconfig: &Path) -> bool {
    let Ok(client) = client(kubeconfig).await else {
        return false;
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    matches!(accounts.get_opt("default").await, Ok(Some(_)))
}

/// Below the range from which kernels take ports for outgoing connections.
fn free_port(number: u32) -> Result<u16> {
    let from = std::process::id().wrapping_mul(31) + number;
    (0..12_000)
        .filter_map(|step| u16::try_from(20_000 + (from.wrapping_add(step * 3)) % 12_000).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| Error::other("no free port between 20000 and 32000 on 127.0.0.1"))
}

fn token() -> Result<String> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write(path: &Path, content: &str) -> Result<()> {
    super::access::write_private(path, content.as_bytes())
}
