//! The table: one line for each reason.

use k8s_openapi::api::core::v1::ServiceAccount;
use keyferry::api::Reason;
use keyferry_testkit::aws::Fault;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    case::Case,
    reasons::{Act, Tested, Walk, act, later},
    world::{ACCOUNT, REGION, World, role_arn},
};

/// Where a reason is tested. A new reason does not compile without a line here.
pub fn tested(reason: Reason) -> Tested {
    use Reason as R;
    match reason {
        R::Synced => Tested::By(
            "values::an_applied_binding_becomes_a_secret_with_exactly_its_bytes_type_owner_and_label",
        ),
        R::Progressing => {
            Tested::By("rollouts::the_last_new_pod_unready_is_progressing_and_not_healthy")
        }
        R::SecretNotFound => Tested::Walk(secret_not_found()),
        R::MarkedForDeletion => Tested::Walk(marked_for_deletion()),
        R::StageMissing => Tested::Walk(stage_missing()),
        R::PropertyMissing => Tested::Walk(property(
            |case| put(case, r#"{"b": "other"}"#),
            &["{ns}/e", "has no property \"a\""],
        )),
        R::NotJson => Tested::Walk(property(
            |case| put(case, "plain text"),
            &["{ns}/e", "JSON"],
        )),
        R::AccessDenied => Tested::Walk(access_denied()),
        R::KmsAccessDenied => Tested::Walk(kms_access_denied()),
        R::AccessNotAllowed => Tested::By(
            "policy::an_entry_of_another_namespace_is_not_asked_for_until_a_policy_allows_it",
        ),
        R::PolicyUnreadable => {
            Tested::By("policy::unreadable_policies_stop_every_call_until_they_can_be_read")
        }
        R::NoCredentials => {
            Tested::By("credentials::without_credentials_the_last_good_secret_stays")
        }
        R::AssumeRoleFailed => Tested::Walk(assume_role_failed()),
        R::Throttled => Tested::By("restarts::a_throttled_account_is_told_and_clears"),
        R::AwsUnavailable => Tested::Walk(aws_unavailable()),
        R::DuplicateKey => Tested::Walk(whole_object(
            |case| put(case, r#"{"a": "1", "a": "2"}"#),
            &["{ns}/e", "repeats property \"a\""],
        )),
        R::InvalidKey => Tested::Walk(whole_object(
            |case| put(case, r#"{"not a key!": "1"}"#),
            &["{ns}/e", "rename"],
        )),
        R::TooLarge => Tested::Walk(too_large()),
        R::TemplateFailed => Tested::Walk(template_failed()),
        R::RequiredMissing => Tested::Walk(required_missing()),
        R::PlaceholderFound => {
            Tested::By("reasons_more::a_placeholder_is_refused_as_candidate_rejected")
        }
        R::CandidateRejected => {
            Tested::By("reasons_more::a_placeholder_is_refused_as_candidate_rejected")
        }
        R::RuleBroken => Tested::By("reasons_more::a_broken_rule_is_refused_as_candidate_rejected"),
        R::PreflightFailed
        | R::PreflightUnavailable
        | R::WaitingForWindow
        | R::RolledBack
        | R::RollbackFailed => Tested::Issue(5),
        R::TargetConflict => {
            Tested::By("ownership::a_foreign_secret_is_not_touched_and_its_manager_is_named")
        }
        R::KeyConflict => {
            Tested::By("reasons_more::a_key_taken_over_by_somebody_else_is_left_to_them")
        }
        R::TargetMissing => Tested::By("reasons_more::a_missing_merge_target_is_waited_for"),
        R::TargetImmutable => {
            Tested::By("reasons_more::an_immutable_secret_is_told_and_written_anew_once_deleted")
        }
        R::TypeNotAllowed => {
            Tested::By("reasons_more::a_secret_of_a_minting_type_is_never_merged_into")
        }
        R::OperatorForbidden => {
            Tested::By("restarts::a_missing_right_is_named_and_clears_once_given")
        }
        R::Stale => Tested::By("reasons_more::a_value_older_than_stale_after_is_no_longer_ready"),
        R::Suspended => Tested::By("reasons_more::a_suspended_binding_reads_and_writes_nothing"),
        R::TargetNotFound => {
            Tested::By("reasons_rollouts::a_named_workload_that_does_not_exist_is_told")
        }
        R::TooManyTargets => Tested::By(
            "reasons_rollouts::more_workloads_than_one_binding_may_roll_are_told_and_none_is_restarted",
        ),
        R::AlreadyUnhealthy => Tested::By(
            "not_the_value::a_workload_that_was_unhealthy_before_is_not_judged_and_holds_nobody_back",
        ),
        R::Superseded => {
            Tested::By("not_the_value::a_template_edited_in_the_middle_is_its_editors_affair")
        }
        R::Held | R::RolloutFailed => {
            Tested::By("reasons_rollouts::a_rollout_that_does_not_become_healthy_is_held")
        }
        R::Fought => {
            Tested::By("ownership::an_endless_opponent_is_named_as_fought_and_writes_stay_bounded")
        }
    }
}

fn put(case: &Case, value: &str) {
    case.put("e", value);
}

/// A value that nothing is wrong with.
fn good(case: &Case) {
    put(case, &case.value());
}

/// The same as the property `a` of a JSON object.
fn good_json(case: &Case) {
    put(case, &json!({"a": case.value()}).to_string());
}

/// An entry `e` with a value, carried to the key K.
fn simple(broken: Act, cured: Act, says: &'static [&'static str]) -> Walk {
    Walk {
        good: act(good),
        spec: |case| case.one("K", "e"),
        broken,
        cured,
        says,
    }
}

fn secret_not_found() -> Walk {
    simple(
        act(|case| case.world.entries().force_delete(&case.entry("e")).unwrap()),
        act(good),
        &[
            "No secret \"{ns}/e\"",
            ACCOUNT,
            REGION,
            "Check name and region, or create it.",
        ],
    )
}

fn marked_for_deletion() -> Walk {
    simple(
        act(|case| case.world.entries().delete(&case.entry("e"), 7).unwrap()),
        act(|case| case.world.entries().restore(&case.entry("e")).unwrap()),
        &["\"{ns}/e\"", "marked for deletion", "Restore it"],
    )
}

fn stage_missing() -> Walk {
    let blue = |case: &Case| {
        let version = case.put("e", &case.value());
        case.world
            .entries()
            .move_label(&case.entry("e"), "BLUE", &version)
            .unwrap();
    };
    Walk {
        good: act(blue),
        spec: |case| json!({"data": [{"key": "K", "from": {"secret": case.entry("e"), "versionStage": "BLUE"}}]}),
        broken: act(|case| {
            case.world
                .entries()
                .remove_label(&case.entry("e"), "BLUE")
                .unwrap()
        }),
        cured: act(blue),
        says: &["\"{ns}/e\"", "BLUE", "move the label"],
    }
}

/// A property `a` of a JSON entry `e`, broken by another value.
fn property(broken: fn(&Case), says: &'static [&'static str]) -> Walk {
    Walk {
        good: act(good_json),
        spec: |case| json!({"data": [{"key": "K", "from": {"secret": case.entry("e"), "property": "a"}}]}),
        broken: act(broken),
        cured: act(good_json),
        says,
    }
}

/// Every property of a JSON entry `e`, broken by another value.
fn whole_object(broken: fn(&Case), says: &'static [&'static str]) -> Walk {
    Walk {
        spec: |case| json!({"dataFrom": [{"secret": case.entry("e")}]}),
        ..property(broken, says)
    }
}

fn access_denied() -> Walk {
    simple(
        act(|case| case.fault("e", Fault::denied())),
        act(|case| case.mend("e")),
        &[
            "assumed-role/keyferry/",
            "secretsmanager:",
            "GetSecretValue",
            "\"{ns}/e\"",
            "keyferry iam-policy",
        ],
    )
}

fn kms_access_denied() -> Walk {
    let encrypted = |key: &'static str| {
        act(move |case| {
            let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}");
            case.world
                .entries()
                .kms_key(&case.entry("e"), &key)
                .unwrap();
        })
    };
    let says = &["\"{ns}/e\"", "kms:Decrypt", "role keyferry", "key policy"];
    simple(encrypted("closed"), encrypted("open"), says)
}

fn assume_role_failed() -> Walk {
    Walk {
        good: later(|case| async move {
            let role = World::role(&case.namespace)
                .trust_service_account(&case.namespace, "reader")
                .allow(&["secretsmanager:*"], &["*"]);
            case.world.aws.put_role(role);
            case.allow("accounts", json!({"serviceAccounts": ["reader"]}))
                .await;
            good(&case);
            case.annotate_reader(json!(role_arn(&case.namespace))).await;
        }),
        spec: |case| {
            let mut spec = case.one("K", "e");
            spec["source"] = json!({"serviceAccountName": "reader"});
            spec
        },
        broken: later(|case| async move { case.annotate_reader(Value::Null).await }),
        cured: later(
            |case| async move { case.annotate_reader(json!(role_arn(&case.namespace))).await },
        ),
        says: &["{ns}/reader", "eks.amazonaws.com/role-arn", "Add it"],
    }
}

impl Case {
    /// Sets the role annotation of the ServiceAccount `reader`, or takes it off.
    async fn annotate_reader(&self, role: Value) {
        let annotations = json!({"eks.amazonaws.com/role-arn": role});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "reader", "annotations": annotations}});
        let api = self.api::<ServiceAccount>();
        if api.get_opt("reader").await.unwrap().is_none() {
            self.apply(account).await;
        } else {
            api.patch("reader", &PatchParams::default(), &Patch::Merge(account))
                .await
                .unwrap();
        }
    }
}

fn aws_unavailable() -> Walk {
    simple(
        act(|case| case.fault("e", Fault::error(500, "InternalServiceError"))),
        act(|case| case.mend("e")),
        &[
            "Secrets Manager in ap-northeast-2",
            "failed to answer",
            "Next try in",
        ],
    )
}

fn too_large() -> Walk {
    Walk {
        good: act(good),
        // 17 times 65,536 bytes are more than a Secret holds.
        spec: |case| {
            let item =
                |n: usize| json!({"key": format!("K{n}"), "from": {"secret": case.entry("e")}});
            json!({"data": (0..17).map(item).collect::<Vec<_>>()})
        },
        broken: act(|case| {
            let piece = case.plain();
            let long: String = piece.chars().cycle().take(65_536).collect();
            put(case, &long);
        }),
        cured: act(good),
        says: &["1114112 bytes", "split the binding"],
    }
}

fn template_failed() -> Walk {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let encoded = |case: &Case| put(case, &STANDARD.encode(case.value()));
    Walk {
        good: act(encoded),
        spec: |case| {
            let mut spec = case.one("K", "e");
            spec["template"] = json!({"data": {"url": "line one\n{{ K | b64decode }}"}});
            spec
        },
        broken: act(|case| put(case, "!!! this is not base64 !!!")),
        cured: act(encoded),
        says: &["\"url\"", "line 2"],
    }
}

fn required_missing() -> Walk {
    Walk {
        spec: |case| {
            json!({
                "dataFrom": [{"secret": case.entry("e")}], "validate": {"required": ["a"]},
            })
        },
        ..property(
            |case| put(case, r#"{"b": "other"}"#),
            &["Required key a is missing", "spec.validate.required"],
        )
    }
}
