//! What stops the events, in words, and how long to wait before the next try. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::source::{
    failure::Failure,
    metrics::{Operation, Outcome},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whether calls of one kind work, and since when they do not.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Option<&'static str>,
    failures: u32,
}

/// A change worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It works again.
    Recovered,
    /// It stopped to work, or for another reason than before.
    Broke,
}

impl Health {
    pub fn worked(&mut self) -> Option<Change> {
        self.failures = 0;
        self.failing.take().map(|_| Change::Recovered)
    }

    pub fn failed(&mut self, word: &'static str) -> Option<Change> {
        self.failures = self.failures.saturating_add(1);
        (self.failing.replace(word) != Some(word)).then_some(Change::Broke)
    }

    /// Pause before the next try: 1 s doubling to 60 s, at least what AWS asks for, up to a fifth longer by
    /// `chance` (0 to 1).
    pub fn pause(&self, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = self.failures.saturating_sub(1).min(6);
        let pause = (FIRST_PAUSE * 2_u32.pow(doubled)).min(LONGEST_PAUSE);
        pause
            .max(asked.unwrap_or_default())
            .mul_f64(1.0 + chance.clamp(0.0, 1.0) / 5.0)
    }
}

/// A failed call: a word to compare with the last one, and a sentence with its cure.
pub(super) fn explain(
    failure: &Failure,
    operation: Operation,
    arn: &str,
) -> (&'static str, String) {
    let action = operation.action();
    match failure {
        Failure::Identity(finding) => ("identity", finding.to_string()),
        // SQS has no budget of ours.
        Failure::OverBudget(_) => ("throttled", "SQS asks to slow down.".into()),
        Failure::Timeout => ("timeout", "SQS did not answer in time.".into()),
        Failure::Unreachable => ("unreachable", "SQS cannot be reached.".into()),
        Failure::Untrusted => (
            "untrusted",
            "The certificate of SQS is not trusted. Set AWS_CA_BUNDLE.".into(),
        ),
        Failure::Unreadable(status) => (
            "unreadable",
            format!("SQS gave an answer that cannot be read (HTTP {status}): perhaps a proxy's."),
        ),
        Failure::Refused(refusal) => match (refusal.outcome(), refusal.code.as_str()) {
            (Outcome::NotFound, _) => (
                "missing",
                format!(
                    "The queue {arn} does not exist, or {action} on it is not allowed. Create it, or correct the URL."
                ),
            ),
            (Outcome::Denied, code) if code.starts_with("Kms") || code.starts_with("KMS") => (
                "kms_denied",
                format!(
                    "The key of the queue {arn} cannot be used. Allow kms:Decrypt on it to the operator's role."
                ),
            ),
            (Outcome::Denied, _) => (
                "denied",
                format!("{action} is not allowed on {arn}. Allow it to the operator's role."),
            ),
            (Outcome::Throttled, _) => ("throttled", "SQS asks to slow down.".into()),
            (Outcome::Expired, _) => (
                "expired",
                "SQS does not accept the operator's credentials.".into(),
            ),
            (Outcome::Unavailable, _) => ("unavailable", "SQS had a fault of its own.".into()),
            (_, code) => (
                "refused",
                format!("SQS refused {action} with {}.", word(code)),
            ),
        },
    }
}

/// A code of AWS, without what a server in its place could put there.
fn word(code: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "._".contains(*c);
    code.chars().filter(allowed).take(64).collect()
}

/// How long a message was in the queue. `sent`: milliseconds since 1970, as SQS writes SentTimestamp.
pub(super) fn lag(sent: &str, now: SystemTime) -> Option<Duration> {
    let sent = UNIX_EPOCH.checked_add(Duration::from_millis(sent.parse().ok()?))?;
    Some(now.duration_since(sent).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::source::failure::Refusal;

    #[test]
    fn the_log_hears_of_changes_only() {
        let mut health = Health::default();
        assert_eq!(health.worked(), None);
        assert_eq!(health.failed("denied"), Some(Change::Broke));
        assert_eq!(health.failed("denied"), None);
        assert_eq!(health.failed("missing"), Some(Change::Broke));
        assert_eq!(health.worked(), Some(Change::Recovered));
        assert_eq!(health.worked(), None);
        assert_eq!(health.failed("missing"), Some(Change::Broke));
    }

    #[test]
    fn pauses_double_to_a_minute() {
        let mut health = Health::default();
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                health.failed("denied");
                health.pause(None, 0.0).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(health.pause(None, 1.0), Duration::from_secs(72));
        health.worked();
        health.failed("throttled");
        let asked = Some(Duration::from_secs(7));
        assert_eq!(health.pause(asked, 0.0), Duration::from_secs(7));
    }

    #[test]
    fn a_refusal_names_the_right_and_the_queue() {
        let arn = "arn:aws:sqs:us-east-1:111122223333:keyferry";
        let refused = |code: &str| {
            Failure::Refused(Refusal {
                code: code.into(),
                message: "User: someone is not authorized".into(),
                status: 400,
                retry_after: None,
            })
        };
        for (failure, operation, word, says) in [
            (
                refused("AccessDeniedException"),
                Operation::ReceiveMessage,
                "denied",
                "sqs:ReceiveMessage",
            ),
            (
                refused("AccessDenied"),
                Operation::DeleteMessageBatch,
                "denied",
                "sqs:DeleteMessage",
            ),
            (
                refused("QueueDoesNotExist"),
                Operation::ReceiveMessage,
                "missing",
                arn,
            ),
            (
                refused("AWS.SimpleQueueService.NonExistentQueue"),
                Operation::ReceiveMessage,
                "missing",
                arn,
            ),
            (
                refused("KmsAccessDenied"),
                Operation::ReceiveMessage,
                "kms_denied",
                "kms:Decrypt",
            ),
            (
                refused("RequestThrottled"),
                Operation::ReceiveMessage,
                "throttled",
                "slow down",
            ),
            (
                refused("Odd\n\"Code"),
                Operation::ReceiveMessage,
                "refused",
                "OddCode",
            ),
            (
                Failure::Timeout,
                Operation::ReceiveMessage,
                "timeout",
                "in time",
            ),
            (
                Failure::Unreadable(502),
                Operation::ReceiveMessage,
                "unreadable",
                "502",
            ),
        ] {
            let (found, text) = explain(&failure, operation, arn);
            assert_eq!(found, word, "{failure:?}");
            assert!(text.contains(says), "{text}");
            assert!(!text.contains("someone"), "{text}");
            assert!(word != "denied" || text.contains(arn), "{text}");
        }
    }

    #[test]
    fn lag_is_read_from_what_sqs_says() {
        let now = UNIX_EPOCH + Duration::from_millis(10_500);
        for (sent, wanted) in [
            ("10000", Some(500)),
            ("0", Some(10_500)),
            ("20000", Some(0)),
            ("18446744073709551615", Some(0)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(lag(sent, now), wanted.map(Duration::from_millis), "{sent}");
        }
    }
}
