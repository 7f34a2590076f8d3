//! `keyferry import`: what is written into Secrets Manager, what is refused, and who is never overwritten.

use std::{collections::BTreeMap, fs::File, process::Stdio};

use keyferry_testkit::aws::{CURRENT, Fault, PREVIOUS, Region, SecretValue, Statement};
use serde_json::{Value, json};

use crate::kit::{ACCOUNT, Laptop, REGION, Ran, ended};

const WRITES: [&str; 4] = [
    "CreateSecret",
    "PutSecretValue",
    "UpdateSecret",
    "UpdateSecretVersionStage",
];
const LABEL: &str = "keyferry-import";

fn writes(laptop: &Laptop) -> u64 {
    WRITES.iter().map(|name| laptop.aws.count(name)).sum()
}

/// The value in force, as text.
fn text(region: &Region, entry: &str) -> String {
    match region.current_value(entry) {
        Some(SecretValue::Text(text)) => text.to_string(),
        other => panic!("{entry}: {other:?}"),
    }
}

fn object(region: &Region, entry: &str) -> Value {
    serde_json::from_str(&text(region, entry)).unwrap()
}

/// It went well and said no value.
fn good(laptop: &Laptop, ran: Ran) -> Ran {
    laptop.says_nothing(&ran);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

/// It was refused, said why and no value. Gives back the lines.
fn refused(laptop: &Laptop, ran: &Ran) -> Vec<String> {
    laptop.says_nothing(ran);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines: Vec<String> = ran.stderr.lines().map(str::to_owned).collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: "));
    assert!(errors.count() >= 1, "{ran:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("error: ") || line.starts_with("warning: ")),
        "{ran:?}"
    );
    lines
}

/// The comments of the output, and the manifest.
fn parts(ran: &Ran) -> (Vec<&str>, Value) {
    let comments = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("# "));
    (
        comments.collect(),
        serde_yaml::from_str(&ran.stdout).unwrap(),
    )
}

/// A user with a policy of their own.
fn as_user(laptop: &Laptop, actions: &[&str], args: &[&str]) -> std::process::Command {
    let key = "AKIAPIPELINE";
    let policy = vec![Statement::allow(actions, &["*"])];
    laptop.aws.user_with(key, ACCOUNT, policy);
    let mut command = laptop.command(args);
    command.env("AWS_ACCESS_KEY_ID", key);
    command
}

const BIZI: [&str; 4] = ["import", ".env", "--to", "bizi/production"];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_one_entry_and_the_binding_that_gives_it_back() {
    let laptop = Laptop::new().await;
    let (one, two) = (laptop.canaries.plain(), laptop.canaries.plain());
    let region = laptop.region();
    laptop.file(".env", &format!("# of the host\nMYSQL_PASSWORD='{one}'\nexport JWT_SECRET_KEY=\"{two}\\nnext\"\nJWT_SECRET_KEY=\"{two}\\nlast\"\n"));
    let key = "arn:aws:kms:ap-northeast-2:111122223333:key/1";
    let args = with(
        &BIZI,
        &[
            "--kms-key",
            key,
            "--tag",
            "team=a",
            "--tag",
            "stage=prod",
            "--replica-region",
            "us-east-1",
            "--binding-out",
            "binding.yaml",
            "-n",
            "bizi",
        ],
    );
    let ran = good(&laptop, laptop.run(&args).await);
    let expected = json!({"MYSQL_PASSWORD": one, "JWT_SECRET_KEY": format!("{two}\nlast")});
    assert!(
        object(&region, "bizi/production") == expected,
        "another value was written"
    );
    let version = region.current_version("bizi/production").unwrap();
    let line = format!(
        "bizi/production: made, version {}: MYSQL_PASSWORD, JWT_SECRET_KEY\n",
        &version[..8]
    );
    assert_eq!(ran.stdout, line);
    let twice = "warning: .env:4: JWT_SECRET_KEY: stands in line 3 already; this value is taken\n";
    assert_eq!(ran.stderr, twice);
    assert_eq!(region.key_of("bizi/production").as_deref(), Some(key));
    let tags = [("stage", "prod"), ("team", "a")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(region.tags("bizi/production"), BTreeMap::from(tags));
    let replica = laptop.aws.account(ACCOUNT).region("us-east-1");
    assert_eq!(replica.current_version("bizi/production"), Some(version));

    let valid = laptop.run(&["validate", "-f", "binding.yaml"]).await;
    assert_eq!(valid.code, Some(0), "{valid:?}");
    let binding = std::fs::read_to_string(laptop.dir.path().join("binding.yaml")).unwrap();
    let binding: Value = serde_yaml::from_str(&binding).unwrap();
    assert_eq!(
        binding["metadata"],
        json!({"name": "bizi-production", "namespace": "bizi"})
    );
    assert_eq!(
        binding["spec"]["dataFrom"],
        json!([{"secret": "bizi/production"}])
    );
    let validate =
        json!({"required": ["MYSQL_PASSWORD", "JWT_SECRET_KEY"], "rejectPlaceholders": true});
    assert_eq!(binding["spec"]["validate"], validate);

    // Once more: nothing to be done, whether or not it is said what may go.
    laptop.aws.reset_counts();
    for more in [&[][..], &["--merge"], &["--replace"]] {
        let ran = good(&laptop, laptop.run(&with(&BIZI, more)).await);
        let (comments, again) = parts(&ran);
        assert_eq!(
            comments,
            [line
                .replace("made,", "unchanged,")
                .split(": M")
                .next()
                .unwrap()]
        );
        assert_eq!(
            again["spec"]["dataFrom"],
            json!([{"secret": "bizi/production"}])
        );
    }
    assert_eq!(writes(&laptop), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_becomes_an_entry_of_its_own() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let values: Vec<String> = (0..3).map(|_| laptop.canaries.plain()).collect();
    laptop.file(
        ".env",
        &format!(
            "REDIS_PASSWORD={}\nJWT_SECRET={}\nmailPassword={}\n",
            values[0], values[1], values[2]
        ),
    );
    let args = [
        "import",
        ".env",
        "--per-key",
        "gaara-store/production/",
        "--region",
        REGION,
    ];
    let ran = good(&laptop, laptop.run(&args).await);
    for (name, value) in ["redis-password", "jwt-secret", "mailpassword"]
        .iter()
        .zip(&values)
    {
        assert!(
            text(&region, &format!("gaara-store/production/{name}")) == *value,
            "{name}"
        );
    }
    assert!(
        ran.stderr
            .starts_with("warning: gaara-store/production/jwt-secret: the name ends like an ARN"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.lines().count(), 1);
    let (comments, binding) = parts(&ran);
    assert_eq!(comments.len(), 3);
    assert!(comments[2].ends_with(": mailPassword"), "{}", comments[2]);
    let expected = json!([{
        "prefix": "gaara-store/production/",
        "include": ["redis-password", "jwt-secret", "mailpassword"],
        "rename": {"case": "UpperSnake", "keys": {"mailpassword": "mailPassword"}},
    }]);
    assert_eq!(binding["spec"]["dataFrom"], expected);
    assert_eq!(binding["spec"]["source"], json!({"region": REGION}));

    // Another value goes only where that is said; what is equal is not written again.
    laptop.aws.reset_counts();
    let new = laptop.canaries.plain();
    laptop.file(
        ".env",
        &format!("REDIS_PASSWORD={}\nJWT_SECRET={new}\n", values[0]),
    );
    let lines = refused(&laptop, &laptop.run(&args).await);
    assert_eq!(
        lines,
        [
            "error: gaara-store/production/jwt-secret: exists with another value. Say --replace if it is to go"
        ]
    );
    assert_eq!(writes(&laptop), 0);
    let ran = good(&laptop, laptop.run(&with(&args, &["--replace"])).await);
    assert!(
        ran.stdout.contains("jwt-secret: version ")
            && ran.stdout.contains(": changed JWT_SECRET\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("redis-password: unchanged"),
        "{}",
        ran.stdout
    );
    assert_eq!(laptop.aws.count("PutSecretValue"), 1);
    assert!(text(&region, "gaara-store/production/jwt-secret") == new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_and_says_the_same() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    region
        .create(
            "bizi/production",
            &json!({"A": "old", "B": "kept"}).to_string(),
        )
        .unwrap();
    laptop.file(".env", &format!("A={value}\nC={value}\n"));
    let dry = with(&BIZI, &["--merge", "--dry-run"]);
    let ran = good(&laptop, laptop.run(&dry).await);
    let (comments, planned) = parts(&ran);
    assert_eq!(
        comments,
        ["bizi/production: would get a new version: changed A; added C; kept 1 other"]
    );
    let per_key = ["import", ".env", "--per-key", "p/", "--dry-run"];
    let ran = good(&laptop, laptop.run(&per_key).await);
    assert_eq!(
        parts(&ran).0,
        ["p/a: would be made: A", "p/c: would be made: C"]
    );
    assert_eq!(writes(&laptop), 0);
    let ran = good(&laptop, laptop.run(&with(&BIZI, &["--merge"])).await);
    assert_eq!(parts(&ran).1, planned);
    // Exactly the file's keys, though the entry has more.
    assert_eq!(
        planned["spec"]["dataFrom"],
        json!([{"secret": "bizi/production", "include": ["A", "C"]}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_file_stays_or_goes_as_asked() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    let before = "{\n  \"rate\": 1.10,\n  \"PORT\": 5432,\n  \"A\": \"old\"\n}";
    region.create("bizi/production", before).unwrap();
    let first = region.current_version("bizi/production").unwrap();
    laptop.file(".env", &format!("A={value}\nPORT=5432\n"));
    let lines = refused(&laptop, &laptop.run(&BIZI).await);
    assert_eq!(
        lines,
        [
            "error: bizi/production: exists: 1 of its keys would change, 0 would be added, 1 are not in the file. Say --merge (they stay) or --replace (they go)"
        ]
    );
    assert_eq!(writes(&laptop), 0);

    let ran = good(
        &laptop,
        laptop.run(&with(&BIZI, &["--merge", "--tag", "a=b"])).await,
    );
    assert!(
        text(&region, "bizi/production") == before.replace("old", &value),
        "bytes that nobody named changed"
    );
    assert_eq!(
        ran.stderr,
        "warning: --kms-key, --tag and --replica-region are for entries that are made; already there: bizi/production\n"
    );
    // The version before is where a rollback looks for it, and nothing of ours stays behind.
    assert_eq!(region.version_at("bizi/production", PREVIOUS), Some(first));
    assert_eq!(region.version_at("bizi/production", LABEL), None);
    assert_eq!(
        (
            region.versions("bizi/production"),
            region.tags("bizi/production").len()
        ),
        (2, 0)
    );

    let ran = good(&laptop, laptop.run(&with(&BIZI, &["--replace"])).await);
    assert!(ran.stdout.contains(": removed rate\n"), "{}", ran.stdout);
    let expected = format!("{{\"A\":\"{value}\",\"PORT\":5432}}");
    assert!(text(&region, "bizi/production") == expected);
}

/// Exactly the rights that fastapi's pipelines have.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_set_with_the_right_to_update_alone() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let name = laptop.canaries.plain();
    let before = json!({"ec2_host": "", "ec2_key_name": name, "ec2_user": "ubuntu", "github_repo": "acme/fastapi"});
    region
        .create("FastAPIDeploymentSecrets", &before.to_string())
        .unwrap();
    let first = region.current_version("FastAPIDeploymentSecrets").unwrap();
    let stdin = laptop.file("stdin", "ec2_host=203.0.113.7");
    let rights = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:UpdateSecret",
    ];
    let args = ["import", "-", "--to", "FastAPIDeploymentSecrets", "--merge"];
    let mut command = as_user(&laptop, &rights, &args);
    command.stdin(Stdio::from(File::open(stdin).unwrap()));
    let ran = good(&laptop, ended(command).await);
    let (comments, binding) = parts(&ran);
    assert!(
        comments[0].ends_with(": changed ec2_host; kept 3 others"),
        "{comments:?}"
    );
    assert_eq!(ran.stderr, "");
    assert_eq!(
        binding["spec"]["dataFrom"][0]["include"],
        json!(["ec2_host"])
    );
    let mut after = before;
    after["ec2_host"] = json!("203.0.113.7");
    assert!(object(&region, "FastAPIDeploymentSecrets") == after);
    assert_eq!(
        region.version_at("FastAPIDeploymentSecrets", PREVIOUS),
        Some(first)
    );
    assert_eq!(laptop.aws.count("UpdateSecret"), 1);
}

/// Somebody else's write in the moment before one of ours.
fn meanwhile(laptop: &Laptop, operation: &str, entry: &'static str, value: &str) {
    let (region, value) = (laptop.region(), value.to_owned());
    let act = move || {
        let written = region.put(entry, &value);
        if written.is_err() {
            region.create(entry, &value).unwrap();
        }
    };
    laptop
        .aws
        .fault(Fault::meanwhile(act).on(operation).times(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_is_noticed_and_nothing_is_overwritten() {
    for operation in ["PutSecretValue", "UpdateSecretVersionStage"] {
        let laptop = Laptop::new().await;
        let region = laptop.region();
        let (ours, theirs) = (laptop.canaries.plain(), laptop.canaries.plain());
        region.create("bizi/production", "{\"A\":\"old\"}").unwrap();
        laptop.file(".env", &format!("A={ours}\n"));
        let value = json!({"A": "other", "THEIRS": theirs}).to_string();
        meanwhile(&laptop, operation, "bizi/production", &value);
        let merge = with(&BIZI, &["--merge"]);
        let lines = refused(&laptop, &laptop.run(&merge).await);
        assert!(text(&region, "bizi/production") == value, "overwritten");
        let version = region.current_version("bizi/production").unwrap();
        let expected = format!(
            "error: Somebody else wrote \"bizi/production\" meanwhile: AWSCURRENT is version {version}. It was not overwritten. Run this again: it begins with what is there now."
        );
        assert_eq!(lines, [expected], "{operation}");
        assert_eq!(region.version_at("bizi/production", LABEL), None);
        good(&laptop, laptop.run(&merge).await);
        assert!(object(&region, "bizi/production") == json!({"A": ours, "THEIRS": theirs}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_somebody_makes_meanwhile_is_theirs() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let (ours, theirs) = (laptop.canaries.plain(), laptop.canaries.plain());
    laptop.file(".env", &format!("A={ours}\n"));
    let value = json!({"THEIRS": theirs}).to_string();
    meanwhile(&laptop, "CreateSecret", "bizi/production", &value);
    let lines = refused(&laptop, &laptop.run(&BIZI).await);
    assert!(
        lines[0].starts_with("error: Somebody else made \"bizi/production\" meanwhile (version "),
        "{lines:?}"
    );
    assert!(text(&region, "bizi/production") == value);
}

/// UpdateSecret has no guard: the look before it finds most, the look after it says where the lost value is.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_to_update_alone_a_race_is_said_loudly() {
    let rights = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:UpdateSecret",
    ];
    let describing = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:UpdateSecret",
        "secretsmanager:DescribeSecret",
    ];
    for rights in [&rights[..], &describing] {
        let laptop = Laptop::new().await;
        let region = laptop.region();
        let (ours, theirs) = (laptop.canaries.plain(), laptop.canaries.plain());
        region.create("bizi/production", "{\"A\":\"old\"}").unwrap();
        laptop.file(".env", &format!("A={ours}\n"));
        let value = json!({"A": theirs}).to_string();
        let merge = with(&BIZI, &["--merge"]);
        // Before our own look: nothing is written.
        meanwhile(&laptop, "PutSecretValue", "bizi/production", &value);
        let lines = refused(&laptop, &ended(as_user(&laptop, rights, &merge)).await);
        assert!(lines[0].contains("It was not overwritten."), "{lines:?}");
        assert_eq!(laptop.aws.count("UpdateSecret"), 0);
        // After it: said, with where the value is.
        let value = json!({"A": "x", "LOST": theirs}).to_string();
        meanwhile(&laptop, "UpdateSecret", "bizi/production", &value);
        let lines = refused(&laptop, &ended(as_user(&laptop, rights, &merge)).await);
        let lost = region.version_at("bizi/production", PREVIOUS).unwrap();
        let told = format!("their value is version {lost}, now AWSPREVIOUS; ours is version ");
        assert!(lines[0].contains(&told), "{lines:?}");
        assert!(
            lines[0].contains("--version-stage AWSPREVIOUS"),
            "{lines:?}"
        );
        assert!(object(&region, "bizi/production") == json!({"A": ours}));
    }
}

/// Whoever writes right after UpdateSecret has the last word, and it is said that they had.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_right_after_an_update_is_said() {
    let rights = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:UpdateSecret",
        "secretsmanager:DescribeSecret",
    ];
    let laptop = Laptop::new().await;
    let region = laptop.region();
    region.create("bizi/production", "{\"A\":\"old\"}").unwrap();
    laptop.file(".env", &format!("A={}\n", laptop.canaries.plain()));
    let value = json!({"A": laptop.canaries.plain()}).to_string();
    meanwhile(&laptop, "DescribeSecret", "bizi/production", &value);
    let command = as_user(&laptop, &rights, &with(&BIZI, &["--merge"]));
    let lines = refused(&laptop, &ended(command).await);
    assert!(
        lines[0].contains("somebody else wrote after it."),
        "{lines:?}"
    );
    assert!(text(&region, "bizi/production") == value);
}

/// `.env` -> import -> render -> `.env`, with values of every kind of sign; two ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_from_aws_as_it_was() {
    let laptop = Laptop::new().await;
    let values = [
        "",
        "\nsecond line",
        " it's",
        " $HOME `x` \"y\"",
        "\\n",
        "\u{e9}",
    ];
    let pairs: Vec<(String, keyferry::core::SecretValue)> = values
        .iter()
        .enumerate()
        .map(|(n, more)| {
            (
                format!("KEY_{n}"),
                format!("{}{more}.", laptop.canaries.value()).into(),
            )
        })
        .collect();
    let file = keyferry::core::dotenv::write(pairs.iter().map(|(k, v)| (k.as_str(), v)));
    let file = file.unwrap().text.to_string();
    laptop.file(".env", &file);
    for place in [
        ["--to", "bizi/production"],
        ["--per-key", "gaara-store/production/"],
    ] {
        let args = with(&["import", ".env", "--binding-out", "binding.yaml"], &place);
        good(&laptop, laptop.run(&args).await);
        let render = [
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "dotenv",
            "--out",
            "again.env",
        ];
        good(&laptop, laptop.run(&render).await);
        let again = std::fs::read_to_string(laptop.dir.path().join("again.env")).unwrap();
        assert!(again == file, "{place:?}: another file came back");
    }
}

/// The right to move labels is missing: the version under our label is not left to be wondered about.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_move_labels_it_is_updated() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    region.create("bizi/production", "{\"A\":\"old\"}").unwrap();
    laptop.file(".env", &format!("A={value}\n"));
    let rights = [
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecret",
    ];
    let ran = good(
        &laptop,
        ended(as_user(&laptop, &rights, &with(&BIZI, &["--merge"]))).await,
    );
    assert_eq!(
        ran.stderr,
        "warning: the label keyferry-import could not be taken off a version of \"bizi/production\"; the next import does that\n"
    );
    assert!(object(&region, "bizi/production") == json!({"A": value}));
    // The next one that may does.
    laptop.file(".env", &format!("A={value}{value}\n"));
    good(&laptop, laptop.run(&with(&BIZI, &["--merge"])).await);
    assert_eq!(region.version_at("bizi/production", LABEL), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_its_two_calls_and_run_again() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    region
        .create("bizi/production", "{\"A\":\"old\",\"B\":\"kept\"}")
        .unwrap();
    let first = region.current_version("bizi/production");
    laptop.file(".env", &format!("A={value}\n"));
    let merge = with(&BIZI, &["--merge"]);
    let hang = laptop
        .aws
        .hang(|fault| fault.on("UpdateSecretVersionStage"));
    let mut child = laptop.command(&merge).spawn().unwrap();
    laptop
        .aws
        .wait_for(|log| log.count("UpdateSecretVersionStage") == 1)
        .await
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    laptop
        .aws
        .wait_for(|log| {
            log.calls()
                .all(|call| call.outcome != keyferry_testkit::aws::Outcome::Pending)
        })
        .await
        .unwrap();
    hang.release();
    assert_eq!(
        region.current_version("bizi/production"),
        first,
        "half written"
    );
    assert!(region.version_at("bizi/production", LABEL).is_some());
    good(&laptop, laptop.run(&merge).await);
    assert!(object(&region, "bizi/production") == json!({"A": value, "B": "kept"}));
    assert_eq!(region.version_at("bizi/production", LABEL), None);
    assert_eq!(region.version_at("bizi/production", PREVIOUS), first);
}

/// An answer that is lost: the same write is not made twice, nor taken for somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_second_write() {
    for operation in WRITES {
        let laptop = Laptop::new().await;
        let region = laptop.region();
        let value = laptop.canaries.plain();
        laptop.file(".env", &format!("A={value}\n"));
        let versions = if operation == "CreateSecret" {
            1
        } else {
            region.create("bizi/production", "{\"A\":\"old\"}").unwrap();
            2
        };
        laptop.aws.fault(Fault::cut_body().on(operation).times(1));
        let merge = with(&BIZI, &["--merge"]);
        let command = match operation {
            "UpdateSecret" => as_user(
                &laptop,
                &[
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:UpdateSecret",
                ],
                &merge,
            ),
            _ => laptop.command(&merge),
        };
        let ran = good(&laptop, ended(command).await);
        assert_eq!(ran.stderr, "", "{operation}");
        assert!(
            object(&region, "bizi/production") == json!({"A": value}),
            "{operation}"
        );
        assert_eq!(region.versions("bizi/production"), versions, "{operation}");
        assert_eq!(
            region.version_at("bizi/production", LABEL),
            None,
            "{operation}"
        );
        assert!(laptop.aws.count(operation) >= 2, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_halfway_it_says_how_far_it_came_and_goes_on_from_there() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    laptop.file(".env", &format!("A={value}\nB={value}\nC={value}\n"));
    let args = ["import", ".env", "--per-key", "p/"];
    let denied = laptop
        .aws
        .fault(Fault::denied().on("CreateSecret").entry("p/b"));
    let ran = laptop.run(&args).await;
    let lines = refused(&laptop, &ran);
    assert!(lines[0].contains(" may not call secretsmanager:CreateSecret on \"p/b\". Allow secretsmanager:CreateSecret on it."), "{lines:?}");
    assert_eq!(
        lines[1],
        "error: broken off: 1 written before, 2 not: p/b, p/c. Run it again to go on"
    );
    let first = region.current_version("p/a").unwrap();
    assert_eq!(
        ran.stdout,
        format!("# p/a: made, version {}: A\n", &first[..8])
    );
    denied.clear();
    laptop.aws.reset_counts();
    let ran = good(&laptop, laptop.run(&args).await);
    assert_eq!(
        parts(&ran).0[0],
        format!("p/a: unchanged, version {}", &first[..8])
    );
    assert_eq!((laptop.aws.count("CreateSecret"), writes(&laptop)), (2, 2));
    assert_eq!(region.current_version("p/a"), Some(first));
}

/// What a file may not hold; nobody is called for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_brought_in() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.plain();
    let many: String = (0..501).map(|n| format!("K{n}={value}\n")).collect();
    for (file, args, told) in [
        (
            format!("A={value}\n\nB='{value}\n"),
            &BIZI[..],
            &[".env:3: B: the quotes that open here never close"][..],
        ),
        (
            format!("A={value}\n{value}\n"),
            &BIZI,
            &[".env:2: not KEY=value"],
        ),
        ("# nothing\n".to_owned(), &BIZI, &[".env: holds no key"]),
        (
            format!("A='{}'\n", "x".repeat(4 << 20)),
            &BIZI,
            &[".env: cannot be read: more than 4194304 bytes"],
        ),
        (many, &BIZI, &[".env: 501 keys; a binding takes 500"]),
        (
            "A=CHANGEME\nB=\nC=your-api-key\nD=real7731Qz\n".to_owned(),
            &BIZI,
            &[
                ".env: A looks like a placeholder (rule: \"CHANGEME\"). Put a real value, or say --allow-placeholders",
                ".env: B is empty. Put a value, or say --allow-empty B",
                ".env: C looks like a placeholder (rule: \"your-...\"). Put a real value, or say --allow-placeholders",
            ],
        ),
        (
            "B=\n".to_owned(),
            &["import", ".env", "--per-key", "p/", "--allow-empty", "B"],
            &[".env: B is empty, and no entry can be; leave it out, or use --to"],
        ),
        (
            format!("..A={value}\n"),
            &BIZI,
            &[".env: ..A must not be . and must not begin with .. as the key of a Secret"],
        ),
        (
            format!("A_B={value}\nA-B={value}\n"),
            &["import", ".env", "--per-key", "p/"],
            &["A_B and A-B would be one entry: rename one, or put all into one entry with --to"],
        ),
        (
            format!("A={value}\n"),
            &["import", ".env", "--per-key", "p"],
            &["the prefix must end in / or another sign, as in gaara-store/production/"],
        ),
        (
            format!("A={value}\n"),
            &["import", ".env", "--to", "a b"],
            &["--to must be a name of letters, digits and /_+=.@- or an ARN"],
        ),
        (
            format!("A={value}\n"),
            &[
                "import",
                ".env",
                "--to",
                "arn:aws:secretsmanager:us-east-1:111122223333:secret:a:A::",
            ],
            &["--to names an entry, not a property or version of it"],
        ),
        (
            format!("A={value}\n"),
            &[
                "import",
                ".env",
                "--region",
                "eu-west-1",
                "--to",
                "arn:aws:secretsmanager:us-east-1:111122223333:secret:a",
            ],
            &["The ARN is of region us-east-1, --region says eu-west-1."],
        ),
        (
            String::new(),
            &["import", "none.env", "--to", "a"],
            &["none.env: cannot be read: "],
        ),
    ] {
        laptop.file(".env", &file);
        let ran = laptop.run(args).await;
        let lines = refused(&laptop, &ran);
        assert_eq!(
            (lines.len(), ran.stdout.as_str()),
            (told.len(), ""),
            "{ran:?}"
        );
        for (line, told) in lines.iter().zip(told) {
            assert!(
                line.starts_with(&format!("error: {told}")),
                "{line}\n{told}"
            );
        }
    }
    assert_eq!(laptop.aws.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn left_overs_and_empty_values_come_in_where_that_is_said() {
    let laptop = Laptop::new().await;
    let real = laptop.canaries.plain();
    laptop.file(".env", &format!("A=CHANGEME\nB=\nC={real}\n"));
    let args = with(&BIZI, &["--allow-placeholders", "--allow-empty", "B"]);
    let ran = good(&laptop, laptop.run(&args).await);
    let validate = json!({"required": ["A", "B", "C"], "allowEmpty": ["B"]});
    assert_eq!(parts(&ran).1["spec"]["validate"], validate);
    assert_eq!(
        object(&laptop.region(), "bizi/production"),
        json!({"A": "CHANGEME", "B": "", "C": real})
    );
}

/// What AWS says no to, each in words of its own; nothing is written, and nothing of a value is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_has_its_cure() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    laptop.file(".env", &format!("A={value}\n"));
    region.create("gone", "{}").unwrap();
    region.delete("gone", 7).unwrap();
    region.create("plain", &value).unwrap();
    region.create("twice", "{\"A\":1,\"A\":2}").unwrap();
    region.create("keyed", "{\"A\":\"old\"}").unwrap();
    region
        .create("full", &json!({"B": "x".repeat(65_500)}).to_string())
        .unwrap();
    region
        .kms_key("keyed", "arn:aws:kms:ap-northeast-2:111122223333:key/1")
        .unwrap();
    let read = "secretsmanager:GetSecretValue";
    let put = [
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
        "secretsmanager:UpdateSecret",
    ];
    let reading_key = [read, "kms:Decrypt", put[0], put[1], put[2]];
    for (entry, rights, told) in [
        (
            "gone",
            &["*"][..],
            "\"gone\" in region ap-northeast-2 is scheduled for deletion; until then nobody can read it or make one of that name. Restore it (aws secretsmanager restore-secret --secret-id gone), or name another.",
        ),
        (
            "plain",
            &["*"],
            "plain: exists and is no JSON object: nothing can be merged into it. Name another, or say --replace",
        ),
        ("twice", &["*"], "twice: repeats a property"),
        ("full", &["*"], "full: would have 65"),
        (
            "keyed",
            &put,
            "arn:aws:iam::111122223333:user/AKIAPIPELINE may not call secretsmanager:GetSecretValue on \"keyed\". Allow secretsmanager:GetSecretValue on it.",
        ),
        (
            "keyed",
            &[read, "kms:Decrypt"],
            "arn:aws:iam::111122223333:user/AKIAPIPELINE may not call secretsmanager:PutSecretValue on \"keyed\". Allow secretsmanager:PutSecretValue and UpdateSecretVersionStage on it, or UpdateSecret alone.",
        ),
        (
            "keyed",
            &reading_key,
            "The KMS key of \"keyed\" refuses kms:GenerateDataKey or kms:Decrypt to arn:aws:iam::111122223333:user/AKIAPIPELINE. Allow both on the key, in its policy and in yours.",
        ),
        (
            "new",
            &[read],
            "arn:aws:iam::111122223333:user/AKIAPIPELINE may not call secretsmanager:CreateSecret on \"new\". Allow secretsmanager:CreateSecret on it.",
        ),
        (
            "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:absent-AbCdEf",
            &["*"],
            "arn:aws:secretsmanager:ap-northeast-2:111122223333:secret:absent-AbCdEf: no such entry. To make one, say its name",
        ),
    ] {
        let versions = region.versions(entry);
        let rights = [rights, &["sts:GetCallerIdentity"]].concat();
        let args = ["import", ".env", "--to", entry, "--merge"];
        let ran = ended(as_user(&laptop, &rights, &args)).await;
        let lines = refused(&laptop, &ran);
        assert!(
            lines.len() == 1 && lines[0].starts_with(&format!("error: {told}")),
            "{lines:?}\n{told}"
        );
        assert_eq!(
            (region.versions(entry), ran.stdout.as_str()),
            (versions, ""),
            "{entry}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_that_does_not_answer_is_one_line_in_time() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.plain();
    laptop.file(".env", &format!("A={value}\n"));
    let args = with(&BIZI, &["--timeout", "700ms"]);
    let mut nowhere = laptop.command(&args);
    nowhere.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let hang = laptop.aws.hang(|fault| fault.on("GetSecretValue"));
    for (command, told) in [
        (
            nowhere,
            "Secrets Manager in ap-northeast-2 cannot be reached.",
        ),
        (laptop.command(&args), ""),
    ] {
        let lines = refused(&laptop, &ended(command).await);
        assert!(lines.len() == 1 && lines[0].contains(told), "{lines:?}");
    }
    hang.release();
    let mut nobody = laptop.command(&args);
    nobody
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let mut no_region = laptop.command(&args);
    no_region.env_remove("AWS_REGION");
    for (command, told) in [
        (nobody, "error: No AWS credentials were found"),
        (
            no_region,
            "error: No AWS region: nothing names one. Set AWS_REGION, or use --region.",
        ),
    ] {
        let lines = refused(&laptop, &ended(command).await);
        assert!(lines.len() == 1 && lines[0].starts_with(told), "{lines:?}");
    }
    laptop
        .aws
        .fault(Fault::throttled(None).on("GetSecretValue"));
    let lines = refused(&laptop, &laptop.run(&BIZI).await);
    assert!(
        lines.len() == 1 && lines[0].contains("AWS throttles secretsmanager:GetSecretValue"),
        "{lines:?}"
    );
    assert_eq!(writes(&laptop), 0);
}

/// Faults in the middle of writing: what is said leads on, and running again ends well.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_between_the_calls_is_gone_on_with() {
    for (operation, fault, told) in [
        (
            "PutSecretValue",
            Fault::error(500, "InternalServiceError"),
            "Secrets Manager in ap-northeast-2 failed to answer PutSecretValue (InternalServiceError).",
        ),
        (
            "PutSecretValue",
            Fault::error(400, "LimitExceededException"),
            "\"bizi/production\" has as many versions or staging labels as AWS allows (LimitExceededException).",
        ),
        (
            "UpdateSecretVersionStage",
            Fault::error(500, "InternalServiceError"),
            " was written and is not the current one (label keyferry-import). Run this again.",
        ),
        (
            "PutSecretValue",
            Fault::not_json(502),
            "answered PutSecretValue with something that cannot be read (HTTP 502).",
        ),
    ] {
        let laptop = Laptop::new().await;
        let region = laptop.region();
        let value = laptop.canaries.plain();
        region
            .create(
                "bizi/production",
                &json!({"A": "old", "B": value}).to_string(),
            )
            .unwrap();
        let before = region.current_version("bizi/production");
        laptop.file(".env", &format!("A={value}\n"));
        let merge = with(&BIZI, &["--merge"]);
        let fault = laptop.aws.fault(fault.on(operation));
        let lines = refused(&laptop, &laptop.run(&merge).await);
        assert!(lines.len() == 1 && lines[0].contains(told), "{lines:?}");
        assert_eq!(region.current_version("bizi/production"), before);
        fault.clear();
        good(&laptop, laptop.run(&merge).await);
        assert!(object(&region, "bizi/production") == json!({"A": value, "B": value}));
        assert_eq!(region.version_at("bizi/production", LABEL), None);
        assert!(region.version_at("bizi/production", CURRENT).is_some());
    }
}

/// An entry without a value, as CloudFormation and Terraform leave it, gets its first one.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_without_a_value_gets_its_first() {
    let laptop = Laptop::new().await;
    let region = laptop.region();
    let value = laptop.canaries.plain();
    laptop.file(".env", &format!("A={value}\n"));
    region.create_empty("bizi/production").unwrap();
    let ran = good(&laptop, laptop.run(&BIZI).await);
    assert!(ran.stdout.contains(": added A\n"), "{}", ran.stdout);
    assert!(object(&region, "bizi/production") == json!({"A": value}));
    assert_eq!(region.version_at("bizi/production", LABEL), None);
    // And where somebody is faster.
    region.create_empty("other").unwrap();
    meanwhile(
        &laptop,
        "PutSecretValue",
        "other",
        &json!({"T": value}).to_string(),
    );
    let lines = refused(
        &laptop,
        &laptop.run(&["import", ".env", "--to", "other"]).await,
    );
    assert!(lines[0].contains("It was not overwritten."), "{lines:?}");
    assert!(object(&region, "other") == json!({"T": value}));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_usage_is_2_and_help_has_an_example() {
    let laptop = Laptop::new().await;
    laptop.file(".env", "A=b\n");
    for args in [
        &["import", ".env"][..],
        &["import", "--to", "a"],
        &["import", ".env", "--to", "a", "--per-key", "p/"],
        &["import", ".env", "--to", "a", "--merge", "--replace"],
        &["import", ".env", "--per-key", "p/", "--merge"],
        &["import", ".env", "--to", "a", "--tag", "=x"],
        &["import", ".env", "--to", "a", "--timeout", "0s"],
    ] {
        let ran = laptop.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
    }
    let help = laptop.run(&["import", "--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout
            .contains("keyferry import .env --to bizi/production --dry-run"),
        "{}",
        help.stdout
    );
    assert_eq!(laptop.aws.calls().len(), 0);
}
