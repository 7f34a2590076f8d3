//! ecomind: a URL that is composed in production and carried in staging, and a migration before the API.

use keyferry_testkit::node::{Rule, Target, When};
use serde_json::json;

use super::system::System;
use crate::{case::Case, operators::Identity};

crate::tests![own:
    the_migration_ends_first_and_the_url_asks_for_tls_once,
];

/// As in the references of their task definitions.
const ACCOUNT: &str = "123456789012";
const PROD: &str = "ecomind/prod/database";
const STAGING: &str = "ecomind/staging/database";
const HOST: &str = "ecomind.cluster-c1a2b3.us-east-1.rds.amazonaws.com";

/// As RDS keeps it: the port is a number.
fn prod(password: &str) -> String {
    json!({"engine": "postgres", "host": HOST, "port": 5432, "dbname": "ecomind",
        "username": "ecomind_app", "password": password})
    .to_string()
}

fn prod_url(password: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |b: u8| match unreserved(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    let password: String = password.bytes().map(encode).collect();
    format!("postgresql://ecomind_app:{password}@{HOST}:5432/ecomind?sslmode=require")
}

/// Composed by hand: the port is a string.
fn staging(password: &str, url: &str) -> String {
    json!({"connection_string": url, "host": "staging-db", "port": "5432",
        "database": "ecomind", "username": "ecomind", "password": password})
    .to_string()
}

/// What migration and API of an environment are started with.
async fn see(system: &System, namespace: &str, url: &str, more: &[(&str, &str)]) {
    assert_eq!(url.matches("sslmode=require").count(), 1);
    let migrate = [("DATABASE_URL", url)];
    system
        .sees(namespace, "ecomind-api", "migrate", &migrate)
        .await;
    let api = [&migrate, more].concat();
    system.sees(namespace, "ecomind-api", "api", &api).await;
}

/// In every pod the migration was started before the API.
fn assert_migrated_first(case: &Case) {
    let starts = case.world.nodes.starts(&case.namespace);
    for (at, start) in starts
        .iter()
        .enumerate()
        .filter(|(_, s)| s.container == "api")
    {
        let earlier = &starts[..at];
        let migrated = |s: &&_| is_migration(s) && s.pod_uid == start.pod_uid;
        assert!(
            earlier.iter().map(AsRef::as_ref).any(|s| migrated(&s)),
            "{}",
            start.pod
        );
    }
}

fn is_migration(start: &keyferry_testkit::node::ContainerStart) -> bool {
    start.container == "migrate" && start.init
}

async fn the_migration_ends_first_and_the_url_asks_for_tls_once(case: Case) {
    let iam = ["staging/iam", "prod/iam"];
    let system = System::apply(&case, "ecomind", &iam, ACCOUNT, "us-east-1").await;
    let entries = system.entries();
    let (password, jwts) = (case.value(), [case.value(), case.value()]);
    entries.create(PROD, &prod(&password)).unwrap();
    let bare = format!(
        "postgresql://ecomind:{}@staging-db:5432/ecomind",
        case.plain()
    );
    entries
        .create(STAGING, &staging(&case.plain(), &bare))
        .unwrap();
    entries.create("ecomind/prod/jwt", &jwts[0]).unwrap();
    entries.create("ecomind/staging/jwt", &jwts[1]).unwrap();
    let first = entries.current_version(PROD).unwrap();
    let operator = system.operate(Identity::Irsa).await;
    let (live, staged) = (
        system.namespace("ecomind-prod"),
        system.namespace("ecomind-staging"),
    );
    for (case, binding) in [
        (&live, "database"),
        (&live, "api"),
        (&staged, "database"),
        (&staged, "api"),
    ] {
        case.rolled_out(binding, "True", "Synced").await;
    }
    let url = prod_url(&password);
    let in_prod = [("ENVIRONMENT", "production"), ("JWT_SECRET", &jwts[0])];
    see(&system, "ecomind-prod", &url, &in_prod).await;
    let staged_url = format!("{bare}?sslmode=require");
    let in_staging = [("ENVIRONMENT", "staging"), ("JWT_SECRET", &jwts[1])];
    see(&system, "ecomind-staging", &staged_url, &in_staging).await;

    // A string that asks for TLS by itself gives the same bytes; an optional entry joins when it is made.
    let tls = staging(&case.plain(), &staged_url);
    let same = entries.put(STAGING, &tls).unwrap();
    let redis = format!("rediss://:{}@cache.internal:6379/0", case.plain());
    let joined = entries.create("ecomind/staging/redis", &redis);
    joined.unwrap();
    let joined = entries.current_version("ecomind/staging/redis").unwrap();
    staged.refresh("database").await;
    staged.refresh("api").await;
    staged.carries("database", &same).await;
    staged.runs_with("api", &joined).await;
    let in_staging = [in_staging[0], in_staging[1], ("REDIS_URL", &redis)];
    see(&system, "ecomind-staging", &staged_url, &in_staging).await;
    system.assert_replaced("ecomind-staging", "ecomind-api", "api", 1);

    // The Lambda rotates the password, and the migration cannot run with it at first: the API waits.
    let password = case.value();
    let new_url = prod_url(&password);
    let api = Target::deployment("ecomind-api");
    let broken = Rule::crash(When::equals("DATABASE_URL", &new_url), 1).container("migrate");
    case.world
        .nodes
        .set_rule("ecomind-prod", api.clone(), broken);
    let second = entries.put(PROD, &prod(&password)).unwrap();
    live.refresh("database").await;
    let tried_again = || {
        let starts = case.world.nodes.starts("ecomind-prod");
        starts
            .iter()
            .any(|s| is_migration(s) && s.restarts > 0)
            .then_some(())
    };
    live.poll(|| async { tried_again() }).await.unwrap();
    system.assert_replaced("ecomind-prod", "ecomind-api", "api", 0);
    case.world.nodes.clear_rules("ecomind-prod", api);
    live.runs_with("database", &second).await;
    see(&system, "ecomind-prod", &new_url, &in_prod).await;
    system.assert_replaced("ecomind-prod", "ecomind-api", "api", 1);
    assert_migrated_first(&live);
    assert_migrated_first(&staged);

    let operator = system.operate_by_pod_identity(operator).await;
    entries.move_label(PROD, "AWSCURRENT", &first).unwrap();
    live.refresh("database").await;
    live.carries("database", &first).await;
    let back = live.secret("ecomind-database").await;
    crate::case::assert_holds(&back, &[("connection-string", &url)]);
    system.end(operator).await;
}
