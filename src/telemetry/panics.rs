//! What a panic prints: where and in which thread, never why.
//!
//! The payload is left out because it can hold a value: `unwrap` on a `Result` formats the error,
//! an index out of bounds in somebody's crate formats what it likes. For the same reason nobody
//! may format a tokio `JoinError`: it carries the payload.

use std::io::Write;
use std::panic::PanicHookInfo;

use super::logs::LogFormat;

/// Replaces the panic hook for the rest of the process.
pub fn install(format: LogFormat) {
    std::panic::set_hook(Box::new(move |info| {
        // Straight to stderr: the panic may have come out of the logging itself.
        let _ = writeln!(std::io::stderr(), "{}", line(format, info));
    }));
}

fn line(format: LogFormat, info: &PanicHookInfo<'_>) -> String {
    let location = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    match format {
        LogFormat::Json => serde_json::json!({
            "level": "ERROR",
            "target": "keyferry::panic",
            "message": "panicked",
            "location": location,
            "thread": thread,
        })
        .to_string(),
        LogFormat::Text => {
            format!("ERROR keyferry::panic: panicked at {location} in thread {thread}")
        }
    }
}
