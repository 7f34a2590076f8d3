//! The proxy between a writer and the API server: what it counts, and whom it kills when.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use keyferry_testkit::api_proxy::{ApiProxy, Moment};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Place, place};

const LIMIT: Duration = Duration::from_secs(30);

/// A namespace and a proxied way into it, for a ServiceAccount that may do everything there.
struct Way {
    place: Place,
    proxy: ApiProxy,
    maps: Api<ConfigMap>,
}

impl Way {
    async fn new() -> Self {
        let place = place("proxied").await;
        let account = from::<ServiceAccount>(json!({"metadata": {"name": "writer"}}));
        let accounts: Api<ServiceAccount> = place.api();
        accounts
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
        let binding = from::<RoleBinding>(json!({
            "metadata": {"name": "writer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": place.namespace}],
        }));
        let bindings: Api<RoleBinding> = place.api();
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();

        let (plane, dir) = (
            &place.bed.plane,
            std::env::temp_dir().join(&place.namespace),
        );
        let direct = plane.service_account_kubeconfig(&place.namespace, "writer", &dir);
        let direct = direct.await.unwrap();
        let proxy = ApiProxy::start(plane.kubeconfig()).await.unwrap();
        let config = Kubeconfig::read_from(proxy.kubeconfig(&direct).unwrap()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(config, &options)
            .await
            .unwrap();
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        Self {
            maps: Api::namespaced(client, &place.namespace),
            place,
            proxy,
        }
    }

    /// Writes `name` with a new number.
    async fn write(&self, name: &str, number: u32) -> kube::Result<ConfigMap> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"number": number.to_string()}});
        self.maps
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(map))
            .await
    }

    /// What is stored, asked for past the proxy.
    async fn stored(&self, name: &str) -> Option<String> {
        let direct: Api<ConfigMap> = self.place.api();
        let found = direct.get_opt(name).await.unwrap()?;
        found.data?.get("number").cloned()
    }

    /// A process that would live on; it is killed at the second write of `b`, and its exit signal told.
    async fn killed(&self, moment: Moment) -> Option<i32> {
        let mut child = Command::new("sleep")
            .arg("600")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut count = 0;
        self.proxy.kill(child.id(), moment, move |write| {
            count += usize::from(write.name == "b");
            count == 2
        });
        for (name, number) in [("a", 1), ("b", 1), ("a", 2)] {
            self.write(name, number).await.unwrap();
        }
        let unheard = tokio::time::timeout(Duration::from_secs(2), self.write("b", 2)).await;
        assert!(unheard.is_err(), "the answer is never heard");
        let at = self.proxy.until_killed(LIMIT).await.unwrap();
        assert_eq!(at, 3, "{:?}", self.proxy.writes());
        let read = tokio::time::timeout(Duration::from_secs(1), self.maps.get("a")).await;
        assert!(read.is_err(), "nothing passes while it is shut");
        let ended = tokio::time::timeout(LIMIT, child.wait()).await;
        ended.expect("it is killed").unwrap().signal()
    }

    fn shown(&self) -> Vec<String> {
        let writes = self.proxy.writes().into_iter();
        let shown = writes.map(|write| write.to_string());
        shown
            .map(|text| text.replace(&self.place.namespace, "ns"))
            .collect()
    }
}

fn from<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn a_kill_before_a_write_leaves_it_undone_and_after_it_done() {
    for (moment, stored, code) in [(Moment::Before, "1", ""), (Moment::After, "2", " -> 200")] {
        let way = Way::new().await;
        assert_eq!(way.killed(moment).await, Some(9), "{moment:?}");
        assert_eq!(way.stored("b").await.as_deref(), Some(stored), "{moment:?}");
        way.proxy.open();
        way.write("c", 1).await.unwrap();
        let last = format!("PATCH configmaps ns/b{code}");
        assert_eq!(
            way.shown(),
            [
                "PATCH configmaps ns/a -> 201",
                "PATCH configmaps ns/b -> 201",
                "PATCH configmaps ns/a -> 200",
                &last,
                "PATCH configmaps ns/c -> 201",
            ]
        );
    }
}

#[tokio::test]
async fn refusals_are_noted_and_the_servers_own_words_come_back() {
    let way = Way::new().await;
    way.write("a", 1).await.unwrap();
    let again = from::<ConfigMap>(json!({"metadata": {"name": "a"}}));
    let refused = way.maps.create(&PostParams::default(), &again).await;
    assert!(refused.is_err_and(|e| matches!(e, kube::Error::Api(s) if s.is_already_exists())));
    assert_eq!(way.shown()[1], "POST configmaps ns/a -> 409");
}

#[tokio::test]
async fn watches_stream_through() {
    let way = Way::new().await;
    let mut events = way
        .maps
        .watch(&WatchParams::default().fields("metadata.name=a"), "0")
        .await
        .unwrap()
        .boxed();
    for number in 1..=3 {
        way.write("a", number).await.unwrap();
        let next = async {
            loop {
                match events.next().await.unwrap().unwrap() {
                    WatchEvent::Added(map) | WatchEvent::Modified(map) => return map,
                    _ => {}
                }
            }
        };
        let seen = tokio::time::timeout(LIMIT, next).await.unwrap();
        assert_eq!(seen.data.unwrap()["number"], number.to_string());
    }
}

#[tokio::test]
async fn a_request_without_credentials_gets_none_from_the_proxy() {
    let way = Way::new().await;
    let mut config = kube::Config::new(way.proxy.url().parse().unwrap());
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, &way.place.namespace);
    let refused = maps.list(&Default::default()).await;
    let refused = refused.err().and_then(|e| match e {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    });
    assert!(matches!(refused, Some(401 | 403)), "{refused:?}");
}
