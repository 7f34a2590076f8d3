//! `keyferry diff`: what bindings in files would change in a cluster, before they are merged.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use futures::future::join_all;

use super::{
    Problems,
    bindings::{self, Binding, FileArgs},
    cluster::{Cluster, ClusterArgs},
    duration,
    reading::{AwsArgs, Reader},
};
use crate::{
    api::SecretAccessPolicy,
    cluster::{Bindings, ClusterError, policies::Policies, workloads::Workloads},
    core::{
        Fetched, Rendered,
        access::{AccessRequest, Policy, parse_policy_file},
        local::{
            Refusal, candidate,
            difference::{Effect, Row, Said, keys, may_restart, restarts, table},
            judged,
            offers::offers,
        },
        ownership::{self, Claim, Ownership},
        rollout::Workload,
    },
};

/// What `--exit-code` answers where something would change.
const DIFFERS: u8 = 4;

/// Arguments of `keyferry diff`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyferry diff -f deploy/\n\n  ~ changes, + is created, = stays, ! is refused. Names of keys are shown, never values.\n\nExits with 1 when a binding would be refused or something cannot be read; with --exit-code with 4 when something\nwould change; else with 0."
)]
pub struct DiffArgs {
    /// File, folder (with everything in it) or - for the standard input; may be repeated
    #[arg(
        short = 'f',
        long = "filename",
        required = true,
        value_name = "FILE|DIR|-"
    )]
    filenames: Vec<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    aws: AwsArgs,

    /// How long all calls to AWS, and all to the cluster, may take
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    timeout: Duration,

    /// The install's policy file, where it has one, instead of the built-in policy
    #[arg(long, value_name = "FILE")]
    access_policy_file: Option<PathBuf>,

    /// Exit with 4 when something would change
    #[arg(long)]
    exit_code: bool,
}

/// Compares, and prints a line for each binding.
///
/// # Errors
/// One line for each problem that keeps it from comparing at all.
pub async fn run(
    args: &DiffArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode, Problems> {
    let files = FileArgs {
        filenames: args.filenames.clone(),
        namespace: args.cluster.namespace.clone(),
    };
    let (mut all, policies) = bindings::load_with(&files, Some("SecretAccessPolicy"))?;
    if all.is_empty() {
        return Err(Problems::one("no ExternalSecretBinding in these files"));
    }
    let of_files = policies.into_iter().map(serde_json::from_value);
    let of_files: Result<Vec<SecretAccessPolicy>, _> = of_files.collect();
    let of_files = of_files.map_err(|_| Problems::one("a SecretAccessPolicy cannot be read"))?;
    let cluster = args.cluster.connect(args.timeout).await;
    let cluster = cluster.map_err(Problems::one)?;
    for binding in all.iter_mut().filter(|it| !it.namespace_is_named) {
        cluster.namespace().clone_into(&mut binding.namespace);
    }
    let reads = read(args, &all).await?;
    let mut warn = |line: &str| drop(writeln!(err, "warning: {line}"));
    let scene = Scene::read(args, cluster.from_now(), &all, of_files, &mut warn).await?;
    let mut rows = Vec::new();
    for (binding, read) in all.iter().zip(&reads) {
        let secret = format!("{}/{}", binding.namespace, binding.recipe.target.name);
        let said = scene.say(binding, read).await?;
        rows.push(Row { secret, said });
    }
    let _ = out.write_all(table(&rows).as_bytes());
    Ok(if rows.iter().any(Row::is_refused) {
        ExitCode::FAILURE
    } else if args.exit_code && rows.iter().any(Row::differs) {
        ExitCode::from(DIFFERS)
    } else {
        ExitCode::SUCCESS
    })
}

/// What a binding gives, and as whom it was read.
struct Read {
    fetched: Fetched,
    candidate: Result<Rendered, Refusal>,
    account: Option<String>,
    region: String,
}

async fn read(args: &DiffArgs, all: &[Binding]) -> Result<Vec<Read>, Problems> {
    let reader = Reader::new(args.aws.clone(), args.timeout).await;
    let reader = &reader.map_err(|finding| Problems::one(Refusal::NotGiven(finding)))?;
    for binding in all {
        match reader.consent(binding).await {
            Ok(true) => {}
            Ok(false) => return Err(Problems::one("not agreed: nothing was read")),
            Err(finding) => return Err(Problems::one(Refusal::NotGiven(finding))),
        }
    }
    let reads = all.iter().map(|binding| async move {
        let (fetched, caller) = futures::join!(reader.fetch(binding), reader.caller(binding));
        let role = binding.recipe.identity.role_arn.as_deref();
        Read {
            candidate: candidate(&binding.recipe, &fetched),
            fetched,
            account: match role {
                Some(role) => judged::account(role),
                None => caller.ok().map(|caller| caller.account),
            },
            region: reader.region(binding).unwrap_or_default().to_owned(),
        }
    });
    let reads = join_all(reads).await;
    let is_outage = |read: &Read| read.candidate.as_ref().is_err_and(Refusal::is_outage);
    match reads.iter().all(is_outage).then(|| reads.first()).flatten() {
        Some(Read {
            candidate: Err(refusal),
            ..
        }) => Err(Problems::one(refusal)),
        _ => Ok(reads),
    }
}

/// The cluster as the bindings meet it.
struct Scene {
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
    async fn read(
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
    async fn say(&self, binding: &Binding, read: &Read) -> Result<Said, Problems> {
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
        let head = live.as_ref().map(|live| &live.head);
        if let Some(uids) = &self.uids {
            let uid = |name: &str| uids.get(&(namespace.clone(), name.to_owned()));
            let claim = Claim {
                namespace,
                binding: &binding.name,
                binding_uid: uid(&binding.name).map_or("", String::as_str),
                target,
            };
            let way = ownership::decide(&claim, head, &|name| uid(name).is_some());
            if let Ownership::Refuse(finding) = way {
                return Ok(Said::Refused(Refusal::NotGiven(finding).to_string()));
            }
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

    fn judged(&self, binding: &Binding, read: &Read) -> Option<crate::core::Finding> {
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
        Err(error) => {
            let trouble = cluster.within::<T>(async { Err(error) }).await;
            Err(trouble
                .err()
                .map_or_else(|| Problems(Vec::new()), Problems::one))
        }
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
