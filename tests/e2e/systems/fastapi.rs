//! fastapi: two entries whose names no namespace has, one for the application and one for pipelines.

use serde_json::json;

use super::system::{System, assert_environment, entry};
use crate::{
    case::{Case, assert_holds},
    operators::Identity,
    world::ACCOUNT,
};

crate::tests![own:
    the_application_and_its_pipelines_get_their_own_keys_and_a_host_that_is_empty_at_first,
];

const APP: &str = "FastAPIAppSecrets";
const DEPLOYMENT: &str = "FastAPIDeploymentSecrets";

struct App {
    password: String,
    rest: [String; 3],
}

impl App {
    fn entry(&self) -> String {
        let [jwt, keys, generated] = &self.rest;
        entry(&[
            ("db_password", &self.password),
            ("jwt_secret", jwt),
            ("api_keys", keys),
            ("generated_password", generated),
        ])
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let [jwt, keys, _] = &self.rest;
        vec![
            ("USE_SECRETS_MANAGER", "false".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
            ("PAGE_SIZE", "50".to_owned()),
            ("DB_PASSWORD", self.password.clone()),
            ("JWT_SECRET", jwt.clone()),
            ("API_KEYS", keys.clone()),
        ]
    }
}

fn deployment(host: &str) -> Vec<(&'static str, String)> {
    let all = [
        ("ec2_key_name", "fastapi-key"),
        ("ec2_host", host),
        ("ec2_user", "ubuntu"),
        ("github_repo", "acme/fastapi"),
    ];
    all.map(|(key, value)| (key, value.to_owned())).into()
}

/// Runs what a pipeline runs, and compares what it saw.
async fn deploys(fastapi: &Case, job: &str, expected: &[(&str, String)]) {
    let made = ["create", "job", "--from=cronjob/fastapi-deploy", job];
    let output = fastapi.kubectl(&made, None).await;
    assert!(output.status.success());
    let started = || {
        let starts = fastapi.world.nodes.starts("fastapi");
        starts.into_iter().find(|start| start.pod.starts_with(job))
    };
    let start = fastapi.poll(|| async { started() }).await.unwrap();
    assert_environment(job, &start.environment, expected);
}

async fn the_application_and_its_pipelines_get_their_own_keys_and_a_host_that_is_empty_at_first(
    case: Case,
) {
    let system = System::apply(&case, "fastapi", &["iam"], ACCOUNT, "us-east-1").await;
    let (entries, fastapi) = (system.entries(), system.namespace("fastapi"));
    let mut app = App {
        password: case.value(),
        rest: [
            case.value(),
            json!([case.plain(), case.plain()]).to_string(),
            case.value(),
        ],
    };
    entries.create(APP, &app.entry()).unwrap();
    entries.create(DEPLOYMENT, &entry(&deployment(""))).unwrap();
    for (name, value) in [("log-level", "info"), ("page-size", "50")] {
        let name = format!("/fastapi/config/{name}");
        entries.put_parameter(&name, value).unwrap();
    }
    let first = entries.current_version(APP).unwrap();
    let operator = system.operate(Identity::Irsa).await;
    fastapi.runs_with("app", &first).await;
    fastapi.synced("settings").await;
    let environment = app.environment();
    system
        .sees("fastapi", "fastapi-app", "app", &environment)
        .await;
    fastapi.synced("deployment").await;
    let written = fastapi.secret("fastapi-deployment").await;
    assert_holds(&written, &deployment(""));
    deploys(&fastapi, "before", &deployment("")).await;

    // A deployment made a host: that concerns the next one, and no pod of the application.
    let host = deployment("ec2-203-0-113-7.compute-1.amazonaws.com");
    let hosted = entries.put(DEPLOYMENT, &entry(&host)).unwrap();
    fastapi.refresh("deployment").await;
    fastapi.carries("deployment", &hosted).await;
    deploys(&fastapi, "after", &host).await;
    system.assert_replaced("fastapi", "fastapi-app", "app", 0);

    let before = app.environment();
    app.password = case.value();
    let second = entries.put(APP, &app.entry()).unwrap();
    fastapi.refresh("app").await;
    fastapi.runs_with("app", &second).await;
    let environment = app.environment();
    system
        .sees("fastapi", "fastapi-app", "app", &environment)
        .await;
    system.assert_replaced("fastapi", "fastapi-app", "app", 1);

    let operator = system.operate_by_pod_identity(operator).await;
    entries.move_label(APP, "AWSCURRENT", &first).unwrap();
    fastapi.refresh("app").await;
    fastapi.carries("app", &first).await;
    assert_holds(&fastapi.secret("fastapi-app").await, &before[3..]);
    system.end(operator).await;
}
