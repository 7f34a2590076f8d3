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

async fn chain(
    aws: &FakeAws,
    from: &Credentials,
    role: &str,
    external_id: Option<&str>,
    tags: &[(&str, &str)],
) -> Result<Credentials, String> {
    let tag = |(k, v): &(&str, &str)| Tag::builder().key(*k).value(*v).build().unwrap();
    let call = sts_as(aws, from.clone())
        .assume_role()
        .role_arn(role)
        .role_session_name("keyferry-chained")
        .set_external_id(external_id.map(str::to_owned))
        .set_tags(Some(tags.iter().map(tag).collect()))
        .set_transitive_tag_keys(Some(tags.iter().map(|(k, _)| (*k).to_owned()).collect()));
    match call.send().await {
        Ok(output) => Ok(session(output.credentials().unwrap())),
        Err(error) => {
            use aws_sdk_sts::error::ProvideErrorMetadata;
            Err(error.code().unwrap_or_default().to_owned())
        }
    }
}

const TENANT: &str = "arn:aws:iam::444455556666:role/tenant";
const DENIED: &str = "AccessDenied";

#[tokio::test]
async fn a_role_is_assumed_with_trust_external_id_and_tags() {
    let aws = start().await;
    let issuer = TokenIssuer::new().trusted_by(&aws);
    aws.put_role(Role::new(READER).trust_service_account("keyferry", "keyferry"));
    let tenant = || {
        Role::new(TENANT)
            .trust_principal(READER)
            .external_id("tenant-1")
            .allow_session_tag("namespace", "team-*")
            .statement(Statement::allow(&[GET], &["*"]).when_principal_tag("namespace", "team-a"))
    };
    aws.put_role(tenant());
    let token = issuer.token("keyferry", "keyferry", "sts.amazonaws.com");
    let base = with_token(&aws, &token).await.unwrap();
    let id = Some("tenant-1");
    // Another account's role needs an Allow on the caller's side too.
    assert_eq!(
        chain(&aws, &base, TENANT, id, &[]).await.unwrap_err(),
        DENIED
    );
    let reader = Role::new(READER).trust_service_account("keyferry", "keyferry");
    aws.put_role(reader.allow(&["sts:AssumeRole"], &[TENANT]));

    assert_eq!(
        chain(&aws, &base, TENANT, None, &[]).await.unwrap_err(),
        DENIED
    );
    assert_eq!(
        chain(&aws, &base, TENANT, Some("x"), &[])
            .await
            .unwrap_err(),
        DENIED
    );
    for tags in [("namespace", "kube-system"), ("other", "team-a")] {
        assert_eq!(
            chain(&aws, &base, TENANT, id, &[tags]).await.unwrap_err(),
            DENIED
        );
    }
    let tag_a = [("namespace", "team-a")];
    let a = chain(&aws, &base, TENANT, id, &tag_a).await.unwrap();
    let b = chain(&aws, &base, TENANT, id, &[("namespace", "team-b")])
        .await
        .unwrap();
    let logged = aws
        .calls()
        .into_iter()
        .rfind(|c| c.tags.get("namespace").is_some_and(|v| v == "team-a"));
    assert_eq!(logged.unwrap().external_id.as_deref(), id);

    aws.account(OTHER).region(REGION).create("s", "v").unwrap();
    assert_eq!(
        read(&client_as(&aws, a.clone(), REGION), "s")
            .await
            .as_deref(),
        Ok("v")
    );
    let refused = read(&client_as(&aws, b, REGION), "s").await;
    assert_eq!(refused.unwrap_err(), "AccessDeniedException");

    // Transitive tags follow into the next role and cannot be changed there.
    let next = "arn:aws:iam::444455556666:role/next";
    let role = Role::new(next)
        .trust_principal(TENANT)
        .allow_session_tag("namespace", "*");
    aws.put_role(role.allow(&[GET], &["*:secret:${aws:PrincipalTag/namespace}/*"]));
    let clash = chain(&aws, &a, next, None, &[("namespace", "team-b")]).await;
    assert_eq!(clash.unwrap_err(), "InvalidParameterValue");
    let session = chain(&aws, &a, next, None, &[]).await.unwrap();
    aws.account(OTHER)
        .region(REGION)
        .create("team-a/x", "v")
        .unwrap();
    let sm = client_as(&aws, session, REGION);
    assert_eq!(read(&sm, "team-a/x").await.as_deref(), Ok("v"));
    assert_eq!(read(&sm, "s").await.unwrap_err(), "AccessDeniedException");
}

#[tokio::test]
async fn session_names_and_durations_are_checked() {
    let aws = start().await;
    aws.put_role(Role::new(READER).trust_principal(&format!("arn:aws:iam::{ACCOUNT}:root")));
    let sts = sts_as(&aws, keys(KEY));
    let call = |name: &str, seconds: i32| {
        let call = sts.assume_role().role_arn(READER).role_session_name(name);
        call.duration_seconds(seconds).send()
    };
    assert!(call("fine@name", 900).await.is_ok());
    for (name, seconds) in [
        ("a", 900),
        ("with space", 900),
        ("fine", 899),
        ("fine", 43_201),
    ] {
        assert_eq!(
            code(call(name, seconds).await),
            "ValidationError",
            "{name} {seconds}"
        );
    }
    let long = "x".repeat(65);
    assert_eq!(code(call(&long, 900).await), "ValidationError");
}

#[tokio::test]
async fn only_known_whole_and_fresh_credentials_pass() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    let issuer = TokenIssuer::new().trusted_by(&aws);
    let role = || Role::new(READER).trust_service_account("n", "s");
    aws.put_role(role().allow(&["*"], &["*"]));
    let token = issuer.token("n", "s", "sts.amazonaws.com");
    let good = with_token(&aws, &token).await.unwrap();
    let as_them = |credentials: Credentials| client_as(&aws, credentials, REGION);
    assert!(read(&as_them(good.clone()), "a").await.is_ok());

    let unknown = "UnrecognizedClientException";
    assert_eq!(
        read(&as_them(keys("AKIANOBODY")), "a").await.unwrap_err(),
        unknown
    );
    let no_token = keys(good.access_key_id());
    assert_eq!(read(&as_them(no_token), "a").await.unwrap_err(), unknown);
    let key = good.access_key_id();
    let mixed = Credentials::new(key, "s", Some("another token".to_owned()), None, "test");
    assert_eq!(read(&as_them(mixed), "a").await.unwrap_err(), unknown);

    aws.put_role(role());
    assert_eq!(
        read(&as_them(good.clone()), "a").await.unwrap_err(),
        "AccessDeniedException"
    );
    aws.expire_sessions();
    assert_eq!(
        read(&as_them(good.clone()), "a").await.unwrap_err(),
        "ExpiredTokenException"
    );
    let sts = sts_as(&aws, good);
    assert_eq!(code(sts.get_caller_identity().send().await), "ExpiredToken");

    aws.set_session_lifetime(Some(std::time::Duration::from_secs(60)));
    let short = with_token(&aws, &token).await.unwrap();
    aws.advance(std::time::Duration::from_secs(61));
    assert_eq!(
        read(&as_them(short), "a").await.unwrap_err(),
        "ExpiredTokenException"
    );
    aws.revoke(KEY);
    assert_eq!(read(&client(&aws), "a").await.unwrap_err(), unknown);
}

#[tokio::test]
async fn a_customer_key_needs_its_own_right() {
    let aws = start().await;
    let key = "arn:aws:kms:ap-northeast-2:111122223333:key/k1";
    here(&aws).create("a", "v").unwrap();
    here(&aws).kms_key("a", key).unwrap();
    let policy = || vec![Statement::allow(&["secretsmanager:*"], &["*"])];
    aws.user_with("AKIALIMITED", ACCOUNT, policy());
    let sm = client_as(&aws, keys("AKIALIMITED"), REGION);
    let denied = sm.get_secret_value().secret_id("a").send().await;
    assert_eq!(message(denied), "Access to KMS is not allowed");
    let batch = sm
        .batch_get_secret_value()
        .secret_id_list("a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        batch.errors()[0].error_code(),
        Some("AccessDeniedException")
    );
    let mut with_key = policy();
    with_key.push(Statement::allow(&["kms:Decrypt"], &[key]));
    aws.user_with("AKIALIMITED", ACCOUNT, with_key);
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("v"));
}

#[tokio::test]
async fn another_account_needs_arn_policy_and_key() {
    let aws = start().await;
    let other = "AKIAOTHEROTHEROTHER1";
    let user = aws.user(other, OTHER);
    let region = here(&aws);
    let arn = region.create("shared", "v").unwrap();
    let sm = client_as(&aws, keys(other), REGION);
    assert_eq!(
        read(&sm, "shared").await.unwrap_err(),
        "ResourceNotFoundException"
    );
    assert_eq!(read(&sm, &arn).await.unwrap_err(), "AccessDeniedException");
    region.allow_principal("shared", &user).unwrap();
    assert_eq!(
        read(&sm, &arn).await.unwrap_err(),
        "InvalidRequestException"
    );
    region
        .kms_key("shared", "arn:aws:kms:ap-northeast-2:111122223333:key/k1")
        .unwrap();
    assert_eq!(read(&sm, &arn).await.as_deref(), Ok("v"));
    region
        .deny_principal("shared", "arn:aws:iam::444455556666:root")
        .unwrap();
    assert_eq!(read(&sm, &arn).await.unwrap_err(), "AccessDeniedException");
}

#[tokio::test]
async fn batch_and_list_need_rights_of_their_own() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    aws.user_with("AKIAGET", ACCOUNT, vec![Statement::allow(&[GET], &["*"])]);
    let sm = client_as(&aws, keys("AKIAGET"), REGION);
    let denied = "AccessDeniedException";
    let batch = sm.batch_get_secret_value().secret_id_list("a");
    assert_eq!(code(batch.send().await), denied);
    assert_eq!(code(sm.list_secrets().send().await), denied);
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("v"));
}

/// Asks the Pod Identity agent as SDKs do: the token is the whole Authorization header.
async fn ask_agent(aws: &FakeAws, token: &str) -> (u16, serde_json::Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let url = aws.pod_identity_url();
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn pod_identity_hands_out_credentials() {
    let aws = start().await;
    let issuer = TokenIssuer::new().trusted_by(&aws);
    let role = || {
        let own = "*:secret:${aws:PrincipalTag/kubernetes-namespace}/*";
        Role::new(READER).allow(&[GET], &[own])
    };
    aws.put_role(role().trust_pod_identity());
    aws.associate("team-a", "web", READER);
    here(&aws).create("team-a/db", "v").unwrap();
    let audience = "pods.eks.amazonaws.com";
    let good = issuer.token("team-a", "web", audience);
    let (status, reply) = ask_agent(&aws, &good).await;
    assert_eq!((status, reply["AccountId"].as_str()), (200, Some(ACCOUNT)));
    let field = |name: &str| reply[name].as_str().unwrap().to_owned();
    let token = Some(field("Token"));
    let (key, secret) = (field("AccessKeyId"), field("SecretAccessKey"));
    let credentials = Credentials::new(key, secret, token, None, "test");
    let sm = client_as(&aws, credentials, REGION);
    assert_eq!(read(&sm, "team-a/db").await.as_deref(), Ok("v"));
    for (token, expected) in [
        (issuer.token("team-a", "web", "sts.amazonaws.com"), 400),
        (issuer.token("team-b", "web", audience), 404),
        (TokenIssuer::new().token("team-a", "web", audience), 400),
    ] {
        assert_eq!(ask_agent(&aws, &token).await.0, expected);
    }
    aws.put_role(role());
    assert_eq!(
        ask_agent(&aws, &good).await.0,
        400,
        "the role does not trust Pod Identity"
    );
}
