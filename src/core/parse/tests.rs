#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::binding::{CreationPolicy, Decode, DeletionPolicy, KeyCase, WorkloadKind};
use crate::core::recipe::GroupSource;
use crate::core::recipe::WorkloadSelection;
use crate::core::{PrefixAsk, SecretId, Store, VersionSelector, parse_parameter};

const ID: &str = "0b54c9c9-35a1-4d6f-9d2c-0f0d8f3b4f10";
const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:a/b";

/// A spec with one key, and `extra` merged in.
fn spec(extra: Value) -> ExternalSecretBindingSpec {
    let mut spec = json!({"data": [{"key": "A", "from": {"secret": "a/b"}}]});
    for (name, value) in extra.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn parsed(extra: Value) -> Result<Recipe, Finding> {
    parse(
        "estate",
        "backend",
        &spec(extra),
        &ParseSettings {
            min_refresh_interval: Duration::from_secs(60),
        },
    )
}

#[test]
fn defaults() {
    let recipe = parsed(json!({})).unwrap();
    assert_eq!(recipe.refresh_interval, Duration::from_secs(300));
    assert_eq!(recipe.refresh_interval_raised_from, None);
    assert_eq!(recipe.stale_after, Duration::from_secs(3600));
    assert_eq!(recipe.target.name, "backend");
    assert_eq!(recipe.target.type_, "Opaque");
    assert_eq!(recipe.target.creation, CreationPolicy::Owner);
    assert_eq!(recipe.target.deletion, DeletionPolicy::Delete);
    assert_eq!(recipe.keys[0].decode, Decode::None);
    assert!(!recipe.keys[0].optional && !recipe.suspended && !recipe.gate.reject_placeholders);
    assert_eq!(
        (recipe.rollout, recipe.template, recipe.identity.region),
        (None, None, None)
    );
    let recipe =
        parsed(json!({"rollout": {}, "target": {"creationPolicy": "Adopt"}, "suspend": true}))
            .unwrap();
    assert_eq!(recipe.rollout.unwrap().timeout, Duration::from_secs(600));
    assert_eq!(recipe.target.deletion, DeletionPolicy::Retain);
    assert!(recipe.suspended);
}

#[test]
fn intervals_floor_and_stale() {
    for (interval, stale, expected, raised, stale_after) in [
        (None, None, 300, None, 3600),
        (Some("10s"), None, 60, Some(10), 3600),
        (Some("1h"), None, 3600, None, 7200),
        (Some("24h"), None, 86_400, None, 172_800),
        (Some("10s"), Some("30s"), 60, Some(10), 60),
        (None, Some("10s"), 300, None, 300),
        (Some("1m"), Some("1m"), 60, None, 60),
    ] {
        let mut extra = json!({});
        if let Some(interval) = interval {
            extra["refreshInterval"] = json!(interval);
        }
        if let Some(stale) = stale {
            extra["staleAfter"] = json!(stale);
        }
        let recipe = parsed(extra).unwrap();
        assert_eq!(
            recipe.refresh_interval.as_secs(),
            expected,
            "{interval:?} {stale:?}"
        );
        assert_eq!(
            recipe.refresh_interval_raised_from.map(|d| d.as_secs()),
            raised
        );
        assert_eq!(
            recipe.stale_after.as_secs(),
            stale_after,
            "{interval:?} {stale:?}"
        );
    }
}

#[test]
fn reads_are_what_the_reference_or_the_fields_say() {
    let recipe = parsed(json!({
        "data": [
            {"key": "A", "from": {"secret": format!("{ARN}:password::")}},
            {"key": "B", "from": {"secret": "a/b", "property": "x.y", "versionStage": "AWSPREVIOUS", "decode": "Base64"}},
            {"key": "C", "from": {"secret": ARN, "versionId": ID}, "optional": true},
            {"key": "D", "from": {"secret": "a/b", "versionStage": "AWSCURRENT"}},
        ],
        "dataFrom": [
            {"secret": "a/b", "property": "inner", "include": ["X_*"], "exclude": ["X_Y"]},
            {"prefix": "p/", "tags": {"team": "a"}, "rename": {"case": "UpperSnake", "keys": {"jwt": "J"}}, "optional": true},
        ],
    }))
    .unwrap();
    assert_eq!(recipe.keys[0].property.as_deref(), Some("password"));
    assert_eq!(
        recipe.keys[1].ask.version,
        VersionSelector::Stage("AWSPREVIOUS".into())
    );
    assert_eq!(
        (recipe.keys[1].property.as_deref(), recipe.keys[1].decode),
        (Some("x.y"), Decode::Base64)
    );
    assert_eq!(recipe.keys[2].ask.version, VersionSelector::Id(ID.into()));
    assert!(recipe.keys[2].optional);
    assert_eq!(recipe.keys[3].ask.version, VersionSelector::Current);
    assert_eq!(recipe.keys[3].ask.id, SecretId::Name("a/b".into()));
    assert!(
        matches!(&recipe.groups[0].from, GroupSource::Entry { property: Some(p), .. } if p == "inner")
    );
    assert_eq!(recipe.groups[1].rename.case, KeyCase::UpperSnake);
    assert_eq!(recipe.identity.region.as_deref(), Some("us-east-1"));
    // ARN current, ARN by id, name current (twice), name by stage.
    assert_eq!(recipe.asks().len(), 4);
    assert_eq!(recipe.prefixes().len(), 1);
}

#[test]
fn rollout_targets() {
    let recipe = parsed(json!({"rollout": {"timeout": "90s", "targets": [
        {"kind": "Deployment", "name": "ai"},
        {"kind": "StatefulSet", "selector": {"matchLabels": {"tier": "api"}}},
    ]}}))
    .unwrap();
    let rollout = recipe.rollout.unwrap();
    assert_eq!(rollout.timeout, Duration::from_secs(90));
    assert_eq!(
        rollout.targets[0],
        WorkloadSelection::Named(WorkloadKind::Deployment, "ai".into())
    );
    assert_eq!(
        rollout.targets[1],
        WorkloadSelection::Labelled(
            WorkloadKind::StatefulSet,
            BTreeMap::from([("tier".into(), "api".into())])
        )
    );
}

/// One key read from `from`.
fn from(from: Value) -> Value {
    json!({"data": [{"key": "A", "from": from}]})
}

#[test]
fn parameters_are_read_like_secrets() {
    let recipe = parsed(json!({
        "data": [
            {"key": "A", "from": {"parameter": "/estate/a"}},
            {"key": "B", "from": {"parameter": "/estate/a:3", "property": "x.y", "decode": "Base64"}},
            {"key": "C", "from": {"parameter": "arn:aws:ssm:eu-west-1:111122223333:parameter/c:blue"}},
        ],
        "dataFrom": [{"parameterPath": "/estate/config", "include": ["x*"]}],
    }))
    .unwrap();
    assert_eq!(recipe.identity.region.as_deref(), Some("eu-west-1"));
    let asks: Vec<_> = recipe.keys.iter().map(|key| &key.ask).collect();
    let wanted = [
        "/estate/a",
        "/estate/a:3",
        "arn:aws:ssm:eu-west-1:111122223333:parameter/c:blue",
    ];
    let wanted = wanted.map(|text| parse_parameter(text).unwrap());
    assert_eq!(asks, wanted.iter().collect::<Vec<_>>());
    assert_eq!(recipe.keys[1].property.as_deref(), Some("x.y"));
    let path = PrefixAsk {
        store: Store::Parameters,
        prefix: "/estate/config/".into(),
        tags: BTreeMap::new(),
    };
    assert_eq!(recipe.groups[0].from, GroupSource::Prefix(path));
}

#[test]
fn broken_rules_of_parameters() {
    let id = json!({"parameter": "/a", "versionId": ID});
    let elsewhere = json!({"failoverRegions": ["eu-west-1"]});
    refused(vec![
        (
            from(json!({})),
            Reason::InvalidKey,
            "exactly one of `secret` and `parameter`",
        ),
        (
            from(json!({"secret": "a", "parameter": "/a"})),
            Reason::InvalidKey,
            "exactly one of `secret` and `parameter`",
        ),
        (
            from(id),
            Reason::InvalidKey,
            "must not be set with `parameter`",
        ),
        (
            from(json!({"parameter": "a/b"})),
            Reason::InvalidKey,
            "`parameter` must be a name",
        ),
        (
            from(json!({"parameter": "/a:0"})),
            Reason::InvalidKey,
            "`parameter` must end, after the name,",
        ),
        (
            from(json!({"parameter": "/a", "property": ""})),
            Reason::InvalidKey,
            "`property` must have",
        ),
        (
            from_many(json!({"parameterPath": "/a/", "prefix": "a/"})),
            Reason::InvalidKey,
            "exactly one of `secret`, `prefix` and `parameterPath`",
        ),
        (
            from_many(json!({"parameterPath": "/a/", "tags": {"a": "b"}})),
            Reason::InvalidKey,
            "must not be set with `parameterPath`",
        ),
        (
            from_many(json!({"parameterPath": "/"})),
            Reason::InvalidKey,
            "spec.dataFrom[0].parameterPath: must be a path",
        ),
        (
            json!({"source": elsewhere, "data": [{"key": "A", "from": {"parameter": "/a"}}]}),
            Reason::InvalidKey,
            "spec.source.failoverRegions: must not be set for parameters",
        ),
        (
            json!({"source": elsewhere, "dataFrom": [{"parameterPath": "/a/"}]}),
            Reason::InvalidKey,
            "spec.source.failoverRegions: must not be set for parameters",
        ),
        (
            json!({"data": [
                {"key": "A", "from": {"parameter": "arn:aws:ssm:eu-west-1:111122223333:parameter/a"}},
                {"key": "B", "from": {"secret": ARN}},
            ]}),
            Reason::InvalidKey,
            "must agree with the ARNs",
        ),
    ]);
}

fn from_many(item: Value) -> Value {
    json!({"dataFrom": [item]})
}

#[test]
fn broken_rules_of_reads() {
    let items = |n: usize| {
        (0..n)
            .map(|i| json!({"key": format!("k{i}"), "from": {"secret": "a"}}))
            .collect::<Vec<_>>()
    };
    let groups = |n: usize| vec![json!({"secret": "a"}); n];
    assert!(parsed(json!({"data": items(300)})).is_ok());
    assert!(parsed(json!({"dataFrom": groups(50)})).is_ok());
    refused(vec![
        (
            json!({"data": []}),
            Reason::InvalidKey,
            "must have `data` or `dataFrom`",
        ),
        (json!({"data": items(301)}), Reason::TooLarge, "at most 300"),
        (
            json!({"dataFrom": groups(51)}),
            Reason::TooLarge,
            "at most 50",
        ),
        (
            json!({"data": [{"key": "A", "from": {"secret": "a"}}, {"key": "A", "from": {"secret": "b"}}]}),
            Reason::DuplicateKey,
            "spec.data[1]: `key` \"A\" is already given by spec.data[0]",
        ),
        (
            json!({"data": [{"key": "a/b", "from": {"secret": "a"}}]}),
            Reason::InvalidKey,
            "spec.data[0].key: must consist",
        ),
        (
            json!({"data": [{"key": "", "from": {"secret": "a"}}]}),
            Reason::InvalidKey,
            "must not be empty",
        ),
        (
            from(json!({"secret": ""})),
            Reason::InvalidKey,
            "must not be empty",
        ),
        (
            from(json!({"secret": "a b"})),
            Reason::InvalidKey,
            "must be a name",
        ),
        (
            from(json!({"secret": format!("{ARN}:password::"), "property": "x"})),
            Reason::InvalidKey,
            "spec.data[0]: `property` must not be set: the reference already names \"password\"",
        ),
        (
            from(json!({"secret": format!("{ARN}::AWSPREVIOUS:"), "versionId": ID})),
            Reason::InvalidKey,
            "already names a version",
        ),
        (
            from(json!({"secret": "a", "versionId": ID, "versionStage": "X"})),
            Reason::InvalidKey,
            "not both",
        ),
        (
            from(json!({"secret": "a", "versionId": "1"})),
            Reason::InvalidKey,
            "version id",
        ),
        (
            from(json!({"secret": "a", "property": ""})),
            Reason::InvalidKey,
            "1 to 512",
        ),
        (
            from(json!({"secret": "a", "property": "p".repeat(513)})),
            Reason::InvalidKey,
            "1 to 512",
        ),
        (
            from_many(json!({})),
            Reason::InvalidKey,
            "exactly one of `secret`, `prefix` and `parameterPath`",
        ),
        (
            from_many(json!({"secret": "a", "prefix": "b"})),
            Reason::InvalidKey,
            "exactly one of `secret`, `prefix` and `parameterPath`",
        ),
        (
            from_many(json!({"secret": "a", "tags": {"a": "b"}})),
            Reason::InvalidKey,
            "without `prefix`",
        ),
        (
            from_many(json!({"prefix": "a", "property": "b"})),
            Reason::InvalidKey,
            "must not be set with `prefix`",
        ),
        (
            from_many(json!({"prefix": "a", "versionStage": "b"})),
            Reason::InvalidKey,
            "must not be set with `prefix`",
        ),
        (
            from_many(json!({"prefix": ""})),
            Reason::InvalidKey,
            "beginning of names",
        ),
        (
            from_many(json!({"prefix": ARN})),
            Reason::InvalidKey,
            "beginning of names",
        ),
        (
            from_many(json!({"secret": "a", "include": [""]})),
            Reason::InvalidKey,
            "globs",
        ),
        (
            from_many(json!({"secret": "a", "rename": {"keys": {"a": "b c"}}})),
            Reason::InvalidKey,
            "rename.keys: must consist",
        ),
        (
            from_many(json!({"secret": "a", "rename": {"keys": {"a": "K", "b": "K"}}})),
            Reason::DuplicateKey,
            "\"a\" and \"b\"",
        ),
        (
            from_many(json!({"secret": "a", "rename": {"addPrefix": "a/"}})),
            Reason::InvalidKey,
            "addPrefix",
        ),
    ]);
}

#[test]
fn broken_rules_of_timing_source_and_rollout() {
    let role = "arn:aws:iam::111122223333:role/x";
    let source = |source: Value| json!({ "source": source });
    refused(vec![
        (
            json!({"refreshInterval": "5s"}),
            Reason::InvalidKey,
            "spec.refreshInterval: must be between 10s and 24h; to stop refreshing set `suspend: true`",
        ),
        (
            json!({"refreshInterval": "25h"}),
            Reason::InvalidKey,
            "between 10s and 24h",
        ),
        (
            json!({"refreshInterval": "5 minutes"}),
            Reason::InvalidKey,
            "must be a duration such as",
        ),
        (
            json!({"staleAfter": "1s"}),
            Reason::InvalidKey,
            "between 10s and 720h",
        ),
        (
            json!({"refreshInterval": "1h", "staleAfter": "30m"}),
            Reason::InvalidKey,
            "must not be shorter than",
        ),
        (
            source(json!({"region": "mars"})),
            Reason::InvalidKey,
            "AWS region",
        ),
        (
            source(json!({"failoverRegions": ["mars"]})),
            Reason::InvalidKey,
            "AWS regions",
        ),
        (
            source(json!({"failoverRegions": ["us-east-1", "us-east-2", "us-east-1"]})),
            Reason::InvalidKey,
            "twice",
        ),
        (
            source(
                json!({"failoverRegions": ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2"]}),
            ),
            Reason::InvalidKey,
            "at most 5",
        ),
        (
            source(json!({"region": "us-west-2", "failoverRegions": ["us-west-2"]})),
            Reason::InvalidKey,
            "must not hold us-west-2",
        ),
        (
            json!({"source": {"failoverRegions": ["us-east-1"]}, "data": [{"key": "A", "from": {"secret": ARN}}]}),
            Reason::InvalidKey,
            "must not hold us-east-1",
        ),
        (
            json!({"source": {"region": "us-west-2"}, "data": [{"key": "A", "from": {"secret": ARN}}]}),
            Reason::InvalidKey,
            "found us-west-2 and us-east-1",
        ),
        (
            source(json!({"serviceAccountName": "A_B"})),
            Reason::InvalidKey,
            "ServiceAccount",
        ),
        (
            source(json!({"roleArn": "arn:aws:iam::1:role/x"})),
            Reason::InvalidKey,
            "roleArn",
        ),
        (
            source(json!({"roleArn": "arn:aws:iam::111122223333:user/x"})),
            Reason::InvalidKey,
            "roleArn",
        ),
        (
            source(json!({"externalId": "abc"})),
            Reason::InvalidKey,
            "roleArn: must be set",
        ),
        (
            source(json!({"sessionTags": {"a": "b"}})),
            Reason::InvalidKey,
            "roleArn: must be set",
        ),
        (
            source(json!({"roleArn": role, "externalId": "a"})),
            Reason::InvalidKey,
            "externalId",
        ),
        (
            source(json!({"roleArn": role, "sessionTags": {"aws:x": "b"}})),
            Reason::InvalidKey,
            "must not set tags",
        ),
        (
            source(json!({"roleArn": role, "sessionTags": {"": "b"}})),
            Reason::InvalidKey,
            "1 to 128",
        ),
        (
            json!({"rollout": {"timeout": "1s"}}),
            Reason::InvalidKey,
            "spec.rollout.timeout",
        ),
        (
            json!({"rollout": {"targets": [{"kind": "Deployment"}]}}),
            Reason::InvalidKey,
            "exactly one of `name` and `selector`",
        ),
        (
            json!({"rollout": {"targets": [{"kind": "Deployment", "name": "A"}]}}),
            Reason::InvalidKey,
            "name of a workload",
        ),
        (
            json!({"rollout": {"targets": [{"kind": "Deployment", "selector": {"matchLabels": {}}}]}}),
            Reason::InvalidKey,
            "matchLabels",
        ),
    ]);
}

#[test]
fn broken_rules_of_templates_and_gate() {
    let template = |source: &str| json!({"template": {"data": {"T": source}}});
    let rule = |rule: Value| json!({"validate": {"rules": [rule]}});
    refused(vec![
        (
            json!({"template": {"data": {}}}),
            Reason::TemplateFailed,
            "1 to 300 keys",
        ),
        (
            json!({"template": {"data": {"a b": "x"}}}),
            Reason::InvalidKey,
            "must consist",
        ),
        (
            template("{% for x in y %}"),
            Reason::TemplateFailed,
            "spec.template.data[T]: line 1: only if",
        ),
        (
            template(&"x".repeat(16_385)),
            Reason::TemplateFailed,
            "16384",
        ),
        (
            json!({"template": {"data": {"A": "x"}, "keep": ["A"]}}),
            Reason::DuplicateKey,
            "key \"A\" must not be both fetched",
        ),
        (
            json!({"template": {"data": {"T": "x"}, "keep": ["a b"]}}),
            Reason::InvalidKey,
            "spec.template.keep",
        ),
        (
            json!({"template": {"data": {"A": "x"}}}),
            Reason::DuplicateKey,
            "key \"A\" must not be both fetched",
        ),
        (
            json!({"validate": {"rules": [{"key": "A", "minLength": 1}, {"key": "A", "maxLength": 2}]}}),
            Reason::DuplicateKey,
            "rules[1].key: must not have two rules",
        ),
        (
            json!({"validate": {"required": [""]}}),
            Reason::InvalidKey,
            "spec.validate.required",
        ),
        (
            json!({"validate": {"allowEmpty": ["a b"]}}),
            Reason::InvalidKey,
            "spec.validate.allowEmpty",
        ),
        (
            json!({"validate": {"placeholders": [""]}}),
            Reason::InvalidKey,
            "spec.validate.placeholders",
        ),
        (
            rule(json!({"key": "A"})),
            Reason::RuleBroken,
            "at least one of",
        ),
        (
            rule(json!({"key": "a b", "minLength": 1})),
            Reason::InvalidKey,
            "rules[0].key",
        ),
        (
            rule(json!({"key": "A", "minLength": -1})),
            Reason::RuleBroken,
            "between 0 and",
        ),
        (
            rule(json!({"key": "A", "minLength": 2, "maxLength": 1})),
            Reason::RuleBroken,
            "must not be less",
        ),
        (
            rule(json!({"key": "A", "pattern": "("})),
            Reason::RuleBroken,
            "regular expression",
        ),
        (
            rule(json!({"key": "A", "pattern": "(?=a)"})),
            Reason::RuleBroken,
            "regular expression",
        ),
        (
            rule(json!({"key": "A", "pattern": ""})),
            Reason::RuleBroken,
            "1 to 500",
        ),
        (
            rule(json!({"key": "A", "pattern": "((a{100}){100}){100}"})),
            Reason::RuleBroken,
            "exceeds 1 MiB",
        ),
        (
            rule(json!({"key": "A", "pattern": "(".repeat(240) + &")".repeat(240)})),
            Reason::RuleBroken,
            "regular expression",
        ),
    ]);
}

#[test]
fn broken_rules_of_targets() {
    let target = |target: Value| json!({ "target": target });
    let refused_types = [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
        "kubernetes.io/dockercfg",
        "x.kubernetes.io/y",
        "helm.sh/release.v1",
        "",
        "a b",
    ];
    for type_ in refused_types {
        for policy in ["Owner", "Adopt", "Merge"] {
            let spec = target(json!({"type": type_, "creationPolicy": policy}));
            assert_eq!(
                parsed(spec).unwrap_err().reason,
                Reason::TypeNotAllowed,
                "{type_} {policy}"
            );
        }
    }
    for type_ in [
        "Opaque",
        "kubernetes.io/tls",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/basic-auth",
        "kubernetes.io/ssh-auth",
        "acme.io/license",
        "custom",
    ] {
        assert!(parsed(target(json!({"type": type_}))).is_ok(), "{type_}");
    }
    let names = [
        "keyferry.dev/managed",
        "rollout.keyferry.dev/x",
        "app.kubernetes.io/name",
        "kubernetes.io/x",
        "x.k8s.io/y",
        "argocd.argoproj.io/instance",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "meta.helm.sh/release-name",
        "helm.sh/chart",
        "objectset.rio.cattle.io/id",
        "bad name",
        "/x",
        "A.B/c",
        "",
    ];
    for name in names {
        assert!(
            parsed(target(json!({"labels": {name: "v"}}))).is_err(),
            "{name}"
        );
        assert!(
            parsed(target(json!({"annotations": {name: "v"}}))).is_err(),
            "{name}"
        );
    }
    assert!(
        parsed(target(
            json!({"labels": {"team": "a", "notkubernetes.io/x": "", "acme.io/y": "b"}})
        ))
        .is_ok()
    );
    assert!(parsed(target(json!({"labels": {"team": "a b"}}))).is_err());
    assert!(parsed(target(json!({"annotations": {"team": "any text: é"}}))).is_ok());
    refused(vec![
        (
            target(json!({"name": "x-keyferry-previous"})),
            Reason::TargetConflict,
            "must not end in",
        ),
        (
            target(json!({"name": "x-keyferry-candidate"})),
            Reason::TargetConflict,
            "must not end in",
        ),
        (
            target(json!({"name": "sh.helm.release.v1.x.v1"})),
            Reason::TargetConflict,
            "Helm release",
        ),
        (
            target(json!({"name": "n".repeat(201)})),
            Reason::InvalidKey,
            "at most 200",
        ),
        (
            target(json!({"name": "Upper"})),
            Reason::InvalidKey,
            "at most 200",
        ),
        (
            target(json!({"name": "a..b"})),
            Reason::InvalidKey,
            "at most 200",
        ),
        (
            target(json!({"creationPolicy": "Adopt", "deletionPolicy": "Delete"})),
            Reason::InvalidKey,
            "must be Retain",
        ),
    ]);
    let settings = ParseSettings::default();
    assert!(parse("ns", "x-keyferry-previous", &spec(json!({})), &settings).is_err());
    assert!(parse("ns", &"n".repeat(64), &spec(json!({})), &settings).is_err());
    assert!(parse("ns", &"n".repeat(63), &spec(json!({})), &settings).is_ok());
}

fn refused(cases: Vec<(Value, Reason, &str)>) {
    for (extra, reason, words) in cases {
        let shown = extra.to_string().chars().take(200).collect::<String>();
        let finding = parsed(extra).unwrap_err();
        assert_eq!(finding.reason, reason, "{shown}: {finding}");
        assert!(finding.fact.contains(words), "{shown}: {finding}");
        assert!(
            finding.fact.starts_with("spec") && finding.fact.ends_with('.'),
            "{finding}"
        );
        assert_eq!(
            finding.cure,
            "Correct the binding estate/backend; we notice at once."
        );
    }
}

proptest! {
    #[test]
    fn any_strings_are_parsed_or_refused(a in ".{0,40}", b in ".{0,40}", c in "[a-z0-9./:-]{0,30}", n in any::<i64>()) {
        let spec = json!({
            "source": {"region": c, "roleArn": a, "serviceAccountName": c, "externalId": b, "sessionTags": {&a: &b}},
            "refreshInterval": c, "staleAfter": b,
            "data": [{"key": a, "from": {"secret": b, "property": c, "versionStage": a}}],
            "dataFrom": [{"secret": c, "include": [&a], "rename": {"keys": {&a: &b}, "addPrefix": c}}, {"prefix": b, "tags": {&a: &b}}],
            "template": {"data": {&a: &b}, "keep": [&c]},
            "validate": {"required": [&a], "placeholders": [&b], "rules": [{"key": c, "minLength": n, "pattern": a}]},
            "target": {"name": c, "type": b, "labels": {&a: &c}, "annotations": {&c: &b}},
            "rollout": {"timeout": a, "targets": [{"kind": "Deployment", "name": b}]},
        });
        let whole: ExternalSecretBindingSpec = serde_json::from_value(spec.clone()).unwrap();
        let _ = parse(&a, &b, &whole, &ParseSettings::default());
        // Each part alone, so that an early refusal hides none.
        for (name, value) in spec.as_object().unwrap() {
            let _ = parsed(json!({ name: value }));
        }
    }
}

fn with_preflight(more: Value) -> Value {
    let mut preflight = json!({"image": "a"});
    for (name, value) in more.as_object().unwrap() {
        preflight[name] = value.clone();
    }
    json!({"validate": {"preflight": preflight}})
}

#[test]
fn preflights() {
    let of = |more| parsed(with_preflight(more)).unwrap().preflight.unwrap();
    let least = of(json!({}));
    assert_eq!(least.timeout, Duration::from_secs(120));
    assert!(!least.show_message && least.env.is_empty() && least.limits.is_empty());
    let most = of(json!({
        "env": [{"name": "A_1", "value": ""}], "timeout": "1h", "showMessage": true,
        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "64Mi"}},
    }));
    assert_eq!(most.env, [("A_1".to_owned(), String::new())]);
    assert_eq!(most.requests, [("cpu", "0.5".to_owned())].into());
    assert_eq!(most.limits, [("memory", "64Mi".to_owned())].into());
    assert!(most.show_message && most.timeout == Duration::from_secs(3600));
    assert_eq!(parsed(json!({"validate": {}})).unwrap().preflight, None);
}

#[test]
fn broken_rules_of_preflights() {
    let words = |n: usize| vec!["a"; n];
    let env = |name: &str| json!({"env": [{"name": name, "value": "b"}]});
    let limit = |amount: &str| json!({"resources": {"limits": {"cpu": amount}}});
    let cases = [
        (json!({"image": ""}), "preflight.image"),
        (json!({"image": "a b"}), "preflight.image"),
        (json!({"image": "-a"}), "preflight.image"),
        (json!({"command": words(51)}), "preflight.command"),
        (json!({"args": ["a".repeat(4097)]}), "preflight.args"),
        (json!({"timeout": "9s"}), "preflight.timeout"),
        (json!({"timeout": "61m"}), "between 10s and 1h"),
        (env(""), "preflight.env[0]"),
        (env("1A"), "preflight.env[0]"),
        (env("A=B"), "preflight.env[0]"),
        (limit("much"), "preflight.resources.limits.cpu"),
        (limit("-1"), "preflight.resources.limits.cpu"),
        (limit("1.m"), "preflight.resources.limits.cpu"),
        (limit(""), "preflight.resources.limits.cpu"),
    ];
    let case = |(more, words)| (with_preflight(more), Reason::InvalidKey, words);
    refused(cases.into_iter().map(case).collect());
    let twice = json!({"env": [{"name": "A", "value": "b"}, {"name": "A", "value": "b"}]});
    let words = "preflight.env[1].name";
    refused(vec![(with_preflight(twice), Reason::DuplicateKey, words)]);
}
