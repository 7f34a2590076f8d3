//! `cargo xtask control-plane`: a control plane to try things on by hand, or to
//! share between several test runs.

use std::path::PathBuf;

use keyferry_testkit::control_plane::Options;
use keyferry_testkit::{ControlPlane, NodeSimulator, Result, node};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where kubeconfig, keys, data and logs go; old data in it is removed
    #[arg(long)]
    dir: PathBuf,

    /// Simulated nodes to run pods on. Tests that share this control plane bring
    /// their own, so leave them out for those
    #[arg(long, default_value_t = 0)]
    nodes: usize,
}

/// Prints the kubeconfig's path as the only line on standard output.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let started = std::time::Instant::now();
    let plane = ControlPlane::start(Options {
        dir: Some(arguments.dir),
    })
    .await?;
    eprintln!(
        "control plane {}  ready in {:.1}s, runs until Ctrl-C",
        plane.version().await?.trim_start_matches('v'),
        started.elapsed().as_secs_f32()
    );
    let options = node::Options {
        nodes: arguments.nodes,
        ..Default::default()
    };
    // Held to the end; the nodes go with the control plane.
    let _nodes = NodeSimulator::start(plane.client().await?, options).await?;
    println!("{}", plane.kubeconfig().display());
    until_asked_to_stop().await;
    plane.stop();
    Ok(())
}

async fn until_asked_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
