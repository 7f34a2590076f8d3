//! As whom entries are read, and that nobody gets what another identity fetched.

use keyferry_testkit::aws::{Service, Statement};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition},
    operators::Identity,
    reasons::assert_says,
    world::{SHARED, World, role_arn},
};

crate::tests![tests:
    the_status_names_the_assumed_role_and_one_sts_call_serves_all,
    a_service_account_of_the_namespace_reads_with_its_own_role,
    an_untrusted_role_fails_with_both_identities_named,
    another_external_id_never_shares_a_read,
    other_session_tags_never_share_a_read,
];

crate::tests![own:
    pod_identity_reads_as_the_associated_role,
];

impl Case {
    /// A binding that assumes this namespace's role.
    fn as_role(&self, key: &str, entry: &str, more: Value) -> Value {
        let mut spec = self.one(key, entry);
        let mut source = json!({"roleArn": role_arn(&self.namespace)});
        source
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap_or_default());
        spec["source"] = source;
        spec
    }

    async fn allow_role(&self) {
        self.allow("roles", json!({"roleArns": [role_arn(&self.namespace)]}))
            .await;
    }
}

async fn the_status_names_the_assumed_role_and_one_sts_call_serves_all(case: Case) {
    for name in ["one", "two", "three"] {
        case.put(name, &case.value());
        case.bind_one(name, "K", name).await;
    }
    for name in ["one", "two", "three"] {
        let status = case.synced(name).await;
        let identity = status["identity"].as_str().unwrap().to_owned();
        assert!(identity.contains(":assumed-role/keyferry/"), "{identity}");
        assert!(
            identity.contains("e2e"),
            "the session names the cluster: {identity}"
        );
    }
    let role = role_arn(SHARED);
    let calls = case.world.aws.calls();
    let sts = calls
        .iter()
        .filter(|c| c.service == Service::Sts && c.ids.contains(&role));
    assert_eq!(sts.count(), 1, "one STS call a credential lifetime");
}

async fn a_service_account_of_the_namespace_reads_with_its_own_role(case: Case) {
    let value = case.value();
    case.put("e", &value);
    let role = World::role(&case.namespace)
        .trust_service_account(&case.namespace, "backend")
        .allow(&["secretsmanager:*"], &["*"]);
    case.world.aws.put_role(role);
    let annotations = json!({"eks.amazonaws.com/role-arn": role_arn(&case.namespace)});
    case.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "backend", "annotations": annotations}}))
        .await;
    case.allow("accounts", json!({"serviceAccounts": ["backend"]}))
        .await;
    let mut spec = case.one("K", "e");
    spec["source"] = json!({"serviceAccountName": "backend"});
    case.binding("app", spec).await;
    let status = case.synced("app").await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    let identity = status["identity"].to_string();
    assert!(
        identity.contains(&format!(":assumed-role/{}/", case.namespace)),
        "{identity}"
    );
    let own = format!("assumed-role/{SHARED}/");
    assert!(
        case.calls()
            .iter()
            .all(|call| !call.principal.contains(&own)),
        "the operator's role read nothing"
    );
}

async fn an_untrusted_role_fails_with_both_identities_named(case: Case) {
    case.put("e", &case.value());
    case.allow_role().await;
    case.world
        .aws
        .put_role(World::role(&case.namespace).allow(&["*"], &["*"]));
    let mut spec = case.as_role("K", "e", json!({}));
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    let status = case.failing("app", "AssumeRoleFailed").await;
    let role = role_arn(&case.namespace);
    let says = [role.as_str(), "assumed-role/keyferry/", "trust"];
    assert_says(&case, &condition(&status, "Synced"), &says);
    assert_eq!(case.reads("e"), 0);
    let trusting = World::role(&case.namespace)
        .trust_principal(&role_arn(SHARED))
        .allow(&["*"], &["*"]);
    let trusting = trusting
        .allow_session_tag("*", "*")
        .allow_session_tag("keyferry-namespace", "*");
    case.world.aws.put_role(trusting);
    case.synced("app").await;
}

async fn another_external_id_never_shares_a_read(case: Case) {
    let value = case.value();
    case.put("e", &value);
    case.allow_role().await;
    let role = World::role(&case.namespace)
        .trust_principal(&role_arn(SHARED))
        .allow_session_tag("keyferry-namespace", "*")
        .external_id("tenant-a")
        .allow(&["*"], &["*"]);
    case.world.aws.put_role(role);
    case.binding(
        "right",
        case.as_role("K", "e", json!({"externalId": "tenant-a"})),
    )
    .await;
    case.synced("right").await;
    case.binding(
        "wrong",
        case.as_role("K", "e", json!({"externalId": "tenant-b"})),
    )
    .await;
    case.binding("none", case.as_role("K", "e", json!({})))
        .await;
    for name in ["wrong", "none"] {
        case.failing(name, "AssumeRoleFailed").await;
        assert!(
            case.find_secret(name).await.is_none(),
            "{name} got what {} may not read",
            "another external id"
        );
    }
    assert_holds(&case.secret("right").await, &[("K", &value)]);
}

async fn other_session_tags_never_share_a_read(case: Case) {
    let value = case.value();
    case.put("e", &value);
    case.allow_role().await;
    let reads = Statement::allow(&["secretsmanager:*"], &["*"]).when_principal_tag("team", "red");
    let role = World::role(&case.namespace)
        .trust_principal(&role_arn(SHARED))
        .allow_session_tag("keyferry-namespace", "*")
        .allow_session_tag("team", "*")
        .statement(reads);
    case.world.aws.put_role(role);
    let tagged = |team: &str| case.as_role("K", "e", json!({"sessionTags": {"team": team}}));
    case.binding("red", tagged("red")).await;
    case.synced("red").await;
    case.binding("blue", tagged("blue")).await;
    case.failing("blue", "AccessDenied").await;
    assert!(case.find_secret("blue").await.is_none());
    assert_holds(&case.secret("red").await, &[("K", &value)]);
    let role = role_arn(&case.namespace);
    let calls = case.world.aws.calls();
    let assumed: Vec<_> = calls
        .iter()
        .filter(|c| c.service == Service::Sts && c.ids.contains(&role))
        .collect();
    assert!(
        assumed.len() >= 2,
        "each set of tags has a session of its own"
    );
    let namespace = |c: &&keyferry_testkit::aws::Call| {
        c.tags.get("keyferry-namespace") == Some(&case.namespace)
    };
    assert!(
        assumed.iter().all(namespace),
        "every session is tagged with the namespace"
    );
}

async fn pod_identity_reads_as_the_associated_role(case: Case) {
    let value = case.value();
    case.put("e", &value);
    let start = case.start(&[]).identity(Identity::Pod);
    let operator = case.world.start_operator(start).await.unwrap();
    case.bind_one("app", "K", "e").await;
    let status = case.synced("app").await;
    assert_holds(&case.secret("app").await, &[("K", &value)]);
    let identity = status["identity"].to_string();
    let role = format!(":assumed-role/{}/", case.operator_name());
    assert!(identity.contains(&role), "{identity}");
    operator.terminate(&case.world.channels).await;
}
