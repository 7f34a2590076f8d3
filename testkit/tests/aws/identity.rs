//! STS, roles, policies and credentials.

use aws_credential_types::Credentials;
use aws_sdk_sts::types::Tag;
use keyferry_testkit::aws::{FakeAws, Role, Statement};
use serde_json::json;

use crate::kit::*;

const READER: &str = "arn:aws:iam::111122223333:role/teams/reader";
const GET: &str = "secretsmanager:GetSecretValue";

fn session(from: &aws_sdk_sts::types::Credentials) -> Credentials {
    let (key, secret) = (from.access_key_id(), from.secret_access_key());
    Credentials::new(
        key,
        secret,
        Some(from.session_token().to_owned()),
        None,
        "test",
    )
}

async fn with_token(aws: &FakeAws, token: &str) -> Result<Credentials, (String, String)> {
    let call = sts_as(aws, keys("unused"))
        .assume_role_with_web_identity()
        .role_arn(READER)
        .role_session_name("keyferry-test-web")
        .web_identity_token(token);
    match call.send().await {
        Ok(output) => Ok(session(output.credentials().unwrap())),
        Err(error) => {
            use aws_sdk_sts::error::ProvideErrorMetadata;
            let text = |t: Option<&str>| t.unwrap_or_default().to_owned();
            Err((text(error.code()), text(error.message())))
        }
    }
}

#[tokio::test]
async fn a_service_account_token_opens_a_session() {
    let aws = start().await;
    let issuer = TokenIssuer::new().trusted_by(&aws);
    let role = Role::new(READER).trust_service_account("team-a", "web");
    aws.put_role(role.allow(
        &[GET],
        &["arn:aws:secretsmanager:*:*:secret:prod/db-??????"],
    ));
    let token = issuer.token("team-a", "web", "sts.amazonaws.com");
    let credentials = with_token(&aws, &token).await.unwrap();
    let me = sts_as(&aws, credentials.clone())
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    let who = "arn:aws:sts::111122223333:assumed-role/reader/keyferry-test-web";
    assert_eq!((me.arn(), me.account()), (Some(who), Some(ACCOUNT)));

    let region = here(&aws);
    for name in ["prod/db", "prod/dbx", "other"] {
        region.create(name, name).unwrap();
    }
    let sm = client_as(&aws, credentials, REGION);
    assert_eq!(read(&sm, "prod/db").await.as_deref(), Ok("prod/db"));
    let denied = sm.get_secret_value().secret_id("other").send().await;
    assert_eq!(
        message(denied),
        format!(
            "User: {who} is not authorized to perform: {GET} on resource: other because no identity-based policy allows the {GET} action"
        )
    );
    for id in ["prod/dbx", "no-such-one"] {
        assert_eq!(
            read(&sm, id).await.unwrap_err(),
            "AccessDeniedException",
            "{id}"
        );
    }
    let last = aws.calls().pop().unwrap();
    assert_eq!(
        (last.principal.as_str(), last.session_name.as_str()),
        (who, "keyferry-test-web")
    );
}

#[tokio::test]
async fn tokens_are_verified() {
    let aws = start().await;
    let issuer = TokenIssuer::new().trusted_by(&aws);
    aws.put_role(Role::new(READER).trust_service_account("team-a", "web"));
    let sts = "sts.amazonaws.com";
    let foreign = issuer.sign(&json!({
        "iss": "https://elsewhere", "sub": "system:serviceaccount:team-a:web", "aud": [sts],
        "exp": now() + 600,
    }));
    for (token, expected) in [
        (issuer.token("team-b", "web", sts), "AccessDenied"),
        (
            issuer.token("team-a", "web", "kubernetes"),
            "InvalidIdentityToken",
        ),
        (
            issuer.token_ending("team-a", "web", sts, -1),
            "ExpiredTokenException",
        ),
        (
            TokenIssuer::new().token("team-a", "web", sts),
            "InvalidIdentityToken",
        ),
        (foreign, "InvalidIdentityToken"),
        ("not-a-token".to_owned(), "InvalidIdentityToken"),
    ] {
        let (code, message) = with_token(&aws, &token).await.unwrap_err();
        assert_eq!(code, expected, "{message}");
    }
    assert!(
        with_token(&aws, &issuer.token("team-a", "web", sts))
            .await
            .is_ok()
    );
    aws.remove_role(READER);
    let (code, _) = with_token(&aws, &issuer.token("team-a", "web", sts))
        .await
        .unwrap_err();
    assert_eq!(code, "AccessDenied");
}
