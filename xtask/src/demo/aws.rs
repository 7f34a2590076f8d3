//! The fake AWS as estate's account: its entries, the operator's role, and what was called.

use std::collections::BTreeMap;

use keyferry_testkit::ControlPlane;
use keyferry_testkit::aws::{Call, FakeAws, Region, Service};
use keyferry_testkit::canary::Canaries;

use crate::bed::aws::{self, ACCOUNT, REGION};
use crate::workspace::Ended;

pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/estate-reader";
pub(crate) const PASSWORD: &str = "estate/rds/password";

/// A person's key, for `--keep`. The fake takes any secret access key with it.
pub(crate) const PERSON: &str = "AKIADEMODEMODEMODEMO";

/// The account with its entries; values are random and never shown.
pub(crate) struct Estate {
    pub(crate) aws: FakeAws,
    values: Canaries,
}

impl Estate {
    /// A role like the one of `examples/estate`: trusted for one ServiceAccount, whose tokens are
    /// verified with the cluster's own keys, and allowed to read below `estate/` only.
    pub(crate) async fn start(plane: &ControlPlane, account: &str) -> Ended<Self> {
        let aws = aws::trusting(plane).await?;
        aws.put_role(aws::reader(ROLE, account, &["estate/*"]));
        aws.user(PERSON, ACCOUNT);
        let estate = Self {
            aws,
            values: Canaries::default(),
        };
        estate.create_entries()?;
        Ok(estate)
    }

    fn create_entries(&self) -> Ended {
        let password = self.new_password();
        let url = database_url(&password);
        self.region().create(PASSWORD, &password)?;
        // Not read by any binding: it repeats the password and would be old after a rotation.
        self.region().create("estate/database/url", &url)?;
        let plain = [
            "estate/jwt/secret",
            "estate/ses/access_key_id",
            "estate/ses/secret_access_key",
            "estate/segment/write_key",
            "estate/openai/api_key",
            "estate/kreb/api_key",
        ];
        for name in plain {
            self.region().create(name, &self.values.plain())?;
        }
        Ok(())
    }

    pub(crate) fn region(&self) -> Region {
        self.aws.account(ACCOUNT).region(REGION)
    }

    /// With characters that a URL cannot hold as they stand.
    pub(crate) fn new_password(&self) -> String {
        format!("{}/@:%", self.values.plain())
    }

    /// Calls since the start or the last [`FakeAws::reset_counts`].
    pub(crate) fn calls(&self) -> String {
        summary(&self.aws.calls())
    }
}

/// What `examples/estate` composes from the password (RFC 3986: all but unreserved is encoded).
pub(crate) fn database_url(password: &str) -> String {
    let encoded: String = password
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("postgresql://estate:{encoded}@estate.rds.internal:5432/estate?sslmode=require")
}

/// `2 batches, 1 STS`
fn summary(calls: &[Call]) -> String {
    let mut counts: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for call in calls {
        let kind = match (call.service, call.operation.as_str()) {
            (Service::SecretsManager, "BatchGetSecretValue") => (0, "batch".to_owned()),
            (Service::SecretsManager, other) => (1, other.to_owned()),
            (Service::Ssm, other) => (1, other.to_owned()),
            (Service::Sts, _) => (2, "STS".to_owned()),
            (Service::Sqs, _) => (3, "SQS".to_owned()),
            (Service::PodIdentity, _) => (4, "Pod Identity".to_owned()),
        };
        *counts.entry(kind).or_default() += 1;
    }
    let shown: Vec<String> = counts
        .into_iter()
        .map(|((_, kind), count)| match (kind.as_str(), count) {
            ("batch", 2..) => format!("{count} batches"),
            _ => format!("{count} {kind}"),
        })
        .collect();
    match shown.is_empty() {
        true => "none".into(),
        false => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_encoded_in_the_url() {
        let url = database_url("aZ9-._~/@:%");
        assert_eq!(
            url,
            "postgresql://estate:aZ9-._~%2F%40%3A%25@estate.rds.internal:5432/estate?sslmode=require"
        );
    }

    #[test]
    fn no_call_is_said() {
        assert_eq!(summary(&[]), "none");
    }
}
