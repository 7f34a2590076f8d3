//! Parameters on a laptop: the same binding, read as whoever runs the command.

use serde_json::{Value, json};

use crate::kit::{Laptop, ended};

const BINDING: &str = "apiVersion: keyferry.dev/v1alpha1
kind: ExternalSecretBinding
metadata: {name: backend, namespace: estate}
spec:
  data:
  - {key: PASSWORD, from: {secret: estate/db}}
  - {key: LOG_LEVEL, from: {parameter: \"/estate/level:1\"}}
  dataFrom:
  - {parameterPath: /estate/flags/, rename: {case: UpperSnake}}
";

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_rendered_from_their_own_endpoint() {
    let laptop = Laptop::new().await;
    let [password, level, flag] = std::array::from_fn(|_| laptop.canaries.value());
    let region = laptop.region();
    region.create("estate/db", &password).unwrap();
    region.put_parameter("/estate/level", &level).unwrap();
    region
        .put_parameter("/estate/level", &laptop.canaries.value())
        .unwrap();
    region
        .put_secure_parameter("/estate/flags/new-checkout", &flag, None)
        .unwrap();
    laptop.file("binding.yaml", BINDING);

    let with = |endpoint: &str| {
        let mut command = laptop.command(&[
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "json",
            "--show-values",
        ]);
        command
            .args(["--timeout", "5s"])
            .env("AWS_ENDPOINT_URL_SSM", endpoint);
        ended(command)
    };
    let ran = with(&laptop.aws.endpoint()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rendered: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!({"LOG_LEVEL": level, "NEW_CHECKOUT": flag, "PASSWORD": password});
    assert!(rendered == expected, "other values");

    // A dead one of its own wins over the one that would answer.
    let ran = with("http://127.0.0.1:1").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("Parameter Store"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    laptop.says_nothing(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_parameter_is_one_line() {
    let laptop = Laptop::new().await;
    let value = laptop.canaries.value();
    laptop.region().create("estate/db", &value).unwrap();
    laptop
        .region()
        .put_parameter("/estate/flags/x", &value)
        .unwrap();
    laptop.file("binding.yaml", BINDING);
    let ran = laptop
        .run(&[
            "render",
            "-f",
            "binding.yaml",
            "-o",
            "json",
            "--show-values",
        ])
        .await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr.contains("\"/estate/level\" in account"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("has no version 1"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    laptop.says_nothing(&ran);
}
