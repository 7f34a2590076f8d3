//! The workspace's root and its cargo.

use std::path::PathBuf;
use std::process::Command;

/// Errors of this crate are sentences for the person at the terminal.
pub type Ended<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The folder that holds the workspace's `Cargo.toml`.
pub fn root() -> Ended<PathBuf> {
    // Set by `cargo run`. Not the compile-time variable: worktrees that share a target folder would
    // write into each other's files.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("run it as `cargo xtask`")?;
    let root = PathBuf::from(here).parent().map(PathBuf::from);
    root.ok_or_else(|| "xtask stands outside a workspace".into())
}

/// A cargo call in the workspace.
pub fn cargo(arguments: &[&str]) -> Ended<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()?);
    Ok(command)
}
