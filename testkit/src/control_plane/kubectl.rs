//! kubectl as users run it. Owns which program that is and how it is called.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{ASSETS_VARIABLE, ControlPlane, Running, build};
use crate::{Error, Result};

/// A kubectl, alone or as a part of the multi-call program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// The word that makes a multi-call program be kubectl.
    word: Option<&'static str>,
}

impl Program {
    pub(super) fn alone(path: PathBuf) -> Self {
        Self { path, word: None }
    }

    pub(super) fn multi_call(path: PathBuf) -> Self {
        Self {
            path,
            word: Some("kubectl"),
        }
    }

    /// For a foreign cluster: the assets' kubectl, our own if it was ever
    /// built, or the one on the PATH.
    pub(super) fn find() -> Self {
        if let Some(assets) = std::env::var_os(ASSETS_VARIABLE) {
            return Self::alone(Path::new(&assets).join("kubectl"));
        }
        build::cached().map_or_else(|| Self::alone("kubectl".into()), Self::multi_call)
    }
}

impl ControlPlane {
    /// Runs kubectl as the admin, with `stdin` as its standard input, and comes
    /// back with its exit code and output, whatever they are.
    ///
    /// # Errors
    /// Only that it could not be run at all.
    pub async fn kubectl(&self, args: &[&str], stdin: Option<&[u8]>) -> Result<Output> {
        self.kubectl_as(&self.kubeconfig, args, stdin).await
    }

    /// The same as somebody else, by their kubeconfig.
    ///
    /// # Errors
    /// Only that it could not be run at all.
    pub async fn kubectl_as(
        &self,
        kubeconfig: &Path,
        args: &[&str],
        stdin: Option<&[u8]>,
    ) -> Result<Output> {
        let mut command = Command::new(&self.kubectl.path);
        command
            .args(self.kubectl.word)
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .envs(self.cache_dir().map(|dir| ("KUBECACHEDIR", dir)))
            // A person's own aliases and defaults would make tests depend on them.
            .env("KUBECTL_KUBERC", "false");
        fed(command, stdin)
            .await
            .map_err(Error::io(format!("run kubectl {}", args.join(" "))))
    }

    /// kubectl keeps what a server can do by its address, for hours, in the
    /// home folder. Another control plane may have had our address an hour ago.
    fn cache_dir(&self) -> Option<PathBuf> {
        match self.running {
            Running::Foreign => None,
            _ => Some(self.kubeconfig.with_file_name("kubectl-cache")),
        }
    }
}

/// Runs a command to its end with `stdin` as its standard input.
pub(super) async fn fed(mut command: Command, stdin: Option<&[u8]>) -> std::io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pipe = child.stdin.take();
    let input = stdin.unwrap_or_default().to_vec();
    let feed = async move {
        if let Some(mut pipe) = pipe {
            // A program that does not read its input closes the pipe: no fault.
            let _ = pipe.write_all(&input).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    output
}
