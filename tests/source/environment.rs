//! What the environment says: each case in a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc,
};

use keyferry::{api::Reason, source::Freshness};
use keyferry_testkit::aws::{FakeAws, Options, Role};

use crate::kit::*;

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// In the child: reads `a` as the operator and says how it went.
async fn read_a() {
    let sources = sources_from_env().await;
    let hub = match sources.hub(&operator()).await {
        Ok(hub) => hub,
        Err(finding) => return println!("hub: {:?} {finding}", finding.reason),
    };
    match hub.read(&name("a"), Freshness::Reuse).await {
        Ok(entry) => println!(
            "read {} as {}",
            entry.version_id,
            hub.caller().await.unwrap().arn
        ),
        Err(finding) => println!("refused: {:?} {finding}", finding.reason),
    }
}

async fn fake() -> FakeAws {
    let aws = FakeAws::start(Options::default()).await.unwrap();
    aws.account(ACCOUNT)
        .region(REGION)
        .create("a", "1")
        .unwrap();
    aws
}

fn static_keys(aws: &FakeAws) -> Vec<(String, String)> {
    aws.user("AKIATESTTESTTESTTEST", ACCOUNT);
    pairs([
        ("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
    ])
}

#[tokio::test]
async fn pod_identity_gives_credentials_without_a_proxy() {
    if is_child() {
        return read_a().await;
    }
    let aws = fake().await;
    let issuer = Issuer::new();
    aws.trust_issuer("https://kubernetes.default.svc", &issuer.jwks)
        .unwrap();
    aws.put_role(
        Role::new(OPERATOR)
            .trust_pod_identity()
            .allow(&["*"], &["*"]),
    );
    aws.associate("keyferry", "keyferry", OPERATOR);
    let file = token_file(&issuer.token("keyferry", "keyferry", "pods.eks.amazonaws.com"));
    let mut environment = aws.env();
    environment.extend(pairs([
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            aws.pod_identity_url().as_str(),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ]));
    // The agent lives on the node, whatever the proxy variables say; AWS itself is reached through the fake.
    environment.extend(pairs([
        ("HTTP_PROXY", aws.endpoint().as_str()),
        ("AWS_ENDPOINT_URL", "http://aws.invalid"),
    ]));
    let output = in_child(
        "environment::pod_identity_gives_credentials_without_a_proxy",
        environment,
    )
    .await;
    std::fs::remove_file(file).unwrap();
    let printed = printed(&output);
    assert!(
        printed.contains("as arn:aws:sts::111122223333:assumed-role/operator/eks-"),
        "{printed}"
    );
    let calls = aws.calls();
    let host = |wanted: &str| calls.iter().filter(|call| call.host == wanted).count();
    assert!(
        host("aws.invalid") >= 2,
        "Secrets Manager and STS through the proxy"
    );
    assert_eq!(aws.count("GetSecretValue"), 1);
}

#[tokio::test]
async fn static_keys_ask_once_who_they_are() {
    if is_child() {
        return read_a().await;
    }
    let aws = fake().await;
    let mut environment = aws.env();
    environment.extend(static_keys(&aws));
    // Hosts in NO_PROXY are reached without the (dead) proxy.
    environment.extend(pairs([
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "127.0.0.1"),
    ]));
    let output = in_child(
        "environment::static_keys_ask_once_who_they_are",
        environment,
    )
    .await;
    let printed = printed(&output);
    assert!(
        printed.contains("as arn:aws:iam::111122223333:user/"),
        "{printed}"
    );
    assert_eq!(
        (aws.count("GetCallerIdentity"), aws.count("GetSecretValue")),
        (1, 1)
    );
}

#[tokio::test]
async fn irsa_wins_over_pod_identity() {
    if is_child() {
        return read_a().await;
    }
    let aws = fake().await;
    let issuer = Issuer::new();
    aws.trust_issuer("https://kubernetes.default.svc", &issuer.jwks)
        .unwrap();
    aws.put_role(operator_role().allow(&["*"], &["*"]));
    let file = token_file(&issuer.token("keyferry", "keyferry", "sts.amazonaws.com"));
    let mut environment = aws.env();
    environment.extend(pairs([
        ("AWS_ROLE_ARN", OPERATOR),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            aws.pod_identity_url().as_str(),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ]));
    let output = in_child("environment::irsa_wins_over_pod_identity", environment).await;
    std::fs::remove_file(file).unwrap();
    let printed = printed(&output);
    assert!(
        printed.contains("as arn:aws:sts::111122223333:assumed-role/operator/keyferry"),
        "{printed}"
    );
    assert_eq!(aws.count("AssumeRoleWithWebIdentity"), 1);
}

#[tokio::test]
async fn nothing_configured_is_said_in_words() {
    if is_child() {
        return read_a().await;
    }
    let test = "environment::nothing_configured_is_said_in_words";
    let no_imds = ("AWS_EC2_METADATA_DISABLED", "true");
    let output = printed(&in_child(test, pairs([no_imds])).await);
    assert!(
        output.contains("hub: NoCredentials No AWS region"),
        "{output}"
    );
    let output = printed(&in_child(test, pairs([no_imds, ("AWS_REGION", REGION)])).await);
    assert!(
        output.contains("refused: NoCredentials The operator found no AWS credentials"),
        "{output}"
    );
    let bundle = [
        no_imds,
        ("AWS_REGION", REGION),
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
    ];
    let output = printed(&in_child(test, pairs(bundle)).await);
    assert!(
        output.contains("AWS_CA_BUNDLE /nonexistent/ca.pem cannot be read"),
        "{output}"
    );
    assert!(Reason::NoCredentials.as_str() == "NoCredentials");
}

/// A proxy that notes whom it is asked to connect to, and refuses.
fn refusing_proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (seen, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
            if seen.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn https_goes_through_the_proxy_to_fips_and_dual_stack_names() {
    if is_child() {
        return read_a().await;
    }
    let test = "environment::https_goes_through_the_proxy_to_fips_and_dual_stack_names";
    for (variable, host) in [
        ("AWS_UNRELATED", "secretsmanager.us-east-1.amazonaws.com"),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "secretsmanager-fips.us-east-1.amazonaws.com",
        ),
        (
            "AWS_USE_DUALSTACK_ENDPOINT",
            "secretsmanager.us-east-1.api.aws",
        ),
    ] {
        let (proxy, asked) = refusing_proxy();
        let environment = pairs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST"),
            ("AWS_SECRET_ACCESS_KEY", "any"),
            ("HTTPS_PROXY", proxy.as_str()),
            (variable, "true"),
        ]);
        let printed = printed(&in_child(test, environment).await);
        assert!(printed.contains("refused: AwsUnavailable"), "{printed}");
        let first = asked.try_recv().expect("the proxy was asked");
        assert!(first.starts_with(&format!("CONNECT {host}:443")), "{first}");
    }
}
