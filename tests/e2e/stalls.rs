//! What hangs or cannot be read holds up nobody else.

use keyferry_testkit::install::kubectl;
use serde_json::{Value, json};

use crate::case::{Case, PATIENCE};

crate::tests![tests:
    fifty_bindings_that_hang_hold_up_no_good_one,
];

crate::tests![alone:
    an_undecodable_binding_holds_up_no_good_one,
];

async fn fifty_bindings_that_hang_hold_up_no_good_one(case: Case) {
    let hanging: Vec<String> = (0..50).map(|n| format!("hangs-{n:02}")).collect();
    let good: Vec<String> = (0..10).map(|n| format!("good-{n}")).collect();
    let mut hangs = Vec::new();
    for name in &hanging {
        case.put(name, &case.plain());
        let entry = case.entry(name);
        hangs.push(case.world.aws.hang(|fault| fault.entry(&entry)));
    }
    for name in &good {
        case.put(name, &case.plain());
    }
    let operator = case.operator(&["--concurrency=16"]).await;
    let items: Vec<Value> = hanging
        .iter()
        .chain(&good)
        .map(|name| case.manifest(name, case.one("K", name)))
        .collect();
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    for name in &good {
        case.synced(name).await;
    }
    for name in &hanging {
        assert!(
            case.find_secret(name).await.is_none(),
            "{name} cannot have a Secret while its reads hang"
        );
    }
    drop(hangs);
    for name in &hanging {
        case.synced(name).await;
    }
    operator.terminate(&case.world.channels).await;
}

/// Beside the schema of the day: stored while the CRD took anything, as after a downgrade.
async fn an_undecodable_binding_holds_up_no_good_one(case: Case) {
    let loosened = Loosened::start(&case).await;
    let wrong = case.manifest(
        "undecodable",
        json!({"data": "not a list", "refreshInterval": 7}),
    );
    case.apply(wrong).await;
    loosened.end(&case).await;
    for name in ["one", "two"] {
        case.put(name, &case.value());
        case.bind_one(name, "K", name).await;
    }
    let operator = case.operator(&[]).await;
    case.synced("one").await;
    case.synced("two").await;
    case.bind_one("three", "K", "one").await;
    case.synced("three").await;
    operator.terminate(&case.world.channels).await;
}

/// The CRD with a schema that takes everything.
struct Loosened;

const CRD: &str = "externalsecretbindings.keyferry.dev";

impl Loosened {
    async fn start(case: &Case) -> Self {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema},
            {"op": "remove", "path": "/spec/versions/0/selectableFields"}]);
        let args = ["patch", "crd", CRD, "--type=json", "-p", &patch.to_string()];
        kubectl(&case.world.plane, &args).await.unwrap();
        let accepted = case.poll(|| async {
            let manifest = case
                .manifest("trial", json!({"data": "anything"}))
                .to_string();
            let output = case
                .kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(&manifest))
                .await;
            output.status.success().then_some(())
        });
        assert!(
            accepted.await.is_some(),
            "the loosened schema is not in force"
        );
        Self
    }

    async fn end(self, case: &Case) {
        let file = keyferry_testkit::operator::repository().join("crds");
        let args = ["replace", "-f", file.to_str().unwrap()];
        kubectl(&case.world.plane, &args).await.unwrap();
        let refused = case.poll(|| async {
            let manifest = case
                .manifest("trial", json!({"data": "anything"}))
                .to_string();
            let output = case
                .kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(&manifest))
                .await;
            (!output.status.success()).then_some(())
        });
        assert!(
            refused.await.is_some(),
            "the schema is not back within {PATIENCE:?}"
        );
    }
}
