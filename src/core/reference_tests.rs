#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecomind/staging/database";
const ID: &str = "0b54c9c9-35a1-4d6f-9d2c-0f0d8f3b4f10";

#[test]
fn names_are_taken_as_they_stand() {
    for name in [
        "bizi/production",
        "a",
        "A-z_0/9+=.@-",
        "jwt-secret",
        &"n".repeat(512),
    ] {
        let parsed = parse_reference(name).unwrap();
        assert_eq!(parsed.ask.id, SecretId::Name(name.to_owned()));
        assert_eq!(parsed.ask.version, VersionSelector::Current);
        assert_eq!(parsed.property, None);
        assert_eq!(parsed.ask.id.request(), name);
        assert_eq!(parsed.ask.id.readings(), [name]);
    }
    for (name, error) in [
        ("", ReferenceError::Empty),
        ("with space", ReferenceError::Characters),
        ("name:password", ReferenceError::Characters),
        ("ünïcode", ReferenceError::Characters),
        (&"n".repeat(513), ReferenceError::TooLong(512)),
        (&"n".repeat(1101), ReferenceError::TooLong(1100)),
    ] {
        assert_eq!(parse_reference(name), Err(error), "{name}");
    }
}

#[test]
fn arns_of_every_partition() {
    for (partition, region) in [
        ("aws", "ap-northeast-2"),
        ("aws-cn", "cn-north-1"),
        ("aws-us-gov", "us-gov-west-1"),
        ("aws-iso", "us-iso-east-1"),
        ("aws-iso-b", "us-isob-east-1"),
        ("aws-iso-f", "us-isof-south-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ] {
        let text =
            format!("arn:{partition}:secretsmanager:{region}:111122223333:secret:a/b-AbCdEf");
        let id = parse_reference(&text).unwrap().ask.id;
        assert_eq!(id.request(), text);
        assert_eq!(id.region(), Some(region));
        assert_eq!(id.account(), Some("111122223333"));
        assert_eq!(id.display(), "a/b-AbCdEf");
    }
}

#[test]
fn ecs_tails() {
    let stage = |s: &str| VersionSelector::Stage(s.to_owned());
    let id = VersionSelector::Id(ID.to_owned());
    for (tail, property, version) in [
        ("", None, VersionSelector::Current),
        (
            ":connection_string::",
            Some("connection_string"),
            VersionSelector::Current,
        ),
        (":::", None, VersionSelector::Current),
        (
            ":password:AWSPREVIOUS:",
            Some("password"),
            stage("AWSPREVIOUS"),
        ),
        ("::AWSCURRENT:", None, VersionSelector::Current),
        ("::AWSPENDING:", None, stage("AWSPENDING")),
        (&format!(":::{ID}"), None, id.clone()),
        (&format!(":a.b::{ID}"), Some("a.b"), id),
    ] {
        let parsed = parse_reference(&format!("{ARN}{tail}")).unwrap();
        assert_eq!(parsed.property.as_deref(), property, "{tail}");
        assert_eq!(parsed.ask.version, version, "{tail}");
        assert_eq!(parsed.ask.id.request(), ARN);
    }
    for (tail, error) in [
        (&*format!("::AWSCURRENT:{ID}"), ReferenceError::StageAndId),
        ("::::", ReferenceError::Tail),
        (":password", ReferenceError::Tail),
        ("::AWSPREVIOUS", ReferenceError::Tail),
        (":", ReferenceError::Tail),
        (":::short", ReferenceError::VersionId),
    ] {
        assert_eq!(
            parse_reference(&format!("{ARN}{tail}")),
            Err(error),
            "{tail}"
        );
    }
}

#[test]
fn other_arns_are_refused() {
    for text in [
        "arn:",
        "arn:aws",
        "arn:gcp:secretsmanager:us-east-1:123456789012:secret:a",
        "arn:aws-:secretsmanager:us-east-1:123456789012:secret:a",
        "arn:aws:ssm:us-east-1:123456789012:parameter:a",
        "arn:aws:secretsmanager::123456789012:secret:a",
        "arn:aws:secretsmanager:US-EAST-1:123456789012:secret:a",
        "arn:aws:secretsmanager:useast1:123456789012:secret:a",
        "arn:aws:secretsmanager:us-east-1:12345678901:secret:a",
        "arn:aws:secretsmanager:us-east-1::secret:a",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:a b",
        "arn:aws:secretsmanager:us-east-1:123456789012:rotation:a",
    ] {
        assert!(parse_reference(text).is_err(), "{text}");
    }
}

#[test]
fn a_suffix_is_never_assumed() {
    for (resource, readings) in [
        ("a/jwt-secret", vec!["a/jwt-secret", "a/jwt"]),
        (
            "a/jwt-secret-AbCdEf",
            vec!["a/jwt-secret-AbCdEf", "a/jwt-secret"],
        ),
        ("a/db", vec!["a/db"]),
        ("a/db-Ab_dEf", vec!["a/db-Ab_dEf"]),
        ("-AbCdEf", vec!["-AbCdEf"]),
    ] {
        let text = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{resource}");
        assert_eq!(parse_reference(&text).unwrap().ask.id.readings(), readings);
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,200}") {
        let _ = parse_reference(&text);
        let _ = parse_reference(&format!("arn:{text}"));
        let _ = parse_reference(&format!("{ARN}:{text}"));
    }

    #[test]
    fn an_accepted_id_is_asked_for_as_written(text in "[a-zA-Z0-9/_+=.@-]{1,60}") {
        let arn = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{text}");
        prop_assert_eq!(parse_reference(&arn).unwrap().ask.id.request(), arn);
        prop_assert_eq!(parse_reference(&text).unwrap().ask.id.request(), text);
    }
}
