//! Secret ids as AWS spells them, and which ids can mean the same entry. Pure.
//!
//! Whether a resource ends in AWS's six characters cannot be told from the text, so nothing here strips them:
//! an id is compared with what a reply says, or tried.

use crate::core::{SecretId, entry::SecretArn};

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
fn adds_suffix(longer: &str, shorter: &str) -> bool {
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
