//! What hangs or cannot be read holds up nobody else.

use k8s_openapi::api::rbac::v1::Role;
use keyferry_testkit::install::kubectl;
use kube::Api;
use serde_json::{Value, json};

use crate::case::{Case, PATIENCE};

crate::tests![tests:
    fifty_bindings_that_hang_hold_up_no_good_one,
    a_refused_status_is_written_ever_more_rarely_and_at_last_by_itself,
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

/// Attempts in the time of two refreshes, 10s each: some at intervals that double, and one for the
/// Secret's own event. Doubling also keeps a slow machine below, where that takes longer.
const FEW: usize = 10;

async fn a_refused_status_is_written_ever_more_rarely_and_at_last_by_itself(case: Case) {
    let name = case.operator_name();
    for entry in ["clock", "e"] {
        case.put(entry, &case.value());
    }
    let start = case.start(&[]);
    start.prepare(&case.world).await.unwrap();
    let rules = case.only_status_of("clock").await;
    let operator = case.world.launch_operator(start).await.unwrap();
    let mut clock = case.one("K", "clock");
    clock["refreshInterval"] = json!("10s");
    case.binding("clock", clock).await;
    case.synced("clock").await;
    case.bind_one("app", "K", "e").await;
    let refused = || {
        let mut writes = case.writes(&name);
        writes.retain(|write| write.name == "app" && write.code == 403);
        writes.len()
    };
    let twice = case.poll(|| async { (refused() >= 2).then_some(()) }).await;
    assert!(twice.is_some(), "it is tried again");
    for _ in 0..3 {
        case.until_read_again(&["clock"]).await;
    }
    let attempts = refused();
    assert!(attempts <= FEW, "{attempts} attempts");
    case.set_rules(rules).await;
    case.synced("app").await;
    let mut writes = case.writes(&name);
    writes.retain(|write| write.name == "app" && write.resource == "secrets");
    assert_eq!(writes.len(), 1, "the Secret was written once: {writes:?}");
    operator.terminate(&case.world.channels).await;
}

impl Case {
    /// Lets the test's own operator write the status of one binding only; returns the rules as they were.
    async fn only_status_of(&self, binding: &str) -> Value {
        let roles: Api<Role> = self.api();
        let rules = json!(roles.get(&self.operator_name()).await.unwrap().rules);
        let mut fewer = rules.clone();
        for rule in fewer.as_array_mut().unwrap() {
            if rule["resources"] == json!(["externalsecretbindings/status"]) {
                rule["resourceNames"] = json!([binding]);
            }
        }
        assert_ne!(fewer, rules, "the role has a rule for the status");
        self.set_rules(fewer).await;
        rules
    }
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
