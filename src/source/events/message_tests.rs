#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "ap-northeast-2";
const ARN: &str = "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:prod/ai-AbCdEf";
const VERSION: &str = "5c0d1f2e-3b4a-4c5d-8e6f-7a8b9c0d1e2f";

fn event(detail_type: &str, detail: Value) -> Value {
    json!({
        "version": "0", "id": "a3b1", "detail-type": detail_type, "source": "aws.secretsmanager",
        "account": ACCOUNT, "time": "2026-11-21T10:00:00Z", "region": REGION, "resources": [], "detail": detail,
    })
}

fn native(label: &str) -> Value {
    let detail = json!({"name": "prod/ai", "labelUpdated": label, "versionId": VERSION});
    with(
        event("Secret Label Updated", detail),
        "/resources",
        json!([ARN]),
    )
}

fn call(name: &str, request: Value, response: Value) -> Value {
    event(
        "AWS API Call via CloudTrail",
        json!({
            "eventVersion": "1.09", "eventSource": "secretsmanager.amazonaws.com", "eventName": name,
            "awsRegion": REGION, "recipientAccountId": ACCOUNT, "userIdentity": {"type": "AssumedRole", "arn": "x"},
            "requestParameters": request, "responseElements": response,
        }),
    )
}

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

fn without(mut event: Value, field: &str) -> Value {
    event.as_object_mut().unwrap().remove(field);
    event
}

fn wrapped(event: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:x", "Message": event.to_string()})
}

fn full(text: &str) -> HintId {
    HintId::Arn(parse_arn(text).unwrap())
}

/// kind, entry, label, version
type Expected<'a> = (HintKind, HintId, Option<&'a str>, Option<&'a str>);

fn expect(body: &Value, (kind, secret, label, version): Expected<'_>) {
    let wanted = Ok(Hint {
        account: ACCOUNT.into(),
        region: REGION.into(),
        secret,
        label: label.map(str::to_owned),
        version_id: version.map(str::to_owned),
        kind,
    });
    assert_eq!(parse(&body.to_string()), wanted, "{body}");
    assert_eq!(parse(&wrapped(body).to_string()), wanted, "in SNS: {body}");
}

#[test]
fn secrets_managers_own_event() {
    let current = Some("AWSCURRENT");
    expect(
        &native("AWSCURRENT"),
        (HintKind::Moved, full(ARN), current, Some(VERSION)),
    );
    expect(
        &native("blue"),
        (HintKind::Moved, full(ARN), Some("blue"), Some(VERSION)),
    );
    let by_name = with(native("AWSCURRENT"), "/resources", json!([]));
    let name = HintId::Name("prod/ai".into());
    expect(
        &by_name,
        (HintKind::Moved, name.clone(), current, Some(VERSION)),
    );
    expect(
        &without(by_name, "resources"),
        (HintKind::Moved, name, current, Some(VERSION)),
    );
    // A version id that cannot be one is no reason to miss the change.
    for odd in [String::new(), "x".repeat(65), "a b".into(), "ü".into()] {
        let body = with(native("AWSCURRENT"), "/detail/versionId", json!(odd));
        expect(&body, (HintKind::Moved, full(ARN), current, None));
    }
}

#[test]
fn calls_that_cloudtrail_saw() {
    use HintKind::{Appeared, Deleted, Moved};
    let typed = HintId::Name("prod/ai".into());
    let partial_text = "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:prod/ai";
    let partial = HintId::TypedArn(parse_arn(partial_text).unwrap());
    let id = || json!({"secretId": "prod/ai"});
    let token = |stages: Value| json!({"secretId": "prod/ai", "clientRequestToken": VERSION, "versionStages": stages});
    let moved = |label: &str| json!({"secretId": partial_text, "versionStage": label, "moveToVersionId": VERSION, "removeFromVersionId": "old"});
    let (arn, old_arn) = (json!({"arn": ARN}), json!({"aRN": ARN, "name": "prod/ai"}));
    for (name, request, response, wanted) in [
        (
            "PutSecretValue",
            id(),
            Value::Null,
            (Moved, typed.clone(), None, None),
        ),
        (
            "PutSecretValue",
            token(Value::Null),
            Value::Null,
            (Moved, typed.clone(), None, Some(VERSION)),
        ),
        (
            "PutSecretValue",
            token(json!(["AWSCURRENT"])),
            arn.clone(),
            (Moved, full(ARN), Some("AWSCURRENT"), Some(VERSION)),
        ),
        (
            "PutSecretValue",
            token(json!(["AWSPENDING", "blue"])),
            arn.clone(),
            (Moved, full(ARN), Some("blue"), Some(VERSION)),
        ),
        (
            "PutSecretValue",
            token(json!(["AWSCURRENT", "blue"])),
            arn.clone(),
            (Moved, full(ARN), None, Some(VERSION)),
        ),
        // Whether a value came along is not told, so the token is no version.
        (
            "UpdateSecret",
            token(Value::Null),
            Value::Null,
            (Moved, typed.clone(), None, None),
        ),
        (
            "UpdateSecret",
            json!({"secretId": ARN}),
            old_arn.clone(),
            (Moved, full(ARN), None, None),
        ),
        (
            "UpdateSecret",
            json!({"secretId": ARN}),
            Value::Null,
            (Moved, HintId::TypedArn(parse_arn(ARN).unwrap()), None, None),
        ),
        (
            "UpdateSecretVersionStage",
            moved("AWSCURRENT"),
            Value::Null,
            (Moved, partial.clone(), Some("AWSCURRENT"), Some(VERSION)),
        ),
        (
            "UpdateSecretVersionStage",
            moved("blue"),
            old_arn.clone(),
            (Moved, full(ARN), Some("blue"), Some(VERSION)),
        ),
        (
            "DeleteSecret",
            id(),
            old_arn.clone(),
            (Deleted, full(ARN), None, None),
        ),
        (
            "DeleteSecret",
            id(),
            Value::Null,
            (Deleted, typed.clone(), None, None),
        ),
        (
            "RestoreSecret",
            id(),
            arn.clone(),
            (Appeared, full(ARN), None, None),
        ),
        (
            "CreateSecret",
            json!({"name": "prod/ai"}),
            arn,
            (Appeared, full(ARN), None, None),
        ),
        (
            "CreateSecret",
            json!({"name": "prod/ai"}),
            Value::Null,
            (Appeared, typed, None, None),
        ),
    ] {
        expect(&call(name, request, response), wanted);
    }
}

#[test]
fn a_rotation_that_the_service_reports() {
    let body = |name: &str, id: Value| {
        let detail = json!({
            "eventSource": "secretsmanager.amazonaws.com", "eventName": name, "requestParameters": null,
            "responseElements": null, "additionalEventData": {"SecretId": id},
        });
        event("AWS Service Event via CloudTrail", detail)
    };
    expect(
        &body("RotationSucceeded", json!(ARN)),
        (HintKind::Moved, full(ARN), None, None),
    );
    for (name, id, why) in [
        ("RotationStarted", json!(ARN), Ignored::Name),
        ("RotationFailed", json!(ARN), Ignored::Name),
        ("RotationSucceeded", json!("prod/ai"), Ignored::NoSecret),
        ("RotationSucceeded", json!(5), Ignored::Shape),
        ("RotationSucceeded", Value::Null, Ignored::NoSecret),
    ] {
        assert_eq!(parse(&body(name, id).to_string()), Err(why), "{name}");
    }
}

#[test]
fn an_arn_says_where_its_entry_is() {
    let elsewhere = "arn:aws:secretsmanager:us-east-1:444455556666:secret:db-AbCdEf";
    let by_owner = call(
        "PutSecretValue",
        json!({"secretId": elsewhere}),
        Value::Null,
    );
    let Ok(hint) = parse(&by_owner.to_string()) else {
        panic!("no hint");
    };
    assert_eq!(
        (hint.account.as_str(), hint.region.as_str()),
        ("444455556666", "us-east-1")
    );
}

#[test]
fn what_means_nothing_to_us() {
    let id = || json!({"secretId": "prod/ai"});
    let put = || call("PutSecretValue", id(), Value::Null);
    let foreign_source = with(put(), "/detail/eventSource", json!("sqs.amazonaws.com"));
    let mut failed = put();
    failed["detail"]["errorCode"] = json!("AccessDenied");
    let pending = json!({"secretId": "prod/ai", "versionStages": ["AWSPENDING"]});
    let previous = json!({"secretId": "prod/ai", "versionStage": "AWSPREVIOUS"});
    let confirmation = json!({"Type": "SubscriptionConfirmation", "Message": native("AWSCURRENT").to_string(), "Token": "x"});
    for (body, why) in [
        (native("AWSPENDING"), Ignored::Label),
        (native("AWSPREVIOUS"), Ignored::Label),
        (native(""), Ignored::Shape),
        (native(&"l".repeat(257)), Ignored::Shape),
        (call("PutSecretValue", pending, Value::Null), Ignored::Label),
        (
            call("UpdateSecretVersionStage", previous, Value::Null),
            Ignored::Label,
        ),
        (
            with(native("AWSCURRENT"), "/source", json!("aws.s3")),
            Ignored::Foreign,
        ),
        (
            with(
                native("AWSCURRENT"),
                "/source",
                json!("custom.aws.secretsmanager"),
            ),
            Ignored::Foreign,
        ),
        (without(native("AWSCURRENT"), "source"), Ignored::Foreign),
        (
            with(
                native("AWSCURRENT"),
                "/detail-type",
                json!("Secret Something"),
            ),
            Ignored::Foreign,
        ),
        (foreign_source, Ignored::Foreign),
        (json!({}), Ignored::Foreign),
        (
            json!({"Records": [], "Event": "s3:TestEvent"}),
            Ignored::Foreign,
        ),
        (confirmation, Ignored::Foreign),
        (wrapped(&wrapped(&native("AWSCURRENT"))), Ignored::Foreign),
        (failed, Ignored::FailedCall),
        (call("GetSecretValue", id(), Value::Null), Ignored::Name),
        (call("TagResource", id(), Value::Null), Ignored::Name),
        (call("RotateSecret", id(), Value::Null), Ignored::Name),
        (
            call("PutSecretValue", Value::Null, Value::Null),
            Ignored::NoSecret,
        ),
        (
            call("PutSecretValue", json!({"name": "prod/ai"}), Value::Null),
            Ignored::NoSecret,
        ),
        (
            call("PutSecretValue", json!({"secretId": ""}), Value::Null),
            Ignored::NoSecret,
        ),
        (
            call("PutSecretValue", json!({"secretId": "ä"}), Value::Null),
            Ignored::NoSecret,
        ),
        (
            call("PutSecretValue", json!({"secretId": "a b"}), Value::Null),
            Ignored::NoSecret,
        ),
        (
            call(
                "PutSecretValue",
                json!({"secretId": "n".repeat(513)}),
                Value::Null,
            ),
            Ignored::NoSecret,
        ),
        (
            call(
                "PutSecretValue",
                json!({"secretId": "arn:aws:sqs:ap-northeast-2:111122223333:secret:x"}),
                Value::Null,
            ),
            Ignored::NoSecret,
        ),
        (
            call(
                "PutSecretValue",
                json!({"secretId": "arn:aws:secretsmanager:AP:1:secret:x"}),
                Value::Null,
            ),
            Ignored::NoSecret,
        ),
        (
            with(
                native("AWSCURRENT"),
                "/resources",
                json!(["arn:aws:secretsmanager:"]),
            ),
            Ignored::NoSecret,
        ),
        (with(put(), "/account", json!("1111")), Ignored::Shape),
        (with(put(), "/region", json!("../..")), Ignored::Shape),
        (with(put(), "/region", Value::Null), Ignored::Shape),
    ] {
        assert_eq!(parse(&body.to_string()), Err(why), "{body}");
    }
}

#[test]
fn hostile_bodies() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_detail = |depth| {
        native("AWSCURRENT").to_string().replace(
            "\"detail\":{",
            &format!("\"detail\":{{\"x\":{},", deep(depth)),
        )
    };
    let twice =
        native("AWSCURRENT")
            .to_string()
            .replacen('{', "{\"source\":\"aws.secretsmanager\",", 1);
    let padding = |length| json!({"padding": "x".repeat(length)}).to_string();
    for (body, why) in [
        (String::new(), Ignored::NotJson),
        ("\0".into(), Ignored::NotJson),
        ("not JSON".into(), Ignored::NotJson),
        (
            native("AWSCURRENT").to_string()[..80].into(),
            Ignored::NotJson,
        ),
        (format!("{}{{", native("AWSCURRENT")), Ignored::NotJson),
        (
            "{\"Type\":\"Notification\",\"Message\":\"{\"}".into(),
            Ignored::NotJson,
        ),
        ("null".into(), Ignored::Shape),
        ("5".into(), Ignored::Shape),
        ("\"aws.secretsmanager\"".into(), Ignored::Shape),
        (twice, Ignored::Shape),
        (
            with(native("AWSCURRENT"), "/resources", json!("x")).to_string(),
            Ignored::Shape,
        ),
        (
            with(native("AWSCURRENT"), "/detail", json!("x")).to_string(),
            Ignored::Shape,
        ),
        (
            with(native("AWSCURRENT"), "/detail/name", json!({"a": 1})).to_string(),
            Ignored::Shape,
        ),
        (
            with(
                native("AWSCURRENT"),
                "/source",
                json!(["aws.secretsmanager"]),
            )
            .to_string(),
            Ignored::Shape,
        ),
        (padding(1 << 20), Ignored::TooLarge),
        (deep(1 << 20), Ignored::TooLarge),
        (deep(100_000), Ignored::Shape),
        (format!("{{\"x\":{}}}", deep(100_000)), Ignored::Foreign),
    ] {
        let shown: String = body.chars().take(200).collect();
        assert_eq!(parse(&body), Err(why), "{shown}");
    }
    // Depth where nobody looks does no harm.
    assert!(parse(&deep_detail(100_000)).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_parsed(body in "\\PC{0,200}") {
        let _ = parse(&body);
    }

    /// A good body with one piece replaced by any text: no panic, and what is believed keeps its bounds.
    #[test]
    fn a_torn_body_is_parsed(from in 0_usize..600, length in 0_usize..40, text in "[\\PC\"{}\\[\\]:,]{0,20}", wrap: bool) {
        let mut body = native("AWSCURRENT").to_string();
        let (start, end) = (from.min(body.len()), (from + length).min(body.len()));
        body.replace_range(start..end, &text);
        if wrap {
            body = json!({"Type": "Notification", "Message": body}).to_string();
        }
        if let Ok(hint) = parse(&body) {
            prop_assert_eq!(hint.account.len(), 12);
            prop_assert!(is_word(&hint.region));
            prop_assert!(hint.version_id.is_none_or(|id| id.len() <= MAX_VERSION));
            prop_assert!(hint.label.is_none_or(|label| label.len() <= MAX_LABEL));
        }
    }
}
