//! The watches that fill the views. Each is a stream that never ends: what fails is logged and goes on
//! after kube's back-off.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{
    binding::BindingObject,
    head::Head,
    views::{Views, Wake},
};
use crate::api::{SecretAccessPolicy, names};

/// Objects a page: a list's peak memory follows it (56 against 68 MiB with 500 at 10,000 bindings).
const PAGE_SIZE: u32 = 100;

/// What the watches found, woken binding by woken binding.
pub type Wakes = stream::BoxStream<'static, Vec<Wake>>;

/// Which watches to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Namespaces; empty: the whole cluster, with policies and namespace labels.
    pub namespaces: Vec<String>,
    /// ServiceAccounts too.
    pub service_accounts: bool,
}

/// All watches of a plan in one stream.
pub fn watches(client: &Client, views: &Arc<Views>, plan: &Plan) -> Wakes {
    let mut all: Vec<Wakes> = Vec::new();
    let scopes = if plan.namespaces.is_empty() {
        vec![String::new()]
    } else {
        plan.namespaces.clone()
    };
    for scope in &scopes {
        let label = format!("{}=true", names::LABEL_MANAGED);
        all.push(watch(
            api::<BindingObject>(client, scope),
            config(),
            views,
            scope,
            Views::on_binding,
        ));
        let secrets = api::<Head<Secret>>(client, scope);
        all.push(watch(
            secrets,
            config().labels(&label),
            views,
            scope,
            Views::on_secret,
        ));
        if plan.service_accounts {
            let accounts = api::<Head<ServiceAccount>>(client, scope);
            all.push(watch(
                accounts,
                config(),
                views,
                scope,
                Views::on_service_account,
            ));
        }
    }
    if plan.namespaces.is_empty() {
        let policies = Api::<SecretAccessPolicy>::all(client.clone());
        all.push(watch(policies, config(), views, "", Views::on_policy));
        let namespaces = Api::<Head<Namespace>>::all(client.clone());
        all.push(watch(namespaces, config(), views, "", Views::on_namespace));
    }
    stream::select_all(all).boxed()
}

fn config() -> Config {
    Config::default().page_size(PAGE_SIZE)
}

fn api<K>(client: &Client, scope: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    if scope.is_empty() {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), scope)
    }
}

fn watch<K>(
    api: Api<K>,
    config: Config,
    views: &Arc<Views>,
    scope: &str,
    handle: fn(&Views, &str, Event<K>) -> Vec<Wake>,
) -> Wakes
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (views, scope) = (Arc::clone(views), scope.to_owned());
    let events = watcher(api, config).default_backoff();
    handled::<K>(events, move |event| handle(&views, &scope, event)).boxed()
}

fn handled<K: Resource<DynamicType = ()>>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    handle: impl Fn(Event<K>) -> Vec<Wake> + Send,
) -> impl Stream<Item = Vec<Wake>> + Send {
    events.map(move |event| match event {
        Ok(event) => handle(event),
        Err(error) => {
            tracing::warn!(kind = %K::kind(&()), error = trouble(&error), "watch interrupted, it goes on");
            Vec::new()
        }
    })
}

/// The error's kind; its text may quote a body.
fn trouble(error: &watcher::Error) -> String {
    let inner = |error: &kube::Error| match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        _ => "no answer".to_owned(),
    };
    match error {
        watcher::Error::InitialListFailed(e) => format!("list: {}", inner(e)),
        watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => {
            format!("watch: {}", inner(e))
        }
        watcher::Error::WatchError(status) => format!("watch: {} {}", status.code, status.reason),
        watcher::Error::NoResourceVersion => "no resourceVersion".to_owned(),
    }
}
