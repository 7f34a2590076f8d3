//! Reasons that need more than a good, a bad and a good value.

use k8s_openapi::api::core::v1::Secret;
use keyferry::api::Reason;
use keyferry_testkit::aws::Fault;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, data, holds, is},
    reasons::assert_says,
};

crate::tests![tests:
    a_placeholder_is_refused_as_candidate_rejected,
    a_broken_rule_is_refused_as_candidate_rejected,
    a_key_taken_over_by_somebody_else_is_left_to_them,
    a_missing_merge_target_is_waited_for,
    an_immutable_secret_is_told_and_written_anew_once_deleted,
    a_secret_of_a_minting_type_is_never_merged_into,
    a_value_older_than_stale_after_is_no_longer_ready,
    a_suspended_binding_reads_and_writes_nothing,
];

async fn rejected(case: &Case, validate: Value, bad: &str, reason: &str, says: &[&str]) {
    let value = case.plain();
    case.put("e", &value);
    let mut spec = case.one("K", "e");
    spec["validate"] = validate;
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    case.put("e", bad);
    let status = case.failing("app", reason).await;
    assert_says(case, &condition(&status, "Synced"), says);
    assert!(
        is(&status, "Ready", "True", "CandidateRejected"),
        "{status}"
    );
    assert_eq!(
        case.secret("app").await.resource_version(),
        good.resource_version(),
        "nothing was written"
    );
    let better = case.plain();
    case.put("e", &better);
    let fine = |o: &Value| is(o, "Ready", "True", "Synced") && is(o, "Synced", "True", "Synced");
    case.until("app", "clears by itself", fine).await;
    assert_holds(&case.secret("app").await, &[("K", &better)]);
}

async fn a_placeholder_is_refused_as_candidate_rejected(case: Case) {
    let validate = json!({"rejectPlaceholders": true});
    let says = ["K", "{ns}/e", "placeholder", "Put a real value."];
    rejected(&case, validate, "CHANGEME", "PlaceholderFound", &says).await;
}

async fn a_broken_rule_is_refused_as_candidate_rejected(case: Case) {
    let validate = json!({"rules": [{"key": "K", "minLength": 12}]});
    let says = [
        "K",
        "{ns}/e",
        "12",
        "Put a value that fits, or change spec.validate.rules.",
    ];
    rejected(&case, validate, "short", "RuleBroken", &says).await;
}

async fn a_key_taken_over_by_somebody_else_is_left_to_them(case: Case) {
    case.put("a", &case.value());
    case.opted_in("shared").await;
    case.binding("app", case.merging("A", "a", "shared")).await;
    case.synced("app").await;
    case.force_key("shared", "rival", Some("theirs")).await;
    let new = case.value();
    case.put("a", &new);
    let status = case.failing("app", "KeyConflict").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &["Key A", "shared", "rival", "Remove it there"],
    );
    assert_holds(
        &case.secret("shared").await,
        &[("A", "theirs"), ("BASE", "base")],
    );
    case.force_key("shared", "rival", None).await;
    case.until_secret("shared", "holds the new bytes", |s| holds(s, "A", &new))
        .await;
    case.synced("app").await;
}

impl Case {
    /// Takes the key A over by a forced apply, or lets it go again.
    async fn force_key(&self, secret: &str, manager: &str, value: Option<&str>) {
        let mut object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}});
        if let Some(value) = value {
            use base64::{Engine, engine::general_purpose::STANDARD};
            object["data"] = json!({"A": STANDARD.encode(value)});
        }
        let params = PatchParams::apply(manager).force();
        self.api::<Secret>()
            .patch(secret, &params, &Patch::Apply(object))
            .await
            .unwrap();
    }
}

/// A Merge binding `app` in sync with the Secret `shared`; returns that and the bytes of its key A.
async fn merged(case: &Case) -> (Secret, String) {
    let value = case.value();
    case.put("a", &value);
    case.opted_in("shared").await;
    case.binding("app", case.merging("A", "a", "shared")).await;
    case.synced("app").await;
    let good = case.secret("shared").await;
    assert_holds(&good, &[("A", value.as_str()), ("BASE", "base")]);
    (good, value)
}

async fn a_missing_merge_target_is_waited_for(case: Case) {
    let (good, value) = merged(&case).await;
    case.binding("app", case.merging("A", "a", "later")).await;
    let status = case.failing("app", "TargetMissing").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "later",
            "does not exist",
            "Create it",
            "Last good value kept.",
        ],
    );
    assert!(is(&status, "Ready", "True", "TargetMissing"), "{status}");
    case.assert_kept(&good).await;
    case.assert_told(Reason::TargetMissing).await;
    assert!(
        case.find_secret("later").await.is_none(),
        "it was not created"
    );
    case.opted_in("later").await;
    let status = case.cleared().await;
    assert_eq!(status["secret"]["name"], "later");
    assert_holds(
        &case.secret("later").await,
        &[("A", value.as_str()), ("BASE", "base")],
    );
}

async fn an_immutable_secret_is_told_and_written_anew_once_deleted(case: Case) {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case
        .patch_secret("app", "somebody", json!({"immutable": true}))
        .await;
    let new = case.value();
    case.put("e", &new);
    let status = case.failing("app", "TargetImmutable").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &["app", "immutable", "delete it"],
    );
    assert!(data(&case.secret("app").await) == data(&good));
    case.delete_secret("app").await;
    case.until_secret("app", "is written anew", |s| holds(s, "K", &new))
        .await;
    case.synced("app").await;
}

async fn a_secret_of_a_minting_type_is_never_merged_into(case: Case) {
    let (good, value) = merged(&case).await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "victim"}});
    case.apply(account).await;
    let annotations =
        json!({"keyferry.dev/merge": "allow", "kubernetes.io/service-account.name": "victim"});
    let token = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "token", "annotations": annotations}});
    case.apply(token).await;
    case.binding("app", case.merging("A", "a", "token")).await;
    let status = case.failing("app", "TypeNotAllowed").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "token",
            "kubernetes.io/service-account-token",
            "Use Opaque",
            "Last good value kept.",
        ],
    );
    assert!(is(&status, "Ready", "True", "TypeNotAllowed"), "{status}");
    assert!(!data(&case.secret("token").await).contains_key("A"));
    case.assert_kept(&good).await;
    case.assert_told(Reason::TypeNotAllowed).await;
    case.delete_secret("token").await;
    case.opted_in("token").await;
    let status = case.cleared().await;
    assert_eq!(status["secret"]["name"], "token");
    assert_holds(
        &case.secret("token").await,
        &[("A", value.as_str()), ("BASE", "base")],
    );
}

async fn a_value_older_than_stale_after_is_no_longer_ready(case: Case) {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    spec["staleAfter"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    case.fault("e", Fault::denied());
    let stale =
        |o: &Value| is(o, "Ready", "False", "Stale") && is(o, "Synced", "False", "AccessDenied");
    let object = case.until("app", "stale", stale).await;
    assert_says(
        &case,
        &condition(&object, "Ready"),
        &["older than 10s", "{ns}/e", "keyferry iam-policy"],
    );
    assert!(is(&object, "Stalled", "True", "Stale"));
    assert_eq!(
        case.secret("app").await.resource_version(),
        good.resource_version(),
        "the value is still there"
    );
    case.mend("e");
    case.until("app", "ready again", |o| is(o, "Ready", "True", "Synced"))
        .await;
}

async fn a_suspended_binding_reads_and_writes_nothing(case: Case) {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec.clone()).await;
    case.binding("awake", spec).await;
    case.synced("app").await;
    case.synced("awake").await;
    let old = case.secret("app").await;
    case.patch_binding("app", json!({"spec": {"suspend": true}}))
        .await;
    let object = case
        .until("app", "suspended", |o| is(o, "Ready", "True", "Suspended"))
        .await;
    assert_says(
        &case,
        &condition(&object, "Ready"),
        &["spec.suspend", "until it is taken out"],
    );
    let new = case.value();
    case.put("e", &new);
    case.until_secret("awake", "follows", |s| {
        data(s.unwrap())["K"] == new.as_bytes()
    })
    .await;
    case.patch_secret(
        "app",
        "somebody",
        json!({"metadata": {"annotations": {"by": "hand"}}}),
    )
    .await;
    assert!(
        data(&case.secret("app").await) == data(&old),
        "the suspended one does not"
    );
    case.patch_binding("app", json!({"spec": {"suspend": null}}))
        .await;
    case.until_secret("app", "follows again", |s| {
        data(s.unwrap())["K"] == new.as_bytes()
    })
    .await;
    case.until("app", "ready again", |o| is(o, "Ready", "True", "Synced"))
        .await;
}
