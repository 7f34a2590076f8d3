//! Operators of their own: restarted, killed, without their key, without rights, throttled.

use k8s_openapi::api::{core::v1::Secret, rbac::v1::Role};
use keyferry_testkit::aws::Fault;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, assert_holds, condition, data, revision},
    reasons::assert_says,
    templates::{bomb_spec, bombs},
    workload::Uses,
};

crate::tests![tests:
    a_restart_writes_nothing_and_restarts_nothing,
    a_killed_operator_finishes_its_rollout_after_the_restart_with_one_rollout,
    a_lost_install_key_restarts_nothing_and_keeps_the_revision,
    a_key_removed_while_the_operator_was_down_is_restored,
    a_throttled_account_is_told_and_clears,
    a_missing_right_is_named_and_clears_once_given,
    hostile_templates_are_refused_or_bounded_in_memory,
];

async fn converged(case: &Case) {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["rollout"] = json!({});
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    case.deploy("web", 2, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    case.until_read_again(&["e"]).await;
}

async fn a_restart_writes_nothing_and_restarts_nothing(case: Case) {
    let first = case.operator(&[]).await;
    converged(&case).await;
    let (pods, secret) = (case.settled("web").await, case.secret("app").await);
    assert!(
        first.terminate(&case.world.channels).await,
        "it ends well on SIGTERM"
    );
    let before = case.writes(&case.operator_name()).len();
    let second = case.operator(&[]).await;
    case.until_read_again(&["e"]).await;
    case.until_read_again(&["e"]).await;
    assert_eq!(
        case.writes(&case.operator_name())[before..],
        [],
        "a restart writes nothing"
    );
    assert_eq!(
        case.secret("app").await.metadata.resource_version,
        secret.metadata.resource_version
    );
    assert_eq!(case.settled("web").await, pods);
    second.terminate(&case.world.channels).await;
}

async fn a_killed_operator_finishes_its_rollout_after_the_restart_with_one_rollout(case: Case) {
    let first = case.operator(&[]).await;
    converged(&case).await;
    let before = case.settled("web").await;
    let value = case.value();
    let version = case.put("e", &value);
    case.ask_refresh("app", "kill").await;
    case.until_secret("app", "is written", |s| {
        data(s.unwrap())["K"] == value.as_bytes()
    })
    .await;
    first.crash(&case.world.channels).await;
    let second = case.operator(&[]).await;
    case.rolled_out_at("app", &version).await;
    let after = case.settled("web").await;
    assert_eq!(after.generation, before.generation + 1, "one rollout");
    assert!(case.all_captured("web", "K", &value));
    second.terminate(&case.world.channels).await;
}

async fn a_lost_install_key_restarts_nothing_and_keeps_the_revision(case: Case) {
    let first = case.operator(&[]).await;
    converged(&case).await;
    let (pods, old) = (case.settled("web").await, case.secret("app").await);
    first.terminate(&case.world.channels).await;
    let own: Api<Secret> = Api::namespaced(case.world.client.clone(), &case.operator_name());
    own.delete("keyferry-install-key", &DeleteParams::default())
        .await
        .unwrap();
    let second = case.operator(&[]).await;
    case.refresh("app").await;
    case.rolled_out("app", "True", "Synced").await;
    let new = case.secret("app").await;
    assert_eq!(
        revision(&new),
        revision(&old),
        "equal bytes keep their revision under a new key"
    );
    assert!(data(&new) == data(&old));
    assert_eq!(case.settled("web").await, pods, "no rollout");
    let value = case.value();
    let version = case.put("e", &value);
    case.refresh("app").await;
    case.rolled_out_at("app", &version).await;
    case.settled("web").await;
    assert!(
        case.all_captured("web", "K", &value),
        "and a new version rolls as ever"
    );
    second.terminate(&case.world.channels).await;
}

async fn a_key_removed_while_the_operator_was_down_is_restored(case: Case) {
    let first = case.operator(&[]).await;
    let value = case.value();
    case.put("e", &value);
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("24h");
    case.binding("owned", spec.clone()).await;
    case.foreign_secret("adopted", "helm", &[("THEIRS", "before")])
        .await;
    spec["target"] = json!({"creationPolicy": "Adopt"});
    case.binding("adopted", spec).await;
    let mut old = Vec::new();
    for name in ["owned", "adopted"] {
        case.synced(name).await;
        old.push(case.secret(name).await);
    }
    first.terminate(&case.world.channels).await;
    let removal = json!({"data": {"K": null}});
    case.patch_secret("owned", "kubectl-edit", removal.clone())
        .await;
    case.patch_secret("adopted", "kubectl-edit", removal).await;
    let theirs = json!({"stringData": {"THEIRS": "after"}});
    case.patch_secret("adopted", "helm", theirs).await;
    let second = case.operator(&[]).await;
    for old in &old {
        let name = old.name_any();
        let back = |s: Option<&Secret>| s.is_some_and(|s| data(s).contains_key("K"));
        let new = case.until_secret(&name, "has its key again", back).await;
        let new = new.unwrap();
        let mut expected = vec![("K", value.as_str())];
        if name == "adopted" {
            expected.push(("THEIRS", "after"));
        }
        assert_holds(&new, &expected);
        assert_eq!(new.uid(), old.uid(), "{name}");
        assert_eq!(revision(&new), revision(old), "{name}");
    }
    second.terminate(&case.world.channels).await;
}

/// A binding `app` of one entry `e`, in sync; returns its Secret.
pub async fn in_sync(case: &Case) -> Secret {
    case.put("e", &case.value());
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    case.synced("app").await;
    case.secret("app").await
}

async fn a_throttled_account_is_told_and_clears(case: Case) {
    let operator = case.operator(&[]).await;
    let good = in_sync(&case).await;
    case.fault("e", Fault::throttled(None).whole_call());
    let status = case.failing("app", "Throttled").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "AWS throttles secretsmanager:",
            "ap-northeast-2",
            "Next try in",
        ],
    );
    assert!(data(&case.secret("app").await) == data(&good));
    case.mend("e");
    case.synced("app").await;
    operator.terminate(&case.world.channels).await;
}

async fn a_missing_right_is_named_and_clears_once_given(case: Case) {
    let operator = case.operator(&[]).await;
    let good = in_sync(&case).await;
    let rules = case.take_right("secrets", "update").await;
    case.put("e", &case.value());
    let status = case.failing("app", "OperatorForbidden").await;
    assert_says(
        &case,
        &condition(&status, "Synced"),
        &[
            "update",
            "secrets",
            "{ns}",
            "Grant its ServiceAccount update on secrets",
        ],
    );
    assert!(data(&case.secret("app").await) == data(&good));
    case.set_rules(rules).await;
    case.synced("app").await;
    operator.terminate(&case.world.channels).await;
}

impl Case {
    /// Takes one verb on one resource from the operator's Role here; returns the rules as they were.
    pub async fn take_right(&self, resource: &str, verb: &str) -> Value {
        let rules = json!(
            self.api::<Role>()
                .get(&self.operator_name())
                .await
                .unwrap()
                .rules
        );
        let mut fewer = rules.as_array().cloned().unwrap();
        let names = |rule: &&mut Value| {
            let resources = rule["resources"].as_array().unwrap();
            resources.contains(&json!(resource))
        };
        for rule in fewer.iter_mut().filter(names) {
            rule["verbs"].as_array_mut().unwrap().retain(|v| v != verb);
        }
        self.set_rules(json!(fewer)).await;
        rules
    }

    pub async fn set_rules(&self, rules: Value) {
        let patch = Patch::Merge(json!({"rules": rules}));
        self.api::<Role>()
            .patch(&self.operator_name(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

/// MiB by which hostile templates may raise the peak of the process: a little more than two outputs.
const BOMB_LIMIT_MIB: u64 = 64;

async fn hostile_templates_are_refused_or_bounded_in_memory(case: Case) {
    let operator = case.operator(&[]).await;
    case.put("bomb", &"a".repeat(60_000));
    let mut plain = case.one("K", "bomb");
    plain["refreshInterval"] = json!("10s");
    case.binding("before", plain.clone()).await;
    case.synced("before").await;
    let before = peak_mib(operator.pid);
    let mut stored = Vec::new();
    for (n, (what, source)) in bombs().into_iter().enumerate() {
        let name = format!("bomb-{n}");
        let manifest = case.manifest(&name, bomb_spec(&case, &source)).to_string();
        let output = case.kubectl(&["apply", "-f", "-"], Some(&manifest)).await;
        if output.status.success() {
            stored.push((name, what));
        }
    }
    for (name, what) in &stored {
        let refused = |o: &Value| {
            let reason = condition(o, "Synced")["reason"].clone();
            reason == "TemplateFailed" || reason == "TooLarge"
        };
        case.until(name, &format!("{what} is refused"), refused)
            .await;
        assert!(
            case.find_secret(name).await.is_none(),
            "{what} became a Secret"
        );
    }
    case.binding("after", plain).await;
    case.synced("after").await;
    assert_eq!(operator.code("/livez").await, 200, "the process lives");
    let grown = peak_mib(operator.pid).saturating_sub(before);
    assert!(
        grown <= BOMB_LIMIT_MIB,
        "the peak grew by {grown} MiB over {} bombs",
        stored.len()
    );
    operator.terminate(&case.world.channels).await;
}

/// Peak resident memory of a process in MiB (`VmHWM`, proc(5)).
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}
