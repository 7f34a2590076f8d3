//! `keyferry run`: the operator's arguments, and the settings they become.
//!
//! Every flag has an environment variable `KEYFERRY_*` with the same meaning; the flag wins. All
//! that can be wrong is found here, before anything starts: [`Settings`] is valid by construction.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration;
use crate::core::access::AccessMode;
use crate::source::SweepMode;
use crate::source::events::QueueAddress;
use crate::telemetry::logs::{LogFormat, parse_filter};

/// Longest `--cluster-name`: it becomes part of an STS session name, which holds 64 characters
/// (source: STS API reference, AssumeRoleWithWebIdentity, RoleSessionName).
const CLUSTER_NAME_MAX: usize = 24;

/// Arguments of `keyferry run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Namespaces to work in, comma-separated; with it only namespaced rights are used [default: all]
    #[arg(long, env = "KEYFERRY_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,

    /// Namespace that holds the operator's own Secret (in the pod: metadata.namespace)
    #[arg(long, env = "POD_NAMESPACE", default_value = "keyferry", value_parser = namespace)]
    operator_namespace: String,

    /// Name of this cluster in AWS session names, at most 24 characters
    #[arg(long, env = "KEYFERRY_CLUSTER_NAME", default_value = "cluster", value_parser = cluster_name)]
    cluster_name: String,

    /// Writes to the API server that may be in flight
    #[arg(long, env = "KEYFERRY_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,

    /// What the access policies do
    #[arg(
        long,
        env = "KEYFERRY_ACCESS_POLICY",
        value_name = "enforce|audit|open",
        default_value = "enforce"
    )]
    access_policy: AccessMode,

    /// File with access policies that replace the built-in one (each namespace reads its own `<namespace>/*`)
    #[arg(long, env = "KEYFERRY_ACCESS_POLICY_FILE")]
    access_policy_file: Option<PathBuf>,

    /// Floor under every binding's refreshInterval
    #[arg(long, env = "KEYFERRY_MIN_REFRESH_INTERVAL", default_value = "1m", value_parser = duration::parse)]
    min_refresh_interval: Duration,

    /// Let bindings read with the role of a ServiceAccount of their namespace
    #[arg(long, env = "KEYFERRY_ALLOW_SERVICE_ACCOUNT_IDENTITY", value_parser = clap::builder::BoolishValueParser::new())]
    allow_service_account_identity: bool,

    /// Let bindings run a program of their choice against each candidate, in their namespace
    #[arg(long, env = "KEYFERRY_ALLOW_PREFLIGHT", value_parser = clap::builder::BoolishValueParser::new())]
    allow_preflight: bool,

    /// How long a fetched value may serve other bindings without another read; 0s switches reuse off
    #[arg(long, env = "KEYFERRY_VALUE_REUSE", default_value = "5s", value_parser = duration::parse)]
    value_reuse: Duration,

    /// How AWS is asked whether entries have moved: list for ListSecrets, describe for DescribeSecret,
    /// batch for BatchGetSecretValue
    #[arg(
        long,
        env = "KEYFERRY_SWEEP",
        value_name = "auto|list|describe|batch",
        default_value = "auto"
    )]
    sweep: SweepMode,

    /// Part of AWS's request quotas to use, above 0 and at most 1; divide it by the clusters of an account
    #[arg(long, env = "KEYFERRY_AWS_QUOTA_SHARE", default_value = "0.2", value_parser = share)]
    aws_quota_share: f64,
    /// URL of this cluster's own SQS queue that receives events of Secrets Manager [default: none, changes are seen by polling]
    #[arg(long, env = "KEYFERRY_EVENTS_QUEUE_URL", value_name = "URL")]
    events_queue_url: Option<String>,

    /// Limit for the connection to an AWS endpoint
    #[arg(long, env = "KEYFERRY_AWS_CONNECT_TIMEOUT", default_value = "3s", value_parser = duration::patience)]
    aws_connect_timeout: Duration,

    /// Limit for one answer of AWS
    #[arg(long, env = "KEYFERRY_AWS_READ_TIMEOUT", default_value = "5s", value_parser = duration::patience)]
    aws_read_timeout: Duration,

    /// Limit for one AWS operation with all its attempts
    #[arg(long, env = "KEYFERRY_AWS_OPERATION_TIMEOUT", default_value = "15s", value_parser = duration::patience)]
    aws_operation_timeout: Duration,

    /// Limit for one request to the API server
    #[arg(long, env = "KEYFERRY_KUBE_TIMEOUT", default_value = "10s", value_parser = duration::patience)]
    kube_timeout: Duration,

    /// Address of /livez, /readyz and /metrics; port 0 takes a free one and logs it
    #[arg(long, env = "KEYFERRY_HTTP_ADDRESS", default_value = "[::]:8080")]
    http_address: SocketAddr,

    /// How log lines look
    #[arg(long, env = "KEYFERRY_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// Level, or a filter such as `info,keyferry::source=debug` [default: RUST_LOG, else info]
    #[arg(long, env = "KEYFERRY_LOG_LEVEL", value_parser = parse_filter)]
    log_level: Option<String>,
}

/// Limits of an AWS call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwsTimeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until an attempt is answered.
    pub read: Duration,
    /// Until the operation is over, with all attempts.
    pub operation: Duration,
}

/// How the operator runs. Valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Namespaces to work in, sorted, each once; empty: all.
    pub watch_namespaces: Vec<String>,
    /// Namespace of the operator's own Secret.
    pub operator_namespace: String,
    /// Name of this cluster in AWS session names.
    pub cluster_name: String,
    /// Writes to the API server that may be in flight, 1 to 256.
    pub concurrency: usize,
    /// What the access policies do.
    pub access_policy: AccessMode,
    /// File with the policies that replace the built-in one.
    pub access_policy_file: Option<PathBuf>,
    /// Floor under every refresh interval.
    pub min_refresh_interval: Duration,
    /// Whether `source.serviceAccountName` may be used.
    pub allow_service_account_identity: bool,
    /// Whether `validate.preflight` may be used.
    pub allow_preflight: bool,
    /// How long a fetched value may be reused; zero: not at all.
    pub value_reuse: Duration,
    /// How AWS is asked whether entries have moved.
    pub sweep: SweepMode,
    /// The part of AWS's request quotas to use, above 0 and at most 1.
    pub aws_quota_share: f64,
    /// The queue that receives events of Secrets Manager.
    pub events_queue: Option<QueueAddress>,
    /// Limits of an AWS call.
    pub aws_timeouts: AwsTimeouts,
    /// Limit of a request to the API server.
    pub kube_timeout: Duration,
    /// Address of the health endpoints and metrics.
    pub http_address: SocketAddr,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Filter in the syntax of `RUST_LOG`.
    pub log_filter: String,
}

impl RunArgs {
    /// The settings; `rust_log` is the value of the variable `RUST_LOG`.
    ///
    /// # Errors
    /// A sentence for the user when arguments contradict each other.
    pub fn settings(self, rust_log: Option<String>) -> Result<Settings, String> {
        let aws_timeouts = AwsTimeouts {
            connect: self.aws_connect_timeout,
            read: self.aws_read_timeout,
            operation: self.aws_operation_timeout,
        };
        if aws_timeouts.operation < aws_timeouts.connect.max(aws_timeouts.read) {
            return Err("--aws-operation-timeout must not be shorter than --aws-connect-timeout and --aws-read-timeout: no attempt could end".into());
        }
        if self.value_reuse > Duration::from_secs(60) {
            return Err(
                "--value-reuse must be at most 60s: a value lives in memory that long".into(),
            );
        }
        let log_filter = match (self.log_level, rust_log.filter(|text| !text.is_empty())) {
            (Some(filter), _) => filter,
            (None, Some(filter)) => {
                parse_filter(&filter).map_err(|e| format!("RUST_LOG is {e}"))?
            }
            (None, None) => "info".to_owned(),
        };
        // Empty is none, as manifests have it.
        let url = self.events_queue_url.filter(|url| !url.is_empty());
        let events_queue = url.map(|url| QueueAddress::parse(&url)).transpose();
        let events_queue = events_queue.map_err(|why| format!("--events-queue-url {why}"))?;
        let watch_namespaces = namespaces(&self.watch_namespaces)?;
        Ok(Settings {
            watch_namespaces,
            operator_namespace: self.operator_namespace,
            cluster_name: self.cluster_name,
            concurrency: self.concurrency.into(),
            access_policy: self.access_policy,
            access_policy_file: self.access_policy_file,
            min_refresh_interval: self.min_refresh_interval,
            allow_service_account_identity: self.allow_service_account_identity,
            allow_preflight: self.allow_preflight,
            value_reuse: self.value_reuse,
            sweep: self.sweep,
            aws_quota_share: self.aws_quota_share,
            events_queue,
            aws_timeouts,
            kube_timeout: self.kube_timeout,
            http_address: self.http_address,
            log_format: self.log_format,
            log_filter,
        })
    }
}

/// A part of something: more than nothing, at most all of it.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "must be a number above 0 and at most 1".into())
}

/// Sorted, each once. A variable that is set but empty, as manifests have it, means none.
fn namespaces(given: &[String]) -> Result<Vec<String>, String> {
    if given.iter().all(String::is_empty) && given.len() < 2 {
        return Ok(Vec::new());
    }
    let named: Result<BTreeSet<_>, _> = given.iter().map(|name| namespace(name)).collect();
    Ok(named
        .map_err(|why| format!("--watch-namespaces: {why}"))?
        .into_iter()
        .collect())
}

/// A DNS label, as names of namespaces are (source: Kubernetes, "Object Names and IDs").
fn namespace(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    if (1..=63).contains(&text.len()) && edges && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` cannot be the name of a namespace"))
    }
}

/// Characters of an STS session name (source: STS API reference, RoleSessionName).
fn cluster_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
    if (1..=CLUSTER_NAME_MAX).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must have 1 to {CLUSTER_NAME_MAX} letters, digits or any of _=,.@- (it becomes part of an STS session name)"
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn read(line: &str) -> Result<Settings, String> {
        let words = std::iter::once("keyferry").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|e| e.to_string())?;
        line.run.settings(None)
    }

    #[test]
    fn defaults() {
        let settings = read("").unwrap();
        assert!(settings.watch_namespaces.is_empty());
        assert_eq!(read("--watch-namespaces=").as_ref(), Ok(&settings));
        assert_eq!(settings.concurrency, 16);
        assert_eq!(settings.access_policy, AccessMode::Enforce);
        assert_eq!(settings.min_refresh_interval, Duration::from_secs(60));
        assert_eq!(settings.value_reuse, Duration::from_secs(5));
        assert_eq!(settings.sweep, SweepMode::Auto);
        assert!((settings.aws_quota_share - 0.2).abs() < f64::EPSILON);
        assert!(!settings.allow_service_account_identity && !settings.allow_preflight);
        assert_eq!(settings.http_address.to_string(), "[::]:8080");
        assert_eq!(
            (settings.log_format, settings.log_filter.as_str()),
            (LogFormat::Json, "info")
        );
    }

    #[test]
    fn flags_become_settings() {
        let settings = read(
            "--watch-namespaces estate,bizi,estate --access-policy audit --min-refresh-interval 10s \
             --aws-quota-share 0.05 --http-address 127.0.0.1:0 --log-format text --log-level debug --allow-service-account-identity \
             --allow-preflight",
        )
        .unwrap();
        assert_eq!(settings.watch_namespaces, ["bizi", "estate"]);
        assert_eq!(settings.access_policy, AccessMode::Audit);
        assert_eq!(settings.min_refresh_interval, Duration::from_secs(10));
        assert!((settings.aws_quota_share - 0.05).abs() < f64::EPSILON);
        assert_eq!(settings.http_address.port(), 0);
        assert!(settings.allow_service_account_identity && settings.allow_preflight);
        assert_eq!(settings.log_filter, "debug");
    }

    #[test]
    fn a_wrong_argument_is_refused_by_name() {
        for (line, named) in [
            (
                "--watch-namespaces Estate",
                "`Estate` cannot be the name of a namespace",
            ),
            (
                "--watch-namespaces a,,b",
                "cannot be the name of a namespace",
            ),
            ("--concurrency 0", "--concurrency"),
            ("--access-policy closed", "--access-policy"),
            ("--min-refresh-interval 5", "`5` is no duration"),
            ("--kube-timeout 0s", "between 100ms and 10m"),
            (
                "--aws-operation-timeout 1s",
                "must not be shorter than --aws-connect-timeout",
            ),
            ("--value-reuse 5m", "--value-reuse must be at most 60s"),
            ("--sweep never", "auto, list, describe, batch"),
            ("--aws-quota-share 0", "above 0 and at most 1"),
            ("--aws-quota-share 1.01", "above 0 and at most 1"),
            ("--aws-quota-share NaN", "above 0 and at most 1"),
            ("--aws-quota-share=-0.1", "above 0 and at most 1"),
            ("--cluster-name a/b", "STS session name"),
            ("--log-level info,keyferry=loud", "not a log filter"),
            ("--http-address 8080", "--http-address"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn the_events_queue_is_optional_and_checked_at_the_start() {
        assert_eq!(read("").unwrap().events_queue, None);
        assert_eq!(read("--events-queue-url=").unwrap().events_queue, None);
        let url = "https://sqs.ap-northeast-2.amazonaws.com/111122223333/keyferry";
        let settings = read(&format!("--events-queue-url {url}")).unwrap();
        assert_eq!(settings.events_queue, QueueAddress::parse(url).ok());
        for wrong in [
            "keyferry",
            "https://sqs.ap-northeast-2.amazonaws.com/keyferry",
            "https://sqs.ap-northeast-2.amazonaws.com/111122223333/keyferry?Action=PurgeQueue",
        ] {
            let error = read(&format!("--events-queue-url {wrong}")).unwrap_err();
            let named = "--events-queue-url is no URL of a queue";
            assert!(error.starts_with(named), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_log_filter_comes_from_the_flag_then_rust_log() {
        let filter = |line: &str, rust_log: &str| {
            let words = std::iter::once("keyferry").chain(line.split_whitespace());
            let args = Line::try_parse_from(words).unwrap().run;
            args.settings(Some(rust_log.to_owned()))
                .map(|s| s.log_filter)
        };
        assert_eq!(filter("--log-level warn", "trace").as_deref(), Ok("warn"));
        assert_eq!(filter("", "trace").as_deref(), Ok("trace"));
        assert_eq!(filter("", "").as_deref(), Ok("info"));
        assert!(
            filter("", "keyferry=loud")
                .unwrap_err()
                .starts_with("RUST_LOG is not a log filter")
        );
    }
}
