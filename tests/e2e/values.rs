//! From entries to exact bytes.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::case::{Case, assert_holds, data, revision};

crate::tests![tests:
    an_applied_binding_becomes_a_secret_with_exactly_its_bytes_type_owner_and_label,
    a_binary_entry_arrives_byte_for_byte,
    json_values_keep_their_original_tokens,
    a_multi_line_key_keeps_its_last_newline,
    an_optional_key_is_left_out_while_missing_and_comes_with_its_entry,
    an_empty_value_is_refused_unless_allowed,
    decoded_values_arrive_decoded,
    a_nested_object_gives_its_properties,
    a_prefix_gives_renamed_and_nested_names,
    globs_include_and_exclude_properties,
    tags_narrow_a_prefix,
    a_partial_arn_whose_name_ends_like_a_suffix_finds_its_entry,
    an_ecs_reference_names_property_and_stage,
    a_target_with_type_labels_and_annotations_carries_them,
];

async fn an_applied_binding_becomes_a_secret_with_exactly_its_bytes_type_owner_and_label(
    case: Case,
) {
    let value = case.value();
    case.put("db", &value);
    case.bind_one("backend", "DATABASE_PASSWORD", "db").await;
    let status = case.synced("backend").await;
    let secret = case.secret("backend").await;
    assert_holds(&secret, &[("DATABASE_PASSWORD", &value)]);
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert_eq!(secret.labels()["keyferry.dev/managed"], "true");
    let binding = case
        .world
        .bindings
        .latest(&case.namespace, "backend")
        .unwrap();
    let owners = secret.owner_references();
    assert_eq!(owners.len(), 1);
    assert_eq!(owners[0].kind, "ExternalSecretBinding");
    assert_eq!(owners[0].name, "backend");
    assert_eq!(json!(owners[0].uid), binding["metadata"]["uid"]);
    assert_eq!(status["secret"]["name"], "backend");
    assert_eq!(status["secret"]["keyCount"], 1);
    assert_eq!(status["secret"]["revision"], json!(revision(&secret)));
    assert_eq!(status["sources"][0]["secret"], json!(case.entry("db")));
    assert_eq!(status["rolloutSummary"], "Off");
}

async fn a_binary_entry_arrives_byte_for_byte(case: Case) {
    let bytes: Vec<u8> = (0..=255).chain([0, 0]).collect();
    case.put_binary("keystore", &bytes);
    case.bind_one("files", "keystore.p12", "keystore").await;
    case.synced("files").await;
    assert_holds(&case.secret("files").await, &[("keystore.p12", &bytes)]);
}

async fn json_values_keep_their_original_tokens(case: Case) {
    let text = case.value();
    let number = "123456789012345678901234567890";
    let quoted = Value::from(text.as_str());
    let entry = format!(
        "{{\"port\": 5432, \"ratio\": 1.10, \"big\": 1e5, \"long\": {number}, \"on\": true, \
         \"nothing\": null, \"text\": {quoted}, \"list\": [1.0,  2], \"object\": {{\"a\" : 1}}}}"
    );
    case.put("all", &entry);
    let names = [
        "port", "ratio", "big", "long", "on", "text", "list", "object",
    ];
    let from = |name: &str| json!({"secret": case.entry("all"), "property": name});
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"key": name, "from": from(name)}))
        .collect();
    case.binding("tokens", json!({"data": items})).await;
    case.synced("tokens").await;
    let expected = [
        ("port", "5432"),
        ("ratio", "1.10"),
        ("big", "1e5"),
        ("long", number),
        ("on", "true"),
        ("text", text.as_str()),
        ("list", "[1.0,2]"),
        ("object", "{\"a\":1}"),
    ];
    assert_holds(&case.secret("tokens").await, &expected);
}

async fn a_multi_line_key_keeps_its_last_newline(case: Case) {
    let lines = [case.plain(), case.plain()].join("\n");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n");
    case.put("whole", &pem);
    case.put("json", &json!({"key": pem}).to_string());
    let spec = json!({"data": [
        {"key": "whole.pem", "from": {"secret": case.entry("whole")}},
        {"key": "json.pem", "from": {"secret": case.entry("json"), "property": "key"}},
    ]});
    case.binding("pem", spec).await;
    case.synced("pem").await;
    assert_holds(
        &case.secret("pem").await,
        &[("whole.pem", &pem), ("json.pem", &pem)],
    );
}

async fn an_optional_key_is_left_out_while_missing_and_comes_with_its_entry(case: Case) {
    let (there, late) = (case.value(), case.value());
    case.put("there", &json!({"a": there}).to_string());
    let optional = |key: &str, from: Value| json!({"key": key, "from": from, "optional": true});
    let spec = json!({"refreshInterval": "10s", "data": [
        {"key": "A", "from": {"secret": case.entry("there"), "property": "a"}},
        optional("B", json!({"secret": case.entry("there"), "property": "b"})),
        optional("C", json!({"secret": case.entry("late")})),
    ]});
    case.binding("some", spec).await;
    case.synced("some").await;
    assert_holds(&case.secret("some").await, &[("A", &there)]);
    case.put("late", &late);
    case.until_secret("some", "holds the late key", |s| {
        data(s.unwrap()).contains_key("C")
    })
    .await;
    assert_holds(&case.secret("some").await, &[("A", &there), ("C", &late)]);
}

async fn an_empty_value_is_refused_unless_allowed(case: Case) {
    let value = case.value();
    case.put("mixed", &json!({"full": value, "empty": ""}).to_string());
    let from = |name: &str| json!({"secret": case.entry("mixed"), "property": name});
    let items =
        json!([{"key": "FULL", "from": from("full")}, {"key": "EMPTY", "from": from("empty")}]);
    let strict = json!({"rejectPlaceholders": true});
    case.binding("strict", json!({"data": items, "validate": strict}))
        .await;
    let allowing = json!({"rejectPlaceholders": true, "allowEmpty": ["EMPTY"]});
    case.binding("lenient", json!({"data": items, "validate": allowing}))
        .await;
    case.failing("strict", "PlaceholderFound").await;
    assert!(case.find_secret("strict").await.is_none());
    case.synced("lenient").await;
    assert_holds(
        &case.secret("lenient").await,
        &[("FULL", value.as_str()), ("EMPTY", "")],
    );
}

async fn decoded_values_arrive_decoded(case: Case) {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    let (text, bytes) = (case.value(), [0_u8, 255, 254, 62, 63]);
    case.put("standard", &STANDARD.encode(&text));
    case.put("url", &URL_SAFE_NO_PAD.encode(bytes));
    let item = |key: &str, entry: &str, decode: &str| {
        json!({
            "key": key, "from": {"secret": case.entry(entry), "decode": decode},
        })
    };
    let spec = json!({"data": [
        item("text", "standard", "Base64"),
        item("bytes", "url", "Base64Url"),
        item("as-is", "standard", "None"),
    ]});
    case.binding("decoded", spec).await;
    case.synced("decoded").await;
    let raw = STANDARD.encode(&text);
    let expected = [
        ("text", text.as_bytes()),
        ("bytes", &bytes),
        ("as-is", raw.as_bytes()),
    ];
    assert_holds(&case.secret("decoded").await, &expected);
}

async fn a_nested_object_gives_its_properties(case: Case) {
    let (user, password) = (case.plain(), case.value());
    let entry =
        json!({"prod": {"db": {"user": user, "password": password}}, "test": {"user": "no"}});
    case.put("tree", &entry.to_string());
    let spec = json!({"dataFrom": [{"secret": case.entry("tree"), "property": "prod.db"}]});
    case.binding("nested", spec).await;
    case.synced("nested").await;
    let expected = [("user", &user), ("password", &password)];
    assert_holds(&case.secret("nested").await, &expected);
}

async fn a_prefix_gives_renamed_and_nested_names(case: Case) {
    let [redis, jwt, host] = [case.value(), case.value(), case.value()];
    case.put("store/redis-password", &redis);
    case.put("store/jwt-secret", &jwt);
    case.put("store/db/host", &host);
    case.put("storeroom/other", &case.value());
    let rename = json!({"case": "UpperSnake", "keys": {"jwt-secret": "JWT_SECRET_KEY"}});
    let spec = json!({"dataFrom": [{"prefix": case.entry("store/"), "rename": rename}]});
    case.binding("store", spec).await;
    case.synced("store").await;
    let expected = [
        ("REDIS_PASSWORD", &redis),
        ("JWT_SECRET_KEY", &jwt),
        ("DB_HOST", &host),
    ];
    assert_holds(&case.secret("store").await, &expected);
}

async fn globs_include_and_exclude_properties(case: Case) {
    let [a, b, c] = [case.value(), case.value(), case.value()];
    case.put(
        "many",
        &json!({"MYSQL_HOST": a, "MYSQL_ROOT_PASSWORD": b, "REDIS_HOST": c}).to_string(),
    );
    let from = json!({"secret": case.entry("many"), "include": ["MYSQL_*", "REDIS_*"], "exclude": ["*_ROOT_*"]});
    case.binding("chosen", json!({"dataFrom": [from]})).await;
    case.synced("chosen").await;
    assert_holds(
        &case.secret("chosen").await,
        &[("MYSQL_HOST", &a), ("REDIS_HOST", &c)],
    );
}

async fn tags_narrow_a_prefix(case: Case) {
    let [red, blue] = [case.value(), case.value()];
    let entries = case.world.entries();
    for (name, value, tag) in [("tagged/red", &red, "red"), ("tagged/blue", &blue, "blue")] {
        case.put(name, value);
        entries.tag(&case.entry(name), "team", tag).unwrap();
    }
    let from = json!({"prefix": case.entry("tagged/"), "tags": {"team": "red"}});
    case.binding("red", json!({"dataFrom": [from]})).await;
    case.synced("red").await;
    assert_holds(&case.secret("red").await, &[("red", &red)]);
}

async fn a_partial_arn_whose_name_ends_like_a_suffix_finds_its_entry(case: Case) {
    let value = case.value();
    case.put("jwt-secret", &value);
    let full = case.world.entries().arn(&case.entry("jwt-secret")).unwrap();
    let partial = &full[..full.len() - "-123456".len()];
    assert!(partial.ends_with("/jwt-secret"));
    let spec = json!({"data": [{"key": "JWT", "from": {"secret": partial}}]});
    case.binding("partial", spec).await;
    case.synced("partial").await;
    assert_holds(&case.secret("partial").await, &[("JWT", &value)]);
}

async fn an_ecs_reference_names_property_and_stage(case: Case) {
    let (password, old) = (case.value(), case.value());
    case.put("database", &json!({"password": old}).to_string());
    case.put("database", &json!({"password": password}).to_string());
    let arn = case.world.entries().arn(&case.entry("database")).unwrap();
    let item =
        |key: &str, tail: &str| json!({"key": key, "from": {"secret": format!("{arn}:{tail}")}});
    let spec =
        json!({"data": [item("NOW", "password::"), item("BEFORE", "password:AWSPREVIOUS:")]});
    case.binding("ecs", spec).await;
    case.synced("ecs").await;
    assert_holds(
        &case.secret("ecs").await,
        &[("NOW", &password), ("BEFORE", &old)],
    );
}

async fn a_target_with_type_labels_and_annotations_carries_them(case: Case) {
    let (user, password) = (case.plain(), case.value());
    case.put(
        "login",
        &json!({"username": user, "password": password}).to_string(),
    );
    let target = json!({
        "name": "login-secret", "type": "kubernetes.io/basic-auth",
        "labels": {"team": "estate"}, "annotations": {"example.com/note": "by hand"},
    });
    case.binding(
        "login",
        json!({"dataFrom": [{"secret": case.entry("login")}], "target": target}),
    )
    .await;
    case.synced("login").await;
    let secret = case.secret("login-secret").await;
    assert_holds(&secret, &[("username", &user), ("password", &password)]);
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    assert_eq!(secret.labels()["team"], "estate");
    assert_eq!(secret.annotations()["example.com/note"], "by hand");
}
