//! What an install can set about AWS, read once at the start.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

pub use crate::core::SweepMode;

/// Everything the source needs to know before its first call.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Name of the cluster, for session names; may be empty.
    pub cluster: String,
    /// How the operator itself becomes somebody in AWS.
    pub identity: OperatorIdentity,
    /// Region of asks that name none; None: the SDK's chain (`AWS_REGION`, profile, IMDS).
    pub region: Option<String>,
    /// Endpoint of Secrets Manager in every region; None: as the SDK reads it
    /// (`AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL`, else the real one).
    pub secrets_manager_endpoint: Option<String>,
    /// Endpoint of Parameter Store in every region; None: as the SDK reads it (`AWS_ENDPOINT_URL_SSM`,
    /// `AWS_ENDPOINT_URL`, else the real one).
    pub ssm_endpoint: Option<String>,
    /// Endpoint of STS; None: as the SDK reads it (`AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL`).
    pub sts_endpoint: Option<String>,
    /// Endpoint of SQS; None: as the SDK reads it (`AWS_ENDPOINT_URL_SQS`, `AWS_ENDPOINT_URL`), or as the queue's
    /// URL says.
    pub sqs_endpoint: Option<String>,
    /// File of PEM certificates that are trusted beside the system's (`AWS_CA_BUNDLE`, which the Rust SDK
    /// does not read by itself).
    pub ca_bundle: Option<PathBuf>,
    /// Bounds of every call.
    pub timeouts: Timeouts,
    /// Attempts of one operation; None: as the SDK reads it (`AWS_MAX_ATTEMPTS`, 3).
    pub attempts: Option<u32>,
    /// The part of AWS's published request quotas that may be used, above 0 and at most 1; over all clusters
    /// that read with one account it should stay below 1.
    pub quota_share: f64,
    /// How reads are shared.
    pub reads: ReadSettings,
    /// For how long a failure to get credentials is answered again without asking STS, so that a thousand
    /// bindings of one broken role are one call and not a thousand.
    pub identity_failure_hold: Duration,
    /// A hub that nobody holds and nobody asked for this long is dropped.
    pub idle_hub: Duration,
}

/// How the operator itself becomes somebody in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OperatorIdentity {
    /// The SDK's order: environment, profile, web identity (IRSA), container (Pod Identity, ECS), IMDS.
    #[default]
    DefaultChain,
    /// This role by this token file and nothing else.
    WebIdentity(WebIdentity),
}

/// A role and the file that holds a token for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The role.
    pub role_arn: String,
    /// Read at each refresh: the kubelet replaces its content.
    pub token_file: PathBuf,
}

/// Bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the first byte of an answer.
    pub read: Duration,
    /// One attempt with its body.
    pub attempt: Duration,
    /// All attempts of one operation.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(10),
            attempt: Duration::from_secs(10),
            operation: Duration::from_secs(20),
        }
    }
}

/// How reads are shared inside one hub.
#[derive(Clone, Copy, Debug)]
pub struct ReadSettings {
    /// How long a batch that is not full waits for more asks.
    pub gather: Duration,
    /// Least time between two batches that are not full: many asks in a row still make few calls.
    pub pace: Duration,
    /// Most batches that leave within `reuse` for readers who came unannounced, or as many as it takes to read
    /// everything that is followed once, if that is more. Those after them wait, and take more asks meanwhile:
    /// bindings that are made in a row share reads also where that takes longer than `reuse`.
    pub burst: usize,
    /// How long a value read may answer another ask.
    pub reuse: Duration,
    /// Bytes of values kept for reuse, over all hubs.
    pub reuse_bytes: usize,
    /// Calls under way at once per hub.
    pub parallel: usize,
    /// How long apart two looks at a version are that may be an old answer.
    pub confirm: Duration,
    /// How entries are looked at when they are due.
    pub sweep: SweepMode,
    /// After a refusal of an operation itself: how long it is done without.
    pub denied_hold: Duration,
}

impl ReadSettings {
    /// How long a new batch takes asks when the last one that was not full left at `last_partial`.
    pub(super) fn wait(&self, last_partial: Option<Instant>, now: Instant) -> Duration {
        let rest = last_partial.and_then(|last| (last + self.pace).checked_duration_since(now));
        rest.unwrap_or_default().max(self.gather)
    }
}

impl Default for ReadSettings {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(20),
            pace: Duration::from_millis(500),
            burst: 10,
            reuse: Duration::from_secs(5),
            reuse_bytes: 8 << 20,
            parallel: 8,
            confirm: super::confirm::APART,
            sweep: SweepMode::Auto,
            denied_hold: Duration::from_secs(600),
        }
    }
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            identity: OperatorIdentity::default(),
            region: None,
            secrets_manager_endpoint: None,
            ssm_endpoint: None,
            sts_endpoint: None,
            sqs_endpoint: None,
            ca_bundle: None,
            timeouts: Timeouts::default(),
            attempts: None,
            quota_share: 0.2,
            reads: ReadSettings::default(),
            identity_failure_hold: Duration::from_secs(2),
            idle_hub: Duration::from_secs(3600),
        }
    }
}

impl SourceSettings {
    /// The defaults and what the environment adds that the SDK does not read: `AWS_CA_BUNDLE`.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            ca_bundle: variable("AWS_CA_BUNDLE")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            ..Self::default()
        }
    }
}

impl WebIdentity {
    /// What the EKS webhook put into the environment (source: amazon-eks-pod-identity-webhook README).
    pub(super) fn from_env(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let present = |name| variable(name).filter(|value: &String| !value.is_empty());
        Some(Self {
            role_arn: present("AWS_ROLE_ARN")?,
            token_file: present("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
        })
    }
}
