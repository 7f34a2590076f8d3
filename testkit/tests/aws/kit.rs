//! Clients, tokens and shorthands for the tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use keyferry_testkit::aws::{FakeAws, Options, Region as FakeRegion};
use serde_json::{Value, json};

pub const ACCOUNT: &str = "111122223333";
pub const OTHER: &str = "444455556666";
pub const REGION: &str = "ap-northeast-2";
pub const KEY: &str = "AKIATESTTESTTESTTEST";
pub const ISSUER: &str = "https://kubernetes.default.svc";

pub type Sm = aws_sdk_secretsmanager::Client;
pub type Sts = aws_sdk_sts::Client;
pub type Sqs = aws_sdk_sqs::Client;

/// A fake with an administrator's key.
pub async fn start() -> FakeAws {
    let aws = FakeAws::start(Options::default()).await.unwrap();
    aws.user(KEY, ACCOUNT);
    aws
}

pub fn here(aws: &FakeAws) -> FakeRegion {
    aws.account(ACCOUNT).region(REGION)
}

pub fn keys(access_key: &str) -> Credentials {
    Credentials::new(access_key, "secret-access-key", None, None, "test")
}

/// A Secrets Manager client without retries, so that every call counts.
pub fn client_as(aws: &FakeAws, credentials: Credentials, region: &str) -> Sm {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .endpoint_url(aws.endpoint())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .credentials_provider(credentials)
        .build();
    Sm::from_conf(config)
}

pub fn client(aws: &FakeAws) -> Sm {
    client_as(aws, keys(KEY), REGION)
}

pub fn sts_as(aws: &FakeAws, credentials: Credentials) -> Sts {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(aws.endpoint())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .credentials_provider(credentials)
        .build();
    Sts::from_conf(config)
}

pub fn sqs_as(aws: &FakeAws, credentials: Credentials, region: &str) -> Sqs {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .endpoint_url(aws.endpoint())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .credentials_provider(credentials)
        .build();
    Sqs::from_conf(config)
}

pub fn sqs(aws: &FakeAws) -> Sqs {
    sqs_as(aws, keys(KEY), REGION)
}

/// Only there to end a test that hangs.
fn timeouts() -> TimeoutConfig {
    let limit = Duration::from_secs(30);
    TimeoutConfig::builder().operation_timeout(limit).build()
}

/// Code of a refusal; panics on success without showing the output.
pub fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.code().unwrap_or_default().to_owned(),
    }
}

/// Message of a refusal.
pub fn message<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.message().unwrap_or_default().to_owned(),
    }
}

/// HTTP status of a refusal.
pub fn status<T, E>(
    result: Result<T, SdkError<E, aws_sdk_secretsmanager::config::http::HttpResponse>>,
) -> u16 {
    match result {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.raw_response().map_or(0, |r| r.status().as_u16()),
    }
}

/// The text value of a secret, or the code of the refusal.
pub async fn read(client: &Sm, id: &str) -> Result<String, String> {
    let got = client.get_secret_value().secret_id(id).send().await;
    match got {
        Ok(output) => Ok(output.secret_string().unwrap_or_default().to_owned()),
        Err(error) => Err(error.code().unwrap_or_default().to_owned()),
    }
}

/// An issuer of ServiceAccount tokens with a key of its own.
pub struct TokenIssuer {
    key: EncodingKey,
    jwks: String,
}

impl TokenIssuer {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let key = EncodingKey::from_ec_der(der.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("key-1".to_owned());
        let jwks = serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap();
        Self { key, jwks }
    }

    /// Lets the fake trust this issuer under the usual name.
    pub fn trusted_by(self, aws: &FakeAws) -> Self {
        aws.trust_issuer(ISSUER, &self.jwks).unwrap();
        self
    }

    pub fn token(&self, namespace: &str, name: &str, audience: &str) -> String {
        self.token_ending(namespace, name, audience, 600)
    }

    /// A token that ends `seconds` from now.
    pub fn token_ending(&self, namespace: &str, name: &str, aud: &str, seconds: i64) -> String {
        self.sign(&json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "aud": [aud],
            "exp": now() + seconds,
            "kubernetes.io": {"namespace": namespace, "pod": {"name": "pod-1"}},
        }))
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("key-1".to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

pub fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(passed.as_secs()).unwrap()
}
