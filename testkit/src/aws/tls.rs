//! HTTPS with a certificate authority of its own: for extra CAs and for real AWS host names.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::{Router, serve::Listener};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use super::{FakeAws, router};

/// A second way into the same fake, over TLS. It stops when dropped.
pub struct TlsEndpoint {
    address: SocketAddr,
    ca_pem: String,
    tasks: [JoinHandle<()>; 2],
}

impl TlsEndpoint {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL by the name `localhost`.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate authority that a client must trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl Drop for TlsEndpoint {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl FakeAws {
    /// Serves HTTPS too, with a fresh certificate for `localhost` and these names; one leading
    /// `*.` is allowed, such as `*.us-east-1.amazonaws.com`.
    ///
    /// # Errors
    /// When a name is no DNS name or no port can be bound.
    pub async fn start_tls(&self, names: &[&str]) -> io::Result<TlsEndpoint> {
        serve(router(self.shared.clone()), names).await
    }
}

/// Serves a router over HTTPS on a free port, with a fresh certificate for `localhost`, `127.0.0.1`
/// and these names.
pub(crate) async fn serve(app: Router, names: &[&str]) -> io::Result<TlsEndpoint> {
    let (config, ca_pem) = certificate(names)?;
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = tcp.local_addr()?;
    let (sender, ready) = mpsc::channel(64);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TlsListener { address, ready };
    let serving = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    let accepting = tokio::spawn(accept_all(tcp, acceptor, sender));
    Ok(TlsEndpoint {
        address,
        ca_pem,
        tasks: [serving, accepting],
    })
}

/// A new authority and a server certificate of it.
fn certificate(names: &[&str]) -> io::Result<(ServerConfig, String)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "keyferry test CA");
    let ca_key = KeyPair::generate().map_err(io::Error::other)?;
    let ca = CertifiedIssuer::self_signed(params, ca_key).map_err(io::Error::other)?;

    let all = names.iter().copied().chain(["localhost", "127.0.0.1"]);
    let all: Vec<String> = all.map(str::to_owned).collect();
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let params = CertificateParams::new(all).map_err(io::Error::other)?;
    let leaf = params.signed_by(&key, &ca).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok((config, ca.pem()))
}

/// Hands over connections whose handshake is done, so that one stuck client stops nobody.
struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

async fn accept_all(
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    while let Ok((stream, from)) = tcp.accept().await {
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate is the client's test, not ours.
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = ready.send((stream, from)).await;
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
