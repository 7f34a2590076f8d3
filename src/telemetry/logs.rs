//! Log lines: JSON for machines, text for people, and a ceiling over other crates.
//!
//! Owns the subscriber and the one list of what other crates may say. The ceiling stands apart from
//! the filter a user sets: libraries print request and response bodies at their debug levels (kube
//! prints bodies it cannot decode already at WARN), and a body can be a Secret.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::audit;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// A filter that `tracing-subscriber` cannot parse.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a log filter: {0}. Write a level (error, warn, info, debug, trace) or directives such as `info,keyferry::source=debug`"
)]
pub struct InvalidFilter(tracing_subscriber::filter::ParseError);

/// Checks a filter in the syntax of `RUST_LOG` and hands it back, for use as an argument parser.
pub fn parse_filter(text: &str) -> Result<String, InvalidFilter> {
    EnvFilter::builder().parse(text).map_err(InvalidFilter)?;
    Ok(text.to_owned())
}

/// Starts logging to stderr for the rest of the process.
///
/// # Errors
/// When `filter` is invalid, or when logging was started before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Box<dyn std::error::Error>> {
    subscriber(format, filter, io::stderr)?.try_init()?;
    Ok(())
}

/// The subscriber that [`init`] installs, over any writer.
///
/// # Errors
/// When `filter` is invalid.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + 'static, InvalidFilter>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(false)),
        LogFormat::Text => Box::new(lines),
    };
    Ok(tracing_subscriber::registry()
        .with(lines)
        .with(user_filter(filter)?)
        .with(Ceiling))
}

/// The user's filter, with the audit trail always in it: a trail that a log level can switch off
/// is none.
fn user_filter(text: &str) -> Result<EnvFilter, InvalidFilter> {
    let filter = EnvFilter::builder().parse(text).map_err(InvalidFilter)?;
    let audit = format!("{}=info", audit::TARGET).parse();
    Ok(match audit {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    })
}

/// Targets that are ours: no ceiling.
const OURS: &str = "keyferry";

/// Ceilings below the general one, by the beginning of the target; the first match counts.
const CEILINGS: [(&str, LevelFilter); 2] = [
    // Prints a whole error with `{:?}` at ERROR; such an error holds the raw response.
    ("aws_smithy_runtime_api", LevelFilter::OFF),
    // Prints undecodable bodies at WARN.
    ("kube", LevelFilter::ERROR),
];

/// Ceiling of every other crate, so that a new dependency is covered from its first day.
const CEILING_OF_OTHERS: LevelFilter = LevelFilter::WARN;

/// The most detailed level that lines of `target` may have, whatever anybody asks for.
pub fn ceiling(target: &str) -> LevelFilter {
    let ours = target
        .strip_prefix(OURS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    if ours {
        return LevelFilter::TRACE;
    }
    CEILINGS
        .iter()
        .find(|(beginning, _)| target.starts_with(beginning))
        .map_or(CEILING_OF_OTHERS, |(_, level)| *level)
}

/// Refuses what lies above the ceiling, for every layer, as a layer of its own: filters of layers
/// are joined by "and", so that no other one can open what this one closes.
struct Ceiling;

impl Ceiling {
    fn allows(metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= ceiling(metadata.target())
    }
}

impl<S: Subscriber> Layer<S> for Ceiling {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::allows(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Self::allows(metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::telemetry::testing::Captured;

    #[test]
    fn other_crates_have_a_ceiling() {
        for (target, expected) in [
            ("keyferry", LevelFilter::TRACE),
            ("keyferry::source::hub", LevelFilter::TRACE),
            ("keyferry_testkit", LevelFilter::WARN),
            ("kube", LevelFilter::ERROR),
            ("kube_client::client", LevelFilter::ERROR),
            ("kube_runtime::watcher", LevelFilter::ERROR),
            ("aws_config::sts", LevelFilter::WARN),
            (
                "aws_smithy_runtime::client::orchestrator",
                LevelFilter::WARN,
            ),
            (
                "aws_smithy_runtime_api::client::interceptors",
                LevelFilter::OFF,
            ),
            ("hyper::proto::h1", LevelFilter::WARN),
            ("hyper_util::client", LevelFilter::WARN),
            ("h2::codec", LevelFilter::WARN),
            ("rustls::conn", LevelFilter::WARN),
            ("tower::buffer", LevelFilter::WARN),
            ("tower_http::trace", LevelFilter::WARN),
            ("reqwest::connect", LevelFilter::WARN),
            ("a_crate_of_tomorrow", LevelFilter::WARN),
        ] {
            assert_eq!(ceiling(target), expected, "{target}");
        }
    }

    /// Says one line per level at a target and returns the levels that came out.
    macro_rules! levels_heard {
        ($filter:expr, $target:literal) => {{
            let captured = Captured::default();
            let subscriber = subscriber(LogFormat::Text, $filter, captured.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: $target, "line-ERROR");
                tracing::warn!(target: $target, "line-WARN");
                tracing::info!(target: $target, "line-INFO");
                tracing::debug!(target: $target, "line-DEBUG");
                tracing::trace!(target: $target, "line-TRACE");
            });
            let text = captured.text();
            ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]
                .into_iter()
                .filter(|level| text.contains(&format!("line-{level}")))
                .collect::<Vec<_>>()
        }};
    }

    #[test]
    fn no_filter_opens_what_the_ceiling_closes() {
        for filter in [
            "trace",
            "kube_client=trace,aws_smithy_runtime=trace,hyper=trace,rustls=trace",
            "info,kube_client::client=trace,aws_smithy_runtime_api=trace,tower=debug,[request]=trace",
            "[{message}]=trace",
        ] {
            let all = levels_heard!(filter, "kube_client::client");
            assert!(all.is_empty() || all == ["ERROR"], "{filter}: {all:?}");
            let all = levels_heard!(filter, "aws_smithy_runtime_api::client");
            assert!(all.is_empty(), "{filter}: {all:?}");
            for heard in [
                levels_heard!(filter, "aws_smithy_runtime::client"),
                levels_heard!(filter, "hyper::proto"),
                levels_heard!(filter, "h2::codec"),
                levels_heard!(filter, "rustls::conn"),
                levels_heard!(filter, "tower::buffer"),
                levels_heard!(filter, "reqwest::connect"),
            ] {
                assert!(
                    heard.iter().all(|level| ["ERROR", "WARN"].contains(level)),
                    "{filter}: {heard:?}"
                );
            }
        }
        assert_eq!(levels_heard!("trace", "kube_client"), ["ERROR"]);
        assert_eq!(levels_heard!("trace", "hyper"), ["ERROR", "WARN"]);
    }

    #[test]
    fn our_own_lines_follow_the_filter() {
        assert_eq!(
            levels_heard!("info", "keyferry::app"),
            ["ERROR", "WARN", "INFO"]
        );
        assert_eq!(levels_heard!("trace", "keyferry::app").len(), 5);
        assert_eq!(
            levels_heard!("warn,keyferry::source=debug", "keyferry::app"),
            ["ERROR", "WARN"]
        );
    }

    #[test]
    fn the_audit_trail_is_not_switched_off() {
        for filter in ["error", "off", "keyferry::audit=off", "trace"] {
            let heard = levels_heard!(filter, "keyferry::audit");
            assert_eq!(heard, ["ERROR", "WARN", "INFO"], "{filter}");
        }
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let captured = Captured::default();
        let subscriber = subscriber(LogFormat::Json, "info", captured.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "keyferry::app", binding = "estate/ai", "two\nlines");
        });
        let text = captured.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "two\nlines");
        assert_eq!(line["binding"], "estate/ai");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_a_cure() {
        let error = parse_filter("info,keyferry=loud").unwrap_err().to_string();
        assert!(
            error.contains("such as `info,keyferry::source=debug`"),
            "{error}"
        );
        assert_eq!(parse_filter("debug").unwrap(), "debug");
    }
}
