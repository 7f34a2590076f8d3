//! A place for kubeconfigs, tokens and logs.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keyferry_testkit::operator::Output;

/// A folder that nobody else may read. Goes with its owner.
pub(crate) struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    /// `verb` is what `cargo xtask` was asked for.
    pub(crate) fn new(verb: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("keyferry-{verb}-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, stays: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it to whoever wants to read the logs, and says where it is.
    pub(crate) fn leave(&mut self) {
        self.stays = true;
        eprintln!("logs: {}", self.path.display());
    }

    /// Writes what the operator has printed.
    pub(crate) fn write_log(&self, log: &Output) -> std::io::Result<()> {
        std::fs::write(self.log(), log.bytes())
    }

    /// Where that is.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("operator.log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is left to the system's own cleaning of temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
