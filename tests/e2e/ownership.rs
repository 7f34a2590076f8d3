//! Whose Secret it is: repair of ours, respect for others.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use keyferry::api::Reason;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, data, holds, is, revision},
    reasons::assert_says,
    world::SHARED,
};

crate::tests![tests:
    a_secret_edited_by_hand_is_repaired_by_the_watch,
    a_secret_deleted_by_hand_comes_back_by_the_watch,
    a_disturbed_secret_is_repaired_while_its_source_holds_a_placeholder,
    an_adopted_secret_keeps_unknown_keys_and_ours_are_repaired,
    an_adopted_secret_deleted_by_hand_comes_back_by_the_watch,
    an_endless_opponent_is_named_as_fought_and_writes_stay_bounded,
    a_foreign_secret_is_not_touched_and_its_manager_is_named,
    a_foreign_secret_that_was_there_first_is_not_touched,
    a_foreign_secret_that_wins_the_create_race_is_not_touched,
    labels_and_annotations_of_others_on_our_secret_stay,
];

/// Nothing falls due by itself within a test.
fn rarely(mut spec: Value) -> Value {
    spec["refreshInterval"] = json!("24h");
    spec
}

async fn a_secret_edited_by_hand_is_repaired_by_the_watch(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.binding("app", rarely(case.one("PASSWORD", "db")))
        .await;
    case.synced("app").await;
    let old = case.secret("app").await;
    let edit = json!({"stringData": {"PASSWORD": "overwritten by hand", "EXTRA": "added by hand"}});
    case.patch_secret("app", "kubectl-edit", edit).await;
    let repaired = |s: Option<&Secret>| s.is_some_and(|s| data(s) == data(&old));
    let secret = case
        .until_secret("app", "is repaired", repaired)
        .await
        .unwrap();
    assert_eq!(secret.uid(), old.uid());
    assert_eq!(revision(&secret), revision(&old));
    let removal = json!({"data": {"PASSWORD": null}});
    case.patch_secret("app", "kubectl-edit", removal).await;
    case.until_secret("app", "has its key again", repaired)
        .await;
    let label =
        json!({"metadata": {"labels": {"keyferry.dev/managed": null}, "ownerReferences": null}});
    case.patch_secret("app", "kubectl-edit", label).await;
    let labelled = |s: Option<&Secret>| {
        s.is_some_and(|s| {
            s.labels().contains_key("keyferry.dev/managed") && s.owner_references().len() == 1
        })
    };
    case.until_secret("app", "has label and owner again", labelled)
        .await;
}

async fn a_secret_deleted_by_hand_comes_back_by_the_watch(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.binding("app", rarely(case.one("PASSWORD", "db")))
        .await;
    case.synced("app").await;
    let old = case.secret("app").await;
    case.delete_secret("app").await;
    let back = |s: Option<&Secret>| s.is_some_and(|s| s.uid() != old.uid());
    let new = case
        .until_secret("app", "is recreated", back)
        .await
        .unwrap();
    assert_holds(&new, &[("PASSWORD", &value)]);
    assert_eq!(
        revision(&new),
        revision(&old),
        "the same bytes keep their revision"
    );
}

async fn a_disturbed_secret_is_repaired_while_its_source_holds_a_placeholder(case: Case) {
    case.put("db", &case.plain());
    let mut spec = rarely(case.one("PASSWORD", "db"));
    spec["validate"] = json!({"rejectPlaceholders": true});
    case.binding("app", spec).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    case.put("db", "CHANGEME");
    case.refresh("app").await;
    let refused = |o: &Value| is(o, "Ready", "True", "CandidateRejected");
    case.until("app", "is refused", refused).await;
    let repaired = |s: Option<&Secret>| s.is_some_and(|s| data(s) == data(&good));
    let edit = json!({"stringData": {"PASSWORD": "overwritten by hand"}});
    case.patch_secret("app", "kubectl-edit", edit).await;
    case.until_secret("app", "is repaired", repaired).await;
    case.api::<Secret>()
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    let again = case.until_secret("app", "comes back", repaired).await;
    assert_eq!(again.map(|s| revision(&s)), Some(revision(&good)));
    case.until("app", "is refused still", refused).await;
}

async fn an_adopted_secret_keeps_unknown_keys_and_ours_are_repaired(case: Case) {
    let value = case.value();
    case.put("db", &value);
    let foreign = case
        .foreign_secret("app", "helm", &[("PASSWORD", "before"), ("THEIRS", "kept")])
        .await;
    let mut spec = rarely(case.one("PASSWORD", "db"));
    spec["target"] = json!({"creationPolicy": "Adopt"});
    case.binding("app", spec).await;
    let status = case.synced("app").await;
    let adopted = case.secret("app").await;
    assert_eq!(adopted.uid(), foreign.uid());
    assert_holds(
        &adopted,
        &[("PASSWORD", value.as_str()), ("THEIRS", "kept")],
    );
    assert_eq!(status["secret"]["keyCount"], 1, "only our keys are counted");
    case.patch_secret(
        "app",
        "helm",
        json!({"stringData": {"PASSWORD": "again", "THEIRS": "changed"}}),
    )
    .await;
    let repaired = |s: Option<&Secret>| s.is_some_and(|s| data(s)["PASSWORD"] == value.as_bytes());
    let secret = case
        .until_secret("app", "our key is repaired", repaired)
        .await
        .unwrap();
    assert_holds(
        &secret,
        &[("PASSWORD", value.as_str()), ("THEIRS", "changed")],
    );
    let removal = json!({"data": {"PASSWORD": null}});
    case.patch_secret("app", "kubectl-edit", removal).await;
    let secret = case
        .until_secret("app", "has our key again", |s| holds(s, "PASSWORD", &value))
        .await
        .unwrap();
    assert_holds(
        &secret,
        &[("PASSWORD", value.as_str()), ("THEIRS", "changed")],
    );
    assert_eq!(secret.uid(), foreign.uid());
}

async fn an_adopted_secret_deleted_by_hand_comes_back_by_the_watch(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.foreign_secret("app", "helm", &[("THEIRS", "theirs")])
        .await;
    let mut spec = rarely(case.one("PASSWORD", "db"));
    spec["target"] = json!({"creationPolicy": "Adopt"});
    case.binding("app", spec).await;
    case.synced("app").await;
    let old = case.secret("app").await;
    case.delete_secret("app").await;
    let back = |s: Option<&Secret>| s.is_some_and(|s| s.uid() != old.uid());
    let new = case.until_secret("app", "is recreated", back).await;
    let new = new.unwrap();
    assert_holds(&new, &[("PASSWORD", &value)]);
    assert_eq!(revision(&new), revision(&old), "of the same bytes");
}

/// Time alone also ends it, ten minutes later: `a_fight_ends_by_itself_when_its_window_has_passed` in
/// `core::write_plan`.
async fn an_endless_opponent_is_named_as_fought_and_writes_stay_bounded(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.binding("app", rarely(case.one("PASSWORD", "db")))
        .await;
    case.synced("app").await;
    let good = case.secret("app").await;
    let fought = || {
        let latest = case.world.bindings.latest(&case.namespace, "app");
        latest.filter(|object| is(object, "Synced", "False", "Fought"))
    };
    let mut rounds = 0;
    while fought().is_none() && rounds < 400 {
        rounds += 1;
        let edit = json!({"stringData": {"PASSWORD": format!("mine {rounds}")}});
        case.patch_secret("app", "rival", edit).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let status = case.failing("app", "Fought").await;
    let says = ["rival", "app", "Stop that writer", "Next try in"];
    assert_says(&case, &condition(&status, "Synced"), &says);
    case.assert_told(Reason::Fought).await;
    // The opponent goes on; we do not.
    for round in 0..20 {
        let edit = json!({"stringData": {"PASSWORD": format!("still mine {round}")}});
        case.patch_secret("app", "rival", edit).await;
    }
    // The opponent gives way.
    let edit = json!({"stringData": {"PASSWORD": value}});
    case.patch_secret("app", "rival", edit).await;
    case.cleared().await;
    case.assert_kept(&good).await;
    let writes = case.writes(SHARED).into_iter();
    let (done, refused): (Vec<_>, Vec<_>) = writes
        .filter(|w| w.resource == "secrets")
        .partition(|w| w.code < 300);
    assert!(
        done.len() <= 6,
        "1 creation, 3 repairs and few more, not {done:?}, against {rounds} edits"
    );
    // One that an edit was faster than is refused and starts over.
    assert!(refused.len() <= rounds, "{refused:?}, {rounds} edits");
}

async fn a_foreign_secret_is_not_touched_and_its_manager_is_named(case: Case) {
    let value = case.value();
    case.put("db", &value);
    let mut spec = case.one("PASSWORD", "db");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec.clone()).await;
    case.synced("app").await;
    let good = case.secret("app").await;
    let foreign = case
        .foreign_secret("theirs", "helm", &[("PASSWORD", "theirs")])
        .await;
    spec["target"] = json!({"name": "theirs"});
    case.binding("app", spec).await;
    let status = case.failing("app", "TargetConflict").await;
    let says = ["theirs", "helm", "target.name", "Last good value kept."];
    assert_says(&case, &condition(&status, "Synced"), &says);
    assert!(is(&status, "Ready", "True", "TargetConflict"), "{status}");
    case.assert_kept(&good).await;
    case.assert_told(Reason::TargetConflict).await;
    case.assert_untouched(&foreign).await;
    case.delete_secret("theirs").await;
    let status = case.cleared().await;
    assert_eq!(status["secret"]["name"], "theirs");
    assert_holds(&case.secret("theirs").await, &[("PASSWORD", &value)]);
}

impl Case {
    /// Fails if a Secret is not as it was.
    async fn assert_untouched(&self, before: &Secret) {
        let still = self.secret(&before.name_any()).await;
        assert_eq!(
            still.resource_version(),
            before.resource_version(),
            "not touched"
        );
    }
}

async fn a_foreign_secret_that_was_there_first_is_not_touched(case: Case) {
    case.put("db", &case.value());
    let foreign = case
        .foreign_secret("app", "helm", &[("PASSWORD", "theirs")])
        .await;
    case.bind_one("app", "PASSWORD", "db").await;
    let status = case.failing("app", "TargetConflict").await;
    assert_says(&case, &condition(&status, "Synced"), &["app", "helm"]);
    case.assert_untouched(&foreign).await;
}

async fn a_foreign_secret_that_wins_the_create_race_is_not_touched(case: Case) {
    case.put("db", &case.value());
    let entry = case.entry("db");
    let hang = case.world.aws.hang(|fault| fault.entry(&entry));
    case.bind_one("app", "PASSWORD", "db").await;
    // The operator has looked for the Secret, found none, and waits for AWS.
    let asked =
        |log: &keyferry_testkit::aws::CallLog| log.calls().any(|call| call.ids.contains(&entry));
    case.world.aws.wait_for(asked).await.unwrap();
    let foreign = case
        .foreign_secret("app", "terraform", &[("PASSWORD", "theirs")])
        .await;
    hang.release();
    let status = case.failing("app", "TargetConflict").await;
    assert_says(&case, &condition(&status, "Synced"), &["app", "terraform"]);
    case.assert_untouched(&foreign).await;
}

async fn labels_and_annotations_of_others_on_our_secret_stay(case: Case) {
    case.put("db", &case.value());
    case.bind_one("app", "PASSWORD", "db").await;
    case.synced("app").await;
    let theirs = json!({"metadata": {"labels": {"theirs": "l"}, "annotations": {"theirs": "a"}}});
    case.patch_secret("app", "somebody", theirs).await;
    let new = case.value();
    case.put("db", &new);
    case.refresh("app").await;
    let secret = case
        .until_secret("app", "holds the new bytes", |s| {
            data(s.unwrap())["PASSWORD"] == new.as_bytes()
        })
        .await
        .unwrap();
    let has = |map: &BTreeMap<String, String>, value: &str| {
        map.get("theirs").map(String::as_str) == Some(value)
    };
    assert!(has(secret.labels(), "l") && has(secret.annotations(), "a"));
}
