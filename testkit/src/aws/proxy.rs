//! An HTTP proxy that notes what it was asked for and leads everything to the fake, so that real
//! AWS host names can be tried without leaving loopback.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{FakeAws, TlsEndpoint};

/// Longest request head it reads.
const MAX_HEAD: usize = 16 * 1024;

/// A running proxy. It stops accepting when dropped.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// For `HTTPS_PROXY` and `HTTP_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked, one entry per connection: `CONNECT host:port` or `POST http://host/`.
    pub fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeAws {
    /// Starts a proxy: tunnels lead to the TLS side, plain requests to the plain side, whatever
    /// host was named.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_proxy(&self, tls: &TlsEndpoint) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (notes, plain, secure) = (seen.clone(), self.address, tls.address());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let notes = notes.clone();
                // A broken connection concerns only its client.
                tokio::spawn(async move {
                    let _ = relay(client, &notes, plain, secure).await;
                });
            }
        });
        Ok(Proxy {
            address,
            seen,
            task,
        })
    }
}

async fn relay(
    mut client: TcpStream,
    seen: &Mutex<Vec<String>>,
    plain: SocketAddr,
    secure: SocketAddr,
) -> io::Result<()> {
    let head = read_head(&mut client).await?;
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let asked = line.rsplit_once(' ').map_or(&*line, |(asked, _)| asked);
    let tunnel = asked.starts_with("CONNECT ");
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked.to_owned());
    let mut server = TcpStream::connect(if tunnel { secure } else { plain }).await?;
    if tunnel {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        // A server has to accept the absolute form too (RFC 9112, 3.2.2).
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads to the end of the head; a body's beginning may come with it.
async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let more = client.read_buf(&mut head).await?;
        if more == 0 || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}
