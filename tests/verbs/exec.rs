//! `keyferry exec`: the program's environment, and that it really takes this one's place.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::Command,
};

use serde_json::json;

use crate::kit::{Laptop, Ran, ended};

const BINDING: &str = "apiVersion: keyferry.dev/v1alpha1
kind: ExternalSecretBinding
metadata: {name: backend, namespace: bizi}
spec:
  dataFrom:
  - secret: bizi/production
  validate: {rejectPlaceholders: true}
";

fn seed(laptop: &Laptop, entry: &serde_json::Value) {
    laptop.file("binding.yaml", BINDING);
    laptop
        .region()
        .create("bizi/production", &entry.to_string())
        .unwrap();
}

fn line<'a>(flags: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "-f", "binding.yaml"], flags, &["--"], program].concat()
}

fn refused(laptop: &Laptop, ran: &Ran, code: i32) -> String {
    laptop.says_nothing(ran);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    ran.stderr.clone()
}

/// Writes its environment, NUL between the variables.
const WRITE: [&str; 3] = ["sh", "-c", "env -0 > got"];

fn environment(laptop: &Laptop) -> Vec<String> {
    let bytes = fs::read(laptop.dir.path().join("got")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    variables(&text)
}

fn variables(text: &str) -> Vec<String> {
    text.split('\0').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_gets_the_bindings_keys_and_not_the_callers_credentials() {
    let laptop = Laptop::new().await;
    let (one, two) = (
        laptop.canaries.value(),
        format!("{}\nsecond line", laptop.canaries.value()),
    );
    seed(
        &laptop,
        &json!({"ONE": one, "redis-password": two, "HOME": "/from/the/binding"}),
    );
    let caller = |flags: &[&str]| {
        // No shell: it would leave names out that it cannot export.
        let mut command = laptop.command(&line(flags, &["env", "-0"]));
        command.env("ONE", "of the caller").env("MINE", "stays");
        command
            .env("AWS_SESSION_TOKEN", "")
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x");
        command
    };
    let ran = ended(caller(&[])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let found = variables(&ran.stdout);
    for expected in [
        format!("ONE={one}"),
        format!("redis-password={two}"),
        "HOME=/from/the/binding".to_owned(),
        "MINE=stays".to_owned(),
        format!("AWS_ENDPOINT_URL={}", laptop.aws.endpoint()),
    ] {
        assert!(
            found.contains(&expected),
            "a variable is missing or another"
        );
    }
    let credential = |name: &str| found.iter().any(|it| it.starts_with(&format!("{name}=")));
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ] {
        assert!(!credential(name), "{name} was handed on");
    }
    let ran = ended(caller(&["--keep-aws-variables"])).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let kept = format!("AWS_ACCESS_KEY_ID={}", crate::kit::USER);
    assert!(variables(&ran.stdout).contains(&kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_takes_the_place_of_keyferry() {
    let laptop = Laptop::new().await;
    seed(&laptop, &json!({"ONE": laptop.canaries.value()}));
    let run = |script: &'static str| {
        let mut command = laptop.command(&line(&[], &["sh", "-c", script]));
        tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            (child.id(), child.wait().unwrap())
        })
    };
    let (id, status) = run("echo $$ > pid; exit 7").await.unwrap();
    assert_eq!(status.code(), Some(7));
    let pid = fs::read_to_string(laptop.dir.path().join("pid")).unwrap();
    assert_eq!(pid.trim(), id.to_string());
    let (_, status) = run("kill -TERM $$").await.unwrap();
    assert_eq!(status.signal(), Some(15));
    // A broken pipe ends a program, as long as nobody before it has had that signal ignored.
    let piped = laptop
        .run(&line(&[], &["sh", "-c", "yes | head -n 1"]))
        .await;
    assert_eq!(
        (piped.code, piped.stdout.as_str(), piped.stderr.as_str()),
        (Some(0), "y\n", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_may_leave_core_files_as_before() {
    let laptop = Laptop::new().await;
    seed(&laptop, &json!({"ONE": laptop.canaries.value()}));
    // The hard limit may be 0 already; then there is nothing to lose.
    let script = "ulimit -S -c \"$(ulimit -H -c)\"; ulimit -c; exec \"$0\" exec -f binding.yaml -- sh -c 'ulimit -c'";
    let mut command = laptop.command(&[]);
    let program = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .arg(program)
        .current_dir(laptop.dir.path());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command = shell;
    let ran = ended(command).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert_eq!(lines[0], lines[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_or_no_program_ends_as_in_a_shell() {
    let laptop = Laptop::new().await;
    seed(&laptop, &json!({"ONE": laptop.canaries.value()}));
    let none = laptop.run(&line(&[], &["no-such-program", "x"])).await;
    let told = refused(&laptop, &none, 127);
    assert_eq!(told, "error: no-such-program: there is no such program\n");
    let plain = laptop.file("plain", "no program");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
    let told = refused(&laptop, &laptop.run(&line(&[], &["./plain"])).await, 126);
    assert!(
        told.starts_with("error: ./plain: cannot be run: "),
        "{told}"
    );
    let nothing = laptop.run(&["exec", "-f", "binding.yaml"]).await;
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_programs_obey_are_refused_until_they_are_allowed() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.plain();
    seed(
        &laptop,
        &json!({"LD_PRELOAD": value, "NODE_OPTIONS": value, "ONE": value}),
    );
    let told = refused(&laptop, &laptop.run(&line(&[], &WRITE)).await, 1);
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(
        told.lines().all(|line| line.starts_with("error: ")),
        "{told}"
    );
    assert!(
        told.contains("LD_PRELOAD decides") && told.contains("--allow-key NODE_OPTIONS"),
        "{told}"
    );
    assert!(
        !laptop.dir.path().join("got").exists(),
        "the program was run"
    );
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
    refused(&laptop, &shell, 1);
    laptop
        .region()
        .put(
            "bizi/production",
            &json!({"NODE_OPTIONS": value}).to_string(),
        )
        .unwrap();
    let ran = laptop
        .run(&line(&["--allow-key", "NODE_OPTIONS"], &WRITE))
        .await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(environment(&laptop).contains(&format!("NODE_OPTIONS={value}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_with_values_that_are_refused_or_cannot_be_variables() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.plain();
    seed(&laptop, &json!({"ONE": "changeme", "TWO": value}));
    laptop.file("hand.env", &format!("ONE={value}\n"));
    let flags = ["--fallback-env-file", "hand.env"];
    let told = refused(&laptop, &laptop.run(&line(&flags, &WRITE)).await, 1);
    assert!(
        told.starts_with("error: backend: PlaceholderFound: ONE of "),
        "{told}"
    );
    let nul = json!({"ONE": format!("{value}\0")}).to_string();
    laptop.region().put("bizi/production", &nul).unwrap();
    let told = refused(&laptop, &laptop.run(&line(&[], &WRITE)).await, 1);
    assert_eq!(
        told,
        "error: ONE: a NUL byte: no environment can hold one\n"
    );
    assert!(
        !laptop.dir.path().join("got").exists(),
        "the program was run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stands_in_for_an_aws_that_is_silent_and_for_one_that_is_not_wanted() {
    let laptop = Laptop::new().await;
    seed(&laptop, &json!({"ONE": laptop.canaries.plain()}));
    let value = laptop.canaries.plain();
    laptop.file("hand.env", &format!("ONE={value}\n"));
    let hang = laptop.aws.hang(|fault| fault);
    let flags = ["--fallback-env-file", "hand.env", "--timeout", "500ms"];
    let ran = laptop.run(&line(&flags, &WRITE)).await;
    laptop.says_nothing(&ran);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with("warning: AwsUnavailable: "),
        "{}",
        ran.stderr
    );
    assert!(environment(&laptop).contains(&format!("ONE={value}")));
    hang.release();
    laptop.aws.reset_counts();
    let calls = laptop.aws.calls().len();
    let ran = laptop
        .run(&line(&["--from-env-file", "hand.env"], &WRITE))
        .await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(laptop.aws.calls().len(), calls, "AWS was called");
}
