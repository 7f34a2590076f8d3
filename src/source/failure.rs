//! A failed AWS call, reduced to what may be looked at: code, status, AWS's own message for classification.
//!
//! An SDK error can hold the raw body of a reply, which is a secret where a good reply could not be parsed.
//! It is taken apart here, in the one place that sees it, and never formatted.

use std::time::Duration;

use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::SdkError},
    http::Headers,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::metrics::Outcome;
use crate::core::Finding;

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// AWS refused it with a code.
    Refused(Refusal),
    /// Nothing came in time.
    Timeout,
    /// No connection, or it broke before an answer.
    Unreachable,
    /// The connection stands but its certificate is not trusted.
    Untrusted,
    /// An answer came that cannot be read: cut, not JSON, from a proxy. Holds the HTTP status.
    Unreadable(u16),
    /// There are no credentials to call with.
    Identity(Finding),
    /// Not sent: our share of the quota is used up for so long.
    OverBudget(Duration),
}

/// A refusal with a code. `message` is AWS's text: it is searched for known words and never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: String,
    pub message: String,
    pub status: u16,
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Takes an SDK error apart.
    pub fn from_sdk<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::TimeoutError(_) => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout,
            SdkError::DispatchFailure(failure) => {
                let source = failure
                    .as_connector_error()
                    .map(|e| e as &(dyn std::error::Error + 'static));
                if source.is_some_and(is_certificate_error) {
                    Self::Untrusted
                } else {
                    Self::Unreachable
                }
            }
            SdkError::ResponseError(response) => Self::Unreadable(response.raw().status().as_u16()),
            SdkError::ServiceError(service) => {
                let raw = service.raw();
                let status = raw.status().as_u16();
                let Some(code) = service.err().code() else {
                    return Self::without_code(status, raw.headers());
                };
                Self::Refused(Refusal {
                    code: code.to_owned(),
                    message: service.err().message().unwrap_or_default().to_owned(),
                    status,
                    retry_after: retry_after(raw.headers()),
                })
            }
            _ => Self::Unreachable,
        }
    }

    /// An error reply without a code is none of AWS's own; only "slow down" can be told from its status.
    fn without_code(status: u16, headers: &Headers) -> Self {
        if status != 429 {
            return Self::Unreadable(status);
        }
        Self::Refused(Refusal {
            code: "TooManyRequestsException".into(),
            status,
            retry_after: retry_after(headers),
            ..Refusal::default()
        })
    }

    /// The code, where there is one.
    #[cfg(test)]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// AWS does not accept the credentials (any more): new ones may help.
    pub fn is_expired(&self) -> bool {
        self.outcome() == Outcome::Expired
    }

    /// It may be over in a moment, so that the same call is worth another attempt.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                matches!(refusal.outcome(), Outcome::Throttled | Outcome::Unavailable)
            }
            // Cut short, or a server fault; other answers that are not AWS's come from a proxy that means it.
            Self::Unreadable(status) => *status == 200 || *status >= 500,
            Self::Timeout | Self::Unreachable => true,
            Self::Untrusted | Self::Identity(_) | Self::OverBudget(_) => false,
        }
    }

    /// Another spelling of the id might be answered: it was not found, or not allowed as it stands (IAM
    /// compares the text as it was sent, so a partial ARN can be denied where the entry is allowed).
    pub fn may_be_misspelt(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.may_be_misspelt())
    }

    /// How long AWS asks to wait at least.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Identity(finding) => finding.retry_after,
            _ => None,
        }
    }

    /// The word for metrics.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => refusal.outcome(),
            Self::Identity(_) => Outcome::Denied,
            Self::OverBudget(_) => Outcome::Throttled,
            _ => Outcome::Unavailable,
        }
    }

    /// Whether its words name who called. An AWS that does not answer would not say who that is either.
    pub fn names_the_caller(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                !matches!(refusal.outcome(), Outcome::Throttled | Outcome::Unavailable)
            }
            _ => false,
        }
    }
}

impl Refusal {
    /// The kind of refusal, by code and, where AWS uses one code for two things, by its words.
    pub fn outcome(&self) -> Outcome {
        match self.code.as_str() {
            "ResourceNotFoundException"
            | "ParameterNotFound"
            | "ParameterVersionNotFound"
            | "QueueDoesNotExist"
            | "AWS.SimpleQueueService.NonExistentQueue" => Outcome::NotFound,
            "InvalidRequestException"
                if self.says("marked for deletion") || self.says("scheduled for deletion") =>
            {
                Outcome::NotFound
            }
            "AccessDeniedException"
            | "AccessDenied"
            | "DecryptionFailure"
            | "InvalidKeyId"
            | "KMSAccessDeniedException"
            | "KmsAccessDenied"
            | "KMS.AccessDeniedException" => Outcome::Denied,
            "ExpiredTokenException"
            | "ExpiredToken"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "RequestExpired" => Outcome::Expired,
            code if is_throttle(code) => Outcome::Throttled,
            "InternalServiceError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "IDPCommunicationError"
            | "RequestTimeout"
            | "RequestTimeoutException" => Outcome::Unavailable,
            _ if self.status >= 500 => Outcome::Unavailable,
            _ => Outcome::Refused,
        }
    }

    /// See [`Failure::may_be_misspelt`].
    pub fn may_be_misspelt(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ResourceNotFoundException" | "AccessDeniedException"
        )
    }

    /// Whether AWS's text holds these words.
    pub fn says(&self, words: &str) -> bool {
        self.message
            .to_ascii_lowercase()
            .contains(&words.to_ascii_lowercase())
    }
}

/// AWS's codes for "slow down" (source: aws-runtime, retries/classifiers.rs).
fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
    )
}

/// `x-amz-retry-after` (milliseconds) or `retry-after` (seconds); longer than an hour is not believed.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name| headers.get(name).and_then(|v| v.trim().parse::<u64>().ok());
    let wait = number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))?;
    Some(wait.min(Duration::from_secs(3600)))
}

/// Looks for a rustls certificate error in a chain; io errors hide their payload from `source`.
fn is_certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return matches!(tls, rustls::Error::InvalidCertificate(_));
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io
                .get_ref()
                .map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    false
}
