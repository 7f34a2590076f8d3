//! Many identities: each is one call to STS, and values never go from one to another.

use keyferry_testkit::{
    aws::{Call, CallLog, Role, Service},
    install::Rights,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, assert_holds},
    world::{ACCOUNT, REGION, role_arn},
};

crate::tests![own:
    forty_roles_are_forty_sts_calls_and_equal_names_of_two_accounts_never_cross,
    forty_service_accounts_are_forty_sts_calls_and_equal_names_never_cross,
];

const ROLES: usize = 40;
/// An account beside the operator's own.
const OTHER: &str = "444455556666";
const ACCOUNTS: [&str; 2] = [ACCOUNT, OTHER];

async fn forty_roles_are_forty_sts_calls_and_equal_names_of_two_accounts_never_cross(case: Case) {
    let operator = case.operator(&["--access-policy=open"]).await;
    let principal = role_arn(&case.operator_name());
    let mut sources = Vec::new();
    for n in 0..ROLES {
        let role = role(&case, n)
            .trust_principal(&principal)
            .allow_session_tag("keyferry-namespace", "*");
        case.world.aws.put_role(role);
        sources.push(json!({"roleArn": arn(&case, n)}));
    }
    each_reads_its_own(&case, sources, ("AssumeRole", 1)).await;
    operator.terminate(&case.world.channels).await;
}

async fn forty_service_accounts_are_forty_sts_calls_and_equal_names_never_cross(case: Case) {
    let rights = Rights {
        watch_namespaces: vec![case.namespace.clone()],
        service_account_identity: true,
    };
    let args = ["--access-policy=open", "--allow-service-account-identity"];
    let start = case.start(&args).rights(rights);
    let operator = case.world.start_operator(start).await.unwrap();
    let (mut sources, mut accounts) = (Vec::new(), Vec::new());
    for n in 0..ROLES {
        let name = format!("reader-{n}");
        let role = role(&case, n).trust_service_account(&case.namespace, &name);
        case.world.aws.put_role(role);
        let annotations = json!({"eks.amazonaws.com/role-arn": arn(&case, n)});
        accounts.push(json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "annotations": annotations}}));
        sources.push(json!({"serviceAccountName": name}));
    }
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": accounts}))
        .await;
    each_reads_its_own(&case, sources, ("AssumeRoleWithWebIdentity", 0)).await;
    operator.terminate(&case.world.channels).await;
}

/// Every other role is of the other account.
fn arn(case: &Case, n: usize) -> String {
    format!(
        "arn:aws:iam::{}:role/{}-{n}",
        ACCOUNTS[n % 2],
        case.namespace
    )
}

fn role(case: &Case, n: usize) -> Role {
    Role::new(&arn(case, n)).allow(&["secretsmanager:*"], &["*"])
}

/// A binding for each source, all of one name that is an entry in either account. `sts` is the operation that
/// opens their sessions, and how many the operator needs of its own.
async fn each_reads_its_own(case: &Case, sources: Vec<Value>, sts: (&str, usize)) {
    let values = [case.value(), case.value()];
    let entry = case.entry("same-name");
    for (account, value) in ACCOUNTS.iter().zip(&values) {
        let region = case.world.aws.account(account).region(REGION);
        region.create(&entry, value).unwrap();
    }
    let mut items = Vec::new();
    for (n, source) in sources.into_iter().enumerate() {
        let mut spec = case.one("K", "same-name");
        spec["source"] = source;
        spec["refreshInterval"] = json!("10s");
        items.push(case.manifest(&format!("b{n}"), spec));
    }
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    assert_each_has_its_own(case, &values).await;
    assert_sts_calls(case, sts, "at first");
    // Some refreshes later.
    let reads = |log: &CallLog| {
        let per_account = ACCOUNTS.map(|account| log.reads_in(account, REGION, &entry));
        per_account.into_iter().min().unwrap()
    };
    let each = ROLES as u64 / 2;
    let waited = case
        .world
        .aws
        .wait_within(PATIENCE, |log| reads(log) >= 4 * each);
    waited.await.expect("every binding is refreshed");
    assert_sts_calls(case, sts, "after refreshes");
    // A new version in one of the accounts is nothing to the other.
    let new = [case.value(), values[1].clone()];
    case.put("same-name", &new[0]);
    for n in (0..ROLES).step_by(2) {
        case.until_secret(&format!("b{n}"), "has the new value", |s| {
            crate::case::holds(s, "K", &new[0])
        })
        .await;
    }
    assert_each_has_its_own(case, &new).await;
}

async fn assert_each_has_its_own(case: &Case, values: &[String; 2]) {
    for n in 0..ROLES {
        let name = format!("b{n}");
        let status: Value = case.synced(&name).await;
        let identity = status["identity"].as_str().unwrap();
        let role = format!(":assumed-role/{}-{n}/", case.namespace);
        assert!(identity.contains(&role), "{identity}");
        assert_holds(&case.secret(&name).await, &[("K", &values[n % 2])]);
    }
}

#[track_caller]
fn assert_sts_calls(case: &Case, (operation, own): (&str, usize), when: &str) {
    let calls = case.world.aws.calls();
    let of = |arn: &str| {
        let asked =
            |call: &&Call| call.service == Service::Sts && call.ids.iter().any(|id| id == arn);
        calls.iter().filter(asked).collect::<Vec<_>>()
    };
    for n in 0..ROLES {
        let opened = of(&arn(case, n));
        let operations: Vec<&str> = opened.iter().map(|call| &*call.operation).collect();
        assert_eq!(operations, [operation], "{when}: one call for role {n}");
    }
    let operators = of(&role_arn(&case.operator_name()));
    assert_eq!(operators.len(), own, "{when}: the operator's own sessions");
}
