//! Secrets from a YAML list, for demonstrations.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AwsError, FakeAws, SecretValue, random_uuid};

/// One secret of a seed list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seed {
    name: String,
    value: String,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    kms_key: Option<String>,
}

/// Why a seed list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not a list of secrets; the position, never the content.
    #[error("the seed list cannot be read near line {line}")]
    Unreadable {
        /// Line, from 1; 0 when unknown.
        line: usize,
    },
    /// Refused as AWS would.
    #[error("secret {name}: {source}")]
    Refused {
        /// Name of the secret.
        name: String,
        /// The refusal.
        source: AwsError,
    },
}

impl FakeAws {
    /// Creates the secrets of a YAML list of `{name, value, account?, region?, tags?, kmsKey?}`;
    /// one that exists gets a new version if the value differs. Returns how many were written.
    ///
    /// # Errors
    /// At the first entry that cannot be read or is refused; earlier ones stay.
    pub fn seed_from_yaml(
        &self,
        yaml: &str,
        account: &str,
        region: &str,
    ) -> Result<usize, SeedError> {
        let seeds: Vec<Seed> = serde_yaml::from_str(yaml).map_err(|error| {
            let line = error.location().map_or(0, |at| at.line());
            SeedError::Unreadable { line }
        })?;
        let mut written = 0;
        for seed in &seeds {
            let refused = |source| SeedError::Refused {
                name: seed.name.clone(),
                source,
            };
            written += usize::from(self.seed(seed, account, region).map_err(refused)?);
        }
        Ok(written)
    }

    fn seed(&self, seed: &Seed, account: &str, region: &str) -> Result<bool, AwsError> {
        let account = seed.account.as_deref().unwrap_or(account);
        let at = self
            .account(account)
            .region(seed.region.as_deref().unwrap_or(region));
        let value = SecretValue::text(&seed.value);
        let known = at.current_value(&seed.name);
        let changed = known.as_ref() != Some(&value);
        match known {
            None => {
                at.create(&seed.name, &seed.value)?;
            }
            Some(_) if changed => {
                at.put_with_version(&seed.name, &random_uuid(), value, None)?;
            }
            Some(_) => {}
        }
        for (key, value) in &seed.tags {
            at.tag(&seed.name, key, value)?;
        }
        if let Some(key) = &seed.kms_key {
            at.kms_key(&seed.name, key)?;
        }
        Ok(changed)
    }
}
