//! The CRDs on a real API server: what it accepts, what it refuses and with which words, and that it
//! leaves a spec as it was written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use futures::{StreamExt, stream};
use keyferry_testkit::shared::{Bed, bed};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// kubectl processes at a time.
const AT_ONCE: usize = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifests(dir: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(dir))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn words(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// The shared control plane with our kinds served.
async fn with_crds() -> &'static Bed {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let bed = bed().await.unwrap();
    INSTALLED.get_or_init(|| install(bed)).await;
    bed
}

/// As a user would, once: of two that create at the same time one is told that the object exists.
async fn install(bed: &Bed) {
    let crds = root().join("crds");
    let applied = kubectl(bed, &["apply", "-f", crds.to_str().unwrap()]).await;
    assert!(applied.status.success(), "{}", words(&applied));
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/externalsecretbindings.keyferry.dev",
        "crd/secretaccesspolicies.keyferry.dev",
    ];
    let served = kubectl(bed, &established).await;
    assert!(served.status.success(), "{}", words(&served));
}

async fn kubectl(bed: &Bed, args: &[&str]) -> Output {
    bed.plane.kubectl(args, None).await.unwrap()
}

/// Asks the server to create each manifest without keeping it.
async fn tried(bed: &Bed, namespace: &str, dir: &str) -> Vec<(PathBuf, Output)> {
    stream::iter(manifests(dir))
        .map(|path| async move {
            let file = path.to_str().unwrap();
            let args = ["create", "--dry-run=server", "-n", namespace, "-f", file];
            let output = kubectl(bed, &args).await;
            (path, output)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

#[tokio::test]
async fn a_wrong_manifest_is_refused_with_a_sentence_a_person_understands() {
    let bed = with_crds().await;
    let namespace = bed.namespace("refused").await.unwrap();
    let mut wrong = Vec::new();
    for (path, output) in tried(bed, &namespace, "tests/fixtures/refused").await {
        let expected = expectation(&path).unwrap();
        let said = words(&output);
        if output.status.success() || !said.contains(&expected) {
            wrong.push(format!("{}\n  {expected}\n  {said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands behind `# expect: ` on the first line.
fn expectation(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    let first = text.lines().next()?.strip_prefix("# expect: ")?;
    Some(first.to_owned())
}

#[tokio::test]
async fn a_right_manifest_is_accepted_up_to_the_bounds_of_every_list() {
    let bed = with_crds().await;
    let namespace = bed.namespace("accepted").await.unwrap();
    for (path, output) in tried(bed, &namespace, "tests/fixtures/accepted").await {
        assert!(
            output.status.success(),
            "{}: {}",
            path.display(),
            words(&output)
        );
    }
}

#[tokio::test]
async fn a_type_changes_only_together_with_the_name() {
    let bed = with_crds().await;
    let namespace = bed.namespace("type-change").await.unwrap();
    for path in manifests("tests/fixtures/type-change") {
        let output = kubectl(
            bed,
            &["apply", "-n", &namespace, "-f", path.to_str().unwrap()],
        )
        .await;
        let said = words(&output);
        match expectation(&path) {
            Some(expected) => assert!(
                !output.status.success() && said.contains(&expected),
                "{}: {said}",
                path.display()
            ),
            None => assert!(output.status.success(), "{}: {said}", path.display()),
        }
    }
}

#[tokio::test]
async fn an_applied_example_keeps_its_spec_and_waits_for_the_operator() {
    let bed = with_crds().await;
    let namespace = bed.namespace("examples").await.unwrap();
    for path in manifests("examples/reference") {
        for written in documents(&path) {
            let live = applied(bed, &namespace, &written).await;
            let what = path.display();
            assert_eq!(live["spec"], written["spec"], "{what}");
            if written["kind"] == "ExternalSecretBinding" {
                assert_eq!(live["status"], json!({"observedGeneration": -1}), "{what}");
            }
        }
        let file = path.to_str().unwrap();
        let gone = kubectl(bed, &["delete", "-n", &namespace, "-f", file]).await;
        assert!(gone.status.success(), "{file}: {}", words(&gone));
    }
}

#[tokio::test]
async fn the_bindings_and_policies_of_whole_systems_keep_their_specs_too() {
    let bed = with_crds().await;
    for (files, count) in [
        (["bizi/bindings.yaml"].as_slice(), 1),
        (&["fastapi/bindings.yaml", "fastapi/access-policy.yaml"], 4),
        (&["ecomind/staging/bindings.yaml"], 2),
        (
            &["ecomind/prod/bindings.yaml", "ecomind/access-policy.yaml"],
            4,
        ),
        (&["estate/bindings.yaml"], 3),
        (&["gaara-store/bindings.yaml"], 1),
    ] {
        let namespace = bed.namespace("system").await.unwrap();
        let file = |file: &&str| documents(&root().join("examples").join(file));
        let all: Vec<Value> = files.iter().flat_map(file).collect();
        assert_eq!(all.len(), count, "{files:?}");
        for mut written in all {
            if written["kind"] == "ExternalSecretBinding" {
                written["metadata"]["namespace"] = json!(namespace);
            }
            let live = applied(bed, &namespace, &written).await;
            assert_eq!(live["spec"], written["spec"], "{}", written["metadata"]);
        }
    }
    let policies = [
        "secretaccesspolicy",
        "fastapi",
        "ecomind-staging",
        "ecomind-prod",
    ];
    let gone = kubectl(bed, &[&["delete"], policies.as_slice()].concat()).await;
    assert!(gone.status.success(), "{}", words(&gone));
}

/// The manifests of a file.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// Applies an object as a person does; returns it as the server keeps it.
async fn applied(bed: &Bed, namespace: &str, written: &Value) -> Value {
    let manifest = written.to_string();
    let args = ["apply", "-n", namespace, "-o", "json", "-f", "-"];
    let output = bed.plane.kubectl(&args, Some(manifest.as_bytes())).await;
    let output = output.unwrap();
    assert!(output.status.success(), "{}", words(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}
