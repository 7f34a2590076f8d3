//! A system that runs: its folder in the cluster, an operator with its role, and the ways to look at it.

use std::{collections::BTreeMap, sync::Arc};

use keyferry_testkit::{
    aws::{Call, Outcome, Region, Service},
    install::Rights,
    node::{Environment, SimulatedPod},
};
use serde_json::{Value, json};

use super::folder::{Folder, list};
use crate::{
    case::{Case, is, is_current},
    operators::{Identity, Running, Start},
    rotating::Kind,
};

/// A folder of `examples/` that was applied.
pub struct System {
    case: Case,
    pub folder: Folder,
    account: String,
    region: String,
}

impl System {
    /// Applies a folder with `kubectl apply -k`. Its entries lie in that account and region.
    pub async fn apply(case: &Case, name: &str, iam: &[&str], account: &str, region: &str) -> Self {
        let built = case.admin(&["kustomize", &path(name)]).await;
        let system = Self {
            case: case.clone(),
            folder: Folder::new(name, &built, iam),
            account: account.to_owned(),
            region: region.to_owned(),
        };
        case.admin(&["apply", "-k", &path(name)]).await;
        system
    }

    /// The system's entries.
    pub fn entries(&self) -> Region {
        self.entries_in(&self.region)
    }

    pub fn entries_in(&self, region: &str) -> Region {
        self.case.world.aws.account(&self.account).region(region)
    }

    /// One of its namespaces.
    pub fn namespace(&self, name: &str) -> Case {
        assert!(self.folder.namespaces().iter().any(|n| n == name));
        Case {
            world: Arc::clone(&self.case.world),
            namespace: name.to_owned(),
        }
    }

    /// Starts an operator of these namespaces with the folder's policies and no other right in AWS.
    pub async fn operate(&self, identity: Identity) -> Running {
        let (world, name) = (&self.case.world, self.case.operator_name());
        let arn = format!("arn:aws:iam::{}:role/{name}", self.account);
        let rights = Rights {
            watch_namespaces: self.folder.namespaces(),
            ..Rights::default()
        };
        let mut start = Start::new(&name).rights(rights).identity(identity);
        if identity == Identity::Irsa {
            start = start.env("AWS_ROLE_ARN", &arn);
        }
        if let Some(policies) = self.folder.policy_file() {
            let file = world.files.path().join(format!("{name}.policies"));
            std::fs::write(&file, policies.to_string()).unwrap();
            start = start.args(&[format!("--access-policy-file={}", file.display())]);
        }
        start.prepare(world).await.unwrap();
        world.aws.put_role(self.folder.role(&arn, &name));
        world.aws.associate(&name, &name, &arn);
        world.launch_operator(start).await.unwrap()
    }

    /// The same operator again, by Pod Identity instead of IRSA.
    pub async fn operate_by_pod_identity(&self, before: Running) -> Running {
        before.terminate(&self.case.world.channels).await;
        self.operate(Identity::Pod).await
    }

    /// Judges what the role was used for, and takes everything away.
    pub async fn end(self, operator: Running) {
        operator.terminate(&self.case.world.channels).await;
        self.assert_rights_fit();
        let folder = self.folder.path.display().to_string();
        self.case
            .admin(&["delete", "--wait=false", "-k", &folder])
            .await;
    }

    /// No call was denied, and no action or entry is allowed that was not asked for.
    fn assert_rights_fit(&self) {
        let calls = self.case.all_calls();
        for call in &calls {
            let denied = match &call.outcome {
                Outcome::Failed { code, .. } => code.starts_with("AccessDenied"),
                _ => false,
            };
            let mut codes = call.entry_errors.iter().map(|(_, code)| code);
            assert!(
                !denied && !codes.any(|code| code.starts_with("AccessDenied")),
                "the policy is too small for {} of {:?}",
                call.operation,
                call.ids
            );
        }
        for statement in self.folder.policies().iter().flat_map(statements) {
            for action in list(&statement["Action"]) {
                let (service, operation) = action.split_once(':').unwrap();
                let used = service == "kms" || was_used(&calls, operation);
                assert!(used, "{action} is not needed");
            }
            for pattern in list(&statement["Resource"]) {
                let needed = pattern == "*" || pattern.contains(":kms:");
                let read = || calls.iter().any(|call| is_about(call, &pattern));
                assert!(needed || read(), "{pattern} is not needed");
            }
        }
    }

    fn manifest(&self, namespace: &str, name: &str) -> &Value {
        let fits = |m: &&Value| {
            let meta = &m["metadata"];
            meta["namespace"] == namespace
                && meta["name"] == name
                && m["spec"]["replicas"].is_number()
        };
        let found = self.folder.manifests.iter().find(fits);
        found.unwrap_or_else(|| panic!("no workload {name} in {namespace}"))
    }

    /// How many pods a workload has.
    pub fn replicas(&self, namespace: &str, name: &str) -> usize {
        let replicas = self.manifest(namespace, name)["spec"]["replicas"].as_u64();
        usize::try_from(replicas.unwrap()).unwrap()
    }

    /// Waits until a workload has nothing left to do; its pods then.
    pub async fn pods(&self, namespace: &str, name: &str) -> Vec<SimulatedPod> {
        let here = self.namespace(namespace);
        match self.manifest(namespace, name)["kind"].as_str() {
            Some("Deployment") => drop(here.settled(name).await),
            Some("StatefulSet") => drop(here.stands(Kind::StatefulSet, name).await),
            other => panic!("{name} is a {other:?}"),
        }
        let pods = here.pods_of(name);
        assert_eq!(pods.len(), self.replicas(namespace, name), "{name}");
        pods
    }

    /// Every container of that name of a workload was started with exactly these variables, byte for byte.
    pub async fn sees<T: AsRef<str>>(
        &self,
        namespace: &str,
        workload: &str,
        container: &str,
        expected: &[(&str, T)],
    ) {
        for pod in self.pods(namespace, workload).await {
            let found = pod.containers.iter().find(|c| c.name == container);
            let environment = found.and_then(|c| c.environment.as_ref());
            assert_environment(workload, environment.unwrap(), expected);
        }
    }

    /// How often containers of that name of a workload were started since the beginning.
    pub fn started(&self, namespace: &str, workload: &str, container: &str) -> usize {
        let starts = self.case.world.nodes.starts(namespace);
        let ours = starts.iter().filter(|start| {
            let of = start.workload.as_ref();
            of.is_some_and(|(_, name)| name == workload) && start.container == container
        });
        ours.count()
    }

    /// Fails unless every pod of the workload was started once, and replaced so many times.
    pub fn assert_replaced(&self, namespace: &str, workload: &str, container: &str, times: usize) {
        let expected = self.replicas(namespace, workload) * (1 + times);
        let started = self.started(namespace, workload, container);
        assert_eq!(started, expected, "starts of {container} of {workload}");
    }
}

impl Case {
    /// Runs kubectl as the admin, bound to no namespace; what it prints goes to the leak scan.
    pub async fn admin(&self, args: &[&str]) -> String {
        let output = self.world.plane.kubectl(args, None).await.unwrap();
        self.world.channels.shown(&output.stdout);
        self.world.channels.shown(&output.stderr);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until a Secret was written from that version of some entry and everything runs with it; the
    /// binding's status.
    pub async fn runs_with(&self, binding: &str, version: &str) -> Value {
        let done = |object: &Value| {
            has_version(object, version) && is(object, "RolledOut", "True", "Synced")
        };
        let what = format!("rolled out at version {version}");
        self.until(binding, &what, done).await["status"].clone()
    }

    /// Waits until a Secret was written from that version of some entry.
    pub async fn carries(&self, binding: &str, version: &str) -> Value {
        let what = format!("at version {version}");
        let done = |object: &Value| has_version(object, version);
        self.until(binding, &what, done).await["status"].clone()
    }
}

fn has_version(object: &Value, version: &str) -> bool {
    let sources = object["status"]["sources"].as_array();
    let mut versions = sources.into_iter().flatten().map(|s| &s["versionId"]);
    is_current(object)
        && is(object, "Synced", "True", "Synced")
        && versions.any(|v| *v == json!(version))
}

/// Prints names, never values.
#[track_caller]
pub fn assert_environment<T: AsRef<str>>(what: &str, have: &Environment, expected: &[(&str, T)]) {
    let want: BTreeMap<&str, &str> = expected.iter().map(|(k, v)| (*k, v.as_ref())).collect();
    let names: Vec<&str> = have.names().collect();
    let wanted: Vec<&str> = want.keys().copied().collect();
    assert_eq!(names, wanted, "variables of {what}");
    for (name, value) in want {
        assert!(
            have.get(name) == Some(value),
            "{what}: the bytes of {name} differ"
        );
    }
}

fn path(folder: &str) -> String {
    let root = keyferry_testkit::operator::repository();
    root.join("examples").join(folder).display().to_string()
}

fn statements(policy: &Value) -> Vec<Value> {
    policy["Statement"].as_array().cloned().unwrap()
}

/// A batch is a GetSecretValue of each of its entries, too.
fn was_used(calls: &[Call], operation: &str) -> bool {
    let mut done = calls.iter().filter(|call| call.outcome == Outcome::Ok);
    done.any(|call| {
        let is_read = operation == "GetSecretValue" && call.operation == "BatchGetSecretValue";
        call.operation == operation || is_read
    })
}

/// Whether a call was for an entry that the pattern of a resource allows, be it there or not.
fn is_about(call: &Call, pattern: &str) -> bool {
    let fits = |id: &String| {
        let arn = match id.starts_with("arn:") {
            true => id.clone(),
            false => {
                let (region, account) = (&call.region, &call.account);
                match call.service {
                    Service::Ssm => format!("arn:aws:ssm:{region}:{account}:parameter{id}"),
                    _ => format!("arn:aws:secretsmanager:{region}:{account}:secret:{id}"),
                }
            }
        };
        match pattern.strip_suffix('*') {
            Some(begin) => arn.starts_with(begin),
            None => arn == pattern.trim_end_matches("-??????"),
        }
    };
    call.ids.iter().any(fits)
}

/// Objects as a JSON entry holds them.
pub fn entry(properties: &[(&str, impl AsRef<str>)]) -> String {
    let all: BTreeMap<&str, &str> = properties.iter().map(|(k, v)| (*k, v.as_ref())).collect();
    json!(all).to_string()
}
