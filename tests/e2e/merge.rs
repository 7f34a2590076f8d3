//! Several hands on one Secret.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::case::{Case, assert_holds, data};

crate::tests![tests:
    two_merge_bindings_on_one_secret_keep_each_others_keys,
    a_merge_binding_that_goes_takes_its_keys_and_no_other,
    a_secret_that_does_not_opt_in_is_not_merged_into,
    a_renamed_target_takes_the_keys_out_of_the_former_secret,
];

impl Case {
    /// A Secret that lets Merge bindings in, with one key of its own.
    pub async fn opted_in(&self, name: &str) -> Secret {
        self.foreign_secret(name, "kubectl", &[("BASE", "base")])
            .await;
        let allow = json!({"metadata": {"annotations": {"keyferry.dev/merge": "allow"}}});
        self.patch_secret(name, "kubectl", allow).await
    }

    pub fn merging(&self, key: &str, entry: &str, into: &str) -> Value {
        let mut spec = self.one(key, entry);
        spec["target"] = json!({"name": into, "creationPolicy": "Merge"});
        spec["refreshInterval"] = json!("10s");
        spec
    }
}

async fn two_merge_bindings_on_one_secret_keep_each_others_keys(case: Case) {
    let (a, b) = (case.value(), case.value());
    case.put("a", &a);
    case.put("b", &b);
    let base = case.opted_in("shared").await;
    case.binding("one", case.merging("A", "a", "shared")).await;
    case.binding("two", case.merging("B", "b", "shared")).await;
    case.synced("one").await;
    case.synced("two").await;
    let secret = case.secret("shared").await;
    assert_eq!(secret.uid(), base.uid());
    assert_holds(
        &secret,
        &[("A", a.as_str()), ("B", b.as_str()), ("BASE", "base")],
    );
    let new = case.value();
    case.put("a", &new);
    case.refresh("one").await;
    case.until_secret("shared", "holds the new A", |s| {
        data(s.unwrap())["A"] == new.as_bytes()
    })
    .await;
    case.refresh("two").await;
    assert_holds(
        &case.secret("shared").await,
        &[("A", new.as_str()), ("B", b.as_str()), ("BASE", "base")],
    );
}

async fn a_merge_binding_that_goes_takes_its_keys_and_no_other(case: Case) {
    let (a, b) = (case.value(), case.value());
    case.put("a", &a);
    case.put("b", &b);
    case.opted_in("shared").await;
    case.binding("one", case.merging("A", "a", "shared")).await;
    let mut keeps = case.merging("B", "b", "shared");
    keeps["target"]["deletionPolicy"] = json!("Retain");
    case.binding("two", keeps).await;
    case.synced("one").await;
    case.synced("two").await;
    case.delete_binding("one").await;
    assert_holds(
        &case.secret("shared").await,
        &[("B", b.as_str()), ("BASE", "base")],
    );
    case.delete_binding("two").await;
    assert_holds(
        &case.secret("shared").await,
        &[("B", b.as_str()), ("BASE", "base")],
    );
}

async fn a_renamed_target_takes_the_keys_out_of_the_former_secret(case: Case) {
    let (a, b) = (case.value(), case.value());
    case.put("a", &a);
    case.put("b", &b);
    for target in ["former", "new", "newer"] {
        case.opted_in(target).await;
    }
    case.binding("one", case.merging("A", "a", "former")).await;
    case.binding("two", case.merging("B", "b", "former")).await;
    case.synced("one").await;
    case.synced("two").await;
    case.binding("one", case.merging("A", "a", "new")).await;
    case.synced("one").await;
    assert_holds(
        &case.secret("new").await,
        &[("A", a.as_str()), ("BASE", "base")],
    );
    let former = case.secret("former").await;
    assert_holds(&former, &[("B", b.as_str()), ("BASE", "base")]);
    let records = |secret: &Secret, binding: &str| {
        let own = format!(".keyferry.dev/{binding}");
        secret.annotations().keys().any(|key| key.ends_with(&own))
    };
    assert!(!records(&former, "one") && records(&former, "two"));
    // What is to stay, stays.
    let mut keeps = case.merging("A", "a", "newer");
    keeps["target"]["deletionPolicy"] = json!("Retain");
    case.binding("one", keeps).await;
    case.synced("one").await;
    assert_holds(
        &case.secret("newer").await,
        &[("A", a.as_str()), ("BASE", "base")],
    );
    assert_holds(
        &case.secret("new").await,
        &[("A", a.as_str()), ("BASE", "base")],
    );
}

async fn a_secret_that_does_not_opt_in_is_not_merged_into(case: Case) {
    case.put("a", &case.value());
    let foreign = case
        .foreign_secret("closed", "helm", &[("BASE", "base")])
        .await;
    case.binding("one", case.merging("A", "a", "closed")).await;
    case.failing("one", "TargetConflict").await;
    assert_eq!(
        case.secret("closed").await.resource_version(),
        foreign.resource_version()
    );
}
