//! Staging labels: which moves the service allows and what follows a move.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::error::AwsError;
use super::{CURRENT, PREVIOUS, Secret, SecretValue, Version};

/// Labels on one secret over all its versions (AWS Secrets Manager quotas).
const MAX_LABELS: usize = 20;
/// Versions kept before old, unlabelled ones are pruned; the published quota is "about 100".
const MAX_VERSIONS: usize = 100;

impl Secret {
    /// Adds a version, as PutSecretValue does. Without `stages` `AWSCURRENT` moves to it.
    ///
    /// The same id with the same value changes nothing; with another value it is refused.
    pub fn put(
        &mut self,
        id: &str,
        value: SecretValue,
        stages: Option<&[String]>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        if let Some(existing) = self.version(id) {
            if existing.value == value {
                return Ok(());
            }
            return Err(AwsError::new(
                "ResourceExistsException",
                format!(
                    "You can't use ClientRequestToken {id} because that value is already in use for a version of secret {}.",
                    self.arn
                ),
            ));
        }
        let mut stages = stages.map_or_else(|| vec![CURRENT.to_owned()], <[String]>::to_vec);
        if self.versions.is_empty() && !stages.iter().any(|s| s == CURRENT) {
            // PutSecretValue: the first version of a secret gets AWSCURRENT in any case.
            stages.push(CURRENT.to_owned());
        }
        self.check_labels(&stages)?;
        self.make_room(now)?;
        let id: Arc<str> = id.into();
        let created = self.next_created(now);
        self.versions.push(Arc::new(Version {
            id: id.clone(),
            value,
            created,
        }));
        for stage in &stages {
            self.attach(stage, &id);
        }
        self.changed = now;
        Ok(())
    }

    /// Moves or removes a label, as UpdateSecretVersionStage does.
    pub fn move_label(
        &mut self,
        label: &str,
        remove_from: Option<&str>,
        move_to: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        self.check_labels(&[label.to_owned()])?;
        let holder = self.labels.get(label).cloned();
        match (&holder, remove_from) {
            (Some(at), Some(from)) if **at != *from => {
                return Err(AwsError::invalid_parameter(format!(
                    "The staging label {label} isn't currently attached to version {from} of the secret."
                )));
            }
            (None, Some(from)) => {
                return Err(AwsError::invalid_parameter(format!(
                    "The staging label {label} isn't currently attached to version {from} of the secret."
                )));
            }
            (Some(at), None) if move_to.is_none_or(|to| **at != *to) => {
                return Err(AwsError::invalid_parameter(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version {at}, so you must explicitly reference that version in RemoveFromVersionId."
                )));
            }
            _ => {}
        }
        match move_to {
            Some(to) => {
                let to = self.version(to).map(|v| v.id.clone()).ok_or_else(|| {
                    AwsError::new(
                        "ResourceNotFoundException",
                        format!("Secrets Manager can't find the specified secret value for VersionId: {to}"),
                    )
                })?;
                self.attach(label, &to);
            }
            None if label == CURRENT => {
                return Err(AwsError::invalid_parameter(
                    "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
                ));
            }
            None => {
                self.labels.remove(label);
            }
        }
        self.changed = now;
        Ok(())
    }

    /// Puts a label on a version; `AWSPREVIOUS` follows `AWSCURRENT`.
    fn attach(&mut self, label: &str, to: &Arc<str>) {
        let left = self.labels.insert(label.to_owned(), to.clone());
        if left.as_ref() == Some(to) {
            return;
        }
        self.moved.push((label.to_owned(), to.clone()));
        if let Some(left) = left
            && label == CURRENT
        {
            self.labels.insert(PREVIOUS.to_owned(), left);
        }
    }

    fn check_labels(&self, new: &[String]) -> Result<(), AwsError> {
        if new.is_empty() || new.iter().any(|l| !(1..=256).contains(&l.len())) {
            return Err(AwsError::validation(
                "1 validation error detected: Value at 'versionStages' failed to satisfy constraint: Member must have length between 1 and 256",
            ));
        }
        let added = new.iter().filter(|l| !self.labels.contains_key(*l)).count();
        if self.labels.len() + added > MAX_LABELS {
            return Err(AwsError::new(
                "LimitExceededException",
                format!("You have reached the quota of {MAX_LABELS} staging labels per secret."),
            ));
        }
        Ok(())
    }

    /// Prunes unlabelled versions older than a day once there are too many.
    fn make_room(&mut self, now: Timestamp) -> Result<(), AwsError> {
        if self.versions.len() < MAX_VERSIONS {
            return Ok(());
        }
        let day_ago = now - SignedDuration::from_hours(24);
        let labels = &self.labels;
        self.versions
            .retain(|v| v.created > day_ago || labels.values().any(|at| *at == v.id));
        if self.versions.len() < MAX_VERSIONS {
            return Ok(());
        }
        Err(AwsError::new(
            "LimitExceededException",
            "You have reached the quota of versions per secret.",
        ))
    }

    /// Creation dates strictly advance: two writes in one millisecond still have an order.
    fn next_created(&self, now: Timestamp) -> Timestamp {
        let tick = SignedDuration::from_millis(1);
        match self.versions.last() {
            Some(last) if last.created >= now => last.created + tick,
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::{NewSecret, RegionStore};
    use super::*;

    fn secret() -> Secret {
        let mut store = RegionStore::new("111122223333", "us-east-1");
        let new = NewSecret::named("a").suffix("AAAAAA");
        store.create(new, Timestamp::UNIX_EPOCH).unwrap();
        store.get("a").unwrap().clone()
    }

    fn put(secret: &mut Secret, id: &str, stages: Option<&[&str]>) -> Result<(), AwsError> {
        let stages: Option<Vec<String>> =
            stages.map(|s| s.iter().map(|l| (*l).to_owned()).collect());
        let value = SecretValue::text(format!("value of {id}"));
        secret.put(id, value, stages.as_deref(), Timestamp::UNIX_EPOCH)
    }

    fn at(secret: &Secret, label: &str) -> Option<String> {
        secret.labels.get(label).map(|id| id.to_string())
    }

    #[test]
    fn current_moves_and_previous_follows() {
        let mut s = secret();
        put(&mut s, "v1", None).unwrap();
        assert_eq!(
            (at(&s, CURRENT), at(&s, PREVIOUS)),
            (Some("v1".into()), None)
        );
        put(&mut s, "v2", None).unwrap();
        put(&mut s, "v3", Some(&["AWSPENDING"])).unwrap();
        assert_eq!(at(&s, CURRENT).as_deref(), Some("v2"));
        assert_eq!(at(&s, PREVIOUS).as_deref(), Some("v1"));
        s.move_label(CURRENT, Some("v2"), Some("v3"), Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(at(&s, PREVIOUS).as_deref(), Some("v2"));
        assert_eq!(s.stages_of("v3"), ["AWSCURRENT", "AWSPENDING"]);
        assert!(s.stages_of("v1").is_empty() && !s.stages().contains_key("v1"));
        // Rolling back moves AWSPREVIOUS to the version that was current.
        s.move_label(CURRENT, Some("v3"), Some("v1"), Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(at(&s, PREVIOUS).as_deref(), Some("v3"));
    }

    #[test]
    fn the_first_version_is_current_whatever_was_asked() {
        let mut s = secret();
        put(&mut s, "v1", Some(&["AWSPENDING"])).unwrap();
        assert_eq!(s.stages_of("v1"), ["AWSCURRENT", "AWSPENDING"]);
    }

    #[test]
    fn forbidden_moves_are_refused() {
        let mut s = secret();
        put(&mut s, "v1", None).unwrap();
        put(&mut s, "v2", Some(&["BLUE"])).unwrap();
        let code = |r: Result<(), AwsError>| r.unwrap_err().code;
        let t = Timestamp::UNIX_EPOCH;
        let invalid = "InvalidParameterException";
        assert_eq!(code(s.move_label(CURRENT, None, Some("v2"), t)), invalid);
        assert_eq!(
            code(s.move_label(CURRENT, Some("v2"), Some("v2"), t)),
            invalid
        );
        assert_eq!(code(s.move_label(CURRENT, Some("v1"), None, t)), invalid);
        assert_eq!(code(s.move_label("GREEN", Some("v1"), None, t)), invalid);
        assert_eq!(
            code(s.move_label("GREEN", None, Some("v9"), t)),
            "ResourceNotFoundException"
        );
        s.move_label("BLUE", Some("v2"), None, t).unwrap();
        assert!(!s.stages().contains_key("v2"));
        s.move_label("GREEN", None, Some("v2"), t).unwrap();
    }

    #[test]
    fn a_token_is_idempotent_only_with_the_same_value() {
        let mut s = secret();
        put(&mut s, "v1", None).unwrap();
        put(&mut s, "v2", None).unwrap();
        put(&mut s, "v1", None).unwrap();
        assert_eq!(at(&s, CURRENT).as_deref(), Some("v2"));
        let other = s.put(
            "v1",
            SecretValue::text("other"),
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(other.unwrap_err().code, "ResourceExistsException");
    }

    #[test]
    fn labels_and_versions_are_limited() {
        let mut s = secret();
        put(&mut s, "v0", None).unwrap();
        let many: Vec<String> = (0..20).map(|n| format!("L{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            put(&mut s, "v1", Some(&many)).unwrap_err().code,
            "LimitExceededException"
        );
        for n in 1..100 {
            put(&mut s, &format!("v{n}"), None).unwrap();
        }
        assert!(put(&mut s, "v100", None).is_err());
        let later = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(25);
        s.put("v100", SecretValue::text("x"), None, later).unwrap();
        assert_eq!(s.versions.len(), 3, "two labelled ones and the new one");
    }

    #[test]
    fn creation_dates_strictly_advance() {
        let mut s = secret();
        put(&mut s, "v1", None).unwrap();
        put(&mut s, "v2", None).unwrap();
        assert!(s.versions[0].created < s.versions[1].created);
    }
}
