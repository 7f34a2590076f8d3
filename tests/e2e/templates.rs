//! Templates: what they compose, and that a hostile one costs its own binding only.

use serde_json::{Value, json};

use crate::case::{Case, assert_holds, condition};

crate::tests![tests:
    a_template_composes_keys_and_keeps_the_named_ones,
    names_that_are_no_identifiers_are_reached_through_values,
    a_template_that_fails_names_key_and_line_and_no_value,
];

async fn a_template_composes_keys_and_keeps_the_named_ones(case: Case) {
    let (user, secret) = (case.plain(), case.plain());
    let password = format!("p@s/{secret} ?&=%");
    case.put(
        "db",
        &json!({"username": user, "password": password, "port": 5432}).to_string(),
    );
    let url =
        "postgresql://{{ username | urlencode }}:{{ password | urlencode }}@db:{{ port }}/x\n";
    let spec = json!({
        "dataFrom": [{"secret": case.entry("db")}],
        "template": {"data": {"URL": url}, "keep": ["username"]},
    });
    case.binding("app", spec).await;
    case.synced("app").await;
    let expected = format!("postgresql://{user}:p%40s%2F{secret}%20%3F%26%3D%25@db:5432/x\n");
    assert_holds(
        &case.secret("app").await,
        &[("URL", &expected), ("username", &user)],
    );
}

async fn names_that_are_no_identifiers_are_reached_through_values(case: Case) {
    let value = case.plain();
    case.put("redis", &json!({"redis-password": value}).to_string());
    let spec = json!({
        "dataFrom": [{"secret": case.entry("redis")}],
        "template": {"data": {"URL": "redis://:{{ values['redis-password'] }}@cache"}, "keep": []},
    });
    case.binding("app", spec).await;
    case.synced("app").await;
    let expected = format!("redis://:{value}@cache");
    assert_holds(&case.secret("app").await, &[("URL", &expected)]);
}

async fn a_template_that_fails_names_key_and_line_and_no_value(case: Case) {
    let value = case.value();
    case.put("db", &value);
    let bad = [
        "{{ missing }}",
        "{{ K | fromjson }}",
        "{{ K | b64decode }}",
        "{{ K | nofilter }}",
        "{{ K",
    ];
    for (n, source) in bad.into_iter().enumerate() {
        let mut spec = case.one("K", "db");
        spec["template"] = json!({"data": {"out": format!("first\n{source}")}});
        let name = format!("bad-{n}");
        case.binding(&name, spec).await;
        let status = case.failing(&name, "TemplateFailed").await;
        let message = condition(&status, "Synced")["message"].to_string();
        assert!(
            message.contains("out") && message.contains("line 2"),
            "{source}: {message}"
        );
        assert!(
            !message.contains(&value[..8]),
            "{source}: a value in the message"
        );
        assert!(case.find_secret(&name).await.is_none());
    }
}

/// Templates that would eat memory or stack, by what they try.
pub fn bombs() -> Vec<(&'static str, String)> {
    let double = |times: usize| {
        (0..times).fold("K".to_owned(), |inner, _| {
            format!("{inner} | replace('a', 'aaaaaaaaaaaaaaaa')")
        })
    };
    vec![
        ("include", "{% include 'x' %}".to_owned()),
        ("debug", "{{ debug() }}".to_owned()),
        (
            "loop",
            "{% for a in range(1000000000) %}x{% endfor %}".to_owned(),
        ),
        ("set", "{% set a = K %}{{ a }}".to_owned()),
        (
            "macro",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        ),
        ("huge replace", format!("{{{{ {} }}}}", double(12))),
        ("big ~ big", format!("{{{{ {} }}}}", ["K"; 300].join(" ~ "))),
        ("multiplication", "{{ K * 1000000000 }}".to_owned()),
        ("minus", format!("{{{{ {}1 }}}}", "-".repeat(16_000))),
        ("attributes", format!("{{{{ K{} }}}}", ".a".repeat(8_000))),
        (
            "brackets",
            format!("{{{{ {}1{} }}}}", "(".repeat(7_000), ")".repeat(7_000)),
        ),
        (
            "nested ifs",
            format!("{}x{}", "{% if K %}".repeat(700), "{% endif %}".repeat(700)),
        ),
    ]
}

/// The spec of a binding with such a template.
pub fn bomb_spec(case: &Case, source: &str) -> Value {
    let mut spec = case.one("K", "bomb");
    spec["template"] = json!({"data": {"out": source}});
    spec
}
