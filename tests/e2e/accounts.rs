//! Many identities: each is one call to STS, and values never go from one to another.

use keyferry_testkit::aws::{CallLog, Role};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, assert_holds},
    counted::count,
    world::{ACCOUNT, REGION, role_arn},
};

crate::tests![own:
    forty_roles_are_forty_sts_calls_and_equal_names_of_two_accounts_never_cross,
];

const ROLES: usize = 40;
/// An account beside the operator's own.
const OTHER: &str = "444455556666";

async fn forty_roles_are_forty_sts_calls_and_equal_names_of_two_accounts_never_cross(case: Case) {
    let values = [case.value(), case.value()];
    let accounts = [ACCOUNT, OTHER];
    let entry = case.entry("same-name");
    for (account, value) in accounts.iter().zip(&values) {
        let region = case.world.aws.account(account).region(REGION);
        region.create(&entry, value).unwrap();
    }
    let operator = case.operator(&["--access-policy=open"]).await;
    let mut items = Vec::new();
    for n in 0..ROLES {
        let arn = format!(
            "arn:aws:iam::{}:role/{}-{n}",
            accounts[n % 2],
            case.namespace
        );
        let role = Role::new(&arn)
            .trust_principal(&role_arn(&case.operator_name()))
            .allow_session_tag("keyferry-namespace", "*")
            .allow(&["secretsmanager:*"], &["*"]);
        case.world.aws.put_role(role);
        let mut spec = case.one("K", "same-name");
        spec["source"] = json!({"roleArn": arn});
        spec["refreshInterval"] = json!("10s");
        items.push(case.manifest(&format!("b{n}"), spec));
    }
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    assert_each_has_its_own(&case, &values).await;
    assert_sts_calls(&case, "at first");
    // Some refreshes later.
    let reads = |log: &CallLog| {
        let per_account = accounts.map(|account| log.reads_in(account, REGION, &entry));
        per_account.into_iter().min().unwrap()
    };
    let each = ROLES as u64 / 2;
    let waited = case
        .world
        .aws
        .wait_within(PATIENCE, |log| reads(log) >= 4 * each);
    waited.await.expect("every binding is refreshed");
    assert_sts_calls(&case, "after refreshes");
    // A new version in one of the accounts is nothing to the other.
    let new = [case.value(), values[1].clone()];
    case.put("same-name", &new[0]);
    for n in (0..ROLES).step_by(2) {
        case.until_secret(&format!("b{n}"), "has the new value", |s| {
            crate::case::holds(s, "K", &new[0])
        })
        .await;
    }
    assert_each_has_its_own(&case, &new).await;
    operator.terminate(&case.world.channels).await;
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
fn assert_sts_calls(case: &Case, when: &str) {
    let mut calls = case.world.aws.calls();
    calls.retain(|call| {
        let roles = call
            .ids
            .iter()
            .any(|id| id.contains(&format!("role/{}-", case.namespace)));
        roles || call.ids.contains(&role_arn(&case.operator_name()))
    });
    assert_eq!(
        count(&calls, "AssumeRole"),
        ROLES,
        "{when}: one call a role"
    );
    assert_eq!(count(&calls, "AssumeRoleWithWebIdentity"), 1, "{when}");
}
