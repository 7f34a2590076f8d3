//! Parameter Store: GetParameters and GetParametersByPath.

use aws_sdk_ssm::{config::retry::RetryConfig, types::ParameterType};
use keyferry_testkit::aws::{Fault, Statement};

use crate::kit::*;

fn client_of(aws: &keyferry_testkit::aws::FakeAws, access_key: &str) -> aws_sdk_ssm::Client {
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(aws_sdk_ssm::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_ssm::config::Region::new(REGION))
        .endpoint_url(aws.endpoint())
        .retry_config(RetryConfig::disabled())
        .credentials_provider(keys(access_key))
        .build();
    aws_sdk_ssm::Client::from_conf(config)
}

#[tokio::test]
async fn versions_and_labels_are_read_and_names_that_mean_nothing_are_listed() {
    let aws = start().await;
    let here = here(&aws);
    assert_eq!(here.put_parameter("/a/level", "one").unwrap(), 1);
    assert_eq!(
        here.put_secure_parameter("/a/level", "two", None).unwrap(),
        2
    );
    here.label_parameter("/a/level", "blue", 1).unwrap();
    let ssm = client_of(&aws, KEY);
    let arn = here.parameter_arn("/a/level").unwrap();
    let names = [
        "/a/level",
        "/a/level:1",
        "/a/level:blue",
        "/a/none",
        "/a/level:9",
        &arn,
    ];
    let get = ssm
        .get_parameters()
        .set_names(Some(names.map(str::to_owned).into()));
    let reply = get.clone().with_decryption(true).send().await.unwrap();
    let found = reply.parameters().iter();
    let found: Vec<_> = found
        .map(|p| (p.version(), p.selector(), p.value().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (2, None, "two"),
            (1, Some(":1"), "one"),
            (1, Some(":blue"), "one"),
            (2, None, "two")
        ]
    );
    assert_eq!(reply.invalid_parameters(), ["/a/none", "/a/level:9"]);
    let first = &reply.parameters()[0];
    assert_eq!((first.name(), first.arn()), (Some("/a/level"), Some(&*arn)));
    assert_eq!(first.r#type(), Some(&ParameterType::SecureString));
    assert!(first.last_modified_date().is_some());
    let encrypted = get.send().await.unwrap();
    assert_ne!(encrypted.parameters()[0].value(), Some("two"));
    assert_eq!(aws.reads_of("/a/level"), 8);
    here.delete_parameter("/a/level").unwrap();
    assert_eq!(here.put_parameter("/a/level", "anew").unwrap(), 1);
}

#[tokio::test]
async fn what_the_service_refuses_is_refused() {
    let aws = start().await;
    let here = here(&aws);
    let ssm = client_of(&aws, KEY);
    let eleven = (0..11).map(|n| format!("/p{n}")).collect();
    let get = ssm.get_parameters().set_names(Some(eleven));
    assert_eq!(code(get.send().await), "ValidationException");
    let by_path = || ssm.get_parameters_by_path();
    assert_eq!(
        code(by_path().path("a").send().await),
        "ValidationException"
    );
    assert_eq!(
        code(by_path().path("/a").max_results(11).send().await),
        "ValidationException"
    );
    assert_eq!(
        code(by_path().path("/a").next_token("x").send().await),
        "InvalidNextToken"
    );
    for name in ["a/b", "/a//b", "/a b", "aws-x", "/ssm/x", ""] {
        assert!(here.put_parameter(name, "x").is_err(), "{name}");
    }
    assert!(here.put_parameter("/a", "").is_err());
    assert!(here.put_parameter("/a", &"x".repeat(8_193)).is_err());
    here.put_parameter("/a", "x").unwrap();
    for (label, version) in [("1st", 1), ("awsx", 1), ("blue", 2), ("a b", 1)] {
        assert!(
            here.label_parameter("/a", label, version).is_err(),
            "{label}"
        );
    }
    aws.fault(Fault::throttled(None).on("GetParameters"));
    let get = ssm.get_parameters().names("/a").send().await;
    assert_eq!(code(get), "ThrottlingException");
}

#[tokio::test]
async fn a_path_comes_in_pages_of_ten_and_knows_its_levels() {
    let aws = start().await;
    let here = here(&aws);
    for n in 0..12 {
        here.put_parameter(&format!("/a/p{n:02}"), "x").unwrap();
    }
    here.put_parameter("/a/deep/er", "x").unwrap();
    here.put_parameter("/ab", "x").unwrap();
    let ssm = client_of(&aws, KEY);
    let by_path = |recursive| {
        ssm.get_parameters_by_path()
            .path("/a/")
            .recursive(recursive)
    };
    let names =
        |page: &aws_sdk_ssm::operation::get_parameters_by_path::GetParametersByPathOutput| {
            let names = page
                .parameters()
                .iter()
                .map(|p| p.name().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
    let first = by_path(true).send().await.unwrap();
    assert_eq!(names(&first).len(), 10);
    let token = first.next_token().unwrap();
    let rest = by_path(true).next_token(token).send().await.unwrap();
    assert_eq!(names(&rest), ["/a/p09", "/a/p10", "/a/p11"]);
    assert_eq!(rest.next_token(), None);
    aws.fault(Fault::empty_page().on("GetParametersByPath").times(1));
    let empty = by_path(false).send().await.unwrap();
    assert!(names(&empty).is_empty() && empty.next_token().is_some());
    let level = by_path(false).next_token(empty.next_token().unwrap());
    let level = level.send().await.unwrap();
    assert!(!names(&level).contains(&"/a/deep/er".to_owned()));
}

#[tokio::test]
async fn rights_are_judged_by_action_arn_and_key() {
    let aws = start().await;
    let here = here(&aws);
    let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/k");
    here.put_parameter("/a/open", "x").unwrap();
    here.put_secure_parameter("/a/locked", "x", Some(&key))
        .unwrap();
    let arn = |name: &str| format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{name}");
    let policy = |more: Vec<Statement>| {
        let (open, locked) = (arn("/a/open"), arn("/a/locked"));
        let mut all = vec![Statement::allow(&["ssm:GetParameters"], &[&open, &locked])];
        all.extend(more);
        aws.user_with("AKIAREADER", ACCOUNT, all);
        client_of(&aws, "AKIAREADER")
    };
    let get = |ssm: aws_sdk_ssm::Client, names: &[&str], decrypt| {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        ssm.get_parameters()
            .set_names(Some(names))
            .with_decryption(decrypt)
            .send()
    };
    assert!(get(policy(vec![]), &["/a/open"], true).await.is_ok());
    // One name that is denied fails the whole call, also where nothing of that name is there.
    let denied = get(policy(vec![]), &["/a/open", "/a/none"], true).await;
    assert!(message(denied).contains(&arn("/a/none")));
    let locked = get(policy(vec![]), &["/a/locked"], true).await;
    assert!(message(locked).contains("kms:Decrypt"));
    assert!(get(policy(vec![]), &["/a/locked"], false).await.is_ok());
    let via = |service: &str| {
        let service = format!("{service}.{REGION}.amazonaws.com");
        vec![Statement::allow(&["kms:Decrypt"], &[&key]).when_via_service(&[&service])]
    };
    assert!(
        get(policy(via("secretsmanager")), &["/a/locked"], true)
            .await
            .is_err()
    );
    assert!(get(policy(via("ssm")), &["/a/locked"], true).await.is_ok());
    let by_path = policy(vec![])
        .get_parameters_by_path()
        .path("/a/")
        .send()
        .await;
    assert_eq!(code(by_path), "AccessDeniedException");
    // The path as it is sent, with its last slash.
    let listing = || {
        vec![Statement::allow(
            &["ssm:GetParametersByPath"],
            &[&arn("/a/*")],
        )]
    };
    let by_path = |path: &str| policy(listing()).get_parameters_by_path().path(path).send();
    assert!(by_path("/a/").await.is_ok());
    assert!(by_path("/a").await.is_err());
}
