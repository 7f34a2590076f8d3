//! The Helm chart with the real Helm: every value set that its README and `values.yaml` speak of renders,
//! and the API server takes what comes of it.
//!
//! The control plane is one of its own: CRDs that others applied with kubectl are not Helm's to manage.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use clap::Parser;
use keyferry::cli::{Cli, Verb};
use keyferry_testkit::{
    ControlPlane,
    control_plane::Options,
    install::{crds, kubectl},
};
use serde::Deserialize;
use serde_json::{Value, json};

const NAMESPACE: &str = "keyferry";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    root().join("charts/keyferry")
}

/// Values beside the defaults, by what they are for.
fn sets() -> Vec<(&'static str, Value)> {
    let queue = "https://sqs.ap-northeast-2.amazonaws.com/111122223333/keyferry";
    vec![
        ("nothing set", json!({})),
        (
            "an image by its digest",
            json!({"image": {"repository": "registry.example.com/keyferry", "digest": format!("sha256:{}", "a".repeat(64))},
                "imagePullSecrets": [{"name": "registry"}]}),
        ),
        (
            "IRSA",
            json!({"aws": {"roleArn": "arn:aws:iam::111122223333:role/keyferry", "region": "ap-northeast-2",
                "quotaShare": 0.1, "sweep": "batch"}, "clusterName": "seoul"}),
        ),
        (
            "a policy",
            json!({"accessPolicy": {"mode": "audit", "policies": {
                "bizi": {"namespaces": {"names": ["bizi"]}, "secrets": ["bizi/*"]}}}}),
        ),
        (
            "no cluster-wide rights",
            json!({"watchNamespaces": ["estate", "bizi"], "allowServiceAccountIdentity": true}),
        ),
        (
            "roles of ServiceAccounts",
            json!({"allowServiceAccountIdentity": true}),
        ),
        ("preflights", json!({"allowPreflight": true})),
        ("events", json!({"events": {"queueUrl": queue}})),
        (
            "a proxy and FIPS",
            json!({"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
                {"name": "NO_PROXY", "value": "169.254.170.23"}, {"name": "AWS_USE_FIPS_ENDPOINT", "value": "true"}],
                "extraArgs": ["--value-reuse=5s"]}),
        ),
        (
            "CRDs, account and roles by others",
            json!({"crds": {"install": false}, "rbac": {"create": false},
                "serviceAccount": {"create": false, "name": "theirs"}}),
        ),
        (
            "a place of its own",
            json!({"fullnameOverride": "carrier", "crds": {"keep": false, "annotations": {"example.com/team": "estate"}},
                "serviceAccount": {"annotations": {"example.com/team": "estate"}},
                "podAnnotations": {"example.com/team": "estate"}, "podLabels": {"team": "estate"},
                "priorityClassName": "system-cluster-critical", "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "infra", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "arch", "operator": "In", "values": ["amd64"]}]}]}}},
                "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "512Mi"}},
                "minRefreshInterval": "5m", "concurrency": 4, "log": {"level": "debug", "format": "text"}}),
        ),
    ]
}

/// `helm <words> <chart> ...` with these values.
async fn helm(plane: &ControlPlane, words: &[&str], values: &Value) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let chart = chart();
    let rest = [
        chart.to_str().unwrap(),
        "--namespace",
        NAMESPACE,
        "--values",
        file.to_str().unwrap(),
    ];
    plane.helm(&[words, &rest].concat()).await.unwrap()
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

async fn plane_with(namespaces: &[&str]) -> ControlPlane {
    let plane = ControlPlane::own(Options::default()).await.unwrap();
    for namespace in namespaces {
        kubectl(&plane, &["create", "namespace", namespace])
            .await
            .unwrap();
    }
    plane
}

fn objects(rendered: &[u8]) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_slice(rendered);
    let objects = documents.map(|document| Value::deserialize(document).unwrap());
    objects.filter(|object| !object.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn pod(objects: &[Value]) -> &Value {
    let deployment = of_kind(objects, "Deployment").next().unwrap();
    &deployment["spec"]["template"]["spec"]
}

/// The binary takes the arguments that the chart gives it.
fn is_understood(name: &str, objects: &[Value]) {
    let arguments = pod(objects)["containers"][0]["args"].as_array().unwrap();
    let words = arguments.iter().map(|word| word.as_str().unwrap());
    let cli = Cli::try_parse_from(["keyferry"].into_iter().chain(words));
    let Ok(Verb::Run(run)) = cli.map(|cli| cli.verb) else {
        panic!("{name}: not understood: {arguments:?}");
    };
    let settings = run.settings(None);
    assert!(settings.is_ok(), "{name}: {arguments:?}: {settings:?}");
}

/// The operator gets the rights that the tests of the operator run with, all of them and no other.
fn has_its_rights(name: &str, values: &Value, objects: &[Value]) {
    let file = std::fs::read_to_string(chart().join("files/rules.yaml")).unwrap();
    let scopes: Value = serde_yaml::from_str(&file).unwrap();
    let mut watched = vec!["watched"];
    let allows = |value: &str| values[value] == true;
    watched.extend(allows("allowServiceAccountIdentity").then_some("serviceAccountIdentity"));
    watched.extend(allows("allowPreflight").then_some("preflight"));
    let namespaces = values["watchNamespaces"].as_array().cloned();
    let places = match namespaces.unwrap_or_default() {
        all if all.is_empty() => {
            watched.push("cluster");
            vec![("ClusterRole", Value::Null)]
        }
        named => named.into_iter().map(|place| ("Role", place)).collect(),
    };
    let places = places
        .into_iter()
        .map(|(kind, place)| (kind, place, &watched[..]));
    let own = ("Role", json!(NAMESPACE), &["own"][..]);
    let expected: Vec<_> = places
        .chain([own])
        .filter(|_| values["rbac"]["create"] != false)
        .map(|(kind, place, scopes_of)| {
            let rules = scopes_of
                .iter()
                .flat_map(|scope| scopes[*scope].as_array().unwrap());
            json!([kind, place, rules.cloned().collect::<Value>()])
        })
        .collect();
    let granted: Vec<Value> = ["ClusterRole", "Role"]
        .into_iter()
        .flat_map(|kind| of_kind(objects, kind))
        .filter(|role| is_bound(role, objects))
        .map(|role| json!([role["kind"], role["metadata"]["namespace"], role["rules"]]))
        .collect();
    assert_eq!(granted, expected, "{name}");
}

/// Whether the operator's ServiceAccount has the role.
fn is_bound(role: &Value, objects: &[Value]) -> bool {
    let account = json!([{"kind": "ServiceAccount", "namespace": NAMESPACE,
        "name": pod(objects)["serviceAccountName"]}]);
    let (kind, role) = (role["kind"].as_str().unwrap(), &role["metadata"]);
    of_kind(objects, &format!("{kind}Binding")).any(|binding| {
        let to = &binding["roleRef"];
        to["kind"] == kind
            && to["name"] == role["name"]
            && binding["metadata"]["namespace"] == role["namespace"]
            && binding["subjects"] == account
    })
}

#[tokio::test]
async fn every_documented_value_set_renders_and_the_api_server_takes_it() {
    let plane = plane_with(&[NAMESPACE, "estate", "bizi"]).await;
    for (name, values) in sets() {
        let linted = helm(&plane, &["lint", "--strict"], &values).await;
        assert!(linted.status.success(), "{name}: {}", said(&linted));
        let rendered = helm(&plane, &["template", "keyferry"], &values).await;
        assert!(rendered.status.success(), "{name}: {}", said(&rendered));
        let objects = objects(&rendered.stdout);
        is_understood(name, &objects);
        has_its_rights(name, &values, &objects);
        let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let taken = plane.kubectl(&arguments, Some(&rendered.stdout)).await;
        let taken = taken.unwrap();
        assert!(taken.status.success(), "{name}: {}", said(&taken));
        assert!(
            said(&taken).contains("deployment.apps/"),
            "{name}: {}",
            said(&taken)
        );
    }
    let misspelt = json!({"minRefreshIntervall": "1m"});
    let refused = helm(&plane, &["template", "keyferry"], &misspelt).await;
    assert!(
        !refused.status.success() && said(&refused).contains("minRefreshIntervall"),
        "{}",
        said(&refused)
    );
}

#[tokio::test]
async fn an_installed_chart_is_upgraded_and_leaves_bindings_behind_when_it_goes() {
    let plane = plane_with(&[NAMESPACE, "estate", "bizi"]).await;
    // The pods need not run: no image is published.
    let installed = helm(&plane, &["install", "keyferry"], &json!({})).await;
    assert!(installed.status.success(), "{}", said(&installed));
    let binding = root().join("examples/reference/keys.yaml");
    let binding = binding.to_str().unwrap();
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ];
    kubectl(&plane, &established).await.unwrap();
    kubectl(&plane, &["apply", "-n", "estate", "-f", binding])
        .await
        .unwrap();
    for (name, values) in sets() {
        // Those would take the CRDs, and with them the binding, away.
        if values["crds"].is_object() {
            continue;
        }
        let upgraded = helm(&plane, &["upgrade", "keyferry"], &values).await;
        assert!(upgraded.status.success(), "{name}: {}", said(&upgraded));
    }
    let gone = plane.helm(&["uninstall", "keyferry", "--namespace", NAMESPACE]);
    let gone = gone.await.unwrap();
    assert!(gone.status.success(), "{}", said(&gone));
    let left = ["get", "deployments,clusterroles", "-A", "-o", "name"];
    let left = kubectl(&plane, &left).await.unwrap();
    assert!(!left.contains("keyferry"), "{left}");
    let kept = ["get", "esb", "keys", "-n", "estate", "-o", "name"];
    let kept = kubectl(&plane, &kept).await.unwrap();
    assert!(kept.contains("externalsecretbinding"), "{kept}");
}

#[tokio::test]
async fn crds_of_others_are_left_to_them_where_that_is_said() {
    let plane = plane_with(&[NAMESPACE]).await;
    crds(&plane, root()).await.unwrap();
    let refused = helm(&plane, &["install", "keyferry"], &json!({})).await;
    assert!(
        !refused.status.success() && said(&refused).contains("externalsecretbindings.keyferry.dev"),
        "{}",
        said(&refused)
    );
    let without = json!({"crds": {"install": false}});
    let installed = helm(&plane, &["install", "keyferry"], &without).await;
    assert!(installed.status.success(), "{}", said(&installed));
}
