//! `keyferry iam-policy`: what is printed, for whom, and what is said when something is missing.
//!
//! That the policy is enough, and no more than that, is tested where AWS is asked: `tests/source/rights.rs`.

use serde_json::{Value, json};

use crate::kit::{ACCOUNT, Laptop, REGION, Ran};

const ESTATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/estate");
const ROLE: &str = "arn:aws:iam::444455556666:role/reader";

fn binding(name: &str, source: &str, reference: &str) -> String {
    format!(
        "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {{name: {name}, namespace: estate}}\nspec:\n  source: {source}\n  data:\n  - key: A\n    from: {{secret: {reference}}}\n---\n"
    )
}

fn document(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The one line of a run that failed.
fn line(ran: &Ran) -> &str {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let line = ran.stderr.strip_prefix("error: ").unwrap();
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[tokio::test]
async fn the_policy_of_a_folder() {
    let laptop = Laptop::new().await;
    let args = ["iam-policy", "-f", ESTATE, "--account", ACCOUNT];
    let ran = laptop.run(&args).await;
    assert_eq!(ran.stderr, "");
    // Its replicas' region and its own.
    let regions = ["ap-northeast-1", REGION];
    let arn = |region: &str, name: &str| {
        format!("arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:estate/{name}-??????")
    };
    let entries = [
        "jwt/secret",
        "kreb/api_key",
        "openai/api_key",
        "rds/password",
        "segment/write_key",
        "ses/access_key_id",
        "ses/secret_access_key",
    ];
    let expected = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "Read", "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
            "Resource": regions.map(|region| entries.map(|name| arn(region, name))).concat()},
        {"Sid": "Find", "Effect": "Allow", "Action": ["secretsmanager:BatchGetSecretValue"], "Resource": ["*"]},
        {"Sid": "Decrypt", "Effect": "Allow", "Action": ["kms:Decrypt"],
            "Resource": regions.map(|region| format!("arn:aws:kms:{region}:{ACCOUNT}:key/*")),
            "Condition": {"StringEquals": {"kms:ViaService":
                regions.map(|region| format!("secretsmanager.{region}.amazonaws.com"))}}},
    ]});
    assert_eq!(document(&ran), expected);
    assert_eq!(laptop.run(&args).await.stdout, ran.stdout);

    let none = [&args[..], &["--kms-key", "none", "--sweep", "list"]].concat();
    let policy = document(&laptop.run(&none).await);
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
    assert_eq!(
        policy["Statement"][1]["Action"][1],
        "secretsmanager:ListSecrets"
    );
}

#[tokio::test]
async fn each_identity_has_its_own() {
    let laptop = Laptop::new().await;
    let text = [
        binding("own", "{region: us-east-1}", "estate/a"),
        binding(
            "other",
            &format!("{{region: us-east-1, roleArn: {ROLE}}}"),
            "estate/b",
        ),
    ];
    laptop.file("b.yaml", &text.concat());
    let args = ["iam-policy", "-f", "b.yaml", "--account", ACCOUNT];
    let ran = laptop.run(&args).await;
    let all = document(&ran);
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(names, [ROLE, "operator"]);
    let said = "warning: 2 policies, one for each identity that reads (operator, arn:aws:iam::444455556666:role/reader); choose one with --role\n";
    assert_eq!(ran.stderr, said);
    for who in ["operator", ROLE] {
        let one = [&args[..], &["--role", who]].concat();
        assert_eq!(document(&laptop.run(&one).await), all[who], "{who}");
    }
    let resource = &all[ROLE]["Statement"][0]["Resource"][0];
    let expected = "arn:aws:secretsmanager:us-east-1:444455556666:secret:estate/b-??????";
    assert_eq!(resource, expected);
    let nobody = [&args[..], &["--role", "estate/x"]].concat();
    assert_eq!(
        line(&laptop.run(&nobody).await),
        format!("nothing is read as estate/x; there is operator, {ROLE}")
    );
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_one_line() {
    let laptop = Laptop::new().await;
    laptop.file(
        "named.yaml",
        &binding("named", "{region: us-east-1}", "estate/a"),
    );
    laptop.file("bad.yaml", &binding("bad", "{region: nowhere}", "estate/a"));
    laptop.file("none.yaml", "kind: ConfigMap\n");
    for (args, expected) in [
        (
            &["-f", "named.yaml"][..],
            "the account of binding estate/named is not known: name the account that reads with --account",
        ),
        (&["-f", "none.yaml"], "there is no ExternalSecretBinding"),
        (
            &["-f", "bad.yaml"],
            "bad.yaml:5: ExternalSecretBinding/bad: spec.source.region: ",
        ),
        (&["-f", "absent.yaml"], "absent.yaml: cannot be read: "),
        (
            &["-f", "named.yaml", "--kms-key", "alias/estate"],
            "--kms-key alias/estate: an alias gives no right to its key",
        ),
        (
            &[
                "--trust",
                "irsa",
                "--oidc-provider",
                "oidc.eks.us-east-1.amazonaws.com/id/A",
            ],
            "--oidc-provider: the account of the OIDC provider is not known",
        ),
    ] {
        let ran = laptop.run(&[&["iam-policy"], args].concat()).await;
        let line = line(&ran);
        assert!(line.starts_with(expected), "{line}");
    }
    for usage in [
        &["iam-policy"][..],
        &["iam-policy", "a", "-A"],
        &["iam-policy", "--trust", "irsa"],
        &["iam-policy", "a", "--account", "123"],
    ] {
        assert_eq!(laptop.run(usage).await.code, Some(2), "{usage:?}");
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_one_line_within_the_limit() {
    let laptop = Laptop::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let token = laptop.canaries.plain();
    for (server, expected) in [
        ("127.0.0.1:1".to_owned(), "it cannot be reached"),
        (
            silent.local_addr().unwrap().to_string(),
            "gave no answer within 1s",
        ),
    ] {
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: {{server: \"http://{server}\"}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n"
        );
        laptop.file("config", &config);
        for of in [&["backend", "-n", "estate"][..], &["-A"]] {
            let args = [
                &["iam-policy", "--kubeconfig", "config", "--timeout", "1s"],
                of,
            ]
            .concat();
            let ran = laptop.run(&args).await;
            let line = line(&ran);
            assert!(line.contains(&server) && line.contains(expected), "{line}");
            laptop.says_nothing(&ran);
        }
    }
    let ran = laptop
        .run(&[
            "iam-policy",
            "-A",
            "--kubeconfig",
            "config",
            "--context",
            "prod",
        ])
        .await;
    assert_eq!(
        line(&ran),
        "no way to an API server: kubeconfig: it has no context \"prod\""
    );
    laptop.says_nothing(&ran);
}

#[tokio::test]
async fn a_policy_too_large_for_one_is_said() {
    let laptop = Laptop::new().await;
    let all: Vec<String> = (0..80)
        .map(|n| {
            binding(
                &format!("b{n}"),
                "{region: us-east-1}",
                &format!("estate/entry-{n:02}"),
            )
        })
        .collect();
    laptop.file("b.yaml", &all.concat());
    let ran = laptop
        .run(&["iam-policy", "-f", "b.yaml", "--account", ACCOUNT])
        .await;
    document(&ran);
    assert!(
        ran.stderr.starts_with("warning: the policy has ")
            && ran.stderr.contains("a managed policy holds 6144"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn trust_for_both_ways_into_a_pod_and_for_a_role() {
    let laptop = Laptop::new().await;
    let issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF";
    let irsa = [
        "iam-policy",
        "--trust",
        "irsa",
        "--account",
        ACCOUNT,
        "--oidc-provider",
        issuer,
    ];
    let policy = document(&laptop.run(&irsa).await);
    let statement = &policy["Statement"][0];
    let federated = &statement["Principal"]["Federated"];
    assert_eq!(
        federated,
        &json!(format!(
            "arn:aws:iam::{ACCOUNT}:oidc-provider/{}",
            &issuer[8..]
        ))
    );
    let subject = &statement["Condition"]["StringEquals"][format!("{}:sub", &issuer[8..])];
    assert_eq!(subject, &json!(["system:serviceaccount:keyferry:keyferry"]));

    let pod = [
        "iam-policy",
        "--trust",
        "pod-identity",
        "--service-account",
        "ops/ferry",
    ];
    let policy = document(&laptop.run(&pod).await);
    let statement = &policy["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "pods.eks.amazonaws.com");
    assert_eq!(
        statement["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-namespace"],
        json!(["ops"])
    );

    let role = [
        "iam-policy",
        "--trust",
        "role",
        "--principal",
        ROLE,
        "--external-id",
        "x1",
    ];
    let policy = document(&laptop.run(&role).await);
    assert_eq!(policy["Statement"][0]["Principal"]["AWS"], ROLE);
}

#[tokio::test]
async fn help_has_an_example() {
    let laptop = Laptop::new().await;
    let ran = laptop.run(&["iam-policy", "--help"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.contains("keyferry iam-policy backend -n estate"),
        "{}",
        ran.stdout
    );
}
