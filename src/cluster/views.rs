//! What the watches have shown: in-memory tables, and which bindings a change concerns.
//!
//! Owns no client and makes no decision about a binding; it only says whom to wake.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;

use super::{
    binding::{BindingObject, BindingRow, ObjectKey, is_newer},
    head::Head,
    owned::Secrets,
    rows::{SecretRow, ServiceAccountRow},
    table::Table,
};
use crate::api::SecretAccessPolicy;

/// What a watch event asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody waits: a new binding, an edit, a refresh, a cure.
    Now(ObjectKey),
    /// The Secret was touched, perhaps by ourselves.
    Touched(ObjectKey),
    /// The binding is gone.
    Gone(ObjectKey),
}

/// The tables.
#[derive(Default)]
pub struct Views {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    bindings: Table<ObjectKey, BindingRow>,
    by_namespace: HashMap<String, BTreeSet<String>>,
    secrets: Secrets,
    policies: Table<String, SecretAccessPolicy>,
    service_accounts: Table<ObjectKey, ServiceAccountRow>,
    namespaces: Table<String, BTreeMap<String, String>>,
    /// Bindings whose status is being written by us: the watch may show it before the reply does.
    writing: BTreeSet<ObjectKey>,
    /// Bindings in which a reply has shown what somebody asks for, before the watch did.
    owed: BTreeSet<ObjectKey>,
}

impl Views {
    /// The binding of a key.
    pub fn binding(&self, key: &ObjectKey) -> Option<Arc<BindingRow>> {
        self.inner.lock().bindings.get(key)
    }

    /// Every binding's key.
    pub fn binding_keys(&self) -> Vec<ObjectKey> {
        let inner = self.inner.lock();
        inner.bindings.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Every binding of a namespace.
    pub fn bindings_in(&self, namespace: &str) -> Vec<(ObjectKey, Arc<BindingRow>)> {
        self.inner.lock().in_namespace(namespace)
    }

    /// Namespaces with a binding that rolls workloads.
    pub fn rolling_namespaces(&self) -> BTreeSet<String> {
        let inner = self.inner.lock();
        inner
            .bindings
            .iter()
            .filter(|(_, r)| r.rolls)
            .map(|(k, _)| k.namespace.clone())
            .collect()
    }

    /// Number of bindings.
    pub fn binding_count(&self) -> usize {
        self.inner.lock().bindings.len()
    }

    /// The managed Secret of a key.
    pub fn secret(&self, key: &ObjectKey) -> Option<Arc<SecretRow>> {
        self.inner.lock().secrets.get(key)
    }

    /// Managed Secrets that name this binding as theirs.
    pub fn secrets_of(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        self.inner.lock().secrets.of(key)
    }

    /// Managed Secrets that hold keys this binding has merged into them.
    pub fn merged_by(&self, key: &ObjectKey) -> Vec<ObjectKey> {
        self.inner.lock().secrets.merged_by(key)
    }

    /// The access policies, or `None` before they were listed.
    pub fn policies(&self) -> Option<Vec<Arc<SecretAccessPolicy>>> {
        let inner = self.inner.lock();
        (inner.policies.listed() > 0)
            .then(|| inner.policies.iter().map(|(_, p)| Arc::clone(p)).collect())
    }

    /// Labels of a namespace, or `None` when it was not seen.
    pub fn namespace_labels(&self, namespace: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.inner.lock().namespaces.get(&namespace.to_owned())
    }

    /// A ServiceAccount.
    pub fn service_account(&self, key: &ObjectKey) -> Option<Arc<ServiceAccountRow>> {
        self.inner.lock().service_accounts.get(key)
    }

    /// Our own status write begins: the watch may show it before the reply arrives.
    pub fn begin_write(&self, key: &ObjectKey) {
        self.inner.lock().writing.insert(key.clone());
    }

    /// Our own status write has ended, well or not.
    pub fn end_write(&self, key: &ObjectKey) {
        self.inner.lock().writing.remove(key);
    }

    /// Takes in a binding that a write or a GET returned, unless the watch has shown a newer one, or that it is gone:
    /// a reply may be handled late. What somebody asks for in it is answered when the watch shows it too.
    pub fn put_binding(&self, object: BindingObject) {
        let mut inner = self.inner.lock();
        let key = ObjectKey::of(&object.metadata);
        let row = BindingRow::new(object);
        let Some(before) = inner.bindings.get(&key) else {
            return;
        };
        if is_newer(&before.resource_version, &row.resource_version) {
            return;
        }
        let asks = !before.asks_the_same(&row);
        inner.bindings.replace(&key, row);
        if asks {
            inner.owed.insert(key);
        }
    }

    /// How many scopes of bindings and of Secrets have been listed.
    pub fn listed(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.bindings.listed(), inner.secrets.listed())
    }

    /// How many scopes of ServiceAccounts and of namespaces have been listed.
    pub fn listed_identities(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.service_accounts.listed(), inner.namespaces.listed())
    }

    /// An event of the binding watch of a scope: a namespace, or the empty word for all.
    pub fn on_binding(&self, scope: &str, event: Event<BindingObject>) -> Vec<Wake> {
        let mut inner = self.inner.lock();
        match event {
            Event::Init => {
                inner.bindings.begin_relist(scope);
                Vec::new()
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let put = inner.put_binding(object);
                let owed = inner.owed.remove(&put.key);
                let wakes = owed || put.asks || put.foreign;
                wakes.then_some(Wake::Now(put.key)).into_iter().collect()
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object.metadata);
                inner.bindings.remove(&key);
                inner.owed.remove(&key);
                inner.unlist(&key);
                vec![Wake::Gone(key)]
            }
            Event::InitDone => {
                let gone = inner.bindings.end_relist(scope, |key| within(scope, key));
                gone.iter().for_each(|(key, _)| inner.unlist(key));
                gone.into_iter().map(|(key, _)| Wake::Gone(key)).collect()
            }
        }
    }

    /// An event of the Secret watch. Wakes the bindings of a Secret that is not as they left it.
    pub fn on_secret(&self, scope: &str, event: Event<Head<Secret>>) -> Vec<Wake> {
        let mut inner = self.inner.lock();
        match event {
            Event::Init => {
                inner.secrets.begin_relist(scope);
                Vec::new()
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let key = ObjectKey::of(&object.metadata);
                let row = SecretRow::new(object.metadata);
                let wakes = inner.owners(&key, &row);
                inner.secrets.put(key, row);
                wakes
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object.metadata);
                let row = inner.secrets.remove(&key);
                row.map(|row| inner.owners(&key, &row)).unwrap_or_default()
            }
            Event::InitDone => {
                let gone = inner.secrets.end_relist(scope, |key| within(scope, key));
                gone.iter()
                    .flat_map(|(key, row)| inner.owners(key, row))
                    .collect()
            }
        }
    }

    /// An event of the policy watch. Any change may cure any binding.
    pub fn on_policy(&self, scope: &str, event: Event<SecretAccessPolicy>) -> Vec<Wake> {
        let mut inner = self.inner.lock();
        let name = |p: &SecretAccessPolicy| p.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => {
                inner.policies.begin_relist(scope);
                return Vec::new();
            }
            Event::InitApply(policy) => {
                inner.policies.put(name(&policy), policy);
                return Vec::new();
            }
            Event::Apply(policy) => {
                inner.policies.put(name(&policy), policy);
            }
            Event::Delete(policy) => {
                inner.policies.remove(&name(&policy));
            }
            Event::InitDone => {
                inner.policies.end_relist(scope, |_| true);
            }
        }
        inner.judged_by_policies()
    }

    /// An event of the ServiceAccount watch. Wakes the bindings that read as a changed one.
    pub fn on_service_account(&self, scope: &str, event: Event<Head<ServiceAccount>>) -> Vec<Wake> {
        let mut inner = self.inner.lock();
        match event {
            Event::Init => inner.service_accounts.begin_relist(scope),
            Event::InitDone => {
                inner
                    .service_accounts
                    .end_relist(scope, |key| within(scope, key));
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(&object.metadata);
                inner.service_accounts.remove(&key);
                return inner.readers_as(&key);
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let key = ObjectKey::of(&object.metadata);
                let row = ServiceAccountRow::new(object.metadata);
                let before = inner.service_accounts.put(key.clone(), row.clone());
                if before.as_deref() != Some(&row) {
                    return inner.readers_as(&key);
                }
            }
        }
        Vec::new()
    }

    /// An event of the Namespace watch. New labels may cure the bindings of that namespace.
    pub fn on_namespace(&self, scope: &str, event: Event<Head<Namespace>>) -> Vec<Wake> {
        let mut inner = self.inner.lock();
        match event {
            Event::Init => inner.namespaces.begin_relist(scope),
            Event::InitDone => {
                inner.namespaces.end_relist(scope, |_| true);
            }
            Event::Delete(object) => {
                inner
                    .namespaces
                    .remove(&object.metadata.name.unwrap_or_default());
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let name = object.metadata.name.unwrap_or_default();
                let labels = object.metadata.labels.unwrap_or_default();
                let before = inner.namespaces.put(name.clone(), labels.clone());
                if before.is_some_and(|before| *before != labels) {
                    return inner
                        .in_namespace(&name)
                        .into_iter()
                        .map(|(k, _)| Wake::Now(k))
                        .collect();
                }
            }
        }
        Vec::new()
    }
}

/// True when the key lies in the scope of a watch.
fn within(scope: &str, key: &ObjectKey) -> bool {
    scope.is_empty() || key.namespace == scope
}

/// What is new in a binding that was taken in; nothing in one that is older than ours.
struct Put {
    key: ObjectKey,
    /// Somebody asks for something else than before.
    asks: bool,
    /// Somebody else wrote our status.
    foreign: bool,
}

impl Inner {
    fn put_binding(&mut self, object: BindingObject) -> Put {
        let key = ObjectKey::of(&object.metadata);
        let row = BindingRow::new(object);
        let before = self.bindings.get(&key);
        let stale = before.as_ref().is_some_and(|b| {
            b.uid == row.uid && is_newer(&b.resource_version, &row.resource_version)
        });
        if stale {
            self.bindings.stamp(&key);
            return Put {
                key,
                asks: false,
                foreign: false,
            };
        }
        let asks = before
            .as_ref()
            .is_none_or(|before| !before.asks_the_same(&row));
        // Somebody else wrote our status: the copy is newer than ours and its status differs.
        let foreign = !self.writing.contains(&key)
            && before
                .as_ref()
                .is_some_and(|before| !before.same_status(&row));
        self.by_namespace
            .entry(key.namespace.clone())
            .or_default()
            .insert(key.name.clone());
        self.bindings.put(key.clone(), row);
        Put { key, asks, foreign }
    }

    fn unlist(&mut self, key: &ObjectKey) {
        if let Some(names) = self.by_namespace.get_mut(&key.namespace) {
            names.remove(&key.name);
            if names.is_empty() {
                self.by_namespace.remove(&key.namespace);
            }
        }
    }

    fn in_namespace(&self, namespace: &str) -> Vec<(ObjectKey, Arc<BindingRow>)> {
        let names = self.by_namespace.get(namespace).into_iter().flatten();
        names
            .map(|name| ObjectKey::new(namespace, name))
            .filter_map(|key| self.bindings.get(&key).map(|row| (key, row)))
            .collect()
    }

    /// Bindings that own the Secret or merge into it, and any that wants to write it.
    fn owners(&self, key: &ObjectKey, row: &SecretRow) -> Vec<Wake> {
        let named = row
            .bindings()
            .map(|name| ObjectKey::new(&key.namespace, name));
        named
            .filter(|k| self.bindings.get(k).is_some())
            .map(Wake::Touched)
            .collect()
    }

    fn readers_as(&self, account: &ObjectKey) -> Vec<Wake> {
        let reads_as = |row: &BindingRow| row.service_account.as_ref() == Some(&account.name);
        self.in_namespace(&account.namespace)
            .into_iter()
            .filter(|(_, row)| reads_as(row))
            .map(|(key, _)| Wake::Now(key))
            .collect()
    }

    /// Those that wait for a policy are tried; for the others it is enough to look whether they still may.
    fn judged_by_policies(&self) -> Vec<Wake> {
        let wake = |(key, row): (&ObjectKey, &Arc<BindingRow>)| {
            if row.waits_for_policy {
                Wake::Now(key.clone())
            } else {
                Wake::Touched(key.clone())
            }
        };
        self.bindings.iter().map(wake).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn binding(version: &str, token: Option<&str>, status: u64) -> BindingObject {
        let object = json!({
            "metadata": {
                "name": "b", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": version,
                "annotations": token.map(|token| json!({"keyferry.dev/refresh": token})),
            },
            "spec": {},
            "status": {"observedGeneration": status},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_answered_also_where_a_reply_shows_it_before_the_watch() {
        let wakes = |views: &Views, object| views.on_binding("", Event::Apply(object)).len();
        let views = Views::default();
        assert_eq!(wakes(&views, binding("1", None, 1)), 1, "a new one");
        // Our own status, by its reply: nobody asks for anything.
        views.put_binding(binding("2", None, 2));
        assert_eq!(wakes(&views, binding("2", None, 2)), 0);
        // The reply of a write or a GET holds a request that the watch has not shown yet.
        views.put_binding(binding("4", Some("now"), 3));
        assert_eq!(
            wakes(&views, binding("3", Some("now"), 2)),
            1,
            "an older event tells it as well"
        );
        assert_eq!(wakes(&views, binding("4", Some("now"), 3)), 0, "once");
    }

    #[test]
    fn a_reply_that_is_handled_late_brings_nothing_back() {
        let of = |uid: &str, version: &str| {
            let mut object = binding(version, None, 1);
            object.metadata.uid = Some(uid.to_owned());
            object
        };
        let views = Views::default();
        let key = ObjectKey::of(&of("u", "1").metadata);
        let uid = || views.binding(&key).map(|row| row.uid.clone());
        views.on_binding("", Event::Apply(of("u", "1")));
        views.on_binding("", Event::Delete(of("u", "3")));
        views.put_binding(of("u", "2"));
        assert_eq!(uid(), None, "it is gone");
        assert_eq!(views.bindings_in("n").len(), 0);

        views.on_binding("", Event::Apply(of("v", "5")));
        views.put_binding(of("u", "2"));
        assert_eq!(uid().as_deref(), Some("v"), "another one has its name");
        // A GET shows the next one of the name before the watch does.
        views.put_binding(of("w", "7"));
        assert_eq!(uid().as_deref(), Some("w"));

        // A listing that has not met it decides, whatever a reply from before shows.
        views.on_binding("", Event::Init);
        views.put_binding(of("w", "8"));
        let wakes = views.on_binding("", Event::InitDone);
        assert_eq!(wakes, [Wake::Gone(key.clone())]);
        assert_eq!(uid(), None);
    }
}
