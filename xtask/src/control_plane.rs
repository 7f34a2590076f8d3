//! `cargo xtask control-plane`: a control plane to try things on by hand, or to
//! share between several test runs.

use std::path::PathBuf;

use keyferry_testkit::{ControlPlane, Result, control_plane::Options};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where kubeconfig, keys, data and logs go; old data in it is removed
    #[arg(long)]
    dir: PathBuf,
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
