//! What the control plane is, who may enter, and how it ends.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use keyferry_testkit::ControlPlane;
use keyferry_testkit::control_plane::{KUBERNETES_VERSION, Options};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use crate::support::{place, until};

#[tokio::test]
async fn version_is_the_one_the_module_requires() {
    let place = place("version").await;
    let version = place.bed.plane.version().await.unwrap();
    assert_eq!(version, format!("v{KUBERNETES_VERSION}"));
    let output = place
        .bed
        .plane
        .kubectl(&["version", "-o", "json"], None)
        .await
        .unwrap();
    let versions: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(versions["clientVersion"]["gitVersion"], version);
    assert_eq!(versions["serverVersion"]["gitVersion"], version);
}

#[tokio::test]
async fn a_service_account_without_a_role_is_denied_and_with_one_is_not() {
    let place = place("rbac").await;
    let accounts: Api<ServiceAccount> = place.api();
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("reader".into());
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let dir = std::env::temp_dir().join(format!("keyferry-rbac-{}", std::process::id()));
    let plane = &place.bed.plane;
    let path = plane
        .service_account_kubeconfig(&place.namespace, "reader", &dir)
        .await
        .unwrap();
    let config = Kubeconfig::read_from(&path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(client);

    let denied = secrets.list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = denied else {
        panic!("{denied}")
    };
    let user = format!("system:serviceaccount:{}:reader", place.namespace);
    assert_eq!(status.code, 403);
    assert!(status.message.contains(&user), "{}", status.message);

    let account = format!("--serviceaccount={}:reader", place.namespace);
    let args = [
        "create",
        "rolebinding",
        "view",
        "--clusterrole=admin",
        &account,
        "-n",
        &place.namespace,
    ];
    assert!(plane.kubectl(&args, None).await.unwrap().status.success());
    until("the role is in effect", || async {
        secrets.list(&ListParams::default()).await.is_ok()
    })
    .await;
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn tokens_name_their_audience_and_a_key_of_the_key_set() {
    let place = place("tokens").await;
    let plane = &place.bed.plane;
    until("the default ServiceAccount exists", || async {
        place
            .api::<ServiceAccount>()
            .get_opt("default")
            .await
            .unwrap()
            .is_some()
    })
    .await;
    let hour = Duration::from_secs(3600);
    let token = plane
        .service_account_token(&place.namespace, "default", Some("sts.amazonaws.com"), hour)
        .await
        .unwrap();
    let part = |index| -> Value {
        let text = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    assert_eq!(claims["aud"], serde_json::json!(["sts.amazonaws.com"]));
    assert_eq!(claims["iss"], plane.issuer().await.unwrap());
    let subject = format!("system:serviceaccount:{}:default", place.namespace);
    assert_eq!(claims["sub"], subject);
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 3600);
    let keys = plane.jwks().await.unwrap();
    let ids: Vec<&Value> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["kid"])
        .collect();
    assert!(ids.contains(&&header["kid"]), "{ids:?}");
}

#[tokio::test]
async fn audit_log_counts_writes_but_holds_no_bodies() {
    let place = place("audit").await;
    let Some(log) = place.bed.plane.audit_log() else {
        panic!(
            "no audit log beside {}",
            place.bed.plane.kubeconfig().display()
        );
    };
    place
        .secret("audited", serde_json::json!({"key": "not-in-the-log"}))
        .await;
    let lines = || {
        let text = fs::read_to_string(&log).unwrap();
        assert!(!text.contains("not-in-the-log"));
        let entries = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries
            .filter(|entry| entry["objectRef"]["namespace"] == *place.namespace)
            .filter(|entry| entry["objectRef"]["name"] == "audited")
            .map(|entry| entry["verb"].clone())
            .collect::<Vec<_>>()
    };
    until("the write is logged", || async { !lines().is_empty() }).await;
    place.api::<Secret>().get("audited").await.unwrap();
    assert_eq!(lines(), ["patch"]);
}

#[tokio::test]
async fn namespace_deletion_completes() {
    let place = place("deletion").await;
    place
        .secret("some", serde_json::json!({"key": "value"}))
        .await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(place.client.clone());
    place.delete_namespace().await;
    until("the namespace is gone", || async {
        namespaces
            .get_opt(&place.namespace)
            .await
            .unwrap()
            .is_none()
    })
    .await;
}

/// A process that ended and that nobody has waited for yet does not run either.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .trim_start()
        .chars()
        .next();
    !matches!(state, None | Some('Z' | 'X'))
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_process_is_left_behind_by_a_stop_or_a_killed_supervisor() {
    for killed in [false, true] {
        let plane = ControlPlane::built(Options::default()).await.unwrap();
        let supervisor = plane.pid().unwrap();
        let dir = plane.kubeconfig().parent().unwrap().to_owned();
        let all = children(supervisor);
        assert_eq!(all.len(), 3, "API server, controllers, scheduler");
        assert!(all.iter().copied().all(runs));
        if killed {
            let pid = supervisor.to_string();
            assert!(
                std::process::Command::new("kill")
                    .args(["-KILL", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
        } else {
            plane.stop();
            assert!(!dir.exists(), "{} is left", dir.display());
        }
        until("all processes are gone", || async {
            !all.iter().copied().any(runs) && !runs(supervisor)
        })
        .await;
        let _ = fs::remove_dir_all(dir);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_of_programs_serves_as_well_and_a_missing_one_is_named() {
    let program = ControlPlane::program().await.unwrap();
    let assets = std::env::temp_dir().join(format!("keyferry-assets-{}", std::process::id()));
    fs::create_dir_all(&assets).unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(&program, assets.join(name)).unwrap();
    link("etcd");
    link("kube-apiserver");
    let missing = ControlPlane::from_assets(&assets, Options::default())
        .await
        .unwrap_err();
    assert!(
        missing.to_string().ends_with("no kubectl there"),
        "{missing}"
    );
    link("kubectl");
    for controllers in [false, true] {
        if controllers {
            link("kube-controller-manager");
            link("kube-scheduler");
        }
        let plane = ControlPlane::from_assets(&assets, Options::default())
            .await
            .unwrap();
        let dir = plane.kubeconfig().parent().unwrap().to_owned();
        let args = ["create", "deployment", "web", "--image=web:1"];
        assert!(plane.kubectl(&args, None).await.unwrap().status.success());
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::default_namespaced(plane.client().await.unwrap());
        if controllers {
            until("controllers made the pod", || async {
                pods.list(&ListParams::default()).await.unwrap().items.len() == 1
            })
            .await;
        }
        assert!(plane.jwks().await.unwrap()["keys"][0]["kid"].is_string());
        let again = ControlPlane::existing(plane.kubeconfig()).await.unwrap();
        again.stop(); // somebody else's cluster: it goes on
        assert!(plane.version().await.is_ok());
        plane.stop();
        assert!(!dir.exists());
    }
    fs::remove_dir_all(assets).unwrap();
}
