//! One control plane and one node simulator for all tests of a process. Owns
//! the runtime they live on, because each `#[tokio::test]` has its own, which
//! ends with it.
//!
//! Tests share them by using a namespace each ([`Bed::namespace`]).

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use tokio::sync::{OnceCell, oneshot};

use crate::node::{NodeSimulator, Options as NodeOptions};
use crate::{ControlPlane, Error, Result, control_plane};

/// What the tests of a process share. It ends with the process.
#[derive(Debug)]
pub struct Bed {
    /// The control plane.
    pub plane: ControlPlane,
    /// The nodes, with the default options.
    pub nodes: NodeSimulator,
}

/// The shared bed, started by the first test that asks.
///
/// # Errors
/// What [`ControlPlane::start`] and [`NodeSimulator::start`] say.
pub async fn bed() -> Result<&'static Bed> {
    static BED: OnceCell<Bed> = OnceCell::const_new();
    BED.get_or_try_init(start).await
}

async fn start() -> Result<Bed> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("test-bed".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    // The other end is gone when the asking test has given up.
                    let _ = sender.send(start_here().await);
                    std::future::pending::<()>().await;
                }),
                Err(error) => {
                    let _ = sender.send(Err(Error::io("start the test bed's runtime")(error)));
                }
            }
        })
        .map_err(Error::io("start the test bed's thread"))?;
    receiver
        .await
        .map_err(|_| Error::other("the test bed's thread ended early"))?
}

async fn start_here() -> Result<Bed> {
    let plane = ControlPlane::start(control_plane::Options::default()).await?;
    let nodes = NodeSimulator::start(plane.client().await?, NodeOptions::default()).await?;
    Ok(Bed { plane, nodes })
}

impl Bed {
    /// A new namespace whose name starts with `purpose` and was never used.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn namespace(&self, purpose: &str) -> Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}-{:x}-{number}", std::process::id());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        Api::all(self.plane.client().await?)
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(Error::kube(format!("create namespace {name}")))?;
        Ok(name)
    }
}
