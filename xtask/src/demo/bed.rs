//! What the demo runs on, and its end. Owns every process and, in a cluster of somebody else, every
//! object that the demo made there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyferry_testkit::control_plane::{ASSETS_VARIABLE, is_built};
use keyferry_testkit::operator::Operator;
use keyferry_testkit::{ControlPlane, NodeSimulator, install, node};

use super::Arguments;
use super::aws::Estate;
use super::cluster::{Cluster, NAMESPACE};
use crate::bed::build::{self, Profile};
use crate::bed::folder::Folder;
use crate::bed::operator::OPERATOR;
use crate::bed::plane;
use crate::bed::screen::Screen;
use crate::tools;
use crate::workspace::Ended;

/// On every object of ours in a cluster of somebody else that nothing else of ours contains.
const LABEL: &str = "keyferry.dev/demo";

/// Kinds of such objects, as kubectl wants them.
const KINDS: &str = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions";

/// A cluster with whatever runs beside it.
pub(crate) struct Bed {
    pub(crate) plane: ControlPlane,
    pub(crate) cluster: Cluster,
    /// The operator's binary.
    pub(crate) binary: PathBuf,
    pub(crate) dir: Folder,
    /// None where real nodes run the pods.
    pub(crate) nodes: Option<NodeSimulator>,
    pub(crate) aws: Option<Arc<Estate>>,
    pub(crate) operator: Option<Operator>,
    foreign: bool,
}

/// What is needed depends on whose cluster it is.
pub(crate) fn check_tools(kubeconfig: Option<&Path>) -> Ended {
    match kubeconfig {
        Some(file) if !file.is_file() => Err(format!("no file {}", file.display()).into()),
        Some(_) if is_built() || tools::has("kubectl") || std::env::var_os(ASSETS_VARIABLE).is_some() => {
            Ok(())
        }
        Some(_) => Err("no kubectl on the PATH: install it, or run the demo once without --kubeconfig, which builds one".into()),
        None => tools::check(),
    }
}

impl Bed {
    /// Builds what is missing and comes back with a cluster that works.
    pub(crate) async fn start(kubeconfig: Option<&Path>, screen: &Screen) -> Ended<Self> {
        let dir = Folder::new("demo")?;
        let plane = cluster(kubeconfig, dir.path(), screen);
        let (plane, binary) = tokio::try_join!(plane, build::operator(Profile::Ours, screen))?;
        let client = plane.client().await?;
        let mut bed = Self {
            cluster: Cluster::new(client.clone()),
            plane,
            binary,
            dir,
            nodes: None,
            aws: None,
            operator: None,
            foreign: kubeconfig.is_some(),
        };
        match bed.foreign {
            true => bed.refuse_what_is_not_ours().await?,
            false => {
                bed.nodes = Some(NodeSimulator::start(client, node::Options::default()).await?)
            }
        }
        Ok(bed)
    }

    /// kubectl as the admin; what it printed.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Ended<String> {
        Ok(install::kubectl(&self.plane, arguments).await?)
    }

    /// Marks what the demo made, so that exactly that is removed.
    pub(crate) async fn mark(&self, objects: &[&str]) -> Ended {
        if self.foreign {
            let label = format!("{LABEL}=true");
            let arguments = [&["label", "--overwrite"], objects, &[label.as_str()]].concat();
            self.kubectl(&arguments).await?;
        }
        Ok(())
    }

    /// Somebody's own estate or keyferry must not be changed, and less so removed.
    async fn refuse_what_is_not_ours(&self) -> Ended {
        self.remove().await?;
        for (kind, name) in [
            ("namespace", NAMESPACE),
            ("namespace", OPERATOR),
            ("clusterrole", OPERATOR),
            (
                "customresourcedefinition",
                "externalsecretbindings.keyferry.dev",
            ),
            (
                "customresourcedefinition",
                "secretaccesspolicies.keyferry.dev",
            ),
        ] {
            let get = ["get", kind, name, "--ignore-not-found", "-o", "name"];
            if !self.kubectl(&get).await?.trim().is_empty() {
                return Err(format!(
                    "this cluster has a {kind} {name} already, which the demo would change; use another cluster"
                )
                .into());
            }
        }
        Ok(())
    }

    /// Removes what carries our label, also what an earlier demo has left.
    async fn remove(&self) -> Ended {
        let label = format!("{LABEL}=true");
        self.kubectl(&["delete", KINDS, "-l", &label, "--timeout=3m"])
            .await?;
        Ok(())
    }

    /// Stops everything, and removes what was made in somebody's cluster unless it shall stay.
    pub(crate) async fn end(mut self, arguments: &Arguments, screen: &Screen) -> Ended {
        let mut ended = Ok(());
        if let Some(operator) = self.operator.take() {
            let log = operator.output();
            let status = operator.terminate().await;
            self.dir.write_log(&log)?;
            ended = match status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => {
                    Err(format!("asked to stop, the operator ended with {status}").into())
                }
                Err(error) => Err(error.into()),
            };
        }
        match (self.foreign, arguments.keep) {
            (false, _) => {}
            (true, true) => screen.detail(format!(
                "left in the cluster; the next demo removes it, or: kubectl delete {KINDS} -l {LABEL}=true"
            )),
            (true, false) => {
                ended = ended.and(self.remove().await);
                screen.detail("removed from the cluster: what the demo made there");
            }
        }
        self.nodes = None;
        self.plane.stop();
        if ended.is_err() {
            self.dir.leave();
        }
        ended
    }
}

/// The cluster that the caller names, or an own one.
async fn cluster(kubeconfig: Option<&Path>, dir: &Path, screen: &Screen) -> Ended<ControlPlane> {
    if let Some(file) = kubeconfig {
        let plane = ControlPlane::existing(file).await?;
        let version = plane.version().await?;
        let label = format!("cluster {}", version.trim_start_matches('v'));
        screen.fact(&label, format!("of {}", file.display()));
        return Ok(plane);
    }
    plane::own(dir, screen).await
}
