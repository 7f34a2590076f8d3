//! The closed list of reasons: the same word in condition, event and metric.

/// Builds the enum, its word and the list of all members from one table, so that a reason cannot
/// be added without appearing in [`Reason::ALL`].
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Why a condition is what it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),+];

            /// The CamelCase word as users see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    /// The Secret holds what the sources say.
    Synced,
    /// Work is under way.
    Progressing,
    /// The entry does not exist in that account and region.
    SecretNotFound,
    /// The entry is scheduled for deletion.
    MarkedForDeletion,
    /// The entry has no version with that stage or id.
    StageMissing,
    /// The JSON object has no such property.
    PropertyMissing,
    /// A property was asked of a value that is not a JSON object.
    NotJson,
    /// IAM refuses the call.
    AccessDenied,
    /// The entry is readable, its KMS key is not.
    KmsAccessDenied,
    /// No access policy lets this namespace make that request.
    AccessNotAllowed,
    /// The access policies could not be read: no call is made.
    PolicyUnreadable,
    /// The operator found no AWS credentials.
    NoCredentials,
    /// STS refused the role, or the identity to assume it with is missing.
    AssumeRoleFailed,
    /// AWS asked to slow down.
    Throttled,
    /// AWS did not answer, or answered with a fault of its own.
    AwsUnavailable,
    /// Two entries give one key, or a JSON object repeats a property.
    DuplicateKey,
    /// A key name that a Secret cannot hold.
    InvalidKey,
    /// The data exceeds what a Secret can hold.
    TooLarge,
    /// A template could not be rendered.
    TemplateFailed,
    /// A required key is missing or empty.
    RequiredMissing,
    /// A value looks like a placeholder.
    PlaceholderFound,
    /// A value breaks a rule of the binding.
    RuleBroken,
    /// The candidate was refused; the last good value stays.
    CandidateRejected,
    /// The preflight program refused the candidate.
    PreflightFailed,
    /// The preflight program could not run.
    PreflightUnavailable,
    /// The target Secret belongs to somebody else.
    TargetConflict,
    /// Somebody else has taken over a key of a merged Secret.
    KeyConflict,
    /// The Secret to merge into does not exist.
    TargetMissing,
    /// The Secret is immutable, or its type would have to change.
    TargetImmutable,
    /// The Secret type is refused.
    TypeNotAllowed,
    /// The operator itself lacks a Kubernetes right.
    OperatorForbidden,
    /// The last good value is older than `staleAfter`.
    Stale,
    /// The binding is suspended.
    Suspended,
    /// A new value waits for a window.
    WaitingForWindow,
    /// A named workload does not exist.
    TargetNotFound,
    /// More workloads use the Secret than one binding may roll.
    TooManyTargets,
    /// The workload was unhealthy before the change.
    AlreadyUnhealthy,
    /// The pod template changed during the rollout.
    Superseded,
    /// A rollout failed and was held.
    Held,
    /// A rollout failed and the previous version was restored.
    RolledBack,
    /// The restored version failed too.
    RollbackFailed,
    /// A rollout failed.
    RolloutFailed,
    /// Somebody keeps undoing our writes.
    Fought,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
