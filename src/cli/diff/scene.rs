//! The cluster as bindings of files meet it: who may read what, who owns which Secret, who uses it.

use std::collections::{BTreeMap, HashMap};

use super::{DiffArgs, Read};
use crate::{
    api::SecretAccessPolicy,
    cli::{Problems, bindings::Binding, cluster::Cluster},
    cluster::{Bindings, ClusterError, policies::Policies, workloads::Workloads},
    core::{
        Finding,
        access::{AccessRequest, Policy, parse_policy_file},
        local::{
            Refusal,
            difference::{Effect, Said, keys, may_restart, restarts},
            judged,
            offers::offers,
        },
        ownership::{self, Claim, Ownership, SecretHead},
        rollout::Workload,
    },
};

/// The cluster as the bindings meet it.
pub(super) struct Scene {
    cluster: Cluster,
    /// None: they cannot be read, and judge nothing.
    policies: Option<Vec<Policy>>,
    labels: HashMap<String, BTreeMap<String, String>>,
    /// Uid of each binding, by namespace and name. None: they cannot be read.
    uids: Option<HashMap<(String, String), String>>,
    /// By namespace: those in which something may restart.
    workloads: tokio::sync::Mutex<HashMap<String, Result<Vec<Workload>, String>>>,
}

impl Scene {
    pub(super) async fn read(
        args: &DiffArgs,
        cluster: Cluster,
        all: &[Binding],
        of_files: Vec<SecretAccessPolicy>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Self, Problems> {
        let own = match &args.access_policy_file {
            None => vec![Policy::built_in()],
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|e| Problems::one(format!("{}: {e}", path.display())))?;
                parse_policy_file(&text).map_err(Problems::one)?
            }
        };
        let listed = Policies::new(cluster.raw()).list().await;
        let objects = allowed(&cluster, listed, "access policies are not judged", warn).await?;
        let policies = objects.map(|objects| with(own, objects, &of_files));
        let mut scene = Self {
            cluster,
            policies,
            labels: HashMap::new(),
            uids: Some(HashMap::new()),
            workloads: Default::default(),
        };
        let mut namespaces: Vec<&str> = all.iter().map(|it| it.namespace.as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            scene.meet(namespace, warn).await?;
        }
        Ok(scene)
    }

    async fn meet(&mut self, namespace: &str, warn: &mut dyn FnMut(&str)) -> Result<(), Problems> {
        let selects = |policy: &Policy| !policy.match_labels.is_empty();
        if self.policies.iter().flatten().any(selects) {
            let labels = Policies::new(self.cluster.raw());
            let labels = labels.namespace_labels(namespace).await;
            let what = "policies that select namespaces by label count for none";
            let labels = allowed(&self.cluster, labels, what, warn).await?;
            self.labels
                .insert(namespace.to_owned(), labels.unwrap_or_default());
        }
        let found = Bindings::new(self.cluster.raw())
            .list(Some(namespace))
            .await;
        let what = "who owns a Secret is not judged";
        let found = allowed(&self.cluster, found, what, warn).await?;
        match (found, &mut self.uids) {
            (Some(found), Some(uids)) => uids.extend(found.into_iter().map(|it| {
                let (name, uid) = (it.metadata.name, it.metadata.uid);
                let key = (namespace.to_owned(), name.unwrap_or_default());
                (key, uid.unwrap_or_default())
            })),
            _ => self.uids = None,
        }
        Ok(())
    }

    /// What becomes of one binding's Secret.
    pub(super) async fn say(&self, binding: &Binding, read: &Read) -> Result<Said, Problems> {
        if binding.recipe.suspended {
            return Ok(Said::Left("suspended: nothing is written".to_owned()));
        }
        if let Some(finding) = self.judged(binding, read) {
            return Ok(Said::Refused(Refusal::NotGiven(finding).to_string()));
        }
        let data = match &read.candidate {
            Ok(rendered) => &rendered.data,
            Err(refusal) => {
                let mut why = vec![refusal.to_string()];
                why.extend(offers(&binding.recipe, &read.fetched));
                return Ok(Said::Refused(why.join("\n")));
            }
        };
        let (namespace, target) = (&binding.namespace, &binding.recipe.target);
        let live = self.cluster.secrets();
        let live = self.cluster.within(live.get(namespace, &target.name)).await;
        let live = live.map_err(Problems::one)?;
        if let Some(finding) = self.owned(binding, live.as_ref().map(|live| &live.head)) {
            return Ok(Said::Refused(Refusal::NotGiven(finding).to_string()));
        }
        let keys = keys(target.creation, data, live.as_ref().map(|live| &live.data));
        let effect = match may_restart(&binding.recipe, &keys) {
            Ok(()) => self.effect(binding).await,
            Err(effect) => effect,
        };
        Ok(Said::Keys {
            exists: live.is_some(),
            keys,
            effect,
        })
    }

    /// Why the binding may not write the Secret that is there.
    fn owned(&self, binding: &Binding, found: Option<&SecretHead>) -> Option<Finding> {
        let uids = self.uids.as_ref()?;
        let namespace = &binding.namespace;
        let uid = |name: &str| uids.get(&(namespace.clone(), name.to_owned()));
        let claim = Claim {
            namespace,
            binding: &binding.name,
            binding_uid: uid(&binding.name).map_or("", String::as_str),
            target: &binding.recipe.target,
        };
        match ownership::decide(&claim, found, &|name| uid(name).is_some()) {
            Ownership::Refuse(finding) => Some(finding),
            _ => None,
        }
    }

    /// Why the binding may not read what it reads.
    fn judged(&self, binding: &Binding, read: &Read) -> Option<Finding> {
        let identity = &binding.recipe.identity;
        let labels = self.labels.get(&binding.namespace);
        let base = AccessRequest {
            namespace: binding.namespace.clone(),
            namespace_labels: labels.cloned().unwrap_or_default(),
            caller_account: read.account.clone(),
            region: read.region.clone(),
            role_arn: identity.role_arn.clone(),
            service_account: identity.service_account.clone(),
            ..AccessRequest::default()
        };
        let policies = self.policies.as_ref()?;
        judged::refused(policies, &base, &binding.recipe, &read.fetched)
    }

    async fn effect(&self, binding: &Binding) -> Effect {
        let mut known = self.workloads.lock().await;
        if !known.contains_key(&binding.namespace) {
            let workloads = Workloads::new(self.cluster.client());
            let listed = self.cluster.within(async {
                let listed = workloads.list_consumers(&binding.namespace).await;
                Ok(listed.map_err(|error| error.to_string()))
            });
            let listed = listed.await.unwrap_or_else(|late| Err(late.to_string()));
            known.insert(binding.namespace.clone(), listed);
        }
        match known.get(&binding.namespace) {
            Some(Ok(workloads)) => restarts(&binding.recipe, workloads),
            Some(Err(why)) => Effect::Unknown(why.clone()),
            None => Effect::Unknown("not listed".to_owned()),
        }
    }
}

/// What this user may not read is done without, once said; a cluster without our kinds has none of them.
async fn allowed<T: Default>(
    cluster: &Cluster,
    answer: Result<T, ClusterError>,
    without: &str,
    warn: &mut dyn FnMut(&str),
) -> Result<Option<T>, Problems> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClusterError::NotFound) => Ok(Some(T::default())),
        Err(error @ ClusterError::Forbidden { .. }) => {
            warn(&format!("{error}: {without}"));
            Ok(None)
        }
        Err(error) => Err(Problems::one(cluster.trouble(&error))),
    }
}

/// The policies in force once the files are applied: theirs replace objects of their names.
fn with(
    mut own: Vec<Policy>,
    objects: Vec<SecretAccessPolicy>,
    of_files: &[SecretAccessPolicy],
) -> Vec<Policy> {
    let replaced = |object: &SecretAccessPolicy| {
        let same = |file: &SecretAccessPolicy| file.metadata.name == object.metadata.name;
        of_files.iter().any(same)
    };
    let objects = objects.iter().filter(|object| !replaced(object));
    own.extend(objects.chain(of_files).map(Policy::from));
    own
}
