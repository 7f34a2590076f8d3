//! The audit trail: one line per write to a Secret and one per refused read.
//!
//! Says who got which version of what, never a value. Its target is [`TARGET`]; no log level
//! switches it off.

use crate::api::Reason;
use crate::api::status::SourceStatus;

/// Target of every line of the trail.
pub const TARGET: &str = "keyferry::audit";

/// A write to a Secret.
#[derive(Clone, Copy, Debug)]
pub struct SecretWrite<'a> {
    /// Namespace of binding and Secret.
    pub namespace: &'a str,
    /// Name of the binding.
    pub binding: &'a str,
    /// Name of the Secret.
    pub secret: &'a str,
    /// What was done: `create`, `update`, `patch` or `delete`.
    pub op: &'static str,
    /// Revision word of the bytes that are there now; empty after a deletion.
    pub revision: &'a str,
    /// The versions the bytes were made from, as the status shows them.
    pub sources: &'a [SourceStatus],
}

/// A read that was refused, by us or by AWS.
#[derive(Clone, Copy, Debug)]
pub struct RefusedRead<'a> {
    /// Namespace of the binding.
    pub namespace: &'a str,
    /// Name of the binding.
    pub binding: &'a str,
    /// Name or ARN of the entry as the binding writes it.
    pub entry: &'a str,
    /// Who refused and why: AccessNotAllowed, PolicyUnreadable, AccessDenied, KmsAccessDenied.
    pub reason: Reason,
}

/// Records a write that the API server has acknowledged.
pub fn secret_written(write: SecretWrite<'_>) {
    let versions: Vec<String> = write
        .sources
        .iter()
        .map(|source| format!("{}@{}", source.shown(), source.version_id))
        .collect();
    tracing::info!(
        target: TARGET,
        namespace = write.namespace,
        binding = write.binding,
        secret = write.secret,
        op = write.op,
        revision = write.revision,
        versions = versions.join(" "),
        "secret written"
    );
}

/// Records a read that was not made, or that AWS denied.
pub fn read_refused(read: RefusedRead<'_>) {
    tracing::info!(
        target: TARGET,
        namespace = read.namespace,
        binding = read.binding,
        entry = read.entry,
        reason = read.reason.as_str(),
        "read refused"
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::telemetry::logs::{LogFormat, subscriber};
    use crate::telemetry::testing::Captured;

    #[test]
    fn one_line_per_write_and_per_refusal() {
        let captured = Captured::default();
        let subscriber = subscriber(LogFormat::Json, "error", captured.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            secret_written(SecretWrite {
                namespace: "estate",
                binding: "ai",
                secret: "estate-ai",
                op: "update",
                revision: "k3v9q2",
                sources: &[SourceStatus {
                    secret: "estate/rds/password".into(),
                    parameter: String::new(),
                    version_id: "b90f3d17".into(),
                    region: "ap-northeast-2".into(),
                }],
            });
            read_refused(RefusedRead {
                namespace: "estate",
                binding: "billing",
                entry: "pay/stripe",
                reason: Reason::AccessNotAllowed,
            });
        });
        let lines: Vec<serde_json::Value> = captured
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line["target"] == TARGET));
        assert_eq!(lines[0]["secret"], "estate-ai");
        assert_eq!(lines[0]["revision"], "k3v9q2");
        assert_eq!(lines[0]["versions"], "estate/rds/password@b90f3d17");
        assert_eq!(lines[1]["binding"], "billing");
        assert_eq!(lines[1]["reason"], "AccessNotAllowed");
    }
}
