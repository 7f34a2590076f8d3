//! Manifests that are applied again after a rotation, as pipelines do: the marker belongs to keyferry
//! alone, so it stays where others merge, and where they replace it nothing is restarted twice.

use serde_json::{Value, json};

use crate::{
    case::{Case, revision},
    workload::{Moment, Uses, deployment},
};

crate::tests![tests:
    a_manifest_applied_again_by_kubectl_restarts_nothing,
    a_manifest_applied_again_by_another_manager_restarts_nothing,
    a_helm_upgrade_restarts_nothing,
    a_manifest_that_replaces_is_one_restart_and_keyferry_adds_none,
    a_rollout_undone_is_one_restart_and_keyferry_adds_none,
];

async fn a_manifest_applied_again_by_kubectl_restarts_nothing(case: Case) {
    let apply = ["apply", "-f", "-"];
    case.kubectl_ok(&apply).await;
    let rotated = case.rotated().await;
    case.kubectl_ok(&apply).await;
    case.stays(&rotated).await;
}

async fn a_manifest_applied_again_by_another_manager_restarts_nothing(case: Case) {
    case.kubectl_ok(&["apply", "-f", "-"]).await;
    let mut rotated = case.rotated().await;
    let other = [
        "apply",
        "--server-side",
        "--field-manager=other",
        "--force-conflicts",
        "-f",
        "-",
    ];
    // The first takes the fields over; the second could remove what the first owned.
    for _ in 0..2 {
        case.kubectl_ok(&other).await;
    }
    // The API server counts one generation for the first server-side apply of what a client applied,
    // keyferry or not; template and pods are the same.
    rotated.marked.generation += 1;
    case.stays(&rotated).await;
}

async fn a_helm_upgrade_restarts_nothing(case: Case) {
    let chart = tempfile::tempdir().unwrap();
    let templates = chart.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let about = json!({"apiVersion": "v2", "name": "web", "version": "1.0.0"});
    std::fs::write(chart.path().join("Chart.yaml"), about.to_string()).unwrap();
    std::fs::write(templates.join("web.yaml"), manifest().to_string()).unwrap();
    let chart = chart.path().to_str().unwrap();
    case.helm_ok(&["install", "web", chart]).await;
    let rotated = case.rotated().await;
    for _ in 0..2 {
        case.helm_ok(&["upgrade", "web", chart]).await;
    }
    case.stays(&rotated).await;
}

async fn a_manifest_that_replaces_is_one_restart_and_keyferry_adds_none(case: Case) {
    case.kubectl_ok(&["apply", "-f", "-"]).await;
    let rotated = case.rotated().await;
    case.kubectl_ok(&["replace", "-f", "-"]).await;
    case.restarts_once(&rotated).await;
}

async fn a_rollout_undone_is_one_restart_and_keyferry_adds_none(case: Case) {
    case.kubectl_ok(&["apply", "-f", "-"]).await;
    let rotated = case.rotated().await;
    case.kubectl_ok(&["rollout", "undo", "deployment/web"])
        .await;
    case.restarts_once(&rotated).await;
}

/// The Deployment as its owner keeps it.
fn manifest() -> Value {
    deployment("web", 2, &[Uses::EnvFrom("app")])
}

/// After the rotation.
struct Rotated {
    /// Of the Deployment that was never marked.
    original: Moment,
    marked: Moment,
    marker: Value,
    value: String,
}

impl Case {
    async fn kubectl_ok(&self, args: &[&str]) {
        let output = self.kubectl(args, Some(&manifest().to_string())).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    async fn helm_ok(&self, args: &[&str]) {
        let all = [args, &["--namespace", &self.namespace]].concat();
        let output = self.world.plane.helm(&all).await.unwrap();
        self.world.channels.shown(&output.stdout);
        self.world.channels.shown(&output.stderr);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// The entry of the Deployment that is there gets a new value, which its pods then run with.
    async fn rotated(&self) -> Rotated {
        self.put("db", &self.value());
        self.rolling("app", "PASSWORD", "db").await;
        let original = self.settled("web").await;
        self.rolled_out("app", "True", "Synced").await;
        let value = self.value();
        let marked = self.rotate_to(&value).await;
        assert_eq!(marked.generation, original.generation + 1);
        let marker = self.marker().await;
        assert!(marker.is_string(), "the template is marked");
        Rotated {
            original,
            marked,
            marker,
            value,
        }
    }

    async fn rotate_to(&self, value: &str) -> Moment {
        let version = self.put("db", value);
        self.refresh("app").await;
        self.rolled_out_at("app", &version).await;
        let moment = self.settled("web").await;
        assert!(self.all_captured("web", "PASSWORD", value));
        moment
    }

    async fn marker(&self) -> Value {
        let deployments = self.api::<k8s_openapi::api::apps::v1::Deployment>();
        let found = serde_json::to_value(deployments.get("web").await.unwrap()).unwrap();
        found["spec"]["template"]["metadata"]["annotations"]["rollout.keyferry.dev/app"].clone()
    }

    async fn stays(&self, rotated: &Rotated) {
        self.state_is_true(&rotated.value).await;
        assert_eq!(
            self.settled("web").await,
            rotated.marked,
            "nothing restarts"
        );
        assert_eq!(self.marker().await, rotated.marker, "the marker stays");
        self.next_rotation_is_one_restart(&rotated.marked).await;
    }

    /// Others took the marker away, which restarts the pods: with the Secret as it is.
    async fn restarts_once(&self, rotated: &Rotated) {
        let alone = self.settled("web").await;
        assert_eq!(alone.generation, rotated.marked.generation + 1);
        assert_eq!(alone.hash, rotated.original.hash, "their own template");
        assert!(alone.pods.is_disjoint(&rotated.marked.pods));
        self.state_is_true(&rotated.value).await;
        assert_eq!(self.settled("web").await, alone, "keyferry adds nothing");
        self.next_rotation_is_one_restart(&alone).await;
    }

    /// A whole pass later the status tells what the pods run with.
    async fn state_is_true(&self, value: &str) {
        self.refresh("app").await;
        let status = self.rolled_out("app", "True", "Synced").await;
        let held = json!(revision(&self.secret("app").await));
        let told = &status["rollouts"][0];
        assert_eq!((&told["delivered"], &told["wanted"]), (&held, &held));
        assert_eq!(told["state"], "Healthy");
        assert!(self.all_captured("web", "PASSWORD", value));
    }

    /// Whatever was still on its way would be a second change of the template.
    async fn next_rotation_is_one_restart(&self, before: &Moment) {
        let after = self.rotate_to(&self.value()).await;
        assert_eq!(after.generation, before.generation + 1);
    }
}
