//! Parameters of Parameter Store beside secrets: the same way into the Secret, the same gate, the same rollouts.

use keyferry::core::parameter;
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, data},
    reasons::assert_says,
    workload::Uses,
};

crate::tests![tests:
    a_secret_a_parameter_and_a_path_make_one_secret,
    a_new_version_of_a_parameter_rolls_those_who_use_it_and_a_pinned_one_stays,
    a_parameter_is_not_asked_for_until_a_policy_allows_it,
    a_missing_parameter_is_told_and_found_once_it_is_there,
    members_of_a_path_join_and_leave,
];

impl Case {
    /// The full name of a parameter of this namespace.
    fn parameter(&self, name: &str) -> String {
        format!("/{}/{name}", self.namespace)
    }

    /// Makes a parameter of this namespace, or a new version of it; returns its number.
    fn put_parameter(&self, name: &str, value: &str) -> i64 {
        let entries = self.world.entries();
        entries.put_parameter(&self.parameter(name), value).unwrap()
    }

    /// Lets this namespace read its own parameters.
    async fn allow_parameters(&self) {
        let more = json!({"parameters": ["/{namespace}/*"]});
        self.allow("parameters", more).await;
    }

    /// Calls to Parameter Store that named parameters of this namespace.
    fn parameter_calls(&self) -> usize {
        let prefix = self.parameter("");
        let calls = self.world.aws.calls();
        let ours = calls.iter().filter(|call| {
            call.operation.starts_with("GetParameters")
                && call.ids.iter().any(|id| id.contains(&prefix))
        });
        ours.count()
    }

    fn one_parameter(&self, key: &str, name: &str) -> Value {
        json!({"data": [{"key": key, "from": {"parameter": self.parameter(name)}}]})
    }
}

/// Name to version number, as the status has them.
fn shown(status: &Value) -> Vec<(String, String)> {
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    let parameters = sources.iter().filter(|s| s["parameter"].is_string());
    let shown = parameters.map(|source| {
        let text = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
        let number = parameter::number(&text("versionId")).map(str::to_owned);
        (text("parameter"), number.unwrap_or_default())
    });
    shown.collect()
}

async fn a_secret_a_parameter_and_a_path_make_one_secret(case: Case) {
    case.allow_parameters().await;
    let [password, level, flag, deep, host] = std::array::from_fn(|_| case.value());
    case.put("db", &password);
    case.put_parameter("config/log-level", &level);
    case.put_parameter("flags/new-checkout", &flag);
    case.put_parameter("flags/old-one", &case.value());
    let secure = case.parameter("flags/deep/er");
    let entries = case.world.entries();
    entries.put_secure_parameter(&secure, &deep, None).unwrap();
    let mail = json!({"smtp": {"host": host}}).to_string();
    case.put_parameter("mail", &mail);
    case.binding(
        "app",
        json!({
            "data": [
                {"key": "PASSWORD", "from": {"secret": case.entry("db")}},
                {"key": "LOG_LEVEL", "from": {"parameter": case.parameter("config/log-level")}},
                {"key": "SMTP_HOST", "from": {"parameter": case.parameter("mail"), "property": "smtp.host"}},
                {"key": "NONE", "from": {"parameter": case.parameter("none")}, "optional": true},
            ],
            "dataFrom": [{
                "parameterPath": case.parameter("flags/"), "exclude": ["old-*"],
                "rename": {"case": "UpperSnake"},
            }],
        }),
    )
    .await;
    let status = case.synced("app").await;
    let secret = case.secret("app").await;
    assert_holds(
        &secret,
        &[
            ("PASSWORD", &password),
            ("LOG_LEVEL", &level),
            ("SMTP_HOST", &host),
            ("NEW_CHECKOUT", &flag),
            ("DEEP_ER", &deep),
        ],
    );
    assert_eq!(data(&secret).len(), 5);
    let names = [
        "config/log-level",
        "flags/deep/er",
        "flags/new-checkout",
        "flags/old-one",
        "mail",
    ];
    let wanted = names.map(|name| (case.parameter(name), "1".to_owned()));
    assert_eq!(shown(&status), wanted);
    let secrets: Vec<&Value> = status["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|source| source["secret"].is_string())
        .collect();
    assert_eq!(secrets.len(), 1, "{secrets:?}");
}

async fn a_new_version_of_a_parameter_rolls_those_who_use_it_and_a_pinned_one_stays(case: Case) {
    case.allow_parameters().await;
    let [one, two] = std::array::from_fn(|_| case.plain());
    let first = case.put_parameter("level", &one);
    let entries = case.world.entries();
    let name = case.parameter("level");
    entries.label_parameter(&name, "blue", first).unwrap();
    for (binding, from) in [
        ("latest", name.clone()),
        ("label", format!("{name}:blue")),
        ("number", format!("{name}:1")),
    ] {
        let from = json!({"parameter": from});
        let spec = json!({"data": [{"key": "LEVEL", "from": from}], "rollout": {}, "refreshInterval": "10s"});
        case.binding(binding, spec).await;
        case.synced(binding).await;
    }
    let before = case.deploy("web", 1, &[Uses::EnvFrom("latest")]).await;
    let on_label = case.deploy("on-label", 1, &[Uses::EnvFrom("label")]).await;
    case.rolled_out("latest", "True", "Synced").await;
    case.rolled_out("label", "True", "Synced").await;

    // Nobody asks for a refresh: the sweep finds it.
    let second = case.put_parameter("level", &two);
    let new = case.until_secret("latest", "has the new value", |s| {
        crate::case::holds(s, "LEVEL", &two)
    });
    new.await;
    let rolled = |object: &Value| {
        shown(&object["status"]) == [(name.clone(), "2".to_owned())]
            && crate::case::is(object, "RolledOut", "True", "Synced")
    };
    case.until("latest", "rolled out at version 2", rolled)
        .await;
    assert_eq!(case.settled("web").await.generation, before.generation + 1);
    assert!(case.all_captured("web", "LEVEL", &two));
    for binding in ["label", "number"] {
        case.refresh(binding).await;
        assert_holds(&case.secret(binding).await, &[("LEVEL", &one)]);
    }
    assert_eq!(case.moment("on-label").await, on_label);

    entries.label_parameter(&name, "blue", second).unwrap();
    let new = case.until_secret("label", "has the value that the label is on now", |s| {
        crate::case::holds(s, "LEVEL", &two)
    });
    new.await;
}

async fn a_parameter_is_not_asked_for_until_a_policy_allows_it(case: Case) {
    let value = case.value();
    case.put_parameter("config/x", &value);
    // A namespace may read the secrets under its own name; of parameters none.
    case.binding("one", case.one_parameter("X", "config/x"))
        .await;
    let path = json!({"dataFrom": [{"parameterPath": case.parameter("config/")}]});
    case.binding("path", path).await;
    let name = format!("parameter \"{}\"", case.parameter("config/x"));
    for (binding, says) in [("one", name.as_str()), ("path", "/config/*\"")] {
        let status = case.failing(binding, "AccessNotAllowed").await;
        let says = ["{ns}", says, "policy \"default\" allows no parameters"];
        assert_says(&case, &condition(&status, "Synced"), &says);
        case.refresh(binding).await;
    }
    assert_eq!(case.parameter_calls(), 0, "no call was made");
    case.allow_parameters().await;
    case.synced("one").await;
    case.synced("path").await;
    assert_holds(&case.secret("one").await, &[("X", &value)]);
    assert_holds(&case.secret("path").await, &[("x", &value)]);
}

async fn a_missing_parameter_is_told_and_found_once_it_is_there(case: Case) {
    case.allow_parameters().await;
    let mut spec = case.one_parameter("X", "x");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    let status = case.failing("app", "SecretNotFound").await;
    let name = format!("No parameter \"{}\"", case.parameter("x"));
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[&name, "Check name and region"],
    );
    let value = case.value();
    case.put_parameter("x", &value);
    case.synced("app").await;
    assert_holds(&case.secret("app").await, &[("X", &value)]);
}

async fn members_of_a_path_join_and_leave(case: Case) {
    case.allow_parameters().await;
    let [one, two] = std::array::from_fn(|_| case.value());
    case.put_parameter("p/a", &one);
    let path =
        json!({"dataFrom": [{"parameterPath": case.parameter("p")}], "refreshInterval": "10s"});
    case.binding("app", path).await;
    case.synced("app").await;
    case.put_parameter("p/b", &two);
    let joined = case.until_secret("app", "has the new member", |s| {
        crate::case::holds(s, "b", &two)
    });
    joined.await;
    let entries = case.world.entries();
    entries.delete_parameter(&case.parameter("p/a")).unwrap();
    let left = case.until_secret("app", "has lost the member that is gone", |s| {
        s.is_some_and(|s| data(s).len() == 1)
    });
    left.await;
    // The last one never leaves: a Secret does not become empty by itself.
    entries.delete_parameter(&case.parameter("p/b")).unwrap();
    case.failing("app", "SecretNotFound").await;
    assert_holds(&case.secret("app").await, &[("b", &two)]);
}
