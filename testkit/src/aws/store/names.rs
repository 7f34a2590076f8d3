//! Names, ARNs and how a `SecretId` is understood.

use super::super::error::AwsError;

/// Length of the random tail that Secrets Manager adds to each ARN.
pub(crate) const SUFFIX_LEN: usize = 6;

/// What a `SecretId` parameter points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretRef<'a> {
    /// Account named by an ARN; `None` for a plain name (the caller's own).
    pub account: Option<&'a str>,
    /// Region named by an ARN.
    pub region: Option<&'a str>,
    /// The secret's name as far as the id tells it.
    pub name: &'a str,
    /// The id claims to be a full ARN: then the stored ARN must be equal to it.
    pub complete: bool,
}

impl<'a> SecretRef<'a> {
    /// Understands a name, a full ARN or a partial ARN.
    ///
    /// As at AWS, a partial ARN whose name ends in a hyphen and six characters is taken for a full
    /// one (AWS: "Can't find my secret from a partial ARN").
    pub fn parse(id: &'a str) -> Result<Self, AwsError> {
        if id.is_empty() || id.len() > 2048 {
            return Err(AwsError::validation(
                "1 validation error detected: Value at 'secretId' failed to satisfy constraint: Member must have length between 1 and 2048",
            ));
        }
        let Some(rest) = id.strip_prefix("arn:") else {
            return Ok(Self {
                account: None,
                region: None,
                name: id,
                complete: false,
            });
        };
        let parts: Vec<&str> = rest.splitn(6, ':').collect();
        let &[_, "secretsmanager", region, account, "secret", tail] = parts.as_slice() else {
            return Err(AwsError::validation("Invalid secret ARN."));
        };
        let complete = looks_complete(tail);
        let name = if complete {
            &tail[..tail.len() - SUFFIX_LEN - 1]
        } else {
            tail
        };
        Ok(Self {
            account: Some(account),
            region: Some(region),
            name,
            complete,
        })
    }
}

/// Whether a name ends in a hyphen and six letters or digits.
pub(crate) fn looks_complete(name: &str) -> bool {
    name.len() > SUFFIX_LEN + 1
        && name.is_char_boundary(name.len() - SUFFIX_LEN - 1)
        && name[name.len() - SUFFIX_LEN - 1..]
            .strip_prefix('-')
            .is_some_and(|tail| tail.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Refuses names that CreateSecret refuses: 1 to 512 ASCII letters, digits and `/_+=.@-`.
///
/// A name that ends in a hyphen and six characters is only advised against, so it passes.
pub(crate) fn check_name(name: &str) -> Result<(), AwsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b);
    if (1..=512).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(AwsError::validation(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
    ))
}

/// The ARN partition a region belongs to.
pub fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The full ARN of a secret.
pub(crate) fn secret_arn(account: &str, region: &str, name: &str, suffix: &str) -> String {
    let partition = partition_of(region);
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn ids_are_understood_as_the_service_does() {
        let arn = "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:";
        for (id, name, complete) in [
            ("prod/db".to_owned(), "prod/db", false),
            // A plain name is never cut, however it ends.
            ("my-secret".to_owned(), "my-secret", false),
            (format!("{arn}prod/db-a1B2c3"), "prod/db", true),
            (format!("{arn}prod/db"), "prod/db", false),
            // The trap: "-secret" is a hyphen and six letters.
            (format!("{arn}my-secret"), "my", true),
            (format!("{arn}my-secret-a1B2c3"), "my-secret", true),
            (format!("{arn}-secret"), "-secret", false),
        ] {
            let parsed = SecretRef::parse(&id).unwrap();
            assert_eq!((parsed.name, parsed.complete), (name, complete), "{id}");
            assert_eq!(parsed.account.is_some(), id.starts_with("arn:"), "{id}");
        }
        assert!(SecretRef::parse("arn:aws:s3:::bucket").is_err());
        assert!(SecretRef::parse("").is_err());
        assert!(SecretRef::parse(&"a".repeat(2049)).is_err());
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "prod/db_+=.@-", "ends-secret"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(513);
        for bad in ["", "a b", "a:b", "é", "a!b", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
