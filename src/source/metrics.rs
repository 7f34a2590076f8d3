//! What the source tells telemetry: one hook, plain events with closed sets of words. No names, no ids.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::failure::Failure;

use super::events::EventOutcome;

/// Something that happened. Labels are closed sets, so a metric made of them stays bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SourceEvent {
    /// One AWS operation ended, its retries included.
    Request {
        /// The AWS operation.
        operation: Operation,
        /// How it ended.
        outcome: Outcome,
        /// How long it took, without the wait for the budget before its first attempt.
        duration: Duration,
    },
    /// AWS asked to slow down; also where a further attempt then succeeded, except for STS.
    Throttled,
    /// A further attempt of an operation was sent.
    Retried(Operation),
    /// An attempt had to wait for the budget, or gave up waiting.
    Waited {
        /// The AWS operation.
        operation: Operation,
        /// How long.
        duration: Duration,
    },
    /// Somebody asked for an entry.
    ReadAsked,
    /// A read was sent to AWS: one for each entry of a batch, also where nobody asked but a sweep or an event.
    ReadMade,
    /// An ask needed no read of its own: a value or failure of a moment ago answered it, or a read that another
    /// ask had begun.
    ReadReused,
    /// AWS decrypted and returned so many values.
    Decrypted {
        /// The AWS operation.
        operation: Operation,
        /// Values of the reply.
        values: usize,
    },
    /// An operation is denied: it is done without from now on, for a while.
    WayDenied(Operation),
    /// A sweep has looked at what was due.
    Swept(Sweep),
    /// Credentials were rebuilt because AWS no longer accepted them.
    CredentialsRebuilt,
    /// A message of the events queue ended so.
    Event(EventOutcome),
    /// How long a message of the events queue waited until it was received.
    EventLag(Duration),
    /// The events queue could not be asked.
    EventsUnreceived,
}

/// One sweep of one identity and region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Entries looked at.
    pub items: usize,
    /// Bindings told of a change.
    pub told: usize,
}

/// The AWS operations the source uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// secretsmanager:GetSecretValue
    GetSecretValue,
    /// secretsmanager:BatchGetSecretValue
    BatchGetSecretValue,
    /// secretsmanager:ListSecrets
    ListSecrets,
    /// secretsmanager:DescribeSecret
    DescribeSecret,
    /// ssm:GetParameters
    GetParameters,
    /// ssm:GetParametersByPath
    GetParametersByPath,
    /// secretsmanager:CreateSecret
    CreateSecret,
    /// secretsmanager:PutSecretValue
    PutSecretValue,
    /// secretsmanager:UpdateSecret
    UpdateSecret,
    /// secretsmanager:UpdateSecretVersionStage
    UpdateSecretVersionStage,
    /// sts:AssumeRole
    AssumeRole,
    /// sts:AssumeRoleWithWebIdentity
    AssumeRoleWithWebIdentity,
    /// sts:GetCallerIdentity
    GetCallerIdentity,
    /// sqs:ReceiveMessage
    ReceiveMessage,
    /// sqs:DeleteMessageBatch
    DeleteMessageBatch,
}

impl Operation {
    /// The name as AWS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetSecretValue => "GetSecretValue",
            Self::BatchGetSecretValue => "BatchGetSecretValue",
            Self::ListSecrets => "ListSecrets",
            Self::DescribeSecret => "DescribeSecret",
            Self::GetParameters => "GetParameters",
            Self::GetParametersByPath => "GetParametersByPath",
            Self::CreateSecret => "CreateSecret",
            Self::PutSecretValue => "PutSecretValue",
            Self::UpdateSecret => "UpdateSecret",
            Self::UpdateSecretVersionStage => "UpdateSecretVersionStage",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ReceiveMessage => "ReceiveMessage",
            Self::DeleteMessageBatch => "DeleteMessageBatch",
        }
    }

    /// The IAM action that allows it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::GetSecretValue => "secretsmanager:GetSecretValue",
            Self::BatchGetSecretValue => "secretsmanager:BatchGetSecretValue",
            Self::ListSecrets => "secretsmanager:ListSecrets",
            Self::DescribeSecret => "secretsmanager:DescribeSecret",
            Self::GetParameters => "ssm:GetParameters",
            Self::GetParametersByPath => "ssm:GetParametersByPath",
            Self::CreateSecret => "secretsmanager:CreateSecret",
            Self::PutSecretValue => "secretsmanager:PutSecretValue",
            Self::UpdateSecret => "secretsmanager:UpdateSecret",
            Self::UpdateSecretVersionStage => "secretsmanager:UpdateSecretVersionStage",
            Self::AssumeRole => "sts:AssumeRole",
            Self::AssumeRoleWithWebIdentity => "sts:AssumeRoleWithWebIdentity",
            Self::GetCallerIdentity => "sts:GetCallerIdentity",
            Self::ReceiveMessage => "sqs:ReceiveMessage",
            // There is no action of the batch's own (source: SQS, "API permissions reference").
            Self::DeleteMessageBatch => "sqs:DeleteMessage",
        }
    }

    /// The operation whose quota it counts in.
    pub(super) const fn counted_as(self) -> Self {
        match self {
            Self::GetParametersByPath => Self::GetParameters,
            other => other,
        }
    }

    /// The service in words.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::GetSecretValue
            | Self::BatchGetSecretValue
            | Self::ListSecrets
            | Self::DescribeSecret
            | Self::CreateSecret
            | Self::PutSecretValue
            | Self::UpdateSecret
            | Self::UpdateSecretVersionStage => "Secrets Manager",
            Self::GetParameters | Self::GetParametersByPath => "Parameter Store",
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity | Self::GetCallerIdentity => "STS",
            Self::ReceiveMessage | Self::DeleteMessageBatch => "SQS",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// There is no such thing (or no such version, or it is marked for deletion).
    NotFound,
    /// Refused by IAM, KMS or a trust policy.
    Denied,
    /// Asked to slow down.
    Throttled,
    /// The credentials were not accepted.
    Expired,
    /// No answer, a server fault, or an answer that cannot be read.
    Unavailable,
    /// Anything else AWS refused.
    Refused,
}

impl Outcome {
    /// The word used as label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// The hook. Called on the task that made the call: it must not block.
#[derive(Clone)]
pub struct SourceMetrics(Arc<dyn Fn(SourceEvent) + Send + Sync>);

impl SourceMetrics {
    /// Calls `hook` for every event.
    pub fn new(hook: impl Fn(SourceEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(super) fn record(&self, event: SourceEvent) {
        (self.0)(event);
    }

    /// Waits for an operation and counts it.
    pub(super) async fn timed<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let result = call.await;
        let outcome = result
            .as_ref()
            .map_or_else(Failure::outcome, |_| Outcome::Ok);
        let duration = start.elapsed();
        self.record(SourceEvent::Request {
            operation,
            outcome,
            duration,
        });
        tracing::debug!(target: "keyferry::source", operation = operation.as_str(), outcome = outcome.as_str(), ?duration);
        result
    }
}

impl Default for SourceMetrics {
    /// Tells nobody.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl std::fmt::Debug for SourceMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceMetrics")
    }
}
