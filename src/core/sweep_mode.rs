//! How entries are looked at: what an install chooses, and the figures that the choice hangs on. The operator reads by
//! them, and the IAM policy that it is given follows from them.

use std::time::Duration;

/// Entries of one BatchGetSecretValue (source: API reference, `SecretIdList`).
pub const BATCH: usize = 20;

/// Listings lag behind by up to five minutes (source: ListSecrets, API reference): for shorter intervals they
/// say nothing.
pub const LIST_FROM: Duration = Duration::from_secs(300);

/// How entries are looked at when they are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SweepMode {
    /// By ListSecrets where it is allowed, the intervals are five minutes or longer and it takes fewer calls;
    /// else by BatchGetSecretValue.
    #[default]
    Auto,
    /// By ListSecrets, which lags behind by up to five minutes.
    List,
    /// By DescribeSecret: a call for each entry, nothing is decrypted.
    Describe,
    /// By BatchGetSecretValue: 20 entries a call, each is decrypted.
    Batch,
}

impl std::str::FromStr for SweepMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "list" => Ok(Self::List),
            "describe" => Ok(Self::Describe),
            "batch" => Ok(Self::Batch),
            _ => Err("one of auto, list, describe, batch".to_owned()),
        }
    }
}
