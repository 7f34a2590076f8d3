#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::leak::assert_no_leak;
use crate::core::{
    Entry, EntryAsk, EntryValue, ParseSettings, PrefixAsk, SecretId, VersionSelector, parse,
};

const DATABASE: &str = r#"{"engine":"postgres","host":"db.internal","port":5432,"dbname":"shop",
 "username":"app","password":"p@ss/w:rd-4Zq81","price":1.10,"exp":1e5,
 "long":123456789012345678901234567890,"on":true,"nothing":null,"cert":"line one\nline two\n"}"#;
const BINARY: &[u8] = b"\xff\x00keystore-bytes\n";

fn entry(name: &str, value: EntryValue) -> Arc<Entry> {
    Arc::new(Entry {
        arn: format!("arn:aws:secretsmanager:us-east-1:111122223333:secret:{name}-AbCdEf"),
        name: name.to_owned(),
        version_id: format!("{:x<8}-version", name.replace('/', "")),
        created: None,
        value,
    })
}

fn text(value: &str) -> EntryValue {
    EntryValue::Text(SecretValue::from(value.to_owned()))
}

fn ask(name: &str) -> EntryAsk {
    EntryAsk {
        id: SecretId::Name(name.to_owned()),
        version: VersionSelector::Current,
    }
}

fn finding(reason: Reason) -> Finding {
    Finding::new(reason, format!("{reason} happened."), "")
}

/// Everything the cases below read.
fn fetched() -> Fetched {
    let mut fetched = Fetched::default();
    let deep = format!("{{\"{}\":\"deep-secret-value\"}}", "k".repeat(300));
    for (name, value) in [
        ("db", text(DATABASE)),
        ("plain", text("plain-Secret-value-77\n")),
        ("empty", text("")),
        (
            "binary",
            EntryValue::Binary(SecretValue::new(BINARY.to_vec())),
        ),
        ("b64", text("/wBrZXlzdG9yZS1ieXRlcwo=")),
        ("b64url", text("_wBrZXlzdG9yZS1ieXRlcwo")),
        (
            "repeats",
            text(r#"{"a":"first-secret-value","a":"second-secret-value"}"#),
        ),
        ("broken", text("{\"a\":\n broken-secret-value}")),
        ("surrogate", text(r#"{"a":"secret-value-\ud800"}"#)),
        ("list", text(r#"["list-secret-value"]"#)),
        ("object", text("{}")),
        (
            "nested",
            text(r#"{"inner":{"A":"nested-secret-a","B":{"C":[1, 2]}},"other":"nested-secret-o"}"#),
        ),
        (
            "odd",
            text(r#"{"bad name!":"odd-secret-value","ok":"odd-secret-other"}"#),
        ),
        ("long", text(&deep)),
        ("big", text(&"big-secret-value".repeat(4096))),
    ] {
        fetched.entries.insert(ask(name), Ok(entry(name, value)));
    }
    for (name, reason) in [
        ("gone", Reason::SecretNotFound),
        ("nostage", Reason::StageMissing),
        ("denied", Reason::AccessDenied),
        ("down", Reason::AwsUnavailable),
        ("deleted", Reason::MarkedForDeletion),
    ] {
        fetched.entries.insert(ask(name), Err(finding(reason)));
    }
    let mut slow = finding(Reason::Throttled);
    slow.retry_after = Some(Duration::from_secs(7));
    fetched.entries.insert(ask("slow"), Err(slow));
    let members = ["redis-password", "jwt-secret", "mail/smtp/password"];
    let members =
        members.map(|m| entry(&format!("gaara/{m}"), text(&format!("member-{}", m.len()))));
    fetched
        .listings
        .insert(prefix("gaara/"), Ok(members.to_vec()));
    fetched.listings.insert(prefix("none/"), Ok(vec![]));
    fetched
        .listings
        .insert(prefix("denied/"), Err(finding(Reason::AccessDenied)));
    let same = ["a-b", "a/b"].map(|m| entry(&format!("same/{m}"), text("value-of-same")));
    fetched.listings.insert(prefix("same/"), Ok(same.to_vec()));
    let many = (0..501)
        .map(|i| entry(&format!("many/{i}"), text("v")))
        .collect();
    fetched.listings.insert(prefix("many/"), Ok(many));
    fetched
}

fn prefix(prefix: &str) -> PrefixAsk {
    PrefixAsk {
        store: Default::default(),
        prefix: prefix.to_owned(),
        tags: BTreeMap::new(),
    }
}

fn recipe(spec: Value) -> Recipe {
    let spec = serde_json::from_value(spec).unwrap();
    parse("estate", "backend", &spec, &ParseSettings::default()).unwrap()
}

fn rendered(spec: Value) -> Rendered {
    render(&recipe(spec), &fetched()).unwrap()
}

/// The refusal of a spec, after checking that it shows nothing of any value.
fn refusal(spec: Value) -> Finding {
    let fetched = fetched();
    let finding = render(&recipe(spec), &fetched)
        .map(|r| r.data.len())
        .unwrap_err();
    let listed = fetched.listings.values().flatten().flatten();
    let entries: Vec<&Arc<Entry>> = fetched.entries.values().flatten().chain(listed).collect();
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for entry in entries {
        secrets.extend(leaves(entry.value.bytes().expose()));
    }
    let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    assert_no_leak(&finding.to_string(), &secrets);
    finding
}

/// The values inside JSON (its property names may be shown), or the whole of anything else.
fn leaves(bytes: &[u8]) -> Vec<Vec<u8>> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(map)) => map.values().map(|v| v.to_string().into_bytes()).collect(),
        _ => vec![bytes.to_vec()],
    }
}

fn key(key: &str, from: Value) -> Value {
    json!({"key": key, "from": from})
}

fn one(from: Value) -> Value {
    json!({ "data": [key("K", from)] })
}

fn bytes(rendered: &Rendered, key: &str) -> Vec<u8> {
    rendered.data[key].expose().to_vec()
}

#[test]
fn values_are_byte_exact() {
    for (from, expected) in [
        (json!({"secret": "plain"}), &b"plain-Secret-value-77\n"[..]),
        (json!({"secret": "empty"}), b""),
        (json!({"secret": "binary"}), BINARY),
        (json!({"secret": "db"}), DATABASE.as_bytes()),
        (json!({"secret": "db", "property": "port"}), b"5432"),
        (json!({"secret": "db", "property": "price"}), b"1.10"),
        (json!({"secret": "db", "property": "exp"}), b"1e5"),
        (
            json!({"secret": "db", "property": "long"}),
            b"123456789012345678901234567890",
        ),
        (json!({"secret": "db", "property": "on"}), b"true"),
        (json!({"secret": "db", "property": "nothing"}), b"null"),
        (
            json!({"secret": "db", "property": "cert"}),
            b"line one\nline two\n",
        ),
        (
            json!({"secret": "nested", "property": "inner.B"}),
            b"{\"C\":[1,2]}",
        ),
        (json!({"secret": "b64", "decode": "Base64"}), BINARY),
        (json!({"secret": "b64url", "decode": "Base64Url"}), BINARY),
    ] {
        assert_eq!(bytes(&rendered(one(from.clone())), "K"), expected, "{from}");
    }
}

#[test]
fn base64_is_padded_or_not_and_of_one_alphabet() {
    for (text, url_safe, expected) in [
        ("_w==", true, Some(vec![0xff])),
        ("_w", true, Some(vec![0xff])),
        ("/w", false, Some(vec![0xff])),
        ("/w==\n", false, Some(vec![0xff])),
        ("YW\r\nJj", false, Some(b"abc".to_vec())),
        ("_w", false, None),
        ("/w", true, None),
        ("a", false, None),
        ("!!", false, None),
        ("", false, Some(vec![])),
    ] {
        let decoded = decode_base64(text.as_bytes(), url_safe);
        assert_eq!(decoded, expected.map(SecretValue::new), "{text}");
    }
}

#[test]
fn objects_and_prefixes_become_keys() {
    let all = rendered(json!({"dataFrom": [
        {"secret": "db", "include": ["*name", "pass*"], "exclude": ["dbname"], "rename": {"case": "UpperSnake", "addPrefix": "DB_"}},
        {"secret": "nested", "property": "inner"},
        {"prefix": "gaara/", "rename": {"case": "UpperSnake", "keys": {"jwt-secret": "JWT_SECRET_KEY"}}},
    ]}));
    let keys: Vec<&str> = all.data.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "A",
            "B",
            "DB_PASSWORD",
            "DB_USERNAME",
            "JWT_SECRET_KEY",
            "MAIL_SMTP_PASSWORD",
            "REDIS_PASSWORD"
        ]
    );
    assert_eq!(bytes(&all, "MAIL_SMTP_PASSWORD"), b"member-18");
    let names: Vec<&str> = all.used.iter().map(|u| &*u.name).collect();
    assert_eq!(
        names,
        [
            "db",
            "gaara/jwt-secret",
            "gaara/mail/smtp/password",
            "gaara/redis-password",
            "nested"
        ]
    );
    assert_eq!(all.origins["A"], "\"nested\" version nestedxx");
    let narrow = rendered(json!({"dataFrom": [{"prefix": "gaara/", "include": ["mail/*"]}]}));
    assert_eq!(
        narrow.data.keys().collect::<Vec<_>>(),
        ["mail_smtp_password"]
    );
    assert_eq!(narrow.used.len(), 1);
}

#[test]
fn missing_is_left_out_only_when_optional_and_only_when_missing() {
    let optional = |from: Value| json!({"data": [key("KEPT", json!({"secret": "plain"})), {"key": "K", "from": from, "optional": true}]});
    for from in [
        json!({"secret": "gone"}),
        json!({"secret": "nostage"}),
        json!({"secret": "db", "property": "nope"}),
    ] {
        let result = rendered(optional(from.clone()));
        assert_eq!(result.data.keys().collect::<Vec<_>>(), ["KEPT"], "{from}");
        assert_eq!(result.notes.len(), 1);
        assert!(
            result.notes[0].starts_with("Optional K is left out: "),
            "{:?}",
            result.notes
        );
    }
    for (from, reason) in [
        (json!({"secret": "denied"}), Reason::AccessDenied),
        (json!({"secret": "down"}), Reason::AwsUnavailable),
        (json!({"secret": "slow"}), Reason::Throttled),
        (json!({"secret": "deleted"}), Reason::MarkedForDeletion),
        (json!({"secret": "plain", "property": "x"}), Reason::NotJson),
        (json!({"secret": "never-asked"}), Reason::AwsUnavailable),
    ] {
        assert_eq!(refusal(optional(from.clone())).reason, reason, "{from}");
    }
    let group = |item: Value| json!({"data": [key("KEPT", json!({"secret": "plain"}))], "dataFrom": [item]});
    for item in [
        json!({"prefix": "none/"}),
        json!({"secret": "gone"}),
        json!({"secret": "object"}),
        json!({"secret": "db", "property": "nope"}),
    ] {
        let mut required = item.clone();
        required["optional"] = json!(false);
        refusal(group(required));
        let mut optional = item.clone();
        optional["optional"] = json!(true);
        assert_eq!(rendered(group(optional)).data.len(), 1, "{item}");
    }
    assert_eq!(
        refusal(group(json!({"prefix": "denied/", "optional": true}))).reason,
        Reason::AccessDenied
    );
}

#[test]
fn every_refusal_has_its_reason_and_shows_no_value() {
    let group = |item: Value| json!({ "dataFrom": [item] });
    for (spec, reason, words) in [
        (
            one(json!({"secret": "db", "property": "connection_string"})),
            Reason::PropertyMissing,
            "\"db\" has no property \"connection_string\" (12 properties).",
        ),
        (
            one(json!({"secret": "list", "property": "a"})),
            Reason::PropertyMissing,
            "(1 property)",
        ),
        (
            one(json!({"secret": "plain", "property": "a"})),
            Reason::NotJson,
            "\"plain\" is not valid JSON (line 1, column 1).",
        ),
        (
            one(json!({"secret": "broken", "property": "a"})),
            Reason::NotJson,
            "line 2, column 2",
        ),
        (
            one(json!({"secret": "surrogate", "property": "a"})),
            Reason::NotJson,
            "not valid JSON",
        ),
        (
            one(json!({"secret": "binary", "property": "a"})),
            Reason::NotJson,
            "\"binary\" is binary, not JSON.",
        ),
        (
            one(json!({"secret": "repeats", "property": "a"})),
            Reason::DuplicateKey,
            "repeats property \"a\" (line 1",
        ),
        (
            one(json!({"secret": "plain", "decode": "Base64"})),
            Reason::RuleBroken,
            "K of \"plain\" cannot be decoded",
        ),
        (
            one(json!({"secret": "db", "property": "password", "decode": "Base64Url"})),
            Reason::RuleBroken,
            "(decode: Base64Url)",
        ),
        (
            group(json!({"secret": "list"})),
            Reason::NotJson,
            "not an object",
        ),
        (
            group(json!({"secret": "db", "property": "password"})),
            Reason::NotJson,
            "no object at \"password\"",
        ),
        (
            group(json!({"secret": "object"})),
            Reason::PropertyMissing,
            "has no properties",
        ),
        (
            group(json!({"secret": "odd"})),
            Reason::InvalidKey,
            "\"bad name!\" of \"odd\" (spec.dataFrom[0])",
        ),
        (
            group(json!({"secret": "long"})),
            Reason::InvalidKey,
            "a name of 300 characters",
        ),
        (
            group(json!({"prefix": "none/"})),
            Reason::SecretNotFound,
            "No entry lies under \"none/\".",
        ),
        (
            group(json!({"prefix": "same/", "rename": {"case": "UpperSnake"}})),
            Reason::DuplicateKey,
            "Key A_B is given twice: by spec.dataFrom[0] (\"same/a-b\") and spec.dataFrom[0] (\"same/a/b\").",
        ),
        (
            group(json!({"prefix": "many/"})),
            Reason::TooLarge,
            "501 entries",
        ),
        (
            group(json!({"prefix": "unlisted/"})),
            Reason::AwsUnavailable,
            "not read",
        ),
        (
            json!({"data": [key("host", json!({"secret": "plain"}))], "dataFrom": [{"secret": "db"}]}),
            Reason::DuplicateKey,
            "Key host is given twice: by spec.data[0] (\"plain\") and spec.dataFrom[0] (\"db\").",
        ),
        (
            group(json!({"secret": "db", "include": ["nothing-matches"]})),
            Reason::PropertyMissing,
            "No key is left",
        ),
        (
            json!({"data": [{"key": "K", "from": {"secret": "gone"}, "optional": true}]}),
            Reason::PropertyMissing,
            "No key is left",
        ),
        (
            json!({"data": (0..17).map(|i| key(&format!("k{i}"), json!({"secret": "big"}))).collect::<Vec<_>>()}),
            Reason::TooLarge,
            "1114112 bytes",
        ),
    ] {
        let finding = refusal(spec.clone());
        assert_eq!(finding.reason, reason, "{finding}");
        assert!(finding.fact.contains(words), "{finding}");
    }
}

#[test]
fn the_most_important_failure_is_told_with_the_number_of_others() {
    let read = |names: &[&str]| {
        let items: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(i, n)| key(&format!("k{i}"), json!({"secret": n})))
            .collect();
        refusal(json!({ "data": items }))
    };
    assert_eq!(
        read(&["down", "gone", "denied"]).fact,
        "AccessDenied happened. 2 other reads failed too."
    );
    assert_eq!(
        read(&["down", "gone"]).fact,
        "SecretNotFound happened. 1 other read failed too."
    );
    assert_eq!(
        read(&["gone", "gone", "plain"]).fact,
        "SecretNotFound happened."
    );
    let slow = read(&["slow", "gone"]);
    assert_eq!(
        (slow.reason, slow.retry_after),
        (Reason::SecretNotFound, Some(Duration::from_secs(7)))
    );
    // What is wrong with values waits until all could be read.
    let spec = json!({"data": [key("A", json!({"secret": "db", "property": "x"})), key("B", json!({"secret": "down"}))]});
    assert_eq!(refusal(spec).fact, "AwsUnavailable happened.");
    let spec = json!({"data": [key("A", json!({"secret": "db", "property": "x"})), key("B", json!({"secret": "db", "property": "y"}))]});
    assert!(refusal(spec).fact.ends_with("1 other problem failed too."));
}

#[test]
fn templates_compose_and_keep() {
    let url = "postgresql://{{ username }}:{{ password | urlencode }}@{{ host }}:{{ port }}/{{ dbname }}?sslmode=require";
    let spec = |keep: Value| json!({"dataFrom": [{"secret": "db"}], "template": {"data": {"url": url, "host": "{{ host | upper }}"}, "keep": keep}});
    let only = rendered(spec(json!([])));
    assert_eq!(only.data.keys().collect::<Vec<_>>(), ["host", "url"]);
    assert_eq!(
        bytes(&only, "url"),
        b"postgresql://app:p%40ss%2Fw%3Ard-4Zq81@db.internal:5432/shop?sslmode=require"
    );
    assert_eq!(bytes(&only, "host"), b"DB.INTERNAL");
    assert_eq!(
        rendered(spec(json!(["username", "absent"])))
            .data
            .keys()
            .collect::<Vec<_>>(),
        ["host", "url", "username"]
    );
    let fetched_too = |keep: Value| json!({"dataFrom": [{"secret": "db"}], "template": {"data": {"host": "x"}, "keep": keep}});
    for keep in [Value::Null, json!(["host"])] {
        let finding = refusal(fetched_too(keep));
        assert_eq!(finding.reason, Reason::DuplicateKey);
        assert_eq!(
            finding.fact,
            "Key host is given twice: by spec.template.data and by what was fetched."
        );
    }
    let all = rendered(json!({"dataFrom": [{"secret": "db"}], "template": {"data": {"url": url}}}));
    assert_eq!(all.data.len(), 13);
    let failing =
        |source: &str| json!({"dataFrom": [{"secret": "db"}], "template": {"data": {"T": source}}});
    for (source, words) in [
        (
            "a\n{{ nope }}",
            "The template of key \"T\" was not rendered, line 2: uses \"nope\", which was not fetched.",
        ),
        ("{{ password | fromjson }}", "not JSON"),
        ("{{ password | b64decode }}", "not base64"),
        ("{{ password.x }}", "not fetched"),
        ("{{ password() }}", "line 1"),
    ] {
        let finding = refusal(failing(source));
        assert_eq!(finding.reason, Reason::TemplateFailed);
        assert!(finding.fact.contains(words), "{finding}");
    }
}

#[test]
fn types_need_their_keys() {
    let spec = |type_: &str, keys: &[(&str, &str)], policy: &str| {
        let data: Vec<Value> = keys
            .iter()
            .map(|(k, secret)| key(k, json!({"secret": secret})))
            .collect();
        json!({"data": data, "target": {"type": type_, "creationPolicy": policy}})
    };
    for (type_, keys) in [
        (
            "kubernetes.io/tls",
            vec![("tls.crt", "plain"), ("tls.key", "plain")],
        ),
        ("kubernetes.io/basic-auth", vec![("password", "plain")]),
        ("kubernetes.io/basic-auth", vec![("username", "plain")]),
        ("kubernetes.io/ssh-auth", vec![("ssh-privatekey", "plain")]),
        (
            "kubernetes.io/dockerconfigjson",
            vec![(".dockerconfigjson", "db")],
        ),
        ("acme.io/license", vec![("x", "plain")]),
    ] {
        rendered(spec(type_, &keys, "Owner"));
    }
    for (type_, keys, reason) in [
        (
            "kubernetes.io/tls",
            vec![("tls.crt", "plain")],
            Reason::RequiredMissing,
        ),
        (
            "kubernetes.io/tls",
            vec![("tls.key", "plain")],
            Reason::RequiredMissing,
        ),
        (
            "kubernetes.io/basic-auth",
            vec![("user", "plain")],
            Reason::RequiredMissing,
        ),
        (
            "kubernetes.io/ssh-auth",
            vec![("key", "plain")],
            Reason::RequiredMissing,
        ),
        (
            "kubernetes.io/dockerconfigjson",
            vec![("config", "db")],
            Reason::RequiredMissing,
        ),
        (
            "kubernetes.io/dockerconfigjson",
            vec![(".dockerconfigjson", "plain")],
            Reason::NotJson,
        ),
        (
            "kubernetes.io/dockerconfigjson",
            vec![(".dockerconfigjson", "binary")],
            Reason::NotJson,
        ),
    ] {
        let refused = refusal(spec(type_, &keys, "Owner"));
        assert_eq!(refused.reason, reason, "{type_} {keys:?}");
        assert_eq!(rendered(spec(type_, &keys, "Merge")).data.len(), 1);
    }
}

#[test]
fn the_same_reads_give_the_same_result() {
    let spec = json!({"data": [key("A", json!({"secret": "db", "property": "port"})), key("B", json!({"secret": "db"}))]});
    let (first, second) = (rendered(spec.clone()), rendered(spec));
    assert_eq!(first.data, second.data);
    assert_eq!(first.used.len(), 1);
    assert_eq!(first.used, second.used);
}

proptest! {
    #[test]
    fn any_bytes_are_rendered_or_refused_without_a_leak(
        value in proptest::collection::vec(any::<u8>(), 8..80),
        is_text in any::<bool>(),
        property in proptest::option::of("[a-c./]{1,4}"),
        decode in prop_oneof![Just("None"), Just("Base64"), Just("Base64Url")],
        group in any::<bool>(),
        source in prop_oneof![Just("{{ K }}"), Just("{{ K | fromjson }}"), Just("{{ K | b64decode }}"), Just("{{ K.x }}"),
            Just("{{ values[K] }}"), Just("{{ K | replace(K, 'x') | b64encode }}"), Just("{{ K | with_query(K, K) }}")],
    ) {
        let text = String::from_utf8_lossy(&value).into_owned();
        let value = if is_text {
            EntryValue::Text(SecretValue::from(text))
        } else {
            EntryValue::Binary(SecretValue::new(value))
        };
        let secret = value.bytes().clone();
        let mut fetched = Fetched::default();
        fetched.entries.insert(ask("e"), Ok(entry("e", value)));
        let mut spec = if group {
            json!({"dataFrom": [{"secret": "e"}]})
        } else {
            json!({"data": [key("K", json!({"secret": "e", "decode": decode}))], "template": {"data": {"T": source}}})
        };
        if let Some(property) = property {
            let place = if group { &mut spec["dataFrom"][0] } else { &mut spec["data"][0]["from"] };
            place["property"] = json!(property);
        }
        if let Err(finding) = render(&recipe(spec), &fetched) {
            assert_no_leak(&finding.to_string(), &[secret.expose()]);
        }
    }

    #[test]
    fn any_json_shape_is_rendered_or_refused(json in "[{}\\[\\]\":,a-c0-2 \\\\n]{0,40}", path in "[a-c0-2./]{0,6}") {
        let mut fetched = Fetched::default();
        fetched.entries.insert(ask("e"), Ok(entry("e", text(&json))));
        let _ = render(&recipe(json!({"dataFrom": [{"secret": "e"}]})), &fetched);
        if !path.is_empty() {
            let _ = render(&recipe(one(json!({"secret": "e", "property": path}))), &fetched);
        }
    }
}

#[test]
fn a_parameter_gives_what_a_secret_gives_and_is_called_one() {
    let parameter = |name: &str, value: &str| {
        let arn = format!("arn:aws:ssm:us-east-1:111122223333:parameter{name}");
        Arc::new(Entry {
            version_id: crate::core::parameter::version_id(&arn, 12, None),
            arn,
            name: name.to_owned(),
            created: None,
            value: text(value),
        })
    };
    let by_name = |name: &str| crate::core::parse_parameter(name).unwrap();
    let mut fetched = fetched();
    let json = r#"{"host": "mail", "port": 25}"#;
    fetched
        .entries
        .insert(by_name("/a/mail"), Ok(parameter("/a/mail", json)));
    let members = vec![
        parameter("/a/f/One.two", "1"),
        parameter("/a/f/deep/er", "2"),
    ];
    let path = PrefixAsk {
        store: crate::core::Store::Parameters,
        prefix: "/a/f/".to_owned(),
        tags: BTreeMap::new(),
    };
    fetched.listings.insert(path, Ok(members));
    let of = |spec: Value| render(&recipe(spec), &fetched);
    let rendered = of(json!({
        "data": [key("PORT", json!({"parameter": "/a/mail", "property": "port"}))],
        "dataFrom": [{"parameterPath": "/a/f"}],
    }))
    .unwrap();
    let keys: Vec<&str> = rendered.data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["One.two", "PORT", "deep_er"]);
    assert_eq!(bytes(&rendered, "PORT"), b"25");
    assert_eq!(rendered.origins["PORT"], "parameter \"/a/mail\" version 12");
    for (spec, says) in [
        (
            one(json!({"parameter": "/a/mail", "property": "nope"})),
            "Parameter \"/a/mail\" has no property \"nope\" (2 properties).",
        ),
        (
            json!({"data": [key("deep_er", json!({"parameter": "/a/mail"}))], "dataFrom": [{"parameterPath": "/a/f/"}]}),
            "Key deep_er is given twice: by spec.data[0] (parameter \"/a/mail\") and spec.dataFrom[0] (parameter \"/a/f/deep/er\").",
        ),
        (
            one(json!({"parameter": "/a/unread"})),
            "Parameter \"/a/unread\" was not read in this pass.",
        ),
    ] {
        let refused = of(spec).map(|r| r.data.len()).unwrap_err();
        assert_eq!(refused.fact, says);
    }
}
