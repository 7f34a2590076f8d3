//! What the systems of `examples/` hold that a verb prints.

use keyferry_testkit::operator::repository;

use crate::kit::Laptop;

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
