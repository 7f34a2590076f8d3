//! `examples/`: what can be said of the systems' folders and of the alerts without a cluster. That they work is shown
//! end to end (`tests/e2e/systems`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keyferry::api::{Reason, SecretAccessPolicy};
use keyferry::core::access::{self, AccessMode, AccessRequest, Asked, Policy};
use keyferry::core::{ParseSettings, Recipe, SecretId, parse};
use keyferry::telemetry::metrics::Metrics;
use serde::Deserialize;
use serde_json::Value;

/// A folder, where its workloads and policies stand, and the account of its entries.
struct System {
    folder: &'static str,
    workloads: &'static str,
    policies: Option<&'static str>,
    account: &'static str,
}

const OURS: &str = "111122223333";

const SYSTEMS: [System; 6] = [
    system("bizi", "bizi/workloads.yaml", None, OURS),
    system(
        "fastapi",
        "fastapi/workloads.yaml",
        Some("fastapi/access-policy.yaml"),
        OURS,
    ),
    system(
        "ecomind/staging",
        "ecomind/base/workloads.yaml",
        Some("ecomind/access-policy.yaml"),
        "123456789012",
    ),
    system(
        "ecomind/prod",
        "ecomind/base/workloads.yaml",
        Some("ecomind/access-policy.yaml"),
        "123456789012",
    ),
    system("estate", "estate/workloads.yaml", None, OURS),
    system("gaara-store", "gaara-store/workloads.yaml", None, OURS),
];

const fn system(
    folder: &'static str,
    workloads: &'static str,
    policies: Option<&'static str>,
    account: &'static str,
) -> System {
    System {
        folder,
        workloads,
        policies,
        account,
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(examples().join(file)).unwrap()
}

fn documents(file: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(file))
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// The bindings of a folder, as the operator understands them, with their namespace.
fn recipes(folder: &str) -> Vec<(String, Recipe)> {
    let text = read(&format!("{folder}/bindings.yaml"));
    let recipe = |binding: keyferry::api::ExternalSecretBinding| {
        let namespace = binding.metadata.namespace.unwrap();
        let name = binding.metadata.name.unwrap();
        let recipe = parse(&namespace, &name, &binding.spec, &ParseSettings::default());
        (namespace, recipe.unwrap())
    };
    let bindings = super::bindings(&text).unwrap();
    bindings.into_iter().map(recipe).collect()
}

#[test]
fn every_binding_of_a_system_has_a_gate_and_rolls_what_uses_it() {
    for System { folder, .. } in SYSTEMS {
        let all = recipes(folder);
        assert!(!all.is_empty(), "{folder}");
        for (namespace, recipe) in all {
            assert!(!recipe.gate.required.is_empty(), "{namespace}");
            assert!(recipe.gate.reject_placeholders, "{namespace}");
            assert!(recipe.rollout.is_some(), "{namespace}");
        }
    }
}

/// The keys that a binding's Secret has for sure.
fn keys(recipe: &Recipe) -> BTreeSet<String> {
    recipe.gate.required.iter().cloned().collect()
}

#[test]
fn workloads_use_what_the_bindings_of_their_system_make_and_nothing_is_made_for_nobody() {
    for System {
        folder, workloads, ..
    } in SYSTEMS
    {
        let recipes = recipes(folder);
        let made: BTreeMap<&str, BTreeSet<String>> = recipes
            .iter()
            .map(|(_, recipe)| (recipe.target.name.as_str(), keys(recipe)))
            .collect();
        let mut used = BTreeSet::new();
        for workload in documents(workloads) {
            let mut references = Vec::new();
            collect(&workload, &mut references);
            for (secret, key, optional) in references {
                match made.get(secret.as_str()) {
                    Some(keys) => assert!(key.is_none_or(|key| keys.contains(&key)), "{secret}"),
                    None => assert!(optional, "{secret} is made by no binding"),
                }
                used.insert(secret);
            }
        }
        for secret in made.keys() {
            assert!(used.contains(*secret), "{folder}: nobody uses {secret}");
        }
    }
}

/// Every `secretRef` and `secretKeyRef` below a value: name, key, optional.
fn collect(value: &Value, into: &mut Vec<(String, Option<String>, bool)>) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "secretRef" || name == "secretKeyRef" {
                    let optional = field.get("optional").and_then(Value::as_bool);
                    let secret = text(field.get("name")).unwrap_or_default();
                    into.push((secret, text(field.get("key")), optional == Some(true)));
                }
                collect(field, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        _ => {}
    }
}

/// Every pod's spec below a value.
fn pods<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) if fields.contains_key("containers") => into.push(value),
        Value::Object(fields) => fields.values().for_each(|field| pods(field, into)),
        _ => {}
    }
}

/// What the API server does not ask of a pod in such a namespace, too: no token, and a root that is only read.
#[test]
fn pods_are_restricted_have_no_token_and_a_read_only_root() {
    for System {
        folder, workloads, ..
    } in SYSTEMS
    {
        let namespace = &documents(&format!("{folder}/namespace.yaml"))[0];
        let enforced = "/metadata/labels/pod-security.kubernetes.io~1enforce";
        assert_eq!(namespace.pointer(enforced), Some(&"restricted".into()));
        let documents = documents(workloads);
        let mut all = Vec::new();
        documents
            .iter()
            .for_each(|document| pods(document, &mut all));
        assert!(!all.is_empty(), "{folder}");
        for pod in all {
            assert_eq!(pod["automountServiceAccountToken"], false, "{folder}");
            let init = pod["initContainers"].as_array().into_iter().flatten();
            for container in pod["containers"].as_array().unwrap().iter().chain(init) {
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true, "{folder}");
            }
            let volumes = pod["volumes"].as_array().into_iter().flatten();
            let mut in_memory = volumes.filter(|v| v["emptyDir"]["medium"] == "Memory");
            assert_eq!(in_memory.next().is_some(), folder == "bizi", "{folder}");
        }
    }
}

/// What a binding asks for, one by one.
fn requests(system: &System, namespace: &str, recipe: &Recipe) -> Vec<AccessRequest> {
    let entry = |id: &SecretId| (Asked::of(id), id.account().map(str::to_owned));
    let entries = recipe.asks().into_iter().map(|ask| entry(&ask.id));
    let prefixes = recipe.prefixes().into_iter();
    let prefixes = prefixes.map(|ask| (Asked::under(&ask), None));
    let request = |(asked, account)| AccessRequest {
        namespace: namespace.to_owned(),
        asked,
        account,
        caller_account: Some(system.account.to_owned()),
        region: recipe.identity.region.clone().unwrap(),
        ..AccessRequest::default()
    };
    entries.chain(prefixes).map(request).collect()
}

#[test]
fn access_policies_stand_where_the_built_in_rule_does_not_do_and_allow_what_is_asked_for() {
    for system in SYSTEMS {
        let mut policies = vec![Policy::built_in()];
        for document in system.policies.map(documents).unwrap_or_default() {
            let policy: SecretAccessPolicy = serde_json::from_value(document).unwrap();
            policies.push(Policy::from(&policy));
        }
        for (namespace, recipe) in recipes(system.folder) {
            for request in requests(&system, &namespace, &recipe) {
                let check = |policies| access::check(AccessMode::Enforce, policies, &request);
                assert!(check(&policies).is_ok(), "{namespace}");
                let alone = check(&policies[..1]).is_ok();
                assert_eq!(alone, system.policies.is_none(), "{namespace}");
            }
        }
    }
}

#[test]
fn pipelines_may_read_and_update_and_nothing_else() {
    let policy: Value = serde_json::from_str(&read("fastapi/iam/pipeline-policy.json")).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    let actions = ["GetSecretValue", "UpdateSecret"].map(|a| format!("secretsmanager:{a}"));
    assert_eq!(statements[0]["Action"], serde_json::json!(actions));
    let reads: Value = serde_json::from_str(&read("fastapi/iam/policy.json")).unwrap();
    assert_eq!(statements[0]["Resource"], reads["Statement"][0]["Resource"]);
}

/// Words of an expression that begin so.
fn words<'a>(expression: &'a str, begin: &str) -> Vec<&'a str> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words = expression.split(ends);
    words.filter(|word| word.starts_with(begin)).collect()
}

/// The labels of a metric, as its row on the page of metrics has them.
fn labels_of(metric: &str) -> Vec<&'static str> {
    let row = format!("| `{metric}` |");
    let row = super::METRICS.lines().find(|line| line.starts_with(&row));
    let labels = row.unwrap().split('|').nth(3).unwrap();
    labels.split(',').map(str::trim).collect()
}

/// The labels that an expression asks for or groups by.
fn labels_in(expression: &str) -> Vec<&str> {
    let within = |open: &'static str, close: char| {
        let parts = expression.split(open).skip(1);
        parts.filter_map(move |part| part.split(close).next())
    };
    let grouped = within("by (", ')').flat_map(|names| names.split(','));
    let asked = within("{", '}').flat_map(|all| all.split(','));
    let asked = asked.filter_map(|matcher| matcher.split(['=', '!']).next());
    grouped.chain(asked).map(str::trim).collect()
}

#[test]
fn alerts_name_metrics_labels_and_reasons_that_are() {
    let metrics = Metrics::new();
    let known: BTreeSet<String> = metrics.registered().iter().map(|m| m.name()).collect();
    let reasons: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let rules = documents("alerts/prometheusrule.yaml").remove(0);
    let mut names = BTreeSet::new();
    for rule in rules["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        assert!(names.insert(alert), "{alert} stands twice");
        let expression = rule["expr"].as_str().unwrap();
        let used = words(expression, "keyferry_");
        assert!(!used.is_empty(), "{alert}");
        for metric in &used {
            assert!(known.contains(*metric), "{alert}: {metric}");
        }
        for part in expression.split("reason=~\"").skip(1) {
            for reason in part.split('"').next().unwrap().split('|') {
                assert!(reasons.contains(reason), "{alert}: {reason}");
            }
        }
        let has: BTreeSet<&str> = used.iter().flat_map(|metric| labels_of(metric)).collect();
        for label in labels_in(expression) {
            assert!(has.contains(label), "{alert}: {label}");
        }
        for field in ["summary", "description"] {
            assert!(rule["annotations"][field].is_string(), "{alert}");
        }
        assert!(rule["labels"]["severity"].is_string(), "{alert}");
    }
    for about in ["access", "NotReady", "Rollout", "Failover"] {
        let told = names
            .iter()
            .any(|name| name.to_lowercase().contains(&about.to_lowercase()));
        assert!(told, "no alert about {about}");
    }
}
