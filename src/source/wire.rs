//! Secret ids as AWS spells them, and which ids can mean the same entry. Pure.
//!
//! Whether a resource ends in AWS's six characters cannot be told from the text, so nothing here strips them:
//! an id is compared with what a reply says, or tried.

use crate::core::{SecretId, entry::SecretArn};

/// The label of the version that is in use.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// The text of an ARN.
pub(super) fn arn_text(arn: &SecretArn) -> String {
    let SecretArn {
        partition,
        region,
        account,
        resource,
    } = arn;
    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{resource}")
}

/// The text that goes into `SecretId`.
pub(super) fn id_text(id: &SecretId) -> String {
    match id {
        SecretId::Name(name) => name.clone(),
        SecretId::Arn(arn) => arn_text(arn),
        SecretId::Parameter(id) => id.request(),
    }
}

/// Takes the ARN of a reply apart.
pub(super) fn parse_arn(text: &str) -> Option<SecretArn> {
    let mut fields = text.splitn(7, ':');
    let (arn, partition, service, region) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let (account, kind, resource) = (fields.next()?, fields.next()?, fields.next()?);
    (arn == "arn" && service == "secretsmanager" && kind == "secret" && !resource.is_empty()).then(
        || SecretArn {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
            resource: resource.into(),
        },
    )
}

/// `longer` is `shorter` plus hyphen and six letters or digits.
pub(super) fn adds_suffix(longer: &str, shorter: &str) -> bool {
    longer.strip_prefix(shorter).is_some_and(is_suffix)
}

fn is_suffix(tail: &str) -> bool {
    tail.len() == 7
        && tail.starts_with('-')
        && tail.bytes().skip(1).all(|b| b.is_ascii_alphanumeric())
}

/// The resource ends like a complete one: AWS takes it for complete even where it is not, so a partial ARN
/// of an entry whose name ends this way is not found (source: AWS, "can't find my secret from a partial ARN").
pub(super) fn looks_complete(resource: &str) -> bool {
    resource
        .len()
        .checked_sub(7)
        .and_then(|at| resource.get(at..))
        .is_some_and(is_suffix)
}

/// Whether a reply answers an ask. `own_account`: the caller's, if known; a name means an entry there.
pub(super) fn answers(
    id: &SecretId,
    reply: &SecretArn,
    reply_name: &str,
    own_account: Option<&str>,
) -> bool {
    match id {
        SecretId::Parameter(_) => false,
        SecretId::Name(name) => {
            name == reply_name && own_account.is_none_or(|own| own == reply.account)
        }
        SecretId::Arn(arn) => {
            (&arn.partition, &arn.region, &arn.account)
                == (&reply.partition, &reply.region, &reply.account)
                && (arn.resource == reply.resource
                    || arn.resource == reply_name && adds_suffix(&reply.resource, &arn.resource))
        }
    }
}

/// Whether two ids may mean one entry. Only a guess to save a call: the reply decides.
pub(super) fn may_be_one(a: &SecretId, b: &SecretId, own_account: Option<&str>) -> bool {
    let related = |x: &str, y: &str| x == y || adds_suffix(x, y) || adds_suffix(y, x);
    match (a, b) {
        (SecretId::Parameter(_), _) | (_, SecretId::Parameter(_)) => a == b,
        (SecretId::Name(a), SecretId::Name(b)) => a == b,
        (SecretId::Name(name), SecretId::Arn(arn)) | (SecretId::Arn(arn), SecretId::Name(name)) => {
            own_account == Some(arn.account.as_str())
                && (&arn.resource == name || adds_suffix(&arn.resource, name))
        }
        (SecretId::Arn(a), SecretId::Arn(b)) => {
            (&a.partition, &a.region, &a.account) == (&b.partition, &b.region, &b.account)
                && related(&a.resource, &b.resource)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const OWN: &str = "111122223333";

    fn arn(resource: &str) -> SecretId {
        arn_in(OWN, "us-east-1", resource)
    }

    fn arn_in(account: &str, region: &str, resource: &str) -> SecretId {
        SecretId::Arn(SecretArn {
            partition: "aws".into(),
            region: region.into(),
            account: account.into(),
            resource: resource.into(),
        })
    }

    fn name(name: &str) -> SecretId {
        SecretId::Name(name.into())
    }

    #[test]
    fn arns_go_both_ways() {
        for text in [
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:a/b-AbCdEf",
            "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:x",
        ] {
            assert_eq!(arn_text(&parse_arn(text).unwrap()), text);
        }
        for text in [
            "",
            "arn:aws:sqs:us-east-1:1:secret:x",
            "arn:aws:secretsmanager:us-east-1:1:secret:",
            "a/b",
        ] {
            assert_eq!(parse_arn(text), None, "{text}");
        }
    }

    #[test]
    fn what_looks_complete_is_a_guess_about_the_text_only() {
        for (resource, looks) in [
            ("db-AbCdEf", true),
            ("path/jwt-secret", true),
            ("db", false),
            ("db-AbCdE", false),
            ("db-AbC_Ef", false),
            ("-AbCdEf", true),
            ("", false),
            ("dö-AbCdEf", true),
            ("abcdeé", false),
        ] {
            assert_eq!(looks_complete(resource), looks, "{resource}");
        }
    }

    #[test]
    fn a_reply_answers_only_what_it_is_about() {
        let reply = |resource: &str| match arn(resource) {
            SecretId::Arn(arn) => arn,
            SecretId::Name(_) | SecretId::Parameter(_) => unreachable!(),
        };
        // ask, ARN's resource and Name of the reply, own account, answers
        for (ask, resource, reply_name, own, wanted) in [
            (name("db"), "db-AbCdEf", "db", Some(OWN), true),
            (name("db"), "db-AbCdEf", "db", None, true),
            (name("db"), "db-AbCdEf", "db", Some("444455556666"), false),
            (name("DB"), "db-AbCdEf", "db", Some(OWN), false),
            (arn("db-AbCdEf"), "db-AbCdEf", "db", Some(OWN), true),
            (arn("db"), "db-AbCdEf", "db", Some(OWN), true),
            (arn("d"), "db-AbCdEf", "db", Some(OWN), false),
            // Another entry of the same name after a recreation.
            (arn("db-AbCdEf"), "db-GhIjKl", "db", Some(OWN), false),
            // A partial ARN whose name ends like a suffix.
            (
                arn("jwt-secret"),
                "jwt-secret-AbCdEf",
                "jwt-secret",
                Some(OWN),
                true,
            ),
            // ... and the entry that a careless reader would take for it.
            (
                arn("jwt-secret-AbCdEf"),
                "jwt-secret",
                "jwt",
                Some(OWN),
                false,
            ),
            (
                arn("jwt"),
                "jwt-secret-AbCdEf",
                "jwt-secret",
                Some(OWN),
                false,
            ),
            (
                arn_in("444455556666", "us-east-1", "db"),
                "db-AbCdEf",
                "db",
                Some(OWN),
                false,
            ),
            (
                arn_in(OWN, "us-west-2", "db"),
                "db-AbCdEf",
                "db",
                Some(OWN),
                false,
            ),
        ] {
            assert_eq!(
                answers(&ask, &reply(resource), reply_name, own),
                wanted,
                "{ask:?} {resource}"
            );
        }
    }

    #[test]
    fn ids_that_may_be_one_entry_are_asked_once() {
        for (a, b, own, wanted) in [
            (name("db"), name("db"), None, true),
            (name("db"), name("db2"), Some(OWN), false),
            (name("db"), arn("db-AbCdEf"), Some(OWN), true),
            (arn("db-AbCdEf"), name("db"), Some(OWN), true),
            (name("db"), arn("db"), Some(OWN), true),
            (name("db"), arn("db-AbCdEf"), None, false),
            (
                name("db"),
                arn_in("444455556666", "us-east-1", "db-AbCdEf"),
                Some(OWN),
                false,
            ),
            (arn("db"), arn("db-AbCdEf"), Some(OWN), true),
            (arn("db-AbCdEf"), arn("db-GhIjKl"), Some(OWN), false),
            (arn("db"), arn_in(OWN, "us-west-2", "db"), Some(OWN), false),
        ] {
            assert_eq!(may_be_one(&a, &b, own), wanted, "{a:?} {b:?}");
            assert_eq!(may_be_one(&b, &a, own), wanted, "{b:?} {a:?}");
        }
    }
}
