//! The operator as a process of its own, with everything it prints captured.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{Error, Result};

/// How long a process may take to get ready or to end before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `keyferry` binary.
    pub binary: PathBuf,
    /// The kubeconfig it runs with.
    pub kubeconfig: PathBuf,
    /// Its namespace.
    pub namespace: String,
    /// More arguments for `keyferry run`.
    pub args: Vec<String>,
    /// Its environment beside PATH; nothing is inherited.
    pub env: Vec<(String, String)>,
}

/// A running operator. Dropping it kills the process; its output stays in the [`Output`].
pub struct Operator {
    child: Child,
    pid: u32,
    readers: Vec<JoinHandle<()>>,
    output: Output,
    address: String,
}

/// What a process has printed, on both streams.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// A copy of everything so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Everything so far as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn append(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
    }
}

impl Operator {
    /// Starts the operator and waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When it ends or does not get ready; the message carries the end of what it printed.
    pub async fn start(options: &Options) -> Result<Self> {
        let mut operator = Self::spawn(options).await?;
        operator.until_ready().await?;
        Ok(operator)
    }

    /// Starts the operator and waits only until its HTTP endpoints listen.
    ///
    /// # Errors
    /// When it ends before that.
    pub async fn spawn(options: &Options) -> Result<Self> {
        let mut command = Command::new(&options.binary);
        command
            .arg("run")
            .args(["--http-address", "127.0.0.1:0"])
            .args(["--operator-namespace", &options.namespace])
            .args(&options.args)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("KUBECONFIG", &options.kubeconfig)
            .env("RUST_BACKTRACE", "1")
            .envs(options.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let doing = format!("start {}", options.binary.display());
        let mut child = command.spawn().map_err(Error::io(doing))?;
        let output = Output::default();
        let mut readers = Vec::new();
        readers.extend(
            child
                .stdout
                .take()
                .map(|s| tokio::spawn(capture(s, output.clone()))),
        );
        readers.extend(
            child
                .stderr
                .take()
                .map(|s| tokio::spawn(capture(s, output.clone()))),
        );
        let pid = child
            .id()
            .ok_or_else(|| Error::other("the operator ended at once"))?;
        let mut operator = Self {
            child,
            pid,
            readers,
            output,
            address: String::new(),
        };
        operator.address = operator.until_listening().await?;
        Ok(operator)
    }

    /// What it has printed; stays readable after it ended.
    pub fn output(&self) -> Output {
        self.output.clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The body of `/metrics`.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.get("/metrics").await?.1)
    }

    /// HTTP code and body of a path.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let wrong =
            |e: &dyn std::fmt::Display| Error::other(format!("GET {path} of the operator: {e}"));
        let stream = tokio::net::TcpStream::connect(&self.address)
            .await
            .map_err(|e| wrong(&e))?;
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|e| wrong(&e))?;
        tokio::spawn(connection);
        let request = http::Request::get(path)
            .header("host", &self.address)
            .body(Empty::<&[u8]>::new())
            .map_err(|e| wrong(&e))?;
        let reply = sender.send_request(request).await.map_err(|e| wrong(&e))?;
        let code = reply.status().as_u16();
        let body = reply
            .into_body()
            .collect()
            .await
            .map_err(|e| wrong(&e))?
            .to_bytes();
        Ok((code, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::other("the operator has no process id"))?;
        kill_process(pid, signal).map_err(|e| Error::other(format!("signal the operator: {e}")))
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .map_err(|_| self.complaint("did not end"))?
            .map_err(Error::io("wait for the operator"))?;
        for reader in self.readers.drain(..) {
            reader.await.ok();
        }
        Ok(status)
    }

    async fn until_listening(&mut self) -> Result<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(address) = listening_address(&self.output.text()) {
                return Ok(address);
            }
            if self
                .child
                .try_wait()
                .map_err(Error::io("wait for the operator"))?
                .is_some()
            {
                return Err(self.complaint("ended before it listened"));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(self.complaint("does not listen"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When it ends or does not get ready.
    pub async fn until_ready(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if matches!(self.get("/readyz").await, Ok((200, _))) {
                return Ok(());
            }
            if self
                .child
                .try_wait()
                .map_err(Error::io("wait for the operator"))?
                .is_some()
            {
                return Err(self.complaint("ended before it was ready"));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(self.complaint("does not get ready"));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn complaint(&self, what: &str) -> Error {
        let text = self.output.text();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        Error::other(format!(
            "the operator {what}; it printed:\n{}",
            last.join("\n")
        ))
    }
}

/// The address in the line that says where the HTTP endpoints listen.
fn listening_address(log: &str) -> Option<String> {
    let line = log
        .lines()
        .find(|line| line.contains("http endpoints listen"))?;
    let from = line.find("127.0.0.1:")?;
    let address = line[from..]
        .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))
        .next()?;
    Some(address.to_owned())
}

async fn capture(mut stream: impl AsyncRead + Unpin, output: Output) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        output.append(&buffer[..read]);
    }
}

/// The root of this repository, found from this crate's own folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}
