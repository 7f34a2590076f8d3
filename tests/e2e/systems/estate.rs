//! estate: one entry a value, a URL composed from the password, a Secret of theirs beside ours, replicas.

use keyferry_testkit::aws::Fault;
use serde_json::json;

use super::system::System;
use crate::{
    case::{Case, assert_holds},
    operators::Identity,
    world::ACCOUNT,
};

crate::tests![own:
    one_rotation_restarts_who_uses_the_password_and_replicas_serve_while_the_region_is_down,
];

const REGION: &str = "ap-northeast-2";
const REPLICAS: &str = "ap-northeast-1";
const PASSWORD: &str = "estate/rds/password";
/// Entry, and the variable it becomes as it stands.
const PLAIN: [(&str, &str); 6] = [
    ("estate/jwt/secret", "JWT_SECRET"),
    ("estate/ses/access_key_id", "SES_ACCESS_KEY_ID"),
    ("estate/ses/secret_access_key", "SES_SECRET_ACCESS_KEY"),
    ("estate/segment/write_key", "SEGMENT_WRITE_KEY"),
    ("estate/openai/api_key", "OPENAI_API_KEY"),
    ("estate/kreb/api_key", "KREB_API_KEY"),
];
const SENTRY: &str = "https://public@sentry.invalid/1";

/// The password stands in the URL as it is: letters and digits.
fn url(password: &str) -> String {
    format!("postgresql://estate:{password}@estate.rds.internal:5432/estate?sslmode=require")
}

async fn all_see(system: &System, password: &str, values: &[String]) {
    let value = |n: usize| (PLAIN[n].1, values[n].clone());
    let database = ("DATABASE_URL", url(password));
    let ai = [database.clone(), value(4)];
    let backend = [
        value(0),
        value(1),
        value(2),
        value(3),
        ("SENTRY_DSN", SENTRY.to_owned()),
    ];
    system.sees("estate", "estate-ai", "ai", &ai).await;
    system
        .sees("estate", "estate-ai-worker", "ai-worker", &ai)
        .await;
    system
        .sees("estate", "estate-etl", "etl", &[database, value(5)])
        .await;
    system
        .sees("estate", "estate-backend", "backend", &backend)
        .await;
}

/// As `kubectl annotate esb ai etl` does: both share a read.
async fn ask_refreshes(estate: &Case, token: &str) {
    for binding in ["ai", "etl"] {
        estate.ask_refresh(binding, token).await;
    }
}

async fn one_rotation_restarts_who_uses_the_password_and_replicas_serve_while_the_region_is_down(
    case: Case,
) {
    let system = System::apply(&case, "estate", &["iam"], ACCOUNT, REGION).await;
    let (entries, estate) = (system.entries(), system.namespace("estate"));
    let theirs = [("SENTRY_DSN", SENTRY)];
    let theirs = estate
        .foreign_secret("estate-sentry", "kubectl", &theirs)
        .await;
    let values = PLAIN.map(|_| case.plain());
    for ((name, _), value) in PLAIN.iter().zip(&values) {
        entries.create(name, value).unwrap();
    }
    let (old, new) = (case.plain(), case.plain());
    entries.create(PASSWORD, &old).unwrap();
    // It repeats the password and is not read.
    entries.create("estate/database/url", &url(&old)).unwrap();
    let first = entries.current_version(PASSWORD).unwrap();
    let operator = system.operate(Identity::Irsa).await;
    for binding in ["ai", "etl", "backend"] {
        estate.rolled_out(binding, "True", "Synced").await;
    }
    all_see(&system, &old, &values).await;

    let second = entries.put(PASSWORD, &new).unwrap();
    ask_refreshes(&estate, "rotated").await;
    for binding in ["ai", "etl"] {
        estate.runs_with(binding, &second).await;
    }
    all_see(&system, &new, &values).await;
    for (workload, container, times) in [
        ("estate-ai", "ai", 1),
        ("estate-ai-worker", "ai-worker", 1),
        ("estate-etl", "etl", 1),
        ("estate-backend", "backend", 0),
    ] {
        system.assert_replaced("estate", workload, container, times);
    }
    let now = estate.secret("estate-sentry").await;
    assert_eq!(
        now.metadata.resource_version,
        theirs.metadata.resource_version
    );

    // Seoul is down; its replicas are readable, too.
    for (name, _) in PLAIN.iter().chain(&[(PASSWORD, "")]) {
        entries.replicate(name, REPLICAS).unwrap();
    }
    let down = Fault::error(500, "InternalServiceError").region(REGION);
    let down = case.world.aws.fault(case.only_ours(down));
    let operator = system.operate_by_pod_identity(operator).await;
    for binding in ["ai", "etl", "backend"] {
        let served = |o: &serde_json::Value| o["status"]["failover"]["region"] == json!(REPLICAS);
        estate.until(binding, "served by Tokyo", served).await;
    }
    down.clear();
    entries.move_label(PASSWORD, "AWSCURRENT", &first).unwrap();
    ask_refreshes(&estate, "back").await;
    estate.carries("etl", &first).await;
    let back = estate.secret("estate-etl").await;
    assert_holds(
        &back,
        &[("DATABASE_URL", &url(&old)), ("KREB_API_KEY", &values[5])],
    );
    assert_eq!(case.world.aws.reads_of("estate/database/url"), 0);
    system.end(operator).await;
}
