//! `keyferry convert`: what is printed where, and what AWS has to say.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::kit::{ACCOUNT, Laptop, Ran};

const EXTERNAL: &str = "apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: backend, namespace: estate}
spec:
  refreshInterval: 1h
  secretStoreRef: {name: west, kind: ClusterSecretStore}
  target:
    name: backend-secrets
    immutable: true
  data:
  - secretKey: PASSWORD
    remoteRef: {key: estate/rds/password}
  - secretKey: TOKEN
    remoteRef: {key: pay/token}
---
apiVersion: v1
kind: ConfigMap
---
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: west}
spec: {provider: {aws: {service: SecretsManager, region: ap-northeast-2}}}
";

/// Everything but RFC 3986's unreserved characters is encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The two ways in which ecomind's tasks take their database.
fn task(family: &str, environment: &str) -> String {
    format!(
        r#"{{"family": "{family}", "containerDefinitions": [{{"name": "app", "image": "ecomind", "secrets": [
  {{"name": "DATABASE_URL", "valueFrom": "arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecomind/{environment}/database:connection_string::"}},
  {{"name": "JWT_SECRET", "valueFrom": "arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecomind/{environment}/jwt"}}
]}}]}}"#
    )
}

/// A laptop beside ecomind's entries, and its production URL.
async fn ecomind() -> (Laptop, String) {
    let laptop = Laptop::new().await;
    let (staging, production) = (laptop.canaries.value(), laptop.canaries.value());
    let region = laptop.aws.account(ACCOUNT).region("us-east-1");
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let entry = |more: String, password: &str| {
        format!(
            r#"{{{more}, "host": "db.internal", "username": "eco", "password": {}}}"#,
            quoted(password)
        )
    };
    let url = format!("postgresql://eco:{staging}@db.internal:5432/eco");
    let first = format!(
        r#""connection_string": {}, "port": "5432", "database": "eco""#,
        quoted(&url)
    );
    region
        .create("ecomind/staging/database", &entry(first, &staging))
        .unwrap();
    let second = r#""engine": "postgres", "port": 5432, "dbname": "eco""#.to_owned();
    region
        .create("ecomind/prod/database", &entry(second, &production))
        .unwrap();
    for environment in ["staging", "prod"] {
        let jwt = laptop.canaries.plain();
        region
            .create(&format!("ecomind/{environment}/jwt"), &jwt)
            .unwrap();
    }
    let password = utf8_percent_encode(&production, UNRESERVED).to_string();
    (
        laptop,
        format!("postgresql://eco:{password}@db.internal:5432/eco?sslmode=require"),
    )
}

const TEMPLATE: &str = "postgresql://{{ username | urlencode }}:{{ password | urlencode }}@{{ host }}:{{ port }}/{{ dbname }}?sslmode=require";

fn has(ran: &Ran, line: &str) {
    assert!(
        ran.stderr.lines().any(|said| said == line),
        "no `{line}` in\n{}",
        ran.stderr
    );
}

#[tokio::test]
async fn bindings_on_stdout_and_everything_else_on_stderr() {
    let laptop = Laptop::new().await;
    laptop.file("in/es.yaml", EXTERNAL);
    let ran = laptop.run(&["convert", "-f", "in"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    has(
        &ran,
        "warning: in/es.yaml:9: ExternalSecret/backend: spec.target.immutable: Secrets stay writable; `suspend: true` stops writes, `versionId` pins a value",
    );
    has(&ran, "1 binding, 1 thing not carried");
    assert!(
        ran.stderr
            .contains("note: namespace estate may read estate/*"),
        "{}",
        ran.stderr
    );
    for line in [
        "# From ExternalSecret/backend, in/es.yaml.",
        "# not carried: spec.target.immutable: ",
        "  refreshInterval: 1h",
        "    region: ap-northeast-2",
        "    name: backend-secrets",
        "# kind: SecretAccessPolicy",
        "#   secrets: [\"pay/token\"]",
    ] {
        assert!(
            ran.stdout.lines().any(|out| out.starts_with(line)),
            "{line}: {}",
            ran.stdout
        );
    }
    // What comes out is what the API server takes.
    laptop.file("out.yaml", &ran.stdout);
    let judged = laptop.run(&["validate", "-f", "out.yaml"]).await;
    assert_eq!(judged.code, Some(0), "{judged:?}");
    assert!(
        judged.stdout.starts_with("1 of keyferry's manifests"),
        "{judged:?}"
    );

    let strict = laptop.run(&["convert", "-f", "in", "--strict"]).await;
    assert_eq!((strict.code, &strict.stdout), (Some(1), &ran.stdout));
    laptop.file(
        "carried.yaml",
        &EXTERNAL.replace("    immutable: true\n", ""),
    );
    let strict = laptop
        .run(&["convert", "-f", "carried.yaml", "--strict"])
        .await;
    assert_eq!(strict.code, Some(0), "{strict:?}");
}

#[tokio::test]
async fn files_are_written_and_not_replaced_without_a_word() {
    let laptop = Laptop::new().await;
    laptop.file("es.yaml", EXTERNAL);
    let to = |out: &'static str| ["convert", "-f", "es.yaml", "--out", out];
    let ran = laptop.run(&to("out/")).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let path = laptop.dir.path().join("out/estate-backend.yaml");
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written.starts_with("# From ExternalSecret/backend"),
        "{written}"
    );
    let policies = std::fs::read_to_string(laptop.dir.path().join("out/access-policies.yaml"));
    assert!(policies.unwrap().contains("pay/token"));
    std::fs::write(&path, "mine").unwrap();
    let again = laptop.run(&to("out/")).await;
    assert_eq!(again.code, Some(1));
    assert_eq!(
        again.stderr,
        "error: out/estate-backend.yaml: is there already; --force replaces it\n"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let forced = laptop.run(&[&to("out/")[..], &["--force"]].concat()).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    assert_eq!(laptop.run(&to("one.yaml")).await.code, Some(0));
    assert!(laptop.dir.path().join("one.yaml").is_file());
}

#[tokio::test]
async fn a_property_that_does_not_exist_is_found_and_its_url_offered() {
    let (laptop, url) = ecomind().await;
    laptop.file("staging.json", &task("ecomind-staging", "staging"));
    laptop.file("prod.json", &task("ecomind-migrate", "prod"));
    let check = |file: &'static str| ["convert", "-f", file, "-n", "ecomind", "--check"];

    let ran = laptop.run(&check("staging.json")).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    has(&ran, "1 binding, 0 things not carried");
    laptop.says_nothing(&ran);

    let ran = laptop
        .run(&[&check("prod.json")[..], &["--strict"]].concat())
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    has(
        &ran,
        &format!(
            "warning: ecomind/ecomind-migrate: spec.data[0]: \"ecomind/prod/database\" has no property \"connection_string\" (6 properties); compose it (--compose writes it): {TEMPLATE}"
        ),
    );
    assert!(ran.stdout.contains(TEMPLATE), "{}", ran.stdout);
    laptop.says_nothing(&ran);

    // Written, it gives the URL that the migration needs.
    let ran = laptop
        .run(&[&check("prod.json")[..], &["--compose", "--strict"]].concat())
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    laptop.says_nothing(&ran);
    laptop.file("composed.yaml", &ran.stdout);
    let render = [
        "render",
        "-f",
        "composed.yaml",
        "-o",
        "json",
        "--show-values",
    ];
    let rendered = laptop.run(&render).await;
    assert_eq!(rendered.code, Some(0), "{}", rendered.stderr);
    let data: serde_json::Value = serde_json::from_str(&rendered.stdout).unwrap();
    let keys: Vec<&String> = data.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["DATABASE_URL", "JWT_SECRET"]);
    assert!(data["DATABASE_URL"] == url, "the URL is another one");
}

#[tokio::test]
async fn entries_that_do_not_exist_are_found() {
    let (laptop, _) = ecomind().await;
    laptop.file("t.json", &task("ecomind", "nowhere"));
    let ran = laptop
        .run(&["convert", "-f", "t.json", "-n", "ecomind", "--check"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let missing = ran
        .stderr
        .lines()
        .filter(|line| line.contains(": No secret \"arn:aws:secretsmanager:us-east-1:111122223333:secret:ecomind/nowhere/"))
        .count();
    assert_eq!(missing, 2, "{}", ran.stderr);
    laptop.says_nothing(&ran);
}

#[tokio::test]
async fn what_cannot_be_read_is_one_line_each() {
    let laptop = Laptop::new().await;
    laptop.file("bad.yaml", "a: [1\n");
    laptop.file("map.yaml", "kind: ConfigMap\n");
    for (file, expected) in [
        ("bad.yaml", "error: bad.yaml:"),
        ("absent.yaml", "error: absent.yaml: cannot be read: "),
        ("map.yaml", "error: nothing to convert: "),
    ] {
        let ran = laptop.run(&["convert", "-f", file]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(
            ran.stderr.starts_with(expected) && ran.stderr.lines().count() == 1,
            "{}",
            ran.stderr
        );
    }
    for usage in [
        &["convert"][..],
        &["convert", "-f", "map.yaml", "--compose"],
    ] {
        assert_eq!(laptop.run(usage).await.code, Some(2), "{usage:?}");
    }
    // Nothing is left of it: said, and no success.
    laptop.file(
        "push.yaml",
        "apiVersion: external-secrets.io/v1alpha1\nkind: PushSecret\nmetadata: {name: p}\n",
    );
    let ran = laptop.run(&["convert", "-f", "push.yaml"]).await;
    assert_eq!(ran.code, Some(1));
    has(
        &ran,
        "warning: push.yaml:2: PushSecret/p: kind: keyferry writes nothing to AWS; `keyferry import` writes once",
    );
}

#[tokio::test]
async fn an_aws_that_does_not_answer_is_one_line_within_the_limit() {
    let laptop = Laptop::new().await;
    laptop.file("es.yaml", EXTERNAL);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut command = laptop.command(&["convert", "-f", "es.yaml", "--check", "--timeout", "1s"]);
    for (name, _) in laptop
        .aws
        .env()
        .iter()
        .filter(|(name, _)| name.contains("ENDPOINT"))
    {
        command.env(name, &endpoint);
    }
    let ran = crate::kit::ended(command).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.stderr.starts_with("error: ") && ran.stderr.lines().count() == 1,
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("did not answer in 1s"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn the_standard_input_is_read_and_help_has_an_example() {
    let laptop = Laptop::new().await;
    let path = laptop.file("es.yaml", EXTERNAL);
    let mut command = laptop.command(&["convert", "-f", "-"]);
    command.stdin(std::fs::File::open(path).unwrap());
    let ran = crate::kit::ended(command).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("name: backend-secrets"));
    let help = laptop.run(&["convert", "--help"]).await;
    assert!(
        help.stdout
            .contains("keyferry convert -f external-secrets/ --out bindings/")
    );
}
