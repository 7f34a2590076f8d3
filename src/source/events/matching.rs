//! Whether a hint is about what somebody asks for. Pure.
//!
//! A guess that costs a read where it is wrong; a change it misses waits for the next sweep.

use super::{Hint, HintId, HintKind};
use crate::{
    core::{EntryAsk, SecretId, Store, VersionSelector, entry::PrefixAsk},
    source::wire::{CURRENT, adds_suffix, looks_complete},
};

/// Whether a hint is about an ask. A name, in the ask or in the hint, means an entry in its own account and region
/// only. `own_account`: the account of the hub that asks, None while it is not known; `hub_region`: its region.
pub fn matches(hint: &Hint, ask: &EntryAsk, own_account: Option<&str>, hub_region: &str) -> bool {
    moves(hint, &ask.version) && is_about(hint, &ask.id, own_account, hub_region)
}

/// Whether a hint is about a member, or one to be, of a listing. Tags are not told by events: any will do.
pub fn matches_prefix(
    hint: &Hint,
    ask: &PrefixAsk,
    own_account: Option<&str>,
    hub_region: &str,
) -> bool {
    ask.store == Store::Secrets
        && moves(hint, &VersionSelector::Current)
        && is_here(hint, own_account, hub_region)
        && name_of(&hint.secret).starts_with(&ask.prefix)
}

/// Whether what happened can change what `version` selects. A version id always means the same bytes. AWS moves
/// its other labels together with AWSCURRENT and does not report them.
fn moves(hint: &Hint, version: &VersionSelector) -> bool {
    if hint.kind != HintKind::Moved {
        return true;
    }
    let told = hint.label.as_deref();
    match version {
        VersionSelector::Id(_) => false,
        VersionSelector::Current => told.is_none_or(|label| label == CURRENT),
        VersionSelector::Stage(stage) => {
            let follows = stage.starts_with("AWS") && told == Some(CURRENT);
            told.is_none_or(|label| label == stage) || follows
        }
    }
}

fn is_here(hint: &Hint, own_account: Option<&str>, hub_region: &str) -> bool {
    hint.region == hub_region && own_account.is_none_or(|own| own == hint.account)
}

fn is_about(hint: &Hint, id: &SecretId, own_account: Option<&str>, hub_region: &str) -> bool {
    match id {
        // Events of Parameter Store are not listened to.
        SecretId::Parameter(_) => false,
        SecretId::Name(name) => {
            is_here(hint, own_account, hub_region)
                && match &hint.secret {
                    HintId::Name(told) => told == name,
                    HintId::Arn(arn) => adds_suffix(&arn.resource, name),
                    HintId::TypedArn(arn) => {
                        &arn.resource == name || adds_suffix(&arn.resource, name)
                    }
                }
        }
        SecretId::Arn(asked) => {
            if (&asked.account, &asked.region) != (&hint.account, &hint.region) {
                return false;
            }
            let with_suffix =
                |longer: &str, shorter: &str| longer == shorter || adds_suffix(longer, shorter);
            match &hint.secret {
                HintId::Name(told) => with_suffix(&asked.resource, told),
                HintId::Arn(told) => {
                    asked.partition == told.partition
                        && with_suffix(&told.resource, &asked.resource)
                }
                HintId::TypedArn(told) => {
                    asked.partition == told.partition
                        && (with_suffix(&told.resource, &asked.resource)
                            || adds_suffix(&asked.resource, &told.resource))
                }
            }
        }
    }
}

/// The name of the entry; of a typed ARN perhaps with the six characters.
pub(super) fn name_of(id: &HintId) -> &str {
    match id {
        HintId::Name(name) => name,
        HintId::TypedArn(arn) => &arn.resource,
        HintId::Arn(arn) if looks_complete(&arn.resource) => {
            &arn.resource[..arn.resource.len() - 7]
        }
        HintId::Arn(arn) => &arn.resource,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::source::wire::parse_arn;

    const OWN: &str = "111122223333";
    const OTHER: &str = "444455556666";
    const HERE: &str = "us-east-1";

    fn arn(resource: &str) -> String {
        format!("arn:aws:secretsmanager:{HERE}:{OWN}:secret:{resource}")
    }

    fn hint(secret: HintId) -> Hint {
        let (account, region) = match &secret {
            HintId::Name(_) => (OWN.to_owned(), HERE.to_owned()),
            HintId::Arn(arn) | HintId::TypedArn(arn) => (arn.account.clone(), arn.region.clone()),
        };
        Hint {
            account,
            region,
            secret,
            label: None,
            version_id: None,
            kind: HintKind::Moved,
        }
    }

    fn full(resource: &str) -> Hint {
        hint(HintId::Arn(parse_arn(&arn(resource)).unwrap()))
    }

    fn typed(resource: &str) -> Hint {
        hint(HintId::TypedArn(parse_arn(&arn(resource)).unwrap()))
    }

    fn named(name: &str) -> Hint {
        hint(HintId::Name(name.into()))
    }

    fn ask(id: SecretId) -> EntryAsk {
        EntryAsk {
            id,
            version: VersionSelector::Current,
        }
    }

    fn by_name(name: &str) -> EntryAsk {
        ask(SecretId::Name(name.into()))
    }

    fn by_arn(text: &str) -> EntryAsk {
        ask(SecretId::Arn(parse_arn(text).unwrap()))
    }

    #[test]
    fn every_spelling_finds_every_other() {
        for told in [
            full("a/db-AbCdEf"),
            typed("a/db-AbCdEf"),
            typed("a/db"),
            named("a/db"),
        ] {
            for asked in [
                by_name("a/db"),
                by_arn(&arn("a/db")),
                by_arn(&arn("a/db-AbCdEf")),
            ] {
                assert!(
                    matches(&told, &asked, Some(OWN), HERE),
                    "{told:?} {asked:?}"
                );
                assert!(matches(&told, &asked, None, HERE), "{told:?} {asked:?}");
            }
            for asked in [
                by_name("a/d"),
                by_name("a/db2"),
                by_name("A/db"),
                by_arn(&arn("a/db2-AbCdEf")),
                by_arn(&arn("a/db").replace(OWN, OTHER)),
                by_arn(&arn("a/db").replace(HERE, "us-west-2")),
            ] {
                assert!(
                    !matches(&told, &asked, Some(OWN), HERE),
                    "{told:?} {asked:?}"
                );
            }
        }
    }

    #[test]
    fn names_that_end_like_the_six_characters() {
        // hint, ask, about
        for (told, asked, wanted) in [
            (full("jwt-secret-AbCdEf"), by_name("jwt-secret"), true),
            (full("jwt-secret-AbCdEf"), by_name("jwt"), false),
            (full("jwt-secret"), by_name("jwt"), true),
            // A complete ARN: there the name cannot be the whole resource.
            (full("jwt-secret"), by_name("jwt-secret"), false),
            (typed("jwt-secret"), by_name("jwt-secret"), true),
            (named("jwt-secret"), by_name("jwt-secret"), true),
            (named("jwt-secret"), by_name("jwt"), false),
            (full("db-AbCdEf"), by_arn(&arn("db-GhIjKl")), false),
            (
                full("db-AbCdEf"),
                by_arn(&arn("db-AbCdEf").replace("arn:aws:", "arn:aws-cn:")),
                false,
            ),
        ] {
            assert_eq!(
                matches(&told, &asked, Some(OWN), HERE),
                wanted,
                "{told:?} {asked:?}"
            );
        }
    }

    #[test]
    fn a_name_means_one_account_and_region() {
        for (own, region, wanted) in [
            (Some(OWN), HERE, true),
            (Some(OTHER), HERE, false),
            (Some(OWN), "us-west-2", false),
            (None, HERE, true),
            (None, "us-west-2", false),
        ] {
            let told = [named("db"), full("db-AbCdEf"), typed("db")];
            for told in told {
                let by_name = matches(&told, &by_name("db"), own, region);
                assert_eq!(by_name, wanted, "{told:?} {own:?} {region}");
                let prefix = prefix("d");
                assert_eq!(matches_prefix(&told, &prefix, own, region), wanted);
                // An ARN says by itself where its entry is, whoever asks.
                assert!(matches(&told, &by_arn(&arn("db-AbCdEf")), own, region));
            }
        }
    }

    fn prefix(prefix: &str) -> PrefixAsk {
        PrefixAsk {
            store: Default::default(),
            prefix: prefix.into(),
            tags: [("team".to_owned(), "x".to_owned())].into(),
        }
    }

    #[test]
    fn members_of_a_listing_are_told_by_their_names() {
        for (told, begins, wanted) in [
            (full("prod/ai-AbCdEf"), "prod/", true),
            (full("prod/ai-AbCdEf"), "prod/ai", true),
            (full("prod/ai-AbCdEf"), "prod/ai-", false),
            (full("prod/ai-AbCdEf"), "Prod/", false),
            (named("prod/ai"), "prod/", true),
            (named("prod/ai"), "prod/ai/", false),
            (typed("prod/ai"), "prod/ai", true),
        ] {
            let about = matches_prefix(&told, &prefix(begins), Some(OWN), HERE);
            assert_eq!(about, wanted, "{told:?} {begins}");
        }
    }

    #[test]
    fn a_label_moves_only_what_follows_it() {
        let stage = |name: &str| VersionSelector::Stage(name.into());
        let id = VersionSelector::Id("v1".into());
        // label of the hint, asked version, moved
        for (label, version, wanted) in [
            (None, VersionSelector::Current, true),
            (Some("AWSCURRENT"), VersionSelector::Current, true),
            (Some("blue"), VersionSelector::Current, false),
            (None, stage("blue"), true),
            (Some("blue"), stage("blue"), true),
            (Some("green"), stage("blue"), false),
            (Some("AWSCURRENT"), stage("blue"), false),
            (Some("AWSCURRENT"), stage("AWSPREVIOUS"), true),
            (Some("blue"), stage("AWSPREVIOUS"), false),
            (None, id.clone(), false),
            (Some("AWSCURRENT"), id.clone(), false),
        ] {
            let told = Hint {
                label: label.map(str::to_owned),
                ..named("db")
            };
            let asked = EntryAsk {
                version: version.clone(),
                ..by_name("db")
            };
            assert_eq!(
                matches(&told, &asked, Some(OWN), HERE),
                wanted,
                "{label:?} {version:?}"
            );
            // Deleted or back again: that concerns every version.
            for kind in [HintKind::Deleted, HintKind::Appeared] {
                let told = Hint {
                    kind,
                    ..told.clone()
                };
                assert!(
                    matches(&told, &asked, Some(OWN), HERE),
                    "{kind:?} {version:?}"
                );
            }
        }
        let custom = Hint {
            label: Some("blue".into()),
            ..named("db")
        };
        assert!(!matches_prefix(&custom, &prefix("d"), Some(OWN), HERE));
    }
}
