//! The process of a verb that holds values or calls somebody: what it must never print or leave behind.

use std::error::Error;

use crate::telemetry::{
    logs::{self, LogFormat},
    panics,
};

/// What a verb logs where RUST_LOG says nothing: its own lines tell what is wrong.
const QUIET: &str = "off";

/// Sets up an operator: logs, panics, no core files, TLS.
///
/// # Errors
/// For a log filter that is none, and where a part was set up before.
pub fn begin(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error>> {
    talk(format, filter)?;
    // A core file would hold every value in memory. Only the limit is lowered: a process marked
    // undumpable could not be examined by its own user.
    rlimit::Resource::CORE.set(0, 0)?;
    Ok(())
}

/// Sets up a verb of a person likewise. Gives back the limit of core files that it has lowered, for a program that
/// takes this one's place.
///
/// # Errors
/// As [`begin`].
pub fn begin_verb() -> Result<CoreLimit, Box<dyn Error>> {
    let filter = std::env::var("RUST_LOG").ok().filter(|it| !it.is_empty());
    talk(LogFormat::Text, filter.as_deref().unwrap_or(QUIET))?;
    let (soft, hard) = rlimit::Resource::CORE.get()?;
    rlimit::Resource::CORE.set(0, hard)?;
    Ok(CoreLimit { soft, hard })
}

/// How large a core file may be.
#[derive(Clone, Copy, Debug)]
pub struct CoreLimit {
    soft: u64,
    hard: u64,
}

impl CoreLimit {
    /// Lets the process have it again.
    ///
    /// # Errors
    /// What the system says.
    pub fn restore(self) -> std::io::Result<()> {
        rlimit::Resource::CORE.set(self.soft, self.hard)
    }
}

fn talk(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error>> {
    panics::install(format);
    logs::init(format, filter)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "another TLS provider is installed already")?;
    Ok(())
}
