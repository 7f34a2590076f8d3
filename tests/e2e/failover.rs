//! While a region does not answer, its replicas do, and only then; counted at STS and over an operator's lives.

use keyferry_testkit::aws::{Call, Fault};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, is},
    reasons::assert_says,
    replicas::TOKYO,
    world::{REGION, role_arn},
};

/// Has no replica.
const OSAKA: &str = "ap-northeast-3";

// Counted STS calls and faults of everything that an operator asks.
crate::tests![own:
    a_new_binding_is_served_by_the_first_region_that_has_all_while_its_own_hangs,
    members_of_a_prefix_neither_join_nor_leave_at_a_replica,
    many_bindings_of_an_entry_ask_their_own_region_together,
    a_restart_while_a_replica_serves_changes_nothing,
];

async fn a_new_binding_is_served_by_the_first_region_that_has_all_while_its_own_hangs(case: Case) {
    let operator = case
        .operator(&["--aws-operation-timeout=3s", "--aws-read-timeout=2s"])
        .await;
    let (value, other) = (case.value(), case.value());
    case.put("e", &value);
    case.put("other", &other);
    case.replicate("e");
    case.replicate("other");
    let hangs = ["e", "other"].map(|name| {
        let entry = case.entry(name);
        case.world
            .aws
            .hang(|fault| fault.region(REGION).entry(&entry))
    });
    // By name and by the primary's ARN.
    let arn = case.world.entries().arn(&case.entry("other")).unwrap();
    let spec = json!({
        "source": {"failoverRegions": [OSAKA, TOKYO]},
        "data": [
            {"key": "K", "from": {"secret": case.entry("e")}},
            {"key": "O", "from": {"secret": arn}},
        ],
    });
    case.binding("app", spec.clone()).await;
    let status = case.served_by(TOKYO).await;
    let secret = case.secret("app").await;
    assert_holds(&secret, &[("K", &value), ("O", &other)]);
    assert_eq!(status["failover"]["region"], TOKYO);
    let since = status["failover"]["since"].as_str().unwrap().to_owned();
    let words = ["Served by ap-northeast-1 since", since.as_str()];
    assert_says(&case, &condition(&status, "Ready"), &words);
    case.told("Served by ap-northeast-1").await;
    // A second binding needs no further session.
    case.binding("second", spec).await;
    case.synced("second").await;
    let role = role_arn(&case.operator_name());
    let sts =
        |call: &Call| call.operation == "AssumeRoleWithWebIdentity" && call.ids.contains(&role);
    let sessions = || case.world.aws.calls().into_iter().filter(sts).count();
    assert_eq!(sessions(), 3, "one session for each region that was asked");
    drop(hangs);
    let status = case.served_by(REGION).await;
    assert!(status["failover"].is_null());
    let ready = condition(&status, "Ready");
    assert!(!ready["message"].to_string().contains("Served by"));
    case.told("own region again").await;
    let now = case.secret("app").await;
    assert_eq!(
        now.metadata.resource_version,
        secret.metadata.resource_version
    );
    assert_eq!(case.secret_writes(&case.operator_name()), 1);
    assert_eq!(sessions(), 3);
    let times: Vec<_> = case.statuses("app").into_iter().collect();
    let sinces = times.iter().filter_map(|s| s["failover"]["since"].as_str());
    assert!(sinces.into_iter().all(|at| at == since), "the time stays");
    let metrics = operator.metrics().await;
    assert!(metrics.contains("keyferry_failovers_total{outcome=\"served\"}"));
    operator.terminate(&case.world.channels).await;
}

async fn members_of_a_prefix_neither_join_nor_leave_at_a_replica(case: Case) {
    let name = case.operator_name();
    let operator = case.operator(&[]).await;
    let (one, two) = (case.value(), case.value());
    case.put("set/one", &one);
    case.put("set/two", &two);
    case.replicate("set/one");
    let spec = json!({
        "dataFrom": [{"prefix": case.entry("set/")}],
        "data": [{"key": "may-be", "from": {"secret": case.entry("never")}, "optional": true}],
    });
    case.binding("app", case.falling_back(spec)).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    assert_holds(&good, &[("one", &one), ("two", &two)]);
    case.binding("edited", case.falling_back(case.one("one", "set/one")))
        .await;
    case.synced("edited").await;
    // Only there: no member of the Secret until the primary says so.
    let third = case.entry("set/third");
    case.tokyo().create(&third, &case.value()).unwrap();
    let down = Fault::error(500, "InternalServiceError")
        .region(REGION)
        .principal(&format!("*:assumed-role/{name}/*"));
    let down = case.world.aws.fault(down);
    let status = case.failing("app", "AwsUnavailable").await;
    let words = ["Failover to ap-northeast-1", "{ns}/set/two"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    case.assert_kept(&good).await;
    case.replicate("set/two");
    case.served_by(TOKYO).await;
    case.assert_kept(&good).await;
    assert_eq!(case.secret_writes(&name), 1);
    assert_eq!(case.tokyo().reads_of(&third), 0);
    // The record does not tell what a prefix holds that was not in the spec then.
    let prefix = json!({"dataFrom": [{"prefix": case.entry("set/")}]});
    case.binding("edited", case.falling_back(prefix)).await;
    let status = case.failing("edited", "AwsUnavailable").await;
    let words = ["set/*\" is for the binding's own region to say"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    assert_holds(&case.secret("edited").await, &[("one", &one)]);
    down.clear();
    case.synced("edited").await;
    assert_holds(
        &case.secret("edited").await,
        &[("one", &one), ("two", &two)],
    );
    case.served_by(REGION).await;
    case.assert_kept(&good).await;
    operator.terminate(&case.world.channels).await;
}

async fn many_bindings_of_an_entry_ask_their_own_region_together(case: Case) {
    const BINDINGS: usize = 20;
    let operator = case.operator(&[]).await;
    case.put("e", &case.value());
    case.replicate("e");
    let names: Vec<String> = (0..BINDINGS).map(|n| format!("b-{n:02}")).collect();
    let spec = case.falling_back(case.one("K", "e"));
    let items: Vec<Value> = names
        .iter()
        .map(|name| case.manifest(name, spec.clone()))
        .collect();
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    for name in &names {
        case.synced(name).await;
    }
    let asked = || {
        let calls = case.calls().into_iter();
        calls.filter(|call| call.region == REGION).count()
    };
    let before = asked();
    case.break_region("e");
    // Each binding has come back for its own region several times.
    let passes = case
        .poll(|| async {
            let metrics = operator.metrics().await;
            let served = "keyferry_failovers_total{outcome=\"served\"} ";
            let count = metrics.lines().find_map(|line| line.strip_prefix(served));
            let count: usize = count?.parse().ok()?;
            (count >= 4 * BINDINGS).then_some(count)
        })
        .await
        .expect("passes that are served by the replica");
    let asked = asked() - before;
    assert!(asked > 1, "it is asked again");
    assert!(
        asked < passes / 2,
        "{asked} calls for {passes} passes: a failure is shared"
    );
    case.mend("e");
    for name in &names {
        let back = |object: &Value| {
            is(object, "Synced", "True", "Synced") && object["status"]["failover"].is_null()
        };
        case.until(name, "back in its own region", back).await;
    }
    operator.terminate(&case.world.channels).await;
}

async fn a_restart_while_a_replica_serves_changes_nothing(case: Case) {
    let name = case.operator_name();
    let first = case.operator(&[]).await;
    let value = case.value();
    case.replicated(&value).await;
    let before = case.secret("app").await;
    case.break_region("e");
    let status = case.served_by(TOKYO).await;
    let since = status["failover"]["since"].clone();
    assert!(since.is_string(), "{status}");
    first.terminate(&case.world.channels).await;
    let (own, there) = (case.reads("e"), case.tokyo().reads_of(&case.entry("e")));
    let second = case.operator(&[]).await;
    // The own region is asked again, and the replica again serves.
    case.until_reads("e", 1).await;
    case.refresh("app").await;
    assert!(case.reads("e") > own);
    assert!(case.tokyo().reads_of(&case.entry("e")) > there);
    let status = case.served_by(TOKYO).await;
    assert_eq!(
        status["failover"]["since"], since,
        "it is served since then"
    );
    // Nor was it ever in doubt.
    let statuses = case.statuses("app");
    let first_good = statuses.iter().skip_while(|s| !is_synced(s));
    assert!(
        first_good.into_iter().all(|s| is_synced(&s)),
        "{statuses:?}"
    );
    // A third operator comes up when the region is back.
    second.terminate(&case.world.channels).await;
    case.mend("e");
    let third = case.operator(&[]).await;
    let status = case.served_by(REGION).await;
    assert!(status["failover"].is_null(), "{status}");
    let after = case.secret("app").await;
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
    assert_eq!(case.secret_writes(&name), 1, "in all three lives");
    third.terminate(&case.world.channels).await;
}

fn is_synced(status: &&Value) -> bool {
    let object = json!({"status": status});
    ["Ready", "Synced"]
        .iter()
        .all(|kind| condition(&object, kind)["status"] == "True")
}
