//! `cargo xtask control-plane`: a control plane to try things on by hand, or to
//! share between several test runs.

use std::path::PathBuf;

use keyferry_testkit::control_plane::Options;
use keyferry_testkit::{ControlPlane, NodeSimulator, node};

use crate::signals::Stop;
use crate::tools;
use crate::workspace::Ended;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where kubeconfig, keys, data and logs go; old data in it is removed
    #[arg(long, required_unless_present = "build")]
    dir: Option<PathBuf>,

    /// Only build it, so that a later command finds it
    #[arg(long)]
    build: bool,

    /// Simulated nodes to run pods on. Tests that share this control plane bring
    /// their own, so leave them out for those
    #[arg(long, default_value_t = 0)]
    nodes: usize,
}

/// Prints the kubeconfig's path as the only line on standard output.
pub(crate) async fn run(arguments: Arguments) -> Ended {
    tools::check()?;
    if arguments.build {
        ControlPlane::program().await?;
        return Ok(());
    }
    let mut stop = Stop::listen()?;
    let started = std::time::Instant::now();
    let plane = ControlPlane::start(Options { dir: arguments.dir }).await?;
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
    stop.asked().await;
    plane.stop();
    Ok(())
}
