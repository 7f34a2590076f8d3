//! When to look again: one retry table, due times and jitter. Pure; time and jitter come in.

use std::time::Duration;

use super::Class;
use crate::api::Reason;

/// How long a person has before an error that only a person can fix is shown as Stalled:
/// IAM and DNS are eventually consistent.
pub const GRACE: Duration = Duration::from_secs(120);

/// The class of a reason.
pub const fn class(reason: Reason) -> Class {
    use Reason as R;
    match reason {
        R::PropertyMissing
        | R::NotJson
        | R::DuplicateKey
        | R::InvalidKey
        | R::TooLarge
        | R::TemplateFailed
        | R::RequiredMissing
        | R::PlaceholderFound
        | R::RuleBroken
        | R::CandidateRejected
        | R::PreflightFailed
        | R::RolledBack
        | R::TypeNotAllowed => Class::Invalid,
        R::SecretNotFound
        | R::MarkedForDeletion
        | R::StageMissing
        | R::TargetMissing
        | R::TargetNotFound => Class::Missing,
        R::AccessDenied
        | R::KmsAccessDenied
        | R::AccessNotAllowed
        | R::NoCredentials
        | R::AssumeRoleFailed
        | R::TargetConflict
        | R::KeyConflict
        | R::TargetImmutable
        | R::OperatorForbidden
        | R::TooManyTargets
        | R::Stale
        | R::Held
        | R::RollbackFailed
        | R::RolloutFailed
        | R::Fought => Class::Denied,
        R::Throttled => Class::Throttled,
        R::PolicyUnreadable
        | R::AwsUnavailable
        | R::PreflightUnavailable
        | R::Synced
        | R::Progressing
        | R::Suspended
        | R::WaitingForWindow
        | R::AlreadyUnhealthy
        | R::Superseded => Class::Transient,
    }
}

/// True when only a person can fix it.
pub const fn needs_a_person(reason: Reason) -> bool {
    matches!(
        class(reason),
        Class::Invalid | Class::Denied | Class::Missing
    )
}

/// The wait after the `attempt`-th failure in a row (from 1) of a class, before jitter.
///
/// `interval` is the binding's refresh interval, `asked` what the server asked for (Retry-After).
pub fn retry_delay(
    class: Class,
    attempt: u32,
    interval: Duration,
    asked: Option<Duration>,
) -> Duration {
    let doubled = |first: u64, cap: Duration| {
        let factor = 1_u64 << attempt.saturating_sub(1).min(20);
        Duration::from_secs(first.saturating_mul(factor)).min(cap)
    };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let wait = match class {
        // A value that was refused can only change at AWS: look again when a refresh is due.
        Class::Invalid => interval,
        Class::Denied | Class::Missing => {
            doubled(10, interval.min(minutes(2)).max(Duration::from_secs(10)))
        }
        Class::Conflict => doubled(1, Duration::from_secs(30)),
        Class::Throttled => doubled(2, minutes(5)),
        Class::Transient => doubled(1, minutes(5)),
    };
    asked.map_or(wait, |asked| wait.max(asked))
}

/// Spreads a delay by +-10 %. `unit` lies in 0..=1; 0.5 changes nothing.
pub fn jittered(delay: Duration, unit: f64) -> Duration {
    delay.mul_f64(0.9 + 0.2 * unit.clamp(0.0, 1.0))
}

/// Failures in a row, kept per binding and generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    class: Option<Class>,
    count: u32,
}

impl Attempts {
    /// Counts one more failure; another class starts over.
    pub fn failed(&mut self, class: Class) -> u32 {
        self.count = if self.class == Some(class) {
            self.count.saturating_add(1)
        } else {
            1
        };
        self.class = Some(class);
        self.count
    }

    /// Forgets the failures.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_retry_table() {
        let five_minutes = s(300);
        let table = [
            (Class::Invalid, 1, five_minutes, None, s(300)),
            (Class::Invalid, 9, s(3600), None, s(3600)),
            (Class::Denied, 1, five_minutes, None, s(10)),
            (Class::Denied, 3, five_minutes, None, s(40)),
            (Class::Denied, 9, five_minutes, None, s(120)),
            (Class::Denied, 9, s(60), None, s(60)),
            (Class::Conflict, 1, five_minutes, None, s(1)),
            (Class::Conflict, 40, five_minutes, None, s(30)),
            (Class::Throttled, 1, five_minutes, Some(s(17)), s(17)),
            (Class::Throttled, 5, five_minutes, Some(s(1)), s(32)),
            (Class::Transient, 1, five_minutes, None, s(1)),
            (Class::Transient, 4, five_minutes, None, s(8)),
            (Class::Transient, 4_000_000_000, five_minutes, None, s(300)),
        ];
        for (class, attempt, interval, asked, expected) in table {
            assert_eq!(
                retry_delay(class, attempt, interval, asked),
                expected,
                "{class:?} {attempt}"
            );
        }
    }

    #[test]
    fn jitter_stays_within_ten_percent() {
        assert_eq!(jittered(s(100), 0.0), s(90));
        assert_eq!(jittered(s(100), 0.5), s(100));
        assert_eq!(jittered(s(100), 1.0), s(110));
        assert_eq!(jittered(s(100), 7.0), s(110));
    }

    #[test]
    fn another_class_starts_over_and_success_forgets() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.failed(Class::Transient), 1);
        assert_eq!(attempts.failed(Class::Transient), 2);
        assert_eq!(attempts.failed(Class::Denied), 1);
        attempts.succeeded();
        assert_eq!(attempts.failed(Class::Denied), 1);
    }
}
