//! Which namespace may read what, and that a refusal means: no call was made.

use k8s_openapi::api::rbac::v1::ClusterRole;
use keyferry_testkit::{
    aws::{Call, Fault},
    install::Rights,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, data},
    operators::Start,
    reasons::assert_says,
    world::role_arn,
};

crate::tests![tests:
    an_entry_of_another_namespace_is_not_asked_for_until_a_policy_allows_it,
    both_readings_of_a_name_must_be_allowed_before_any_call,
    a_role_or_service_account_without_a_policy_is_not_asked_for,
    a_right_taken_away_while_in_sync_is_told_and_ends_every_call,
];

crate::tests![own:
    open_reads_what_enforce_refuses,
    audit_reads_too_and_says_what_enforce_would_refuse,
    a_read_that_aws_denies_is_on_the_audit_trail_once_each_time_it_begins,
    every_entry_that_is_denied_is_on_the_audit_trail_once,
];

crate::tests![alone:
    unreadable_policies_stop_every_call_until_they_can_be_read,
];

async fn an_entry_of_another_namespace_is_not_asked_for_until_a_policy_allows_it(case: Case) {
    let other = case.sibling("owner").await;
    let value = other.value();
    other.put("db", &value);
    let mut spec = other.one("K", "db");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    let status = case.failing("app", "AccessNotAllowed").await;
    let entry = other.entry("db");
    let says = [
        entry.as_str(),
        "{ns}",
        "default",
        "A cluster admin can add it",
    ];
    assert_says(&case, &condition(&status, "Synced"), &says);
    case.refresh("app").await;
    assert_eq!(other.calls().len(), 0, "no call was made");
    case.allow("more", json!({"secrets": [entry]})).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    assert_holds(&good, &[("K", &value)]);

    let policy = case.policy_name("more");
    case.dynamic("SecretAccessPolicy")
        .delete(&policy, &DeleteParams::default())
        .await
        .unwrap();
    let status = case.failing("app", "AccessNotAllowed").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &["Last good value kept."],
    );
    let before = other.calls().len();
    other.put("db", &other.value());
    case.refresh("app").await;
    assert_eq!(other.calls().len(), before, "no call was made");
    assert!(
        data(&case.secret("app").await) == data(&good),
        "the last good Secret stays"
    );
    case.allow("more", json!({"secrets": [entry]})).await;
    case.synced("app").await;
}

async fn both_readings_of_a_name_must_be_allowed_before_any_call(case: Case) {
    let other = case.sibling("owner").await;
    // Seen as a whole this is the name `db-abc123`; seen as name and suffix it is `db`.
    other.put("db", &other.value());
    other.put("db-abc123", &other.value());
    case.allow("literal", json!({"secrets": [other.entry("db-abc123")]}))
        .await;
    let full = other
        .world
        .entries()
        .arn(&other.entry("db-abc123"))
        .unwrap();
    let partial = &full[..full.len() - "-123456".len()];
    let spec = json!({"data": [{"key": "K", "from": {"secret": partial}}]});
    case.binding("app", spec).await;
    case.failing("app", "AccessNotAllowed").await;
    case.refresh("app").await;
    assert_eq!(other.calls().len(), 0, "no call was made");
    case.allow(
        "both",
        json!({"secrets": [other.entry("db-abc123"), other.entry("db")]}),
    )
    .await;
    case.synced("app").await;
}

async fn a_role_or_service_account_without_a_policy_is_not_asked_for(case: Case) {
    case.put("e", &case.value());
    let role = role_arn(&case.namespace);
    let annotations = json!({"eks.amazonaws.com/role-arn": role});
    case.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "stranger", "annotations": annotations}}))
        .await;
    let sources = [
        ("role", json!({"roleArn": role})),
        ("account", json!({"serviceAccountName": "stranger"})),
    ];
    for (name, source) in sources {
        let mut spec = case.one("K", "e");
        spec["source"] = source;
        case.binding(name, spec).await;
        case.failing(name, "AccessNotAllowed").await;
    }
    assert_eq!(case.calls().len(), 0);
    let asked = |call: &Call| call.ids.contains(&role);
    assert!(
        !case.world.aws.calls().iter().any(asked),
        "STS was not asked"
    );
}

async fn unreadable_policies_stop_every_call_until_they_can_be_read(case: Case) {
    let name = case.operator_name();
    case.put("e", &case.value());
    let start = || {
        Start::new(&name)
            .rights(Rights::default())
            .args(&["--min-refresh-interval=10s"])
    };
    let first = case.world.start_operator(start()).await.unwrap();
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    assert!(first.terminate(&case.world.channels).await);

    let start = start();
    start.prepare(&case.world).await.unwrap();
    let rules = case.without_policies(&name).await;
    let second = case.world.launch_operator(start).await.unwrap();
    let before = case.calls().len();
    case.put("e", &case.value());
    let status = case.failing("app", "PolicyUnreadable").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "SecretAccessPolicy",
            "operator may list it",
            "Last good value kept.",
        ],
    );
    assert_eq!(case.calls().len(), before, "no call was made");
    assert!(
        data(&case.secret("app").await) == data(&good),
        "the last good Secret stays"
    );
    case.cluster_role(&name, rules).await;
    case.synced("app").await;
    assert!(second.terminate(&case.world.channels).await);
}

impl Case {
    /// Takes the right to read policies away; returns the rules as they were.
    async fn without_policies(&self, role: &str) -> Value {
        let roles: Api<ClusterRole> = Api::all(self.world.client.clone());
        let rules = json!(roles.get(role).await.unwrap().rules);
        let mut fewer = rules.as_array().cloned().unwrap();
        fewer.retain(|rule| {
            !rule["resources"]
                .to_string()
                .contains("secretaccesspolicies")
        });
        self.cluster_role(role, json!(fewer)).await;
        rules
    }

    async fn cluster_role(&self, role: &str, rules: Value) {
        let roles: Api<ClusterRole> = Api::all(self.world.client.clone());
        let patch = Patch::Merge(json!({"rules": rules}));
        roles
            .patch(role, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

/// Another namespace's entry, read by an operator in that mode; what the operator logged.
async fn read_elsewhere(case: &Case, mode: &str) -> String {
    let other = case.sibling("owner").await;
    let value = other.value();
    other.put("db", &value);
    let operator = case.operator(&[mode]).await;
    case.binding("app", other.one("K", "db")).await;
    case.synced("app").await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    operator.terminate(&case.world.channels).await;
    case.log()
}

async fn open_reads_what_enforce_refuses(case: Case) {
    read_elsewhere(&case, "--access-policy=open").await;
}

async fn audit_reads_too_and_says_what_enforce_would_refuse(case: Case) {
    let log = read_elsewhere(&case, "--access-policy=audit").await;
    let entry = format!("{}-owner/db", case.namespace);
    let told = |line: &str| line.contains("AccessNotAllowed") && line.contains(&entry);
    assert!(log.lines().any(told), "the audit trail names the read");
}

async fn a_read_that_aws_denies_is_on_the_audit_trail_once_each_time_it_begins(case: Case) {
    case.put("e", &case.value());
    let operator = case.operator(&["--value-reuse=0s"]).await;
    case.fault("e", Fault::denied());
    case.bind_one("app", "K", "e").await;
    case.failing("app", "AccessDenied").await;
    case.refresh("app").await;
    case.refresh("app").await;
    case.mend("e");
    case.refresh("app").await;
    case.synced("app").await;
    case.fault("e", Fault::denied());
    case.refresh("app").await;
    case.failing("app", "AccessDenied").await;
    operator.terminate(&case.world.channels).await;
    let log = case.log();
    let trail: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["target"] == "keyferry::audit")
        .filter(|line| line["reason"] == "AccessDenied")
        .collect();
    for line in &trail {
        assert_eq!(line["namespace"], json!(case.namespace));
        assert_eq!(line["binding"], "app");
        assert_eq!(line["entry"], json!(case.entry("e")));
    }
    assert_eq!(trail.len(), 2, "denied twice, at several passes each time");
    case.mend("e");
}

async fn every_entry_that_is_denied_is_on_the_audit_trail_once(case: Case) {
    let operator = case.operator(&["--value-reuse=0s"]).await;
    for entry in ["e", "f"] {
        case.put(entry, &case.value());
        case.fault(entry, Fault::denied());
    }
    let references = ["e", "f"]
        .map(|entry| json!({"key": entry.to_uppercase(), "from": {"secret": case.entry(entry)}}));
    case.binding("app", json!({"data": references})).await;
    case.failing("app", "AccessDenied").await;
    case.refresh("app").await;
    case.refresh("app").await;
    operator.terminate(&case.world.channels).await;
    let mut trail: Vec<String> = case
        .log()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "keyferry::audit")
        .map(|line| line["entry"].to_string())
        .collect();
    trail.sort();
    let expected = ["e", "f"].map(|entry| json!(case.entry(entry)).to_string());
    assert_eq!(trail, expected);
    for entry in ["e", "f"] {
        case.mend(entry);
    }
}

async fn a_right_taken_away_while_in_sync_is_told_and_ends_every_call(case: Case) {
    let other = case.sibling("owner").await;
    other.put("db", &other.value());
    case.put("clock", &case.value());
    let entry = other.entry("db");
    case.allow("more", json!({"secrets": [entry]})).await;
    let every_ten_seconds = |mut spec: Value| {
        spec["refreshInterval"] = json!("10s");
        spec
    };
    case.binding("app", every_ten_seconds(other.one("K", "db")))
        .await;
    case.binding("clock", every_ten_seconds(case.one("K", "clock")))
        .await;
    case.synced("app").await;
    case.synced("clock").await;
    let good = case.secret("app").await;
    // Another rule in its place.
    case.allow("more", json!({"secrets": [other.entry("other")]}))
        .await;
    case.failing("app", "AccessNotAllowed").await;
    // A call that was under way when it was told may still end.
    case.until_read_again(&["clock"]).await;
    let before = other.calls().len();
    other.put("db", &other.value());
    for _ in 0..3 {
        case.until_read_again(&["clock"]).await;
    }
    assert_eq!(other.calls().len(), before, "no call was made");
    assert!(
        data(&case.secret("app").await) == data(&good),
        "the last good Secret stays"
    );
}
