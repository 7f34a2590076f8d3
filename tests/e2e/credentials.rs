//! The operator's own credentials: refused, gone, late.

use keyferry::api::Reason;

use crate::{
    case::{Case, condition, is},
    operators::Identity,
    reasons::assert_says,
    restarts::in_sync,
    world::ACCOUNT,
};

crate::tests![own:
    a_wrong_token_audience_fails_with_the_identity_named,
    without_credentials_the_last_good_secret_stays,
    a_web_identity_token_that_is_not_there_is_told_and_clears_once_it_is,
];

async fn a_wrong_token_audience_fails_with_the_identity_named(case: Case) {
    let start = case.start(&[]).audience("somebody-else");
    let operator = case.world.start_operator(start).await.unwrap();
    case.put("e", &case.value());
    case.bind_one("app", "K", "e").await;
    let status = case.failing("app", "AssumeRoleFailed").await;
    let name = case.operator_name();
    let role = format!("role/{name}");
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[&role, "audience", "sts.amazonaws.com"],
    );
    assert_eq!(case.reads("e"), 0);
    operator.terminate(&case.world.channels).await;
}

async fn without_credentials_the_last_good_secret_stays(case: Case) {
    // Keys in a file, as a cluster outside AWS mounts them.
    let file = case.world.files.path().join(case.operator_name());
    let path = file.to_str().unwrap();
    let give = |key: &str| {
        case.world.aws.user(key, ACCOUNT);
        let keys = format!("aws_access_key_id = {key}\naws_secret_access_key = any\n");
        std::fs::write(&file, format!("[default]\n{keys}")).unwrap();
    };
    let keys: [String; 2] = std::array::from_fn(|_| format!("AKIA{:016X}", rand::random::<u64>()));
    give(&keys[0]);
    let start = case.start(&[]).identity(Identity::None);
    let start = start.env("AWS_SHARED_CREDENTIALS_FILE", path);
    let operator = case.world.start_operator(start).await.unwrap();
    let good = in_sync(&case).await;
    case.world.aws.revoke(&keys[0]);
    std::fs::write(&file, "").unwrap();
    let status = case.failing("app", "NoCredentials").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "credentials",
            "IRSA",
            "eks.amazonaws.com/role-arn",
            "Last good value kept.",
        ],
    );
    assert!(is(&status, "Ready", "True", "NoCredentials"), "{status}");
    case.assert_kept(&good).await;
    case.assert_told(Reason::NoCredentials).await;
    give(&keys[1]);
    case.cleared().await;
    case.assert_kept(&good).await;
    operator.terminate(&case.world.channels).await;
}

async fn a_web_identity_token_that_is_not_there_is_told_and_clears_once_it_is(case: Case) {
    let first = case.operator(&[]).await;
    let good = in_sync(&case).await;
    first.terminate(&case.world.channels).await;
    let files = case.world.files.path();
    let token = files.join(format!("{}.token", case.operator_name()));
    let late = files.join(format!("{}.late", case.operator_name()));
    let path = late.to_str().unwrap();
    let start = case.start(&[]).env("AWS_WEB_IDENTITY_TOKEN_FILE", path);
    let second = case.world.start_operator(start).await.unwrap();
    let status = case.failing("app", "NoCredentials").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[path, "AWS_WEB_IDENTITY_TOKEN_FILE", "Last good value kept."],
    );
    case.assert_kept(&good).await;
    case.assert_told(Reason::NoCredentials).await;
    std::fs::copy(token, late).unwrap();
    case.cleared().await;
    case.assert_kept(&good).await;
    second.terminate(&case.world.channels).await;
}
