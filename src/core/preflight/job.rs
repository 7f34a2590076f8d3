//! The Job that tries a candidate: all of it is ours, but image, command, literals and amounts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    api::names,
    core::{ownership::reference, recipe::PreflightRecipe},
};

/// User and group of the program: no image needs to be made for it.
const NOBODY: i64 = 65_532;
/// How long a program that is stopped may take to end, in seconds.
const GRACE_SECONDS: i64 = 5;
/// When a Job goes that nobody has looked at: an operator that is gone clears nothing away.
const FORGOTTEN_SECONDS: i64 = 86_400;

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct JobPlan<'a> {
    /// Name of the Job.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Name of the binding.
    pub binding: &'a str,
    /// Uid of the binding.
    pub binding_uid: &'a str,
    /// Name of the Secret that holds the candidate.
    pub secret: &'a str,
    /// The program.
    pub recipe: &'a PreflightRecipe,
}

/// The Job. It names the candidate's Secret and holds none of its values.
///
/// The pod has no token and no volume, and keeps to the restricted Pod Security Standard. `NOBODY` is set
/// because most images, those of databases too, are made for root, which `runAsNonRoot` alone refuses.
pub fn job(plan: &JobPlan<'_>) -> Value {
    let recipe = plan.recipe;
    let labels = json!({names::LABEL_PART_OF: plan.binding});
    // With `showMessage` what a failed program printed last stands in for a message it did not write.
    let policy = match recipe.show_message {
        true => "FallbackToLogsOnError",
        false => "File",
    };
    let env: Vec<Value> = recipe
        .env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let container = json!({
        "name": "preflight",
        "image": recipe.image,
        "command": recipe.command,
        "args": recipe.args,
        "env": env,
        "envFrom": [{"secretRef": {"name": plan.secret}}],
        "resources": {"requests": recipe.requests, "limits": recipe.limits},
        "terminationMessagePolicy": policy,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": plan.name, "namespace": plan.namespace, "labels": labels,
            "ownerReferences": [reference(plan.binding, plan.binding_uid)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": seconds(recipe.timeout),
            "ttlSecondsAfterFinished": FORGOTTEN_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": GRACE_SECONDS,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": NOBODY, "runAsGroup": NOBODY,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                },
            },
        },
    })
}

fn seconds(timeout: Duration) -> u64 {
    timeout.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use k8s_openapi::api::batch::v1::Job;

    use super::*;

    fn made() -> Value {
        let recipe = PreflightRecipe {
            image: "postgres:17".to_owned(),
            command: vec!["psql".to_owned()],
            env: vec![("PGCONNECT_TIMEOUT".to_owned(), "10".to_owned())],
            limits: [("memory", "64Mi".to_owned())].into(),
            timeout: Duration::from_secs(60),
            ..PreflightRecipe::default()
        };
        job(&JobPlan {
            name: "ai-preflight-0123456789",
            namespace: "estate",
            binding: "ai",
            binding_uid: "u",
            secret: "estate-ai-keyferry-candidate",
            recipe: &recipe,
        })
    }

    #[test]
    fn it_is_a_job_and_no_field_gets_lost() {
        let typed: Job = serde_json::from_value(made()).unwrap();
        let spec = serde_json::to_value(typed).unwrap()["spec"].clone();
        assert_eq!(spec, made()["spec"]);
    }

    #[test]
    fn nothing_but_the_candidate_reaches_the_program_and_nobody_restarts_it() {
        let job = made();
        let spec = &job["spec"];
        assert_eq!(
            (&spec["backoffLimit"], &spec["activeDeadlineSeconds"]),
            (&json!(0), &json!(60))
        );
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod.get("volumes"), None);
        assert_eq!(pod.get("serviceAccountName"), None);
        let container = &pod["containers"][0];
        let from = json!([{"secretRef": {"name": "estate-ai-keyferry-candidate"}}]);
        assert_eq!(container["envFrom"], from);
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    }

    /// Source: Pod Security Standards, profile Restricted.
    #[test]
    fn the_pod_keeps_to_the_restricted_profile() {
        let pod = made()["spec"]["template"]["spec"].clone();
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let context = &pod["containers"][0]["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(pod.get(field), None);
        }
    }

    #[test]
    fn it_goes_with_its_binding_and_is_found_by_its_label() {
        let job = made();
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u");
        let label = |meta: &Value| meta["labels"]["keyferry.dev/part-of"].clone();
        assert_eq!(label(&job["metadata"]), "ai");
        assert_eq!(label(&job["spec"]["template"]["metadata"]), "ai");
    }
}
