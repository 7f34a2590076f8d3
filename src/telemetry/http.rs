//! The health and metrics endpoints: `/livez`, `/readyz`, `/metrics`.
//!
//! Owns the listener and the two states behind the probes. `/livez` knows only whether the main
//! loop still turns: were it to ask AWS or the API server, an outage there would restart a healthy
//! operator. Speaks plain HTTP and serves nothing secret.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::metrics::{CONTENT_TYPE, Metrics};

/// How long open connections may delay the end of the process.
const DRAIN: Duration = Duration::from_secs(2);

/// The sign of life of the main loop. Clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    last: Arc<Mutex<Option<Instant>>>,
    limit: Duration,
}

impl Heartbeat {
    /// Alive until the first beat; from then on while beats come at least every `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            last: Arc::default(),
            limit,
        }
    }

    /// The loop turned.
    pub fn beat(&self, now: Instant) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// The silence that is too long, if it is.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| now.saturating_duration_since(last))
            .filter(|silence| *silence > self.limit)
    }
}

/// Named checks that must all hold before the operator counts as ready. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl Readiness {
    /// Adds a check, which does not hold until it says so.
    pub fn check(&self, name: &'static str) -> ReadyCheck {
        let check = ReadyCheck {
            name,
            all: self.clone(),
        };
        check.fails("has not run yet");
        check
    }

    /// Whether all checks hold, and one line for each. No check at all is not ready: it means that
    /// nothing has started.
    pub fn report(&self) -> (bool, String) {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = checks.iter().map(|(name, fault)| match fault {
            None => format!("[+]{name} ok\n"),
            Some(why) => format!("[-]{name} failed: {why}\n"),
        });
        let text: String = lines.collect();
        match checks.values().all(Option::is_none) {
            _ if checks.is_empty() => (false, "[-]start failed: nothing has started yet\n".into()),
            ready => (ready, text),
        }
    }
}

/// One named check; its last word counts, also after it is dropped.
#[derive(Clone, Debug)]
pub struct ReadyCheck {
    name: &'static str,
    all: Readiness,
}

impl ReadyCheck {
    /// The check holds.
    pub fn holds(&self) {
        self.set(None);
    }

    /// The check does not hold; `why` is shown to whoever asks and must hold no value.
    pub fn fails(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, fault: Option<String>) {
        let mut checks = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert(self.name, fault);
    }
}

/// What the endpoints show.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Behind `/livez`.
    pub heartbeat: Heartbeat,
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Behind `/metrics`.
    pub metrics: Metrics,
}

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "http endpoints listen: /livez /readyz /metrics");
        Ok(Self { listener, address })
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` turns true (or its sender is gone), then for at most two seconds more.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, endpoints: Endpoints, stop: watch::Receiver<bool>) -> io::Result<()> {
        let serving = axum::serve(self.listener, router(endpoints))
            .with_graceful_shutdown(stopped(stop.clone()));
        tokio::select! {
            ended = serving.into_future() => ended,
            () = async { stopped(stop).await; tokio::time::sleep(DRAIN).await } => Ok(()),
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the process's reason to serve.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn router(endpoints: Endpoints) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(endpoints)
}

async fn livez(State(endpoints): State<Endpoints>) -> Response {
    match endpoints.heartbeat.silence(Instant::now()) {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(silence) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the main loop has not turned for {}s\n", silence.as_secs()),
        )
            .into_response(),
    }
}

async fn readyz(State(endpoints): State<Endpoints>) -> Response {
    let (ready, text) = endpoints.readiness.report();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text).into_response()
}

async fn metrics(State(endpoints): State<Endpoints>) -> Response {
    match endpoints.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[test]
    fn a_heart_that_has_not_begun_to_beat_is_alive() {
        let start = Instant::now();
        let heartbeat = Heartbeat::new(Duration::from_secs(30));
        assert_eq!(heartbeat.silence(start + Duration::from_secs(3_600)), None);
        heartbeat.beat(start);
        assert_eq!(heartbeat.silence(start + Duration::from_secs(30)), None);
        let silence = heartbeat.silence(start + Duration::from_secs(31));
        assert_eq!(silence, Some(Duration::from_secs(31)));
        heartbeat.beat(start + Duration::from_secs(31));
        assert_eq!(heartbeat.silence(start + Duration::from_secs(31)), None);
    }

    #[test]
    fn ready_when_every_check_holds() {
        let readiness = Readiness::default();
        assert!(!readiness.report().0, "nothing has started");
        let (bindings, key) = (readiness.check("bindings"), readiness.check("install-key"));
        bindings.holds();
        let (ready, text) = readiness.report();
        assert!(!ready);
        assert_eq!(
            text,
            "[+]bindings ok\n[-]install-key failed: has not run yet\n"
        );
        key.holds();
        assert!(readiness.report().0);
        bindings.fails("the watch was refused");
        assert_eq!(
            readiness.report(),
            (
                false,
                "[-]bindings failed: the watch was refused\n[+]install-key ok\n".into()
            )
        );
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_endpoints_answer_and_stop() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address();
        assert_ne!(address.port(), 0);
        let endpoints = Endpoints {
            heartbeat: Heartbeat::new(Duration::from_secs(30)),
            readiness: Readiness::default(),
            metrics: Metrics::new(),
        };
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(server.serve(endpoints.clone(), stopped));

        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        endpoints.readiness.check("bindings").holds();
        let answer = ask(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[+]bindings ok\n"));
        let answer = ask(address, "/metrics").await;
        assert!(answer.contains("application/openmetrics-text; version=1.0.0"));
        assert!(answer.contains("keyferry_build_info{"));
        assert!(ask(address, "/").await.starts_with("HTTP/1.1 404"));

        // A connection that never finishes its request does not hold up the end.
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        stop.send(true).unwrap();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
