#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

const ARN: &str = "arn:aws:ssm:us-east-1:111122223333:parameter";

fn name(name: &str) -> ParameterId {
    ParameterId::Name(name.to_owned())
}

fn at(resource: &str) -> ParameterId {
    ParameterId::Arn(ParameterArn::parse(&format!("{ARN}{resource}")).unwrap())
}

#[test]
fn names_and_arns_with_and_without_a_version() {
    use VersionSelector::{Current, Id, Stage};
    for (text, id, version) in [
        ("log-level", name("log-level"), Current),
        ("/log-level", name("/log-level"), Current),
        (
            "/estate/config/Log_level.x",
            name("/estate/config/Log_level.x"),
            Current,
        ),
        ("/a/b:3", name("/a/b"), Id("3".into())),
        ("/a/b:blue", name("/a/b"), Stage("blue".into())),
        ("/a/b:.v3", name("/a/b"), Stage(".v3".into())),
        (&format!("{ARN}/a/b"), at("/a/b"), Current),
        (&format!("{ARN}/a:12"), at("/a"), Id("12".into())),
        (&format!("{ARN}/a/b:blue"), at("/a/b"), Stage("blue".into())),
        (
            "arn:aws-us-gov:ssm:us-gov-west-1:111122223333:parameter/a",
            ParameterId::Arn(ParameterArn {
                partition: "aws-us-gov".into(),
                region: "us-gov-west-1".into(),
                account: "111122223333".into(),
                resource: "/a".into(),
            }),
            Current,
        ),
    ] {
        let ask = parse_parameter(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (ask.id, ask.version),
            (SecretId::Parameter(id), version),
            "{text}"
        );
    }
}

#[test]
fn what_names_no_parameter_is_refused_by_kind() {
    use ParameterError::{Arn, Length, Name, Version};
    let long = format!("/{}", "a".repeat(MAX));
    let label = format!("/a:{}", "b".repeat(MAX_LABEL + 1));
    for (text, error) in [
        ("", Length),
        (&*long, Length),
        ("a/b", Name),
        ("/", Name),
        ("/a//b", Name),
        ("/a/", Name),
        ("/a b", Name),
        ("/ä", Name),
        ("/a@b", Name),
        (":3", Name),
        ("/a:", Version),
        ("/a:0", Version),
        ("/a:03", Version),
        ("/a:3x", Version),
        ("/a:b:c", Version),
        ("/a:blue green", Version),
        (&label, Version),
        ("arn:aws:ssm:us-east-1:111122223333:parameter", Arn),
        ("arn:aws:ssm:us-east-1:111122223333:parameters/a", Arn),
        ("arn:aws:ssm:us-east-1:1111:parameter/a", Arn),
        ("arn:aws:ssm:nowhere:111122223333:parameter/a", Arn),
        ("arn:gcp:ssm:us-east-1:111122223333:parameter/a", Arn),
        (
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:a",
            Arn,
        ),
    ] {
        assert_eq!(parse_parameter(text), Err(error), "{text}");
    }
}

#[test]
fn a_path_ends_with_a_slash() {
    for (text, expected) in [
        ("/estate/config/", Some("/estate/config/")),
        ("/estate/config", Some("/estate/config/")),
        ("/a", Some("/a/")),
        ("/", None),
        ("", None),
        ("estate/", None),
        ("//", None),
        ("/a//", None),
        ("/a/*", None),
        ("/a:3", None),
    ] {
        assert_eq!(path(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn an_arn_of_one_level_may_mean_two_names() {
    for (id, readings) in [
        (name("a"), vec!["a"]),
        (name("/a"), vec!["/a"]),
        (at("/a"), vec!["a", "/a"]),
        (at("/a/b"), vec!["/a/b"]),
    ] {
        assert_eq!(id.readings(), readings);
        assert!(readings.iter().all(|reading| id.may_be(reading)));
        assert!(!id.may_be("b"));
    }
    assert_eq!(at("/a/b").request(), format!("{ARN}/a/b"));
}

#[test]
fn versions_of_one_number_are_told_apart() {
    let then = |second| Timestamp::from_second(second).ok();
    let one = version_id("arn:one", 3, then(1_700_000_000));
    assert_eq!(number(&one), Some("3"));
    assert_eq!(one, version_id("arn:one", 3, then(1_700_000_000)));
    for other in [
        version_id("arn:one", 3, then(1_700_000_001)),
        version_id("arn:two", 3, then(1_700_000_000)),
        version_id("arn:one", 4, then(1_700_000_000)),
    ] {
        assert_ne!(one, other);
        assert!(!is_version(&one, &other));
    }
    assert!(is_version("3", &one) && is_version(&one, &one) && !is_version("4", &one));
}

#[test]
fn ids_of_secrets_are_not_taken_for_those_of_parameters() {
    for text in [
        "41aa07c9-0000-4000-8000-00000000000a",
        "3",
        "3-",
        "3-abc",
        "03-0123abcd",
        "3-0123ABCD",
        "x-0123abcd",
        "3-0123abcde",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
    assert_eq!(number("3-0123abcd"), Some("3"));
}
