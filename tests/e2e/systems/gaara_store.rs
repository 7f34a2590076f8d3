//! gaara-store: one entry a key under a prefix, encrypted with a key of theirs, and fallbacks that must not pass.

use super::system::System;
use crate::{
    case::{Case, assert_holds, condition},
    operators::Identity,
    world::ACCOUNT,
};

crate::tests![own:
    a_prefix_becomes_the_names_the_application_reads_and_no_fallback_passes,
];

const PREFIX: &str = "gaara-store/production/";
const JWT: &str = "gaara-store/production/jwt-secret";
const DATABASE: &str = "gaara-store/production/database-url";
const KMS_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// Entry under the prefix, and the variable that the application reads.
const KEYS: [(&str, &str); 7] = [
    ("secret-key", "SECRET_KEY"),
    ("jwt-secret", "JWT_SECRET_KEY"),
    ("encryption-key", "ENCRYPTION_KEY"),
    ("database-url", "DATABASE_URL"),
    ("redis-password", "REDIS_PASSWORD"),
    ("mail-password", "MAIL_PASSWORD"),
    ("sentry-dsn", "SENTRY_DSN"),
];
/// Plain settings, in the ConfigMap.
const SETTINGS: [(&str, &str); 4] = [
    ("ENVIRONMENT", "production"),
    ("AWS_REGION", "us-east-1"),
    ("LOG_LEVEL", "INFO"),
    ("FEATURE_FLAGS", "new-checkout,fast-search"),
];

type Values = Vec<(&'static str, String)>;

fn url(case: &Case) -> String {
    format!("postgresql://gaara:{}@db.internal:5432/gaara", case.plain())
}

fn with_settings(values: &Values) -> Values {
    let settings = SETTINGS.map(|(key, value)| (key, value.to_owned()));
    [values.as_slice(), &settings].concat()
}

async fn a_prefix_becomes_the_names_the_application_reads_and_no_fallback_passes(case: Case) {
    let system = System::apply(&case, "gaara-store", &["iam"], ACCOUNT, "us-east-1").await;
    let (entries, gaara) = (system.entries(), system.namespace("gaara-store"));
    let mut values: Values = KEYS.map(|(_, key)| (key, case.value())).into();
    values[3].1 = url(&case);
    for ((entry, _), (_, value)) in KEYS.iter().zip(&values) {
        let name = format!("{PREFIX}{entry}");
        entries.create(&name, value).unwrap();
        entries.kms_key(&name, KMS_KEY).unwrap();
    }
    let first = entries.current_version(JWT).unwrap();
    let operator = system.operate(Identity::Irsa).await;
    gaara.runs_with("gaara-store", &first).await;
    let seen = with_settings(&values);
    system
        .sees("gaara-store", "gaara-store", "app", &seen)
        .await;
    let secret = gaara.secret("gaara-store").await;
    assert_holds(&secret, &values);

    // What the code falls back to is refused, and the last good value stays.
    entries.put(JWT, "default-secret").unwrap();
    gaara.refresh("gaara-store").await;
    let status = gaara.failing("gaara-store", "PlaceholderFound").await;
    assert_eq!(condition(&status, "Ready")["reason"], "CandidateRejected");
    gaara.assert_kept(&secret).await;
    values[1].1 = case.value();
    let second = entries.put(JWT, &values[1].1).unwrap();
    entries.put(DATABASE, "sqlite:///gaara.db").unwrap();
    gaara.refresh("gaara-store").await;
    gaara.failing("gaara-store", "RuleBroken").await;
    gaara.assert_kept(&secret).await;
    system.assert_replaced("gaara-store", "gaara-store", "app", 0);

    // Good values, and the optional entry, which joins by itself.
    values[3].1 = url(&case);
    entries.put(DATABASE, &values[3].1).unwrap();
    values.push(("EXTERNAL_API_KEY", case.value()));
    let external = format!("{PREFIX}external-api-key");
    entries.create(&external, &values[7].1).unwrap();
    entries.kms_key(&external, KMS_KEY).unwrap();
    gaara.refresh("gaara-store").await;
    gaara.runs_with("gaara-store", &second).await;
    let seen = with_settings(&values);
    system
        .sees("gaara-store", "gaara-store", "app", &seen)
        .await;
    system.assert_replaced("gaara-store", "gaara-store", "app", 1);

    let operator = system.operate_by_pod_identity(operator).await;
    entries.move_label(JWT, "AWSCURRENT", &first).unwrap();
    gaara.refresh("gaara-store").await;
    gaara.carries("gaara-store", &first).await;
    system.end(operator).await;
}
