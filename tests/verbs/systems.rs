//! What the systems of `examples/` hold that a verb prints.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use keyferry_testkit::{
    aws::{SecretValue, Statement},
    operator::repository,
};
use serde_json::{Value, json};

use crate::kit::{ACCOUNT, Laptop, Ran, ended};

/// Folder, account, region of the cluster, key of the entries.
const FOLDERS: [(&str, &str, &str, &str); 6] = [
    ("bizi", "111122223333", "ap-northeast-2", "none"),
    ("fastapi", "111122223333", "us-east-1", "none"),
    ("ecomind/staging", "123456789012", "us-east-1", "none"),
    ("ecomind/prod", "123456789012", "us-east-1", "none"),
    ("estate", "111122223333", "ap-northeast-2", "none"),
    (
        "gaara-store",
        "111122223333",
        "us-east-1",
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_iam_documents_of_the_systems_are_what_iam_policy_prints() {
    let laptop = Laptop::new().await;
    for (folder, account, region, key) in FOLDERS {
        let folder = repository().join("examples").join(folder);
        let bindings = folder.display().to_string();
        let issuer =
            format!("https://oidc.eks.{region}.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE");
        let policy = ["-f", &bindings, "--kms-key", key];
        let irsa = ["--trust", "irsa", "--oidc-provider", &issuer];
        let pods = ["--trust", "pod-identity"];
        for (file, args) in [
            ("policy.json", policy.as_slice()),
            ("trust-irsa.json", &irsa),
            ("trust-pod-identity.json", &pods),
        ] {
            let args = [&["iam-policy", "--account", account], args].concat();
            let ran = laptop.run(&args).await;
            assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
            let written = std::fs::read_to_string(folder.join("iam").join(file)).unwrap();
            assert_eq!(ran.stdout, written, "{bindings}: {file}");
        }
    }
    let all = repository().join("examples").display().to_string();
    let ran = laptop.run(&["validate", "-f", &all]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
}

/// A file of a system's folder.
fn example(file: &str) -> String {
    let path = repository().join("examples").join(file);
    path.display().to_string()
}

/// A run as somebody who may do what a policy of a system's folder says, and nothing else.
async fn run_with(laptop: &Laptop, policy: &str, args: &[&str]) -> Ran {
    let statements = Statement::of_document(&fs::read_to_string(example(policy)).unwrap());
    let user = "AKIASYSTEM";
    let secret = laptop.aws.user_with(user, ACCOUNT, statements.unwrap());
    let mut command = laptop.command(args);
    command.env("AWS_ACCESS_KEY_ID", user);
    command.env("AWS_SECRET_ACCESS_KEY", secret);
    ended(command).await
}

/// The required keys of the binding that a file begins with.
fn required(file: &str) -> Vec<String> {
    let text = fs::read_to_string(example(file)).unwrap();
    let first = text.split("\n---\n").next().unwrap();
    let binding: Value = serde_yaml::from_str(first).unwrap();
    let keys = binding["spec"]["validate"]["required"].as_array().unwrap();
    keys.iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect()
}

/// The lines of a `.env` file with plain values.
fn lines(values: &BTreeMap<String, String>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value}\n");
    values.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bizis_compose_host_gets_its_env_file_with_bizis_policy_and_keeps_it_when_the_gate_refuses()
{
    let laptop = Laptop::new().await;
    let keys = required("bizi/bindings.yaml");
    assert_eq!(keys.len(), 11);
    let long = || laptop.canaries.plain() + &laptop.canaries.plain();
    let mut values: BTreeMap<_, _> = keys.into_iter().map(|key| (key, long())).collect();
    let entry = json!(values).to_string();
    laptop.region().create("bizi/production", &entry).unwrap();
    let binding = example("bizi/bindings.yaml");
    let args = ["render", "-f", &binding, "--out", ".env"];
    let ran = run_with(&laptop, "bizi/iam/policy.json", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    laptop.says_nothing(&ran);
    let file = laptop.dir.path().join(".env");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written == lines(&values), "the file is not the entry");

    values.insert(
        "OPENAI_API_KEY".to_owned(),
        "your-openai-api-key".to_owned(),
    );
    laptop
        .region()
        .put("bizi/production", &json!(values).to_string())
        .unwrap();
    let ran = run_with(&laptop, "bizi/iam/policy.json", &args).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("OPENAI_API_KEY"), "{}", ran.stderr);
    laptop.says_nothing(&ran);
    assert!(fs::read_to_string(&file).unwrap() == written, "it is kept");
}

/// What a program is started with, of these keys; None: it is not started.
async fn started_with(laptop: &Laptop, args: &[&str]) -> Option<BTreeMap<String, String>> {
    let args = [&["exec"], args, &["--", "env"]].concat();
    let ran = laptop.run(&args).await;
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    (ran.code == Some(0)).then(|| ran.stdout.lines().filter_map(pair).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn gaara_store_and_fastapi_run_from_an_env_file_and_no_fallback_gets_past_the_gate() {
    let laptop = Laptop::new().await;
    for (file, name) in [
        ("gaara-store/bindings.yaml", "gaara-store"),
        ("fastapi/bindings.yaml", "app"),
    ] {
        let binding = example(file);
        let mut values: BTreeMap<_, _> = required(file)
            .into_iter()
            .map(|key| (key, laptop.canaries.plain()))
            .collect();
        if name == "gaara-store" {
            let url = format!("postgresql://gaara:{}@db/gaara", laptop.canaries.plain());
            values.insert("DATABASE_URL".to_owned(), url);
        }
        let args = ["-f", &binding, name, "--from-env-file", ".env"];
        laptop.file(".env", &lines(&values));
        let seen = started_with(&laptop, &args).await.unwrap();
        for (key, value) in &values {
            assert!(seen.get(key) == Some(value), "{key} of {name} differs");
        }
        let left: &[(&str, &str)] = match name {
            "gaara-store" => &[
                ("JWT_SECRET_KEY", "default-secret"),
                ("DATABASE_URL", "sqlite:///a.db"),
            ],
            _ => &[("JWT_SECRET", "your-jwt-secret"), ("API_KEYS", "")],
        };
        for (key, value) in left {
            let mut values = values.clone();
            values.insert((*key).to_owned(), (*value).to_owned());
            laptop.file(".env", &lines(&values));
            assert_eq!(started_with(&laptop, &args).await, None, "{key} of {name}");
        }
    }
    assert_eq!(laptop.aws.calls().len(), 0, "AWS is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapis_pipelines_write_the_host_with_update_rights_alone() {
    let laptop = Laptop::new().await;
    let region = laptop.aws.account(ACCOUNT).region("us-east-1");
    let mut entry = json!({"ec2_key_name": laptop.canaries.plain(), "ec2_host": "",
        "ec2_user": "ubuntu", "github_repo": "acme/fastapi"});
    region
        .create("FastAPIDeploymentSecrets", &entry.to_string())
        .unwrap();
    let host = laptop.canaries.plain();
    laptop.file("host.env", &format!("ec2_host={host}\n"));
    let to = ["--to", "FastAPIDeploymentSecrets", "--merge"];
    let args = [
        &["import", "host.env", "--region", "us-east-1"],
        to.as_slice(),
    ]
    .concat();
    let ran = run_with(&laptop, "fastapi/iam/pipeline-policy.json", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    laptop.says_nothing(&ran);
    entry["ec2_host"] = json!(host);
    let now = match region.current_value("FastAPIDeploymentSecrets") {
        Some(SecretValue::Text(text)) => serde_json::from_str(&text).unwrap(),
        _ => Value::Null,
    };
    assert!(now == entry, "one key is set, the others stay");
}
