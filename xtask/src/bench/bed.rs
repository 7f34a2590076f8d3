//! What the benchmark runs on, and its end. Owns every process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyferry_testkit::aws::{FakeAws, Queue, Region};
use keyferry_testkit::operator::{Operator, Options};
use keyferry_testkit::{ControlPlane, install};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::plan::{Plan, value};
use super::{follow::Follower, image};
use crate::bed::aws::{self, ACCOUNT, REGION};
use crate::bed::build::{self, Profile};
use crate::bed::folder::Folder;
use crate::bed::operator::{self, OPERATOR};
use crate::bed::plane;
use crate::bed::screen::{Screen, seconds};
use crate::workspace::{Ended, root};

const ROLE: &str = "arn:aws:iam::111122223333:role/bench-reader";

/// The operator's own `--min-refresh-interval`, in seconds.
const DEFAULT_FLOOR: u64 = 60;

/// A control plane, the fake AWS with its secrets, and an operator or none.
pub(crate) struct Bed {
    pub(crate) plane: ControlPlane,
    pub(crate) aws: FakeAws,
    pub(crate) queue: Queue,
    /// The admin's.
    pub(crate) client: Client,
    /// With the operator's own rights.
    pub(crate) operators_client: Client,
    pub(crate) bindings: Follower,
    pub(crate) secrets: Follower,
    options: Options,
    operator: Option<Operator>,
    dir: Folder,
}

impl Bed {
    /// Builds what is missing and comes back with a cluster in which no operator runs.
    pub(crate) async fn start(plan: &Plan, no_build: bool, screen: &Screen) -> Ended<Self> {
        let dir = Folder::new("bench")?;
        let plane = plane::own(dir.path(), screen);
        let (plane, binary) = tokio::try_join!(plane, binary(no_build, screen))?;
        install::crds(&plane, &root()?).await?;
        operator::install(&plane).await?;
        let aws = aws::trusting(&plane).await?;
        let region = aws.account(ACCOUNT).region(REGION);
        let queue = region.create_queue("keyferry");
        let receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage"];
        aws.put_role(
            aws::reader(ROLE, OPERATOR, &["bench-*"]).allow(&receive, &[queue.arn().as_str()]),
        );
        for secret in 0..plan.secrets {
            region.create(&plan.entry(secret), &value(secret, "first"))?;
        }
        let mut options = operator::options(&plane, &aws, ROLE, &binary, dir.path()).await?;
        options.env.extend(image::environment(&root()?)?);
        if plan.interval < DEFAULT_FLOOR {
            let floor = format!("--min-refresh-interval={}s", plan.interval);
            options.args.push(floor);
        }
        let client = plane.client().await?;
        let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
        let theirs = KubeConfigOptions::default();
        let theirs = Config::from_custom_kubeconfig(kubeconfig, &theirs).await?;
        Ok(Self {
            bindings: Follower::bindings(client.clone()),
            secrets: Follower::secrets(client.clone()),
            operators_client: Client::try_from(theirs)?,
            client,
            plane,
            aws,
            queue,
            options,
            operator: None,
            dir,
        })
    }

    /// Where the bench's secrets are.
    pub(crate) fn region(&self) -> Region {
        self.aws.account(ACCOUNT).region(REGION)
    }

    /// A place for files.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The release build.
    pub(crate) fn binary(&self) -> &Path {
        &self.options.binary
    }

    /// Starts the operator; gives its process id and when that was.
    pub(crate) async fn operate(&mut self, more: &[String]) -> Ended<(u32, Instant)> {
        let mut options = self.options.clone();
        options.args.extend(more.iter().cloned());
        let started = Instant::now();
        // Not until it says that it is ready: that would be asked for, and cost time.
        let operator = Operator::spawn(&options).await?;
        let pid = operator.pid();
        self.operator = Some(operator);
        Ok((pid, started))
    }

    /// Stops the operator, which must end well.
    pub(crate) async fn stop_operator(&mut self) -> Ended {
        let Some(operator) = self.operator.take() else {
            return Ok(());
        };
        let log = operator.output();
        let status = operator.terminate().await;
        self.dir.write_log(&log)?;
        match status? {
            status if status.success() => Ok(()),
            status => Err(format!("asked to stop, the operator ended with {status}").into()),
        }
    }

    /// Stops everything; after a failure the operator's log stays.
    pub(crate) async fn end(mut self, failed: bool) -> Ended {
        let ended = self.stop_operator().await;
        self.plane.stop();
        if failed || ended.is_err() {
            self.dir.leave();
        }
        ended
    }
}

/// A release build of the operator.
pub(super) async fn binary(no_build: bool, screen: &Screen) -> Ended<PathBuf> {
    if no_build {
        let binary = Profile::Release.binary()?;
        return match binary.is_file() {
            true => Ok(binary),
            false => Err(format!("no {}: leave --no-build out", binary.display()).into()),
        };
    }
    let started = Instant::now();
    let binary = build::operator(Profile::Release, screen).await?;
    if started.elapsed() > Duration::from_secs(5) {
        screen.fact(
            "operator",
            format!("built in {}", seconds(started.elapsed())),
        );
    }
    Ok(binary)
}
