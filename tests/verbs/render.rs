//! `keyferry render`: what reaches a file or the standard output, and what never does.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode};
use keyferry_testkit::aws::{Fault, Role, Statement};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::kit::{ACCOUNT, Laptop, REGION, Ran, USER, ended};

/// A binding over the JSON entry `bizi/production` whose gate refuses placeholders.
const BINDING: &str = "apiVersion: keyferry.dev/v1alpha1
kind: ExternalSecretBinding
metadata: {name: backend, namespace: bizi}
spec:
  dataFrom:
  - secret: bizi/production
  validate: {rejectPlaceholders: true, required: [JWT_SECRET_KEY]}
";

/// A value that a `.env` file can hold: one that ends in a backslash it cannot.
fn value(laptop: &Laptop) -> String {
    format!("{}.", laptop.canaries.value())
}

/// Seeds `bizi/production` and gives its values.
fn seed(laptop: &Laptop) -> (String, String) {
    let (host, key) = (value(laptop), value(laptop));
    let entry = json!({"MYSQL_PASSWORD": host, "JWT_SECRET_KEY": key}).to_string();
    laptop.region().create("bizi/production", &entry).unwrap();
    laptop.file("binding.yaml", BINDING);
    (host, key)
}

/// The one line of a run that failed with nothing printed or written.
fn refused(laptop: &Laptop, ran: &Ran) -> String {
    laptop.says_nothing(ran);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran.stderr.clone()
}

fn parsed(path: &Path) -> Vec<(String, String)> {
    let pairs = keyferry::core::dotenv::parse(&fs::read(path).unwrap())
        .unwrap()
        .pairs;
    let text = |value: keyferry::core::SecretValue| value.as_str().unwrap().to_owned();
    pairs
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect()
}

const TO_FILE: [&str; 5] = ["render", "-f", "binding.yaml", "--out", ".env"];

#[tokio::test(flavor = "multi_thread")]
async fn a_file_holds_what_the_binding_gives_and_is_written_only_when_that_changes() {
    let laptop = Laptop::new().await;
    let (host, key) = seed(&laptop);
    let out = laptop.dir.path().join(".env");

    let ran = laptop.run(&TO_FILE).await;
    assert_eq!(ran.stdout, ".env written: 2 keys\n", "{}", ran.stderr);
    assert_eq!(ran.code, Some(0));
    laptop.says_nothing(&ran);
    let expected = |key: &str| {
        vec![
            ("JWT_SECRET_KEY".to_owned(), key.to_owned()),
            ("MYSQL_PASSWORD".to_owned(), host.clone()),
        ]
    };
    assert_eq!(parsed(&out), expected(&key));
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        laptop.aws.count("GetCallerIdentity"),
        0,
        "nobody asked who reads"
    );

    let written = fs::metadata(&out).unwrap().modified().unwrap();
    let ran = laptop.run(&TO_FILE).await;
    assert_eq!(ran.stdout, ".env unchanged: 2 keys\n");
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), written);

    let key = value(&laptop);
    let entry = json!({"MYSQL_PASSWORD": host, "JWT_SECRET_KEY": key}).to_string();
    laptop.region().put("bizi/production", &entry).unwrap();
    let ran = laptop.run(&TO_FILE).await;
    assert_eq!(ran.stdout, ".env written: 2 keys\n");
    assert_eq!(parsed(&out), expected(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_printed_only_when_a_flag_says_so() {
    let laptop = Laptop::new().await;
    let (host, key) = seed(&laptop);
    let silent = laptop
        .run(&["render", "-f", "binding.yaml", "-o", "json"])
        .await;
    assert_eq!((silent.code, silent.stdout.as_str()), (Some(2), ""));
    assert!(silent.stderr.contains("--show-values"), "{}", silent.stderr);
    assert_eq!(
        laptop.aws.calls().len(),
        0,
        "read before the arguments were judged"
    );

    let values = json!({"MYSQL_PASSWORD": host, "JWT_SECRET_KEY": key});
    let json = laptop
        .run(&[
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "json",
            "--show-values",
        ])
        .await;
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let printed: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(printed, values);

    let secret = laptop
        .run(&[
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "secret",
            "--show-values",
        ])
        .await;
    let manifest: k8s_openapi::api::core::v1::Secret =
        serde_yaml::from_str(&secret.stdout).unwrap();
    assert_eq!(manifest.metadata.namespace.as_deref(), Some("bizi"));
    let data = manifest.data.unwrap();
    assert_eq!(data["JWT_SECRET_KEY"].0, key.as_bytes());
    assert_eq!(data["MYSQL_PASSWORD"].0, host.as_bytes());

    let shell = laptop
        .run(&[
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "shell",
            "--show-values",
        ])
        .await;
    let script = format!("{}printf %s \"$JWT_SECRET_KEY\"", shell.stdout);
    let read = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(read.stdout, key.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gate_refuses_goes_nowhere_whatever_could_stand_in() {
    let laptop = Laptop::new().await;
    laptop.canaries.value();
    laptop.file("binding.yaml", BINDING);
    let entry = json!({"JWT_SECRET_KEY": "changeme"}).to_string();
    laptop.region().create("bizi/production", &entry).unwrap();
    let (env, good) = (laptop.file(".env", "A=old\n"), laptop.canaries.plain());
    laptop.file("hand.env", &format!("JWT_SECRET_KEY={good}\n"));
    let mut args = TO_FILE.to_vec();
    args.extend(["--fallback-env-file", "hand.env"]);
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(
        line.starts_with(
            "error: backend: PlaceholderFound: JWT_SECRET_KEY of \"bizi/production\" version "
        ),
        "{line}"
    );
    assert_eq!(fs::read_to_string(env).unwrap(), "A=old\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_entry_is_told_with_its_cure_and_no_file_stands_in() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    let role = "arn:aws:iam::111122223333:role/bizi-reader";
    laptop.file(
        "binding.yaml",
        &BINDING.replace("spec:", &format!("spec:\n  source: {{roleArn: {role}}}")),
    );
    laptop.file(
        "hand.env",
        &format!("JWT_SECRET_KEY={}\n", laptop.canaries.plain()),
    );
    laptop
        .aws
        .user_with(USER, ACCOUNT, vec![Statement::allow(&["sts:*"], &["*"])]);
    let mut args = TO_FILE.to_vec();
    args.extend(["--fallback-env-file", "hand.env"]);
    let line = refused(&laptop, &laptop.run(&args).await);
    for part in [
        "error: backend: AccessDenied: ",
        "may not call secretsmanager:GetSecretValue on \"bizi/production\"",
        "keyferry iam-policy backend -n bizi",
        "with role arn:aws:iam::111122223333:role/bizi-reader: try --assume-role",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!laptop.dir.path().join(".env").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_that_is_silent_is_told_in_time_and_a_file_kept_by_hand_stands_in() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    let good = laptop.canaries.plain();
    laptop.file("hand.env", &format!("export JWT_SECRET_KEY={good}\n"));
    let hang = laptop.aws.hang(|fault| fault);
    let mut args = TO_FILE.to_vec();
    args.extend(["--timeout", "1s"]);
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(
        line.starts_with("error: backend: AwsUnavailable: "),
        "{line}"
    );
    assert!(line.contains(" 1s"), "not for want of time: {line}");

    args.extend(["--fallback-env-file", "hand.env"]);
    let ran = laptop.run(&args).await;
    laptop.says_nothing(&ran);
    assert_eq!(ran.stdout, ".env written: 1 key\n", "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("warning: AwsUnavailable: "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("hand.env is used instead"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert_eq!(
        parsed(&laptop.dir.path().join(".env")),
        [("JWT_SECRET_KEY".to_owned(), good)]
    );

    laptop.file("hand.env", "JWT_SECRET_KEY=your-key-here\n");
    let ran = laptop.run(&args).await;
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!((ran.code, lines.len()), (Some(1), 2), "{lines:?}");
    assert!(
        lines[0].starts_with("error: backend: AwsUnavailable: "),
        "{lines:?}"
    );
    let gate = "error: backend: PlaceholderFound: JWT_SECRET_KEY of hand.env ";
    assert!(lines[1].starts_with(gate), "{lines:?}");
    hang.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_at_the_endpoint() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    let mut command = laptop.command(&TO_FILE);
    // A port that nobody is given.
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let line = refused(&laptop, &ended(command).await);
    assert!(
        line.starts_with("error: backend: AwsUnavailable: "),
        "{line}"
    );

    let mut throttled = TO_FILE.to_vec();
    throttled.extend(["--fallback-env-file", "hand.env"]);
    laptop.file(
        "hand.env",
        &format!("JWT_SECRET_KEY={}\n", laptop.canaries.plain()),
    );
    let _fault = laptop.aws.fault(Fault::throttled(None));
    let ran = laptop.run(&throttled).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("warning: Throttled: "),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_found_as_other_tools_find_them_and_their_lack_is_told_with_a_cure() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    let without = |profile: &str| {
        let mut command = laptop.command(&TO_FILE);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_PROFILE", profile);
        command
    };
    laptop.file(
        ".aws/config",
        &format!(
            "[profile laptop]\ncredential_process = echo '{{\"Version\": 1, \"AccessKeyId\": \"{USER}\", \"SecretAccessKey\": \"x\"}}'\n\
             [profile broken]\ncredential_process = false\n\
             [profile login]\nsso_session = s\nsso_account_id = {ACCOUNT}\nsso_role_name = dev\n\
             [sso-session s]\nsso_region = {REGION}\nsso_start_url = https://s.example\n"
        ),
    );
    let ran = ended(without("laptop")).await;
    assert_eq!(ran.stdout, ".env written: 2 keys\n", "{}", ran.stderr);
    for profile in ["broken", "login", "absent"] {
        let line = refused(&laptop, &ended(without(profile)).await);
        assert!(
            line.starts_with("error: backend: NoCredentials: "),
            "{profile}: {line}"
        );
        assert!(
            line.contains("aws configure export-credentials --format env"),
            "{line}"
        );
        assert!(!line.to_lowercase().contains("operator"), "{line}");
    }
    laptop.aws.revoke(USER);
    let line = refused(&laptop, &laptop.run(&TO_FILE).await);
    assert!(
        line.contains("NoCredentials: AWS does not accept"),
        "{line}"
    );
    assert!(!line.to_lowercase().contains("operator"), "{line}");
}

/// IAM Identity Center: gives the keys of [`USER`] to whoever brings the token.
async fn identity_center(token: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let keys = json!({"roleCredentials": {"accessKeyId": USER, "secretAccessKey": "x", "expiration": 4_102_444_800_000_u64}});
    let answer = move |headers: HeaderMap| async move {
        let known = headers
            .get("x-amz-sso_bearer_token")
            .is_some_and(|it| it == token);
        match known {
            true => Ok(keys.to_string()),
            false => Err(StatusCode::UNAUTHORIZED),
        }
    };
    let app = axum::Router::new().route("/federation/credentials", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_iam_identity_center_is_used() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    laptop.file(
        ".aws/config",
        &format!("[profile login]\nsso_session = s\nsso_account_id = {ACCOUNT}\nsso_role_name = dev\n[sso-session s]\nsso_region = {REGION}\nsso_start_url = https://s.example\n"),
    );
    // What `aws sso login` leaves behind; the file's name is the SHA-1 of the session's.
    laptop.file(
        ".aws/sso/cache/a0f1490a20d0211c997b44bc357e1972deab8ae3.json",
        &json!({"accessToken": "of-the-login", "expiresAt": "2100-01-01T00:00:00Z"}).to_string(),
    );
    for (token, code) in [("of-the-login", 0), ("of-another", 1)] {
        let mut command = laptop.command(&TO_FILE);
        command
            .env("AWS_PROFILE", "login")
            .env("AWS_ENDPOINT_URL_SSO", identity_center(token).await);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        let ran = ended(command).await;
        laptop.says_nothing(&ran);
        assert_eq!(ran.code, Some(code), "{token}: {}", ran.stderr);
        assert!(!ran.stderr.contains("of-the-login"), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_instead_of_aws_is_judged_alike_and_nobody_is_called() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.value();
    let binding = "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {name: b}\nspec:\n  data:\n  - {key: A, from: {secret: a}}\n  - {key: B, from: {secret: b}}\n  validate: {required: [A]}\n";
    laptop.file("binding.yaml", binding);
    let quoted = value.replace(['\\', '"', '$', '`'], "");
    laptop.canaries.register(quoted.as_bytes());
    laptop.file(
        "hand.env",
        &format!("# kept by hand\nA='{quoted}'\nOTHER=x\n"),
    );
    let mut args = TO_FILE.to_vec();
    args.extend(["--from-env-file", "hand.env"]);
    let ran = laptop.run(&args).await;
    laptop.says_nothing(&ran);
    assert_eq!(ran.stdout, ".env written: 1 key\n", "{}", ran.stderr);
    assert_eq!(
        ran.stderr,
        "warning: hand.env: left out, the binding does not give them: OTHER\nwarning: hand.env: not there, though the binding gives them: B\n"
    );
    assert_eq!(
        parsed(&laptop.dir.path().join(".env")),
        [("A".to_owned(), quoted)]
    );

    laptop.file("hand.env", "A=\nB=x\n");
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(line.starts_with("error: b: RequiredMissing: "), "{line}");
    laptop.file("hand.env", "A=1\nB='x\n");
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(line.starts_with("error: hand.env:2: B: "), "{line}");
    laptop.file("hand.env", "");
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(
        line.contains("No key of the binding stands in hand.env"),
        "{line}"
    );
    args[6] = "none.env";
    let line = refused(&laptop, &laptop.run(&args).await);
    assert!(line.starts_with("error: none.env: "), "{line}");
    assert_eq!(laptop.aws.calls().len(), 0, "AWS was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_or_account_of_somebody_else_is_used_only_after_a_yes() {
    let laptop = Laptop::new().await;
    let value = value(&laptop);
    let role = "arn:aws:iam::444455556666:role/reader";
    let elsewhere = laptop.aws.account("444455556666").region(REGION);
    elsewhere.create("estate/a", &value).unwrap();
    let trusting = Role::new(role)
        .trust_principal("arn:aws:iam::111122223333:root")
        .allow_session_tag("keyferry-namespace", "default")
        .allow(&["*"], &["*"]);
    laptop.aws.put_role(trusting);
    let with_role = format!(
        "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {{name: b}}\nspec:\n  source: {{roleArn: {role}}}\n  data:\n  - {{key: A, from: {{secret: estate/a}}}}\n"
    );
    laptop.file("binding.yaml", &with_role);
    let mut args = TO_FILE.to_vec();
    args.push("--assume-role");
    let line = refused(&laptop, &laptop.run(&args).await);
    for part in [
        "reads with role arn:aws:iam::444455556666:role/reader",
        "you are arn:aws:iam::111122223333:",
        "--yes",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(laptop.aws.count("AssumeRole"), 0, "assumed unasked");
    args.push("--yes");
    let ran = laptop.run(&args).await;
    laptop.says_nothing(&ran);
    assert_eq!(ran.stdout, ".env written: 1 key\n", "{}", ran.stderr);
    assert_eq!(
        parsed(&laptop.dir.path().join(".env")),
        [("A".to_owned(), value)]
    );

    let arn = elsewhere.arn("estate/a").unwrap();
    let by_arn = format!(
        "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {{name: b}}\nspec:\n  data:\n  - {{key: A, from: {{secret: \"{arn}\"}}}}\n"
    );
    laptop.file("binding.yaml", &by_arn);
    laptop.aws.reset_counts();
    let line = refused(&laptop, &laptop.run(&TO_FILE).await);
    assert!(line.contains("reads with account 444455556666;"), "{line}");
    assert_eq!(laptop.aws.count("GetSecretValue"), 0, "read unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_one_is_in_already_is_neither_asked_about_nor_assumed_again() {
    let laptop = Laptop::new().await;
    let role = "arn:aws:iam::111122223333:role/team/reader";
    let trusting = Role::new(role)
        .trust_principal(&format!("arn:aws:iam::{ACCOUNT}:root"))
        .allow(&["*"], &["*"]);
    laptop.aws.put_role(trusting);
    laptop.region().create("estate/a", &value(&laptop)).unwrap();
    laptop.file("binding.yaml", &format!("apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {{name: b}}\nspec:\n  source: {{roleArn: \"{role}\"}}\n  data:\n  - {{key: A, from: {{secret: estate/a}}}}\n"));
    laptop.file(".aws/config", &format!("[profile dev]\nrole_arn = {role}\nsource_profile = user\n[profile user]\naws_access_key_id = {USER}\naws_secret_access_key = x\n"));
    let mut command = laptop.command(&TO_FILE);
    command.arg("--assume-role").env("AWS_PROFILE", "dev");
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let ran = ended(command).await;
    laptop.says_nothing(&ran);
    assert_eq!(ran.stdout, ".env written: 1 key\n", "{}", ran.stderr);
    assert_eq!(laptop.aws.count("AssumeRole"), 1, "the profile's alone");
}

/// Runs a command whose input and errors are a terminal at which somebody has typed a line. What the terminal
/// showed is its stderr.
async fn at_a_terminal(mut command: Command, typed: &'static str) -> Ran {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let mut options = fs::File::options();
    let other = options.read(true).write(true);
    let other = other.open(name.to_str().unwrap()).unwrap();
    command.stdin(other.try_clone().unwrap()).stderr(other);
    let mut terminal = fs::File::from(terminal);
    terminal.write_all(typed.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || command.output());
    let mut ran = Ran::from(output.await.unwrap().unwrap());
    // It ends with an error once nobody has the other end.
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown);
    ran.stderr = String::from_utf8(shown).unwrap();
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_at_a_terminal_is_asked_before_a_role_is_used() {
    let laptop = Laptop::new().await;
    let role = "arn:aws:iam::111122223333:role/team/reader";
    laptop.region().create("estate/a", &value(&laptop)).unwrap();
    let trusting = Role::new(role)
        .trust_principal(&format!("arn:aws:iam::{ACCOUNT}:root"))
        .allow_session_tag("keyferry-namespace", "default")
        .allow(&["*"], &["*"]);
    laptop.aws.put_role(trusting);
    laptop.file("binding.yaml", &format!("apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {{name: b}}\nspec:\n  source: {{roleArn: \"{role}\"}}\n  data:\n  - {{key: A, from: {{secret: estate/a}}}}\n"));
    let mut args = TO_FILE.to_vec();
    args.push("--assume-role");
    for (typed, code, calls) in [("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 1)] {
        let ran = at_a_terminal(laptop.command(&args), typed).await;
        laptop.says_nothing(&ran);
        assert_eq!(ran.code, Some(code), "{typed:?}: {ran:?}");
        assert!(
            ran.stderr
                .contains(&format!("reads with role {role}; you are arn:")),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("Go on? [y/N] "), "{ran:?}");
        assert_eq!(laptop.aws.count("AssumeRole"), calls, "{typed:?}");
        assert_eq!(
            laptop.dir.path().join(".env").exists(),
            calls > 0,
            "{typed:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_a_prefix_is_read() {
    let laptop = Laptop::new().await;
    let members = ["jwt-secret", "redis-password", "mail/password"];
    let values: Vec<String> = members.map(|_| value(&laptop)).to_vec();
    for (name, value) in members.iter().zip(&values) {
        let name = format!("gaara-store/production/{name}");
        laptop.region().create(&name, value).unwrap();
    }
    laptop.file("binding.yaml", "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata: {name: b}\nspec:\n  dataFrom:\n  - prefix: gaara-store/production/\n    rename: {case: UpperSnake, keys: {jwt-secret: JWT_SECRET_KEY}}\n");
    let ran = laptop.run(&TO_FILE).await;
    assert_eq!(ran.stdout, ".env written: 3 keys\n", "{}", ran.stderr);
    let expected = [
        ("JWT_SECRET_KEY", &values[0]),
        ("MAIL_PASSWORD", &values[2]),
        ("REDIS_PASSWORD", &values[1]),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.clone()));
    assert_eq!(parsed(&laptop.dir.path().join(".env")), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_or_cannot_write_leaves_the_file_as_it_was() {
    let laptop = Laptop::new().await;
    let (_, _) = seed(&laptop);
    let env = laptop.file(".env", "A=old\n");
    let hang = laptop.aws.hang(|fault| fault);
    let mut running = laptop.command(&TO_FILE).spawn().unwrap();
    while laptop.aws.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.kill().unwrap();
    running.wait().unwrap();
    hang.release();
    assert_eq!(fs::read_to_string(&env).unwrap(), "A=old\n");

    for (out, says) in [
        ("none/.env", "none/.env: not written: "),
        ("binding.yaml/.env", "binding.yaml/.env: not written: "),
        (".", ".: not written: it is no regular file"),
        ("link", "link: not written: it is a link to .env"),
    ] {
        let link = laptop.dir.path().join("link");
        let _ = std::os::unix::fs::symlink(".env", link);
        let line = refused(
            &laptop,
            &laptop
                .run(&["render", "-f", "binding.yaml", "--out", out])
                .await,
        );
        assert!(line.contains(says), "{line}");
    }
    assert_eq!(fs::read_to_string(&env).unwrap(), "A=old\n");
    let mut names: Vec<_> = fs::read_dir(laptop.dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [".env", "binding.yaml", "link"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_told_with_file_and_line_before_anybody_is_called() {
    let laptop = Laptop::new().await;
    laptop.canaries.value();
    laptop.file(
        "binding.yaml",
        &BINDING.replace("required: [", "required: [a/b, "),
    );
    let line = refused(&laptop, &laptop.run(&TO_FILE).await);
    assert!(
        line.starts_with(
            "error: binding.yaml:7: ExternalSecretBinding/backend: spec.validate.required"
        ),
        "{line}"
    );
    for (text, says) in [
        ("", "no ExternalSecretBinding in these files"),
        ("a: [\n", "binding.yaml:"),
        (
            &format!("{BINDING}---\n{}", BINDING.replace("backend", "rag")),
            "which one? Name one of backend, rag",
        ),
    ] {
        laptop.file("binding.yaml", text);
        let line = refused(&laptop, &laptop.run(&TO_FILE).await);
        assert!(line.contains(says), "{line}");
    }
    assert_eq!(laptop.aws.calls().len(), 0);
    let help = laptop.run(&["render", "--help"]).await;
    assert!(
        help.stdout.contains("Example:\n  keyferry render -f "),
        "{}",
        help.stdout
    );
}
