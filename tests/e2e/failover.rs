//! While a region does not answer, its replicas do; and only then, only with what may be carried, only for a while.

use keyferry_testkit::aws::{Call, Fault, Region};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, assert_holds, condition, holds, is},
    reasons::assert_says,
    world::{ACCOUNT, REGION, SHARED, World, role_arn},
};

/// Has the replicas.
const TOKYO: &str = "ap-northeast-1";
/// Has none.
const OSAKA: &str = "ap-northeast-3";

crate::tests![tests:
    a_fault_of_the_region_changes_the_status_only_and_it_comes_back,
    a_refusal_and_a_missing_entry_are_answers,
    an_older_replica_is_not_carried,
    a_newer_replica_is_carried_once,
    a_rejected_version_is_not_taken_from_a_replica,
    a_region_that_no_policy_allows_is_not_called,
    with_the_regions_sts_down_the_role_is_assumed_in_the_other_region,
];

// Counted STS calls and faults of everything that an operator asks.
crate::tests![own:
    a_new_binding_is_served_by_the_first_region_that_has_all_while_its_own_hangs,
    members_of_a_prefix_neither_join_nor_leave_at_a_replica,
    many_bindings_of_an_entry_ask_their_own_region_together,
];

impl Case {
    fn falling_back(&self, mut spec: Value) -> Value {
        spec["source"] = json!({"failoverRegions": [TOKYO]});
        spec["refreshInterval"] = json!("10s");
        spec
    }

    /// A binding `app` of entry `e` that is in sync, with a replica of the entry.
    async fn replicated(&self, value: &str) {
        self.put("e", value);
        self.replicate("e");
        self.binding("app", self.falling_back(self.one("K", "e")))
            .await;
        let status = self.synced("app").await;
        assert_eq!(regions(&status), [REGION]);
    }

    fn replicate(&self, entry: &str) {
        let entry = self.entry(entry);
        self.world.entries().replicate(&entry, TOKYO).unwrap();
    }

    fn tokyo(&self) -> Region {
        self.world.aws.account(ACCOUNT).region(TOKYO)
    }

    /// The region answers reads of an entry with faults of its own.
    fn break_region(&self, entry: &str) {
        let fault = Fault::error(500, "InternalServiceError").region(REGION);
        self.fault(entry, fault);
    }

    async fn served_by(&self, region: &str) -> Value {
        let served = |object: &Value| {
            is(object, "Synced", "True", "Synced") && regions(&object["status"]) == [region]
        };
        let what = format!("served by {region}");
        self.until("app", &what, served).await["status"].clone()
    }

    /// This namespace's role, which the shared operator may assume and which may do everything.
    fn trusting_role(&self) {
        let role = World::role(&self.namespace)
            .trust_principal(&role_arn(SHARED))
            .allow_session_tag("keyferry-namespace", "*")
            .allow(&["*"], &["*"]);
        self.world.aws.put_role(role);
    }

    /// How often a region's STS was asked for this namespace's role.
    fn assumed(&self, region: &str) -> usize {
        let role = role_arn(&self.namespace);
        let calls = self.world.aws.calls().into_iter();
        let of_role = calls.filter(|call| {
            call.operation == "AssumeRole" && call.ids.contains(&role) && call.region == region
        });
        of_role.count()
    }

    /// Writes of Secret `app` so far.
    fn secret_writes(&self, operator: &str) -> usize {
        let writes = self.writes(operator).into_iter();
        let ours = writes.filter(|write| write.resource == "secrets" && write.name == "app");
        ours.count()
    }

    /// Waits for the event about another region.
    async fn told(&self, words: &str) {
        let told = || {
            let notes = self.events("app");
            let found = notes.iter().any(|(_, _, note)| note.contains(words));
            found.then_some(())
        };
        let told = self.world.events.until(PATIENCE, told).await;
        assert!(told.is_ok(), "{words}: {:?}", self.events("app"));
    }
}

/// The regions that a status names, each once.
fn regions(status: &Value) -> Vec<&str> {
    let sources = status["sources"].as_array().into_iter().flatten();
    let mut all: Vec<&str> = sources.filter_map(|s| s["region"].as_str()).collect();
    all.dedup();
    all
}

/// CreatedDate is recorded in whole seconds.
async fn a_second_later() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}

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

async fn a_fault_of_the_region_changes_the_status_only_and_it_comes_back(case: Case) {
    let value = case.value();
    case.replicated(&value).await;
    let before = case.secret("app").await;
    let writes = case.secret_writes(SHARED);
    case.break_region("e");
    case.served_by(TOKYO).await;
    case.mend("e");
    let status = case.served_by(REGION).await;
    assert!(status["failover"].is_null());
    let after = case.secret("app").await;
    assert_eq!(
        after.metadata.resource_version, before.metadata.resource_version,
        "neither bytes nor annotations depend on the region"
    );
    assert_eq!(case.secret_writes(SHARED), writes);
    let unsynced = case.statuses("app");
    let synced = |status: &Value| condition(&json!({"status": status}), "Synced")["status"].clone();
    let since_first = unsynced.iter().skip_while(|s| synced(s) != "True");
    assert!(since_first.into_iter().all(|s| synced(s) == "True"));
}

async fn a_refusal_and_a_missing_entry_are_answers(case: Case) {
    case.put("e", &case.value());
    case.replicate("e");
    case.fault("e", Fault::denied().region(REGION));
    let only_there = case.entry("only-there");
    case.tokyo().create(&only_there, &case.value()).unwrap();
    case.binding("app", case.falling_back(case.one("K", "e")))
        .await;
    case.binding("gone", case.falling_back(case.one("K", "only-there")))
        .await;
    case.failing("app", "AccessDenied").await;
    case.failing("gone", "SecretNotFound").await;
    case.refresh("app").await;
    case.refresh("gone").await;
    for entry in [case.entry("e"), only_there] {
        assert_eq!(case.tokyo().reads_of(&entry), 0, "{entry} was asked for");
    }
    case.mend("e");
    case.synced("app").await;
}

async fn an_older_replica_is_not_carried(case: Case) {
    case.put("e", &case.value());
    case.replicate("e");
    a_second_later().await;
    let value = case.value();
    case.put("e", &value);
    case.binding("app", case.falling_back(case.one("K", "e")))
        .await;
    case.synced("app").await;
    let good = case.secret("app").await;
    case.break_region("e");
    let status = case.failing("app", "AwsUnavailable").await;
    let words = ["Failover to ap-northeast-1", "\"{ns}/e\" is not newer"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    assert!(is(
        &json!({"status": status}),
        "Ready",
        "True",
        "AwsUnavailable"
    ));
    case.refresh("app").await;
    case.assert_kept(&good).await;
    // Once the replica has caught up, it serves.
    case.replicate("e");
    case.served_by(TOKYO).await;
    let kept = case.secret("app").await;
    assert_eq!(
        kept.metadata.resource_version,
        good.metadata.resource_version
    );
    case.mend("e");
    case.served_by(REGION).await;
}

async fn a_newer_replica_is_carried_once(case: Case) {
    case.replicated(&case.value()).await;
    case.break_region("e");
    case.served_by(TOKYO).await;
    let writes = case.secret_writes(SHARED);
    a_second_later().await;
    let value = case.value();
    case.put("e", &value);
    case.replicate("e");
    case.until_secret("app", "the newer value", |s| holds(s, "K", &value))
        .await;
    assert_eq!(case.secret_writes(SHARED), writes + 1);
    case.mend("e");
    case.served_by(REGION).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    assert_eq!(case.secret_writes(SHARED), writes + 1, "once");
}

async fn a_rejected_version_is_not_taken_from_a_replica(case: Case) {
    case.replicated(&case.value()).await;
    case.break_region("e");
    case.served_by(TOKYO).await;
    a_second_later().await;
    let version = case.put("e", &case.value());
    let good = case.secret("app").await;
    let sources = &good.metadata.annotations.as_ref().unwrap()["keyferry.dev/sources"];
    let sources: Value = serde_json::from_str(sources).unwrap();
    let tag = sources.as_object().unwrap().keys().next().unwrap().clone();
    let rejected = json!([{"revision": "bad", "versions": {tag: version}}]).to_string();
    let patch = json!({"metadata": {"annotations": {"keyferry.dev/rejected": rejected}}});
    case.patch_secret("app", "somebody", patch).await;
    case.replicate("e");
    let status = case.failing("app", "AwsUnavailable").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &["\"{ns}/e\" was rejected before"],
    );
    case.refresh("app").await;
    case.assert_kept(&good).await;
    case.mend("e");
}

async fn a_region_that_no_policy_allows_is_not_called(case: Case) {
    let owner = case.sibling("owner").await;
    let entry = owner.entry("e");
    let value = owner.value();
    owner.put("e", &value);
    owner.replicate("e");
    owner.break_region("e");
    let role = role_arn(&case.namespace);
    case.trusting_role();
    let allowed =
        |regions: &[&str]| json!({"secrets": [&entry], "regions": regions, "roleArns": [&role]});
    case.allow("more", allowed(&[REGION])).await;
    let mut spec = case.falling_back(owner.one("K", "e"));
    spec["source"]["roleArn"] = json!(role);
    case.binding("app", spec).await;
    let status = case.failing("app", "AwsUnavailable").await;
    let words = ["Failover to ap-northeast-1", "in region ap-northeast-1"];
    assert_says(&case, &condition(&status, "Synced"), &words);
    case.refresh("app").await;
    assert_eq!(case.tokyo().reads_of(&entry), 0);
    assert_eq!(case.assumed(TOKYO), 0, "nor is its STS");
    case.allow("more", allowed(&[REGION, TOKYO])).await;
    case.served_by(TOKYO).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    owner.mend("e");
}

async fn with_the_regions_sts_down_the_role_is_assumed_in_the_other_region(case: Case) {
    let (value, role) = (case.value(), role_arn(&case.namespace));
    case.put("e", &value);
    case.replicate("e");
    case.trusting_role();
    case.allow("roles", json!({"roleArns": [&role]})).await;
    let down = Fault::error(503, "ServiceUnavailable")
        .on("AssumeRole")
        .region(REGION)
        .entry(&role);
    let down = case.world.aws.fault(down);
    let mut spec = case.falling_back(case.one("K", "e"));
    spec["source"]["roleArn"] = json!(role);
    for name in ["app", "second"] {
        case.binding(name, spec.clone()).await;
        case.synced(name).await;
    }
    case.served_by(TOKYO).await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    assert_eq!(case.assumed(TOKYO), 1, "one session for both bindings");
    down.clear();
    case.served_by(REGION).await;
    assert_eq!(case.assumed(TOKYO), 1);
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
