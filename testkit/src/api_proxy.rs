//! A way to the API server that counts an operator's writes, and can kill the operator before or after any of them.
//!
//! Plain HTTP on loopback towards the operator; the requests go on to the real API server with the operator's
//! own token. Watches stream through. While it is shut (from a kill to [`ApiProxy::open`]) nothing passes, so
//! nothing that a killed process had still under way comes after its end.

mod write;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use kube::{
    Client,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{Error, Result, control_plane::write_private};

pub use write::Write;

/// Larger than any object that an API server takes.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// On which side of a write the operator is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The API server never hears of the write.
    Before,
    /// The API server has done it, and the operator never hears the answer.
    After,
}

/// A running proxy. It ends when dropped.
pub struct ApiProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    client: Client,
    state: Mutex<Current>,
    /// Counts everything that a test may wait for.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Current {
    writes: Vec<Write>,
    armed: Option<Armed>,
    killed: Option<usize>,
    shut: bool,
}

struct Armed {
    pid: Option<u32>,
    moment: Moment,
    fits: Box<dyn FnMut(&Write) -> bool + Send>,
    /// The write that fitted, while its answer is awaited.
    at: Option<usize>,
}

impl ApiProxy {
    /// Starts a proxy to the cluster of a kubeconfig; who that kubeconfig speaks for does not matter.
    ///
    /// # Errors
    /// A kubeconfig that cannot be read, or no port.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: anonymous(kubeconfig).await?,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(Error::io("listen as a proxy"))?;
        let address = listener
            .local_addr()
            .map_err(Error::io("listen as a proxy"))?;
        let app = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.ok();
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes a copy of a kubeconfig beside it that leads here, with the same credentials.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn kubeconfig(&self, of: &Path) -> Result<PathBuf> {
        let text =
            std::fs::read_to_string(of).map_err(Error::io(format!("read {}", of.display())))?;
        // The parser's own words can hold a token.
        let wrong = || Error::other(format!("{} is no kubeconfig", of.display()));
        let mut config: Value = serde_yaml::from_str(&text).map_err(|_| wrong())?;
        for cluster in config["clusters"].as_array_mut().ok_or_else(wrong)? {
            cluster["cluster"] = json!({"server": self.url()});
        }
        let path = of.with_extension(format!("by-{}", self.address.port()));
        // JSON is YAML too.
        write_private(&path, config.to_string().as_bytes())?;
        Ok(path)
    }

    /// Every write so far, in the order in which they came; those that were never let through too.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.lock().writes.clone()
    }

    /// Kills the process at the first write from now on that fits, and shuts. One kill at a time. `pid`: None: it is
    /// only shut, for a process that is not known yet and is killed by who waits for it.
    pub fn kill(
        &self,
        pid: Option<u32>,
        moment: Moment,
        fits: impl FnMut(&Write) -> bool + Send + 'static,
    ) {
        let fits = Box::new(fits);
        self.shared.lock().armed = Some(Armed {
            pid,
            moment,
            fits,
            at: None,
        });
    }

    /// Waits until that was done; the place of the write among [`Self::writes`].
    ///
    /// # Errors
    /// After `limit`; nothing is killed any more then.
    pub async fn until_killed(&self, limit: Duration) -> Result<usize> {
        let mut changes = self.shared.changes.subscribe();
        let killed = changes.wait_for(|_| self.shared.lock().killed.is_some());
        let waited = tokio::time::timeout(limit, killed).await.is_ok();
        let mut state = self.shared.lock();
        state.armed = None;
        match state.killed {
            Some(at) if waited => Ok(at),
            _ => Err(Error::other(format!("no such write after {limit:?}"))),
        }
    }

    /// Lets requests pass again, of the next process.
    pub fn open(&self) {
        let mut state = self.shared.lock();
        state.shut = false;
        state.killed = None;
        state.armed = None;
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request: the place of a write. `None` when the request must not go on.
    fn admit(&self, write: Option<Write>) -> Option<Option<usize>> {
        let mut state = self.lock();
        if state.shut {
            return None;
        }
        let Some(write) = write else {
            return Some(None);
        };
        let at = state.writes.len();
        let now = state.meets(&write, at);
        state.writes.push(write);
        if now == Some(Moment::Before) {
            state.strike(at);
        }
        let shut = state.shut;
        drop(state);
        self.changes.send_modify(|n| *n += 1);
        (!shut).then_some(Some(at))
    }

    /// Notes an answer; false when the operator must not hear it.
    fn answered(&self, at: usize, code: StatusCode) -> bool {
        let mut state = self.lock();
        state.writes[at].code = Some(code.as_u16());
        if state
            .armed
            .as_ref()
            .is_some_and(|armed| armed.at == Some(at))
        {
            state.strike(at);
        }
        let shut = state.shut;
        drop(state);
        self.changes.send_modify(|n| *n += 1);
        !shut
    }
}

impl Current {
    /// The side on which this write kills, if it does.
    fn meets(&mut self, write: &Write, at: usize) -> Option<Moment> {
        let armed = self.armed.as_mut()?;
        if armed.at.is_some() || !(armed.fits)(write) {
            return None;
        }
        armed.at = Some(at);
        Some(armed.moment)
    }

    fn strike(&mut self, at: usize) {
        let pid = self.armed.take().and_then(|armed| armed.pid);
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        // Its parent has not waited for it yet, so the id is still its own.
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
        self.shut = true;
        self.killed = Some(at);
    }
}

/// A client that brings no credentials of its own.
async fn anonymous(kubeconfig: &Path) -> Result<Client> {
    let doing = || format!("read {}", kubeconfig.display());
    let wrong = |e: &dyn std::fmt::Display| Error::other(format!("{}: {e}", doing()));
    let config = Kubeconfig::read_from(kubeconfig).map_err(|e| wrong(&e))?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|e| wrong(&e))?;
    config.auth_info = AuthInfo::default();
    // Each request of the operator is one request here.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::kube(doing()))
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let write = Write::of(&parts.method, &parts.uri, &body);
    match shared.admit(write) {
        None => std::future::pending().await,
        Some(None) => forward(&shared.client, parts, body).await,
        // A task of its own: the API server finishes a write whatever becomes of who asked for it.
        Some(Some(at)) => {
            let done = tokio::spawn(carry(Arc::clone(&shared), parts, body, at)).await;
            match done {
                Ok(Some(answer)) => answer,
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }
}

/// Carries a write out to its end; `None` when the operator must not hear the answer.
async fn carry(shared: Arc<Shared>, parts: Parts, body: Bytes, at: usize) -> Option<Response> {
    let (head, body) = forward(&shared.client, parts, body).await.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    shared
        .answered(at, head.status)
        .then(|| Response::from_parts(head, Body::from(body)))
}

async fn forward(client: &Client, parts: Parts, body: Bytes) -> Response {
    let mut request = http::Request::new(kube::client::Body::from(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = end_to_end(parts.headers);
    match client.send(request).await {
        Ok(reply) => {
            let (mut head, body) = reply.into_parts();
            head.headers = end_to_end(head.headers);
            head.version = http::Version::HTTP_11;
            Response::from_parts(head, Body::new(body.map_err(axum::Error::new)))
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// The headers that are not about one connection (RFC 9110, 7.6.1).
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    let ours = [
        header::HOST,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::UPGRADE,
    ];
    for name in ours {
        headers.remove(name);
    }
    headers
}
