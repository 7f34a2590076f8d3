//! Failover: when another region may be asked, how ids are spelled there, and which of its versions may be carried.
//!
//! A replica has the name, the six characters and the version ids of its primary; it may lag behind for minutes or for
//! ever. So it may confirm what is known or bring something newer, and nothing else (source: AWS, "Replicate secrets
//! across Regions").

use super::{
    Entry, EntryAsk, Finding, InstallKey, SecretId,
    annotations::Marks,
    sources::{SourceVersion, version_mark},
};

/// Whether another region may be asked: something failed, and all that did for want of an answer. A refusal or a
/// missing entry is an answer; the same asked elsewhere would get around it.
pub fn is_called_for<'a>(failures: impl IntoIterator<Item = &'a Finding>) -> bool {
    let mut failures = failures.into_iter().peekable();
    failures.peek().is_some() && failures.all(|finding| finding.outage)
}

/// An ask as it is made in another region.
pub fn ask_in(region: &str, ask: &EntryAsk) -> EntryAsk {
    let mut there = ask.clone();
    match &mut there.id {
        SecretId::Arn(arn) => region.clone_into(&mut arn.region),
        // Not replicated: the API refuses such a binding.
        SecretId::Name(_) | SecretId::Parameter(_) => {}
    }
    there
}

/// A reply as the primary in `region` would have given it: only its ARN differs.
pub fn as_of(region: &str, entry: &Entry) -> Entry {
    Entry {
        arn: arn_in(region, &entry.arn),
        ..entry.clone()
    }
}

fn arn_in(region: &str, arn: &str) -> String {
    let mut fields: Vec<&str> = arn.splitn(5, ':').collect();
    if let Some(field) = fields.get_mut(3) {
        *field = region;
    }
    fields.join(":")
}

/// What a replica's version is to the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one it holds, a newer one, or one of an entry that it does not hold yet.
    Good,
    /// It was refused on this Secret.
    Rejected,
    /// The Secret has left it.
    Left,
    /// Not shown to be made after the one that the Secret holds.
    NotLater,
}

impl Verdict {
    /// Continues "The version that REGION has of ENTRY".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Good => "may be used",
            Self::Rejected => "was rejected before",
            Self::Left => "is one that the Secret has left",
            Self::NotLater => "is not newer than the Secret's own",
        }
    }
}

/// Judges a version that a replica has, given what is recorded on the Secret. `source` names the primary's ARN.
pub fn judge(key: &InstallKey, marks: &Marks, source: &SourceVersion<'_>) -> Verdict {
    let mark = version_mark(key, source.version_id);
    let known = marks.sources.get(key, source);
    if known.is_some_and(|known| known.0 == mark) {
        return Verdict::Good;
    }
    if marks.rejects(&source.tag(key), &mark) {
        return Verdict::Rejected;
    }
    let Some(known) = known else {
        return Verdict::Good;
    };
    if known.has_left(key, source.version_id) {
        return Verdict::Left;
    }
    match (source.created, known.1) {
        (Some(read), Some(known)) if read > known => Verdict::Good,
        _ => Verdict::NotLater,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{
        api::Reason,
        core::{EntryValue, SecretValue, annotations::Rejected, parse_reference, sources::Sources},
    };

    const HERE: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:estate/db-AbCdEf";

    fn failure(reason: Reason, outage: bool) -> Finding {
        Finding {
            outage,
            ..Finding::new(reason, "fact", "cure")
        }
    }

    #[test]
    fn only_silence_calls_for_another_region() {
        let silent = failure(Reason::AwsUnavailable, true);
        let denied = failure(Reason::AccessDenied, false);
        let missing = failure(Reason::SecretNotFound, false);
        let throttled = failure(Reason::Throttled, false);
        let proxy = failure(Reason::AwsUnavailable, false);
        for (failures, expected) in [
            (vec![], false),
            (vec![&silent], true),
            (vec![&silent, &silent], true),
            (vec![&denied], false),
            (vec![&missing], false),
            (vec![&throttled], false),
            (vec![&proxy], false),
            (vec![&silent, &denied], false),
            (vec![&missing, &silent], false),
        ] {
            let reasons: Vec<_> = failures.iter().map(|finding| finding.reason).collect();
            assert_eq!(is_called_for(failures), expected, "{reasons:?}");
        }
    }

    #[test]
    fn names_stay_and_arns_change_their_region_only() {
        for (here, there) in [
            ("estate/db", "estate/db"),
            // A name may hold the region's code.
            (
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:eu-west-1/db",
                "arn:aws:secretsmanager:eu-central-1:111122223333:secret:eu-west-1/db",
            ),
            (
                "arn:aws-cn:secretsmanager:eu-west-1:111122223333:secret:a-AbCdEf:key:STAGE:",
                "arn:aws-cn:secretsmanager:eu-central-1:111122223333:secret:a-AbCdEf:key:STAGE:",
            ),
        ] {
            let ask = |text: &str| parse_reference(text).unwrap().ask;
            assert_eq!(ask_in("eu-central-1", &ask(here)), ask(there), "{here}");
        }
    }

    #[test]
    fn a_reply_is_recorded_as_the_primarys() {
        let there = Entry {
            arn: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:eu-central-1/db-AbCdEf"
                .into(),
            name: "eu-central-1/db".into(),
            version_id: "v".into(),
            created: None,
            value: EntryValue::Text(SecretValue::new(b"x".to_vec())),
        };
        let here = as_of("eu-west-1", &there);
        assert_eq!(
            here.arn,
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:eu-central-1/db-AbCdEf"
        );
        assert_eq!(
            (here.name, here.version_id),
            ("eu-central-1/db".into(), "v".into())
        );
        assert_eq!(here.value.bytes().expose(), b"x");
    }

    #[test]
    fn a_replica_confirms_or_brings_something_newer() {
        let key = InstallKey::new([3; 32]);
        let version = |version_id, created| SourceVersion {
            arn: HERE,
            selector: "",
            version_id,
            created,
        };
        let sources = Sources::default()
            .advance(&key, &[version("left", Some(100))])
            .advance(&key, &[version("held", Some(200))]);
        let tag = version("", None).tag(&key);
        let marks = Marks {
            sources,
            rejected: vec![Rejected {
                revision: "bad".into(),
                versions: [(tag, version_mark(&key, "rejected"))].into(),
                asked: false,
            }],
            ..Marks::default()
        };
        use Verdict as V;
        for (version_id, created, expected) in [
            ("held", Some(200), V::Good),
            ("held", None, V::Good),
            ("left", Some(100), V::Left),
            ("left", Some(900), V::Left),
            ("rejected", Some(900), V::Rejected),
            ("new", Some(201), V::Good),
            ("new", Some(200), V::NotLater),
            ("new", Some(199), V::NotLater),
            ("new", None, V::NotLater),
        ] {
            let verdict = judge(&key, &marks, &version(version_id, created));
            assert_eq!(verdict, expected, "{version_id} {created:?}");
        }
        let other = SourceVersion {
            selector: "STAGE",
            ..version("any", None)
        };
        assert_eq!(
            judge(&key, &marks, &other),
            V::Good,
            "nothing is known of it"
        );
        let undated = Marks {
            sources: Sources::default().advance(&key, &[version("held", None)]),
            ..Marks::default()
        };
        assert_eq!(
            judge(&key, &undated, &version("new", Some(900))),
            V::NotLater,
            "the held one's date is not known"
        );
    }
}
