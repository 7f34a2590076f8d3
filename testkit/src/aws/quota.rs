//! The published request quotas as token buckets, one per account, region and group.

use std::collections::HashMap;

use jiff::Timestamp;

/// Operations that share one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaGroup {
    /// GetSecretValue: 10,000/s.
    Get,
    /// DescribeSecret: 40,000/s.
    Describe,
    /// BatchGetSecretValue: 100/s.
    Batch,
    /// ListSecrets and ListSecretVersionIds together: 100/s.
    List,
    /// PutSecretValue, UpdateSecret and UpdateSecretVersionStage together: 50/s.
    Put,
    /// CreateSecret: 50/s.
    Create,
    /// DeleteSecret: 50/s.
    Delete,
    /// RestoreSecret: 50/s.
    Restore,
    /// TagResource and UntagResource: 50/s.
    Tag,
    /// GetParameters and GetParametersByPath together: 40/s, at default throughput.
    Parameters,
    /// Signed STS calls together: 600/s. AssumeRoleWithWebIdentity is not among them.
    Sts,
}

impl QuotaGroup {
    /// The group of an operation, if one is published.
    pub fn of(operation: &str) -> Option<Self> {
        Some(match operation {
            "GetSecretValue" => Self::Get,
            "DescribeSecret" => Self::Describe,
            "BatchGetSecretValue" => Self::Batch,
            "ListSecrets" | "ListSecretVersionIds" => Self::List,
            "PutSecretValue" | "UpdateSecret" | "UpdateSecretVersionStage" => Self::Put,
            "CreateSecret" => Self::Create,
            "DeleteSecret" => Self::Delete,
            "RestoreSecret" => Self::Restore,
            "TagResource" | "UntagResource" => Self::Tag,
            "GetParameters" | "GetParametersByPath" => Self::Parameters,
            "AssumeRole" | "GetCallerIdentity" => Self::Sts,
            _ => return None,
        })
    }

    /// Requests per second and account and region (AWS Secrets Manager quotas; Systems Manager quotas; IAM and STS
    /// quotas).
    pub fn per_second(self) -> f64 {
        match self {
            Self::Get => 10_000.0,
            Self::Describe => 40_000.0,
            Self::Batch | Self::List => 100.0,
            Self::Parameters => 40.0,
            Self::Sts => 600.0,
            Self::Put | Self::Create | Self::Delete | Self::Restore | Self::Tag => 50.0,
        }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

/// All buckets. Each holds one second's worth and starts full.
#[derive(Debug)]
pub(crate) struct Quotas {
    scale: Option<f64>,
    rates: HashMap<QuotaGroup, f64>,
    buckets: HashMap<(String, String, QuotaGroup), Bucket>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            scale: Some(1.0),
            rates: HashMap::new(),
            buckets: HashMap::new(),
        }
    }
}

impl Quotas {
    /// Multiplies every quota; `None` switches them off.
    pub fn set_scale(&mut self, scale: Option<f64>) {
        self.scale = scale;
        self.buckets.clear();
    }

    /// Sets one group's rate in requests per second, before scaling.
    pub fn set_rate(&mut self, group: QuotaGroup, per_second: f64) {
        self.rates.insert(group, per_second);
        self.buckets.clear();
    }

    /// Takes a token; false means throttled.
    pub fn take(&mut self, account: &str, region: &str, operation: &str, now: Timestamp) -> bool {
        let (Some(scale), Some(group)) = (self.scale, QuotaGroup::of(operation)) else {
            return true;
        };
        let published = self.rates.get(&group).copied();
        let rate = published.unwrap_or_else(|| group.per_second()) * scale;
        let key = (account.to_owned(), region.to_owned(), group);
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            tokens: rate.max(1.0),
            filled: now,
        });
        let passed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * rate).min(rate.max(1.0));
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn taken(quotas: &mut Quotas, account: &str, operation: &str, now: Timestamp) -> usize {
        (0..1_000)
            .filter(|_| quotas.take(account, "us-east-1", operation, now))
            .count()
    }

    #[test]
    fn published_quotas_stand() {
        // AWS Secrets Manager quotas.
        for (operation, per_second) in [
            ("GetSecretValue", 10_000),
            ("DescribeSecret", 40_000),
            ("BatchGetSecretValue", 100),
            ("ListSecrets", 100),
            ("PutSecretValue", 50),
            ("GetParameters", 40),
        ] {
            let mut quotas = Quotas::default();
            let mut take = |region| quotas.take("1", region, operation, Timestamp::UNIX_EPOCH);
            let taken = (0..50_000).filter(|_| take("us-east-1")).count();
            assert_eq!(taken, per_second, "{operation}");
            assert!(take("eu-west-1"), "{operation} in another region");
        }
    }

    #[test]
    fn a_bucket_holds_one_second_and_refills() {
        let mut quotas = Quotas::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(taken(&mut quotas, "1", "ListSecrets", now), 100);
        assert_eq!(taken(&mut quotas, "1", "ListSecretVersionIds", now), 0);
        assert_eq!(taken(&mut quotas, "2", "ListSecrets", now), 100);
        let later = now + SignedDuration::from_millis(500);
        assert_eq!(taken(&mut quotas, "1", "ListSecrets", later), 50);
        assert_eq!(
            taken(&mut quotas, "1", "AssumeRoleWithWebIdentity", now),
            1_000
        );
    }

    #[test]
    fn quotas_scale_and_switch_off() {
        let mut quotas = Quotas::default();
        let now = Timestamp::UNIX_EPOCH;
        quotas.set_scale(Some(0.1));
        assert_eq!(taken(&mut quotas, "1", "BatchGetSecretValue", now), 10);
        quotas.set_rate(QuotaGroup::Batch, 20.0);
        assert_eq!(taken(&mut quotas, "1", "BatchGetSecretValue", now), 2);
        quotas.set_scale(None);
        assert_eq!(taken(&mut quotas, "1", "BatchGetSecretValue", now), 1_000);
    }
}
