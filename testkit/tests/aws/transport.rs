//! HTTPS, real host names through a proxy, and the seed list.

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_secretsmanager::error::SdkError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use keyferry_testkit::aws::SecretValue;

use crate::kit::*;

/// An HTTP client that trusts one authority and nothing else.
fn https(ca_pem: Option<&str>, proxy: ProxyConfig) -> SharedHttpClient {
    let mut store = TrustStore::empty();
    if let Some(pem) = ca_pem {
        store = store.with_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .unwrap();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.tls_context(context.clone()).build()
    })
}

fn builder(http: SharedHttpClient) -> aws_sdk_secretsmanager::config::Builder {
    aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .retry_config(aws_sdk_secretsmanager::config::retry::RetryConfig::disabled())
        .credentials_provider(keys(KEY))
        .http_client(http)
}

#[tokio::test]
async fn https_needs_the_extra_authority() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    let tls = aws.start_tls(&[]).await.unwrap();
    let at = |ca: Option<&str>| {
        let config = builder(https(ca, ProxyConfig::disabled())).endpoint_url(tls.endpoint());
        Sm::from_conf(config.build())
    };
    assert_eq!(read(&at(Some(tls.ca_pem())), "a").await.as_deref(), Ok("v"));
    let foreign = aws.start_tls(&[]).await.unwrap();
    let refused = at(Some(foreign.ca_pem()))
        .get_secret_value()
        .secret_id("a")
        .send()
        .await;
    let failed: SdkError<_, HttpResponse> = refused.unwrap_err();
    assert!(matches!(failed, SdkError::DispatchFailure(_)));
    assert_eq!(aws.count("GetSecretValue"), 1);
}

#[tokio::test]
async fn fips_and_dual_stack_names_arrive_through_the_proxy() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    let names = [
        format!("*.{REGION}.amazonaws.com"),
        format!("*.{REGION}.api.aws"),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tls = aws.start_tls(&names).await.unwrap();
    let proxy = aws.start_proxy(&tls).await.unwrap();
    let through = || https(Some(tls.ca_pem()), ProxyConfig::https(proxy.url()).unwrap());
    for (fips, dual, host) in [
        (false, false, "secretsmanager.ap-northeast-2.amazonaws.com"),
        (
            true,
            false,
            "secretsmanager-fips.ap-northeast-2.amazonaws.com",
        ),
        // Its dual-stack name is the plain one (endpoint rules of the SDK).
        (false, true, "secretsmanager.ap-northeast-2.amazonaws.com"),
    ] {
        let config = builder(through()).use_fips(fips).use_dual_stack(dual);
        let sm = Sm::from_conf(config.build());
        assert_eq!(read(&sm, "a").await.as_deref(), Ok("v"), "{host}");
        assert_eq!(proxy.seen().pop().unwrap(), format!("CONNECT {host}:443"));
        assert_eq!(aws.calls().pop().unwrap().host, host);
    }
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(keys(KEY))
        .http_client(through())
        .use_dual_stack(true);
    let sts = Sts::from_conf(config.build());
    sts.get_caller_identity().send().await.unwrap();
    assert_eq!(
        aws.calls().pop().unwrap().host,
        "sts.ap-northeast-2.api.aws"
    );
}

#[tokio::test]
async fn plain_requests_go_through_the_proxy_unless_excluded() {
    let aws = start().await;
    here(&aws).create("a", "v").unwrap();
    let tls = aws.start_tls(&[]).await.unwrap();
    let proxy = aws.start_proxy(&tls).await.unwrap();
    let through = || ProxyConfig::http(proxy.url()).unwrap();
    let at = |proxy: ProxyConfig, url: &str| {
        Sm::from_conf(builder(https(None, proxy)).endpoint_url(url).build())
    };
    let sm = at(through(), "http://secretsmanager.internal");
    assert_eq!(read(&sm, "a").await.as_deref(), Ok("v"));
    assert_eq!(proxy.seen(), ["POST http://secretsmanager.internal/"]);
    let direct = at(through().no_proxy("127.0.0.1"), &aws.endpoint());
    assert_eq!(read(&direct, "a").await.as_deref(), Ok("v"));
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn a_yaml_list_seeds_secrets() {
    let aws = start().await;
    let yaml = |value: &str| {
        format!(
            "- name: a\n  value: {value}\n  tags: {{team: x}}\n- name: b\n  value: two\n  region: us-east-1\n"
        )
    };
    let seed = |value: &str| aws.seed_from_yaml(&yaml(value), ACCOUNT, REGION);
    assert_eq!(seed("one").unwrap(), 2);
    assert_eq!(seed("one").unwrap(), 0);
    assert_eq!(seed("three").unwrap(), 1);
    let east = aws.account(ACCOUNT).region("us-east-1");
    assert_eq!(
        here(&aws).current_value("a"),
        Some(SecretValue::text("three"))
    );
    assert_eq!(east.current_value("b"), Some(SecretValue::text("two")));
    let bad = aws.seed_from_yaml("- name: a\n  valeu: hunter2\n", ACCOUNT, REGION);
    assert!(!format!("{bad:?} {}", bad.as_ref().unwrap_err()).contains("hunter2"));
    assert!(
        aws.seed_from_yaml("- {name: 'a b', value: x}", ACCOUNT, REGION)
            .is_err()
    );
}
