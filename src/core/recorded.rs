//! The versions a binding's status records, by what the binding asks for. Pure.

use std::collections::BTreeMap;

use super::{
    EntryAsk, PrefixAsk, Recipe, SecretId, Store, VersionSelector, parameter, recipe::GroupSource,
};
use crate::api::status::SourceStatus;

/// What a status tells of the sources of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Each entry's version; None: it was missing, and may be.
    pub entries: Vec<(EntryAsk, Option<String>)>,
    /// Each prefix's members by name, with their versions.
    pub prefixes: Vec<(PrefixAsk, BTreeMap<String, String>)>,
}

/// Reads the record. None where it does not tell everything: entries at several versions, a prefix that only
/// counts members with certain tags, an entry that must exist and is not recorded.
pub fn versions(recipe: &Recipe, sources: &[SourceStatus]) -> Option<Recorded> {
    let mut recorded = Recorded::default();
    for ask in recipe.asks() {
        let mut found = sources.iter().filter(|source| may_be(&ask.id, source));
        let version = match (found.next(), found.next()) {
            (Some(source), None) => Some(at_version(&ask, source)?),
            (None, None) if is_optional(recipe, &ask) => None,
            _ => return None,
        };
        recorded.entries.push((ask, version));
    }
    for ask in recipe.prefixes() {
        if !ask.tags.is_empty() {
            return None;
        }
        let mut members = BTreeMap::new();
        for (name, source) in under(sources, &ask) {
            let before = members.insert(name.to_owned(), source.version_id.clone());
            if before.is_some() {
                return None;
            }
        }
        recorded.prefixes.push((ask, members));
    }
    Some(recorded)
}

/// The sources under a prefix or path, by name.
pub fn under<'a>(
    sources: &'a [SourceStatus],
    ask: &'a PrefixAsk,
) -> impl Iterator<Item = (&'a str, &'a SourceStatus)> {
    let name = |source: &'a SourceStatus| match ask.store {
        Store::Secrets => source.secret.as_str(),
        Store::Parameters => source.parameter.as_str(),
    };
    let named = sources.iter().map(move |source| (name(source), source));
    named.filter(|(name, _)| name.starts_with(&ask.prefix))
}

/// The recorded version, unless another one is pinned.
fn at_version(ask: &EntryAsk, source: &SourceStatus) -> Option<String> {
    match &ask.version {
        VersionSelector::Id(id) if !parameter::is_version(id, &source.version_id) => None,
        _ => Some(source.version_id.clone()),
    }
}

/// Whether a status records an entry that an id may mean.
pub fn holds(sources: &[SourceStatus], id: &SecretId) -> bool {
    sources.iter().any(|source| may_be(id, source))
}

/// Whether a source is that of an id. An ARN may or may not end in AWS's hyphen and six characters.
fn may_be(id: &SecretId, source: &SourceStatus) -> bool {
    match id {
        SecretId::Name(own) => own == &source.secret,
        SecretId::Parameter(id) => id.may_be(&source.parameter),
        SecretId::Arn(arn) => {
            let name = Some(source.secret.as_str()).filter(|name| !name.is_empty());
            let rest = name.and_then(|name| arn.resource.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || (rest.len() == 7 && rest.starts_with('-')))
        }
    }
}

/// Whether everything that reads an entry can do without it.
pub fn is_optional(recipe: &Recipe, ask: &EntryAsk) -> bool {
    let keys = recipe.keys.iter().filter(|key| key.ask == *ask);
    let groups = recipe.groups.iter().filter(
        |group| matches!(&group.from, GroupSource::Entry { ask: other, .. } if other == ask),
    );
    keys.map(|key| key.optional)
        .chain(groups.map(|group| group.optional))
        .all(|optional| optional)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::json;

    use super::*;
    use crate::core::{ParseSettings, parse};

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ns/b-AbCdEf";

    fn recipe(spec: serde_json::Value) -> Recipe {
        let spec = serde_json::from_value(spec).unwrap();
        parse("ns", "b", &spec, &ParseSettings::default()).unwrap()
    }

    fn sources(all: &[(&str, &str)]) -> Vec<SourceStatus> {
        let source = |(secret, version): &(&str, &str)| SourceStatus {
            secret: (*secret).into(),
            parameter: String::new(),
            version_id: (*version).into(),
            region: "us-east-1".into(),
        };
        all.iter().map(source).collect()
    }

    fn entries(recorded: &Recorded) -> Vec<Option<&str>> {
        let versions = recorded.entries.iter();
        versions.map(|(_, version)| version.as_deref()).collect()
    }

    #[test]
    fn names_and_arns_find_their_version() {
        let recipe = recipe(json!({"data": [
            {"key": "A", "from": {"secret": "ns/a"}},
            {"key": "B", "from": {"secret": ARN}},
            {"key": "C", "from": {"secret": "ns/gone"}, "optional": true},
        ]}));
        let recorded = versions(&recipe, &sources(&[("ns/a", "1"), ("ns/b", "2")])).unwrap();
        assert_eq!(entries(&recorded), [Some("1"), None, Some("2")]);
    }

    #[test]
    fn what_is_not_told_clearly_is_not_told() {
        let one = json!({"data": [{"key": "A", "from": {"secret": "ns/a"}}]});
        let pinned = json!({"data": [{"key": "A", "from": {"secret": "ns/a", "versionId": "0123456789abcdef0123456789abcdef"}}]});
        let tagged = json!({"dataFrom": [{"prefix": "ns/", "tags": {"a": "b"}}]});
        let prefix = json!({"dataFrom": [{"prefix": "ns/"}]});
        for (why, spec, record) in [
            ("not recorded", &one, vec![]),
            ("two versions", &one, vec![("ns/a", "1"), ("ns/a", "2")]),
            ("another version is pinned", &pinned, vec![("ns/a", "1")]),
            ("tags are not recorded", &tagged, vec![("ns/a", "1")]),
            (
                "two versions of a member",
                &prefix,
                vec![("ns/a", "1"), ("ns/a", "2")],
            ),
        ] {
            assert_eq!(
                versions(&recipe(spec.clone()), &sources(&record)),
                None,
                "{why}"
            );
        }
    }

    #[test]
    fn an_entry_is_held_by_its_name_only() {
        let record = sources(&[("ns/b", "1")]);
        let id = |text: &str| crate::core::parse_reference(text).unwrap().ask.id;
        for (text, expected) in [("ns/b", true), (ARN, true), ("ns/bb", false), ("ns", false)] {
            assert_eq!(holds(&record, &id(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_and_a_parameter_of_one_name_are_two_sources() {
        let (old, new) = ("3-0123abcd", "4-0123abcd");
        let mut record = sources(&[("/ns/x/a", "1"), ("ns/a", "2")]);
        for (name, version) in [("/ns/x/a", old), ("/ns/x/b", new)] {
            record.push(SourceStatus {
                parameter: name.into(),
                version_id: version.into(),
                ..SourceStatus::default()
            });
        }
        let read = |from: serde_json::Value| {
            let recipe = recipe(json!({"data": [{"key": "A", "from": from}]}));
            let recorded = versions(&recipe, &record)?;
            recorded.entries.into_iter().next()?.1
        };
        assert_eq!(read(json!({"secret": "/ns/x/a"})).as_deref(), Some("1"));
        assert_eq!(read(json!({"parameter": "/ns/x/a"})).as_deref(), Some(old));
        assert_eq!(
            read(json!({"parameter": "/ns/x/a:3"})).as_deref(),
            Some(old)
        );
        assert_eq!(
            read(json!({"parameter": "/ns/x/a:4"})),
            None,
            "another is pinned"
        );
        let arn = "arn:aws:ssm:us-east-1:111122223333:parameter/ns/x/b";
        assert_eq!(read(json!({"parameter": arn})).as_deref(), Some(new));
        // Of an ARN without what is recorded as a parameter nothing is known.
        assert_eq!(read(json!({"secret": ARN})), None);
        let path = recipe(json!({"dataFrom": [{"parameterPath": "/ns/x/"}]}));
        let recorded = versions(&path, &record).unwrap();
        let members: Vec<_> = recorded.prefixes[0].1.keys().collect();
        assert_eq!(members, ["/ns/x/a", "/ns/x/b"]);
    }

    #[test]
    fn members_are_those_under_the_prefix() {
        let recipe = recipe(json!({"dataFrom": [{"prefix": "ns/x/"}, {"secret": "ns/a"}]}));
        let record = sources(&[("ns/a", "1"), ("ns/x/b", "2"), ("ns/x/c", "3")]);
        let recorded = versions(&recipe, &record).unwrap();
        let members: Vec<_> = recorded.prefixes[0].1.iter().collect();
        let (b, c) = (
            ("ns/x/b".to_owned(), "2".to_owned()),
            ("ns/x/c".to_owned(), "3".to_owned()),
        );
        assert_eq!(members, [(&b.0, &b.1), (&c.0, &c.1)]);
        assert_eq!(entries(&recorded), [Some("1")]);
    }
}
