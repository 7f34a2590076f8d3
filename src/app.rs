//! The only place that spawns: client, watches, loops, http, shutdown.

use std::process::ExitCode;

use crate::cli::run::Settings;

/// Why the operator could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The loops are not wired in yet.
    #[error("the operator's loops are not part of this build")]
    NotWired,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// When it cannot start, or must not go on.
pub async fn run(_settings: Settings) -> Result<ExitCode, AppError> {
    Err(AppError::NotWired)
}
