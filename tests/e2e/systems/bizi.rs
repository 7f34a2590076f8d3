//! bizi: one JSON entry, one Secret, three workloads, and a validator's rules as the gate.

use k8s_openapi::api::core::v1::Pod;
use keyferry_testkit::aws::Fault;
use kube::api::DeleteParams;
use serde_json::Value;

use super::system::{System, entry};
use crate::{
    case::{Case, assert_holds, condition, is},
    operators::Identity,
    world::ACCOUNT,
};

crate::tests![own:
    three_workloads_live_on_one_entry_through_an_outage_a_bad_value_and_a_rotation,
];

const ENTRY: &str = "bizi/production";
const KEYS: [&str; 11] = [
    "MYSQL_HOST",
    "MYSQL_USER",
    "MYSQL_PASSWORD",
    "JWT_SECRET_KEY",
    "OPENAI_API_KEY",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "RAG_API_KEY",
    "CHROMA_AUTH_TOKEN",
    "RUNPOD_API_KEY",
    "RUNPOD_ENDPOINT_ID",
];
const WORKLOADS: [(&str, &str); 3] = [
    ("bizi-backend", "backend"),
    ("bizi-rag", "rag"),
    ("bizi-chromadb", "chromadb"),
];

type Values = Vec<(&'static str, String)>;

fn values(case: &Case) -> Values {
    let value = |key| match key {
        "JWT_SECRET_KEY" => (key, case.value() + &case.value()),
        _ => (key, case.value()),
    };
    KEYS.map(value).into()
}

async fn all_see(system: &System, values: &Values) {
    for (workload, container) in WORKLOADS {
        system.sees("bizi", workload, container, values).await;
    }
}

async fn three_workloads_live_on_one_entry_through_an_outage_a_bad_value_and_a_rotation(
    case: Case,
) {
    let system = System::apply(&case, "bizi", &["iam"], ACCOUNT, "ap-northeast-2").await;
    let (entries, bizi) = (system.entries(), system.namespace("bizi"));
    let good = values(&case);
    entries.create(ENTRY, &entry(&good)).unwrap();
    let first = entries.current_version(ENTRY).unwrap();
    let operator = system.operate(Identity::Irsa).await;
    bizi.runs_with("bizi", &first).await;
    all_see(&system, &good).await;
    let secret = bizi.secret("bizi").await;
    assert_holds(&secret, &good);

    // AWS is down: the Secret stays, and a new pod starts from it.
    let down = case.only_ours(Fault::error(500, "InternalServiceError"));
    let down = case.world.aws.fault(down);
    bizi.refresh("bizi").await;
    let unread = |o: &Value| is(o, "Synced", "False", "AwsUnavailable");
    let seen = bizi.until("bizi", "AWS is down", unread).await;
    assert_eq!(condition(&seen, "Ready")["status"], "True");
    let old = bizi.pods_of("bizi-rag").remove(0);
    let pods = bizi.api::<Pod>();
    pods.delete(&old.name, &DeleteParams::default())
        .await
        .unwrap();
    bizi.until_new_pod("bizi-rag", &[old.uid].into()).await;
    all_see(&system, &good).await;
    bizi.assert_kept(&secret).await;

    // What the validator refused is never written.
    let mut left = values(&case);
    left[4].1 = "your-openai-api-key".to_owned();
    entries.put(ENTRY, &entry(&left)).unwrap();
    down.clear();
    bizi.failing("bizi", "PlaceholderFound").await;
    bizi.assert_kept(&secret).await;
    let mut short = values(&case);
    short[3].1.truncate(31);
    entries.put(ENTRY, &entry(&short)).unwrap();
    bizi.refresh("bizi").await;
    bizi.failing("bizi", "RuleBroken").await;
    bizi.assert_kept(&secret).await;

    let new = values(&case);
    let second = entries.put(ENTRY, &entry(&new)).unwrap();
    bizi.refresh("bizi").await;
    bizi.runs_with("bizi", &second).await;
    all_see(&system, &new).await;
    for (workload, container) in WORKLOADS {
        let extra = usize::from(workload == "bizi-rag");
        let once = system.replicas("bizi", workload) * 2 + extra;
        let started = system.started("bizi", workload, container);
        assert_eq!(started, once, "starts of {workload}");
    }

    let operator = system.operate_by_pod_identity(operator).await;
    entries.move_label(ENTRY, "AWSCURRENT", &first).unwrap();
    bizi.refresh("bizi").await;
    bizi.carries("bizi", &first).await;
    assert_holds(&bizi.secret("bizi").await, &good);
    system.end(operator).await;
}
