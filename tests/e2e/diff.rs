//! `keyferry diff`: beside a cluster with an operator, what it says before files are merged, and that it writes nothing.

use std::path::Path;

use keyferry_testkit::aws::Statement;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    case::Case,
    workload::{Uses, deployment},
    world::{ACCOUNT, REGION},
};

crate::tests![tests:
    keys_and_workloads_are_told_and_nothing_is_written,
    what_the_operator_would_refuse_is_refused_here,
    what_cannot_be_asked_is_one_line,
];

/// Access key of somebody who may read everything.
const USER: &str = "AKIADIFF";

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Case {
    /// Runs diff over these manifests, in this namespace; what it prints goes to the leak scan.
    async fn diff(&self, manifests: &[Value], args: &[&str]) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        for (n, manifest) in manifests.iter().enumerate() {
            let path = folder.path().join(format!("{n}.json"));
            std::fs::write(path, manifest.to_string()).unwrap();
        }
        self.diff_of(folder.path(), self.world.plane.kubeconfig(), args)
            .await
    }

    async fn diff_of(&self, files: &Path, kubeconfig: &Path, args: &[&str]) -> Ran {
        self.ended(self.diff_command(files, kubeconfig, args)).await
    }

    fn diff_command(&self, files: &Path, kubeconfig: &Path, args: &[&str]) -> Command {
        let aws = &self.world.aws;
        let secret = aws.user_with(USER, ACCOUNT, vec![Statement::allow(&["*"], &["*"])]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        command
            .args(["diff", "-n", &self.namespace, "-f"])
            .arg(files);
        command.arg("--kubeconfig").arg(kubeconfig).args(args);
        command.env_clear().envs(aws.env());
        command.env("AWS_REGION", REGION);
        command
            .env("AWS_ACCESS_KEY_ID", USER)
            .env("AWS_SECRET_ACCESS_KEY", secret);
        command
    }

    async fn ended(&self, mut command: Command) -> Ran {
        let output = command.output().await.unwrap();
        self.world.channels.shown(&output.stdout);
        self.world.channels.shown(&output.stderr);
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The lines of an output, with runs of blanks made one and the namespace left out.
    fn lines(&self, ran: &Ran) -> Vec<String> {
        assert_eq!(ran.stderr, "", "{}", ran.stdout);
        let short = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ").replace(&self.namespace, "NS")
        };
        ran.stdout.lines().map(short).collect()
    }
}

fn keys(case: &Case, rollout: bool) -> Value {
    let key = |key: &str, entry: &str| json!({"key": key, "from": {"secret": case.entry(entry)}});
    let mut spec = json!({"data": [key("DATABASE_URL", "url"), key("OPENAI_API_KEY", "openai")]});
    if rollout {
        spec["rollout"] = json!({});
    }
    spec
}

async fn keys_and_workloads_are_told_and_nothing_is_written(case: Case) {
    case.put("url", &case.value());
    case.put("openai", &case.value());
    case.apply(deployment("worker", 1, &[Uses::Env("ai", "DATABASE_URL")]))
        .await;
    case.binding("ai", keys(&case, true)).await;
    case.synced("ai").await;
    let before = case.secret("ai").await;
    let files = [
        case.manifest("ai", keys(&case, true)),
        case.manifest("reports", case.one("TOKEN", "url")),
    ];
    let same = case.diff(&files[..1], &["--exit-code"]).await;
    assert_eq!(
        case.lines(&same),
        ["= NS/ai DATABASE_URL same, OPENAI_API_KEY same restarts nothing (nothing changes)"]
    );
    assert_eq!(same.code, Some(0));

    case.put("url", &case.value());
    let expected = [
        "~ NS/ai DATABASE_URL changed, OPENAI_API_KEY same would restart worker",
        "+ NS/reports TOKEN new restarts nothing (first creation)",
    ];
    let ran = case.diff(&files, &[]).await;
    assert_eq!(case.lines(&ran), expected);
    assert_eq!(ran.code, Some(0));
    assert_eq!(case.diff(&files, &["--exit-code"]).await.code, Some(4));

    let calm = [case.manifest("ai", keys(&case, false))];
    let ran = case.diff(&calm, &[]).await;
    assert_eq!(
        case.lines(&ran),
        ["~ NS/ai DATABASE_URL changed, OPENAI_API_KEY same restarts nothing (no rollout)"]
    );
    let mut fewer = keys(&case, true);
    fewer["data"].as_array_mut().unwrap().remove(0);
    let ran = case.diff(&[case.manifest("ai", fewer)], &[]).await;
    assert_eq!(
        case.lines(&ran),
        ["~ NS/ai DATABASE_URL gone, OPENAI_API_KEY same would restart worker"]
    );

    let after = case.secret("ai").await;
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
    assert!(case.find_secret("reports").await.is_none());
}

async fn what_the_operator_would_refuse_is_refused_here(case: Case) {
    let stripe = format!("pay-{}/stripe", case.namespace);
    case.world.entries().create(&stripe, &case.value()).unwrap();
    let parts = ["host", "dbname", "username", "password"];
    let mut entry =
        serde_json::Map::from_iter(parts.map(|part| (part.to_owned(), json!(case.value()))));
    entry.insert("engine".to_owned(), json!("postgres"));
    entry.insert("port".to_owned(), json!(5432));
    case.put("database", &Value::Object(entry).to_string());
    case.put("filler", "changeme");
    case.foreign_secret("taken", "helm", &[("A", "b")]).await;

    let billing = json!({"data": [{"key": "K", "from": {"secret": stripe}}]});
    // As an ECS task definition names it: a partial ARN, and a property that the entry does not have.
    let reference = format!(
        "arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{}:connection_string::",
        case.entry("database")
    );
    let missing = json!({"data": [{"key": "connection-string", "from": {"secret": reference}}]});
    let mut gated = case.one("K", "filler");
    gated["validate"] = json!({"rejectPlaceholders": true});
    let files = [
        case.manifest("billing", billing.clone()),
        case.manifest("database", missing),
        case.manifest("gated", gated),
        case.manifest("taken", case.one("K", "filler")),
        case.manifest("absent", case.one("K", "nothing")),
    ];
    let ran = case.diff(&files, &["--exit-code"]).await;
    assert_eq!(ran.code, Some(1));
    let lines = case.lines(&ran);
    let said = |secret: &str| {
        let begin = format!("! NS/{secret} ");
        lines
            .iter()
            .find(|line| line.starts_with(&begin))
            .unwrap_or_else(|| panic!("{lines:#?}"))
    };
    for (secret, part) in [
        (
            "billing",
            "AccessNotAllowed: No SecretAccessPolicy lets namespace NS read \"pay-NS/stripe\" (policy \"default\" allows NS/*)",
        ),
        (
            "database",
            "PropertyMissing: \"NS/database\" has no property \"connection_string\" (6 properties)",
        ),
        ("gated", "PlaceholderFound: K of \"NS/filler\" version "),
        ("taken", "TargetConflict: Secret NS/taken exists"),
        ("absent", "SecretNotFound: No secret \"NS/nothing\""),
    ] {
        assert!(said(secret).contains(part), "{lines:#?}");
    }
    let template = "\"connection-string\": \"postgresql://{{ username | urlencode }}:{{ password | urlencode }}@{{ host }}:{{ port }}/{{ dbname }}?sslmode=require\"";
    assert!(lines.iter().any(|line| line == template), "{lines:#?}");

    // The offer, pasted; and a policy in the files counts as it will once they are applied.
    let pasted: Vec<&str> = ran
        .stdout
        .lines()
        .skip_while(|line| !line.contains("dataFrom:"))
        .collect();
    let pasted: Vec<&str> = pasted
        .into_iter()
        .take_while(|line| line.starts_with("    "))
        .collect();
    let spec: Value = serde_yaml::from_str(&pasted.join("\n")).unwrap();
    let policy = json!({"apiVersion": "keyferry.dev/v1alpha1", "kind": "SecretAccessPolicy",
        "metadata": {"name": case.policy_name("pay")},
        "spec": {"namespaces": {"names": [case.namespace]}, "secrets": [stripe]}});
    let cured = [
        case.manifest("billing", billing),
        case.manifest("database", spec),
        policy,
    ];
    let ran = case.diff(&cured, &[]).await;
    assert_eq!(
        case.lines(&ran),
        [
            "+ NS/billing K new restarts nothing (first creation)",
            "+ NS/database connection-string new restarts nothing (first creation)",
        ]
    );
    assert_eq!(ran.code, Some(0));
}

async fn what_cannot_be_asked_is_one_line(case: Case) {
    case.put("e", &case.value());
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("b.yaml"), text).unwrap();
    let one_line = |ran: &Ran, says: &str| {
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{}",
            ran.stderr
        );
        let clear = ran.stderr.starts_with("error: ") && ran.stderr.lines().count() == 1;
        assert!(clear && ran.stderr.contains(says), "{}", ran.stderr);
    };
    let admin = case.world.plane.kubeconfig();
    write("");
    let ran = case.diff_of(folder.path(), admin, &[]).await;
    one_line(&ran, "no ExternalSecretBinding in these files");
    write(
        "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {name: a}\nspec: {data: []}\n",
    );
    let ran = case.diff_of(folder.path(), admin, &[]).await;
    one_line(&ran, "b.yaml:4: ExternalSecretBinding/a: ");

    write(&case.manifest("a", case.one("K", "e")).to_string());
    // A port that nobody is given.
    let server = "server: https://127.0.0.1:1";
    let silent = std::fs::read_to_string(admin).unwrap();
    let silent: Vec<String> = silent
        .lines()
        .map(|line| match line.split_once("server:") {
            Some((indent, _)) => format!("{indent}{server}"),
            None => line.to_owned(),
        })
        .collect();
    let kubeconfig = case.world.files.path().join(case.policy_name("silent"));
    std::fs::write(&kubeconfig, silent.join("\n")).unwrap();
    let ran = case.diff_of(folder.path(), &kubeconfig, &[]).await;
    one_line(&ran, "the API server https://127.0.0.1:");

    // The kernel takes the connection, and nobody answers.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    let mut command = case.diff_command(folder.path(), admin, &["--timeout", "2s"]);
    command.env("AWS_ENDPOINT_URL", endpoint);
    one_line(&case.ended(command).await, "AWS did not answer in 2s.");

    let files = case.world.files.path();
    let nobody = case
        .world
        .plane
        .service_account_kubeconfig(&case.namespace, "default", files);
    let ran = case
        .diff_of(folder.path(), &nobody.await.unwrap(), &[])
        .await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, part) in lines.iter().zip([
        "may not list secretaccesspolicies",
        "may not list externalsecretbindings",
        "may not get secrets",
    ]) {
        assert!(line.contains(part), "{lines:#?}");
    }
}
