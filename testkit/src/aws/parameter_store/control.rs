//! Parameters as a test handles them, without credentials, quotas or the call log.

use jiff::Timestamp;

use super::super::{AwsError, Region};
use super::store::{Kind, ParameterStore, not_found};

impl Region {
    /// Makes a parameter, or a new version of it; returns the version's number.
    ///
    /// # Errors
    /// What PutParameter refuses: bad names, values that are empty or too long.
    pub fn put_parameter(&self, name: &str, value: &str) -> Result<i64, AwsError> {
        self.parameters(|store, now| store.put(name, value, Kind::Text, now))
    }

    /// The same as a SecureString; without a key it is encrypted with `alias/aws/ssm`, with one readers need
    /// `kms:Decrypt` on its ARN.
    ///
    /// # Errors
    /// As [`Region::put_parameter`].
    pub fn put_secure_parameter(
        &self,
        name: &str,
        value: &str,
        key_arn: Option<&str>,
    ) -> Result<i64, AwsError> {
        let kind = Kind::Secure(key_arn.map(str::to_owned));
        self.parameters(|store, now| store.put(name, value, kind, now))
    }

    /// Puts a label on a version, from wherever it is.
    ///
    /// # Errors
    /// What LabelParameterVersion refuses.
    pub fn label_parameter(&self, name: &str, label: &str, version: i64) -> Result<(), AwsError> {
        self.parameters(|store, _| store.label(name, label, version))
    }

    /// Removes a parameter; one that is made anew begins with version 1.
    ///
    /// # Errors
    /// When there is no such parameter.
    pub fn delete_parameter(&self, name: &str) -> Result<(), AwsError> {
        self.parameters(|store, _| store.delete(name))
    }

    /// Full ARN of a parameter.
    ///
    /// # Errors
    /// When there is no such parameter.
    pub fn parameter_arn(&self, name: &str) -> Result<String, AwsError> {
        self.parameters(|store, _| {
            let found = store.get(name).ok_or_else(not_found)?;
            Ok(found.arn.clone())
        })
    }

    fn parameters<T>(&self, act: impl FnOnce(&mut ParameterStore, Timestamp) -> T) -> T {
        let (shared, account, region) = self.place();
        let now = shared.clock.now();
        let mut world = shared.lock();
        act(world.parameters.get_mut(account, region), now)
    }
}
