//! `cargo xtask demo`: estate, from nothing to rolled Deployments, by itself.
//!
//! Every line it prints was checked before it was printed; what does not come true is said in a
//! sentence and ends the demo with an error. [`story`] is the order of things.

mod aws;
mod bed;
mod checks;
mod cluster;
mod install;
mod keep;
mod story;

use std::path::PathBuf;

use crate::bed::screen::Screen;
use crate::signals::Stop;
use crate::workspace::Ended;
use bed::Bed;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave everything running until Ctrl-C, to look around
    #[arg(long)]
    keep: bool,

    /// Use a cluster that exists, as the admin of this kubeconfig. It must not have keyferry or a
    /// namespace `estate`; what the demo makes in it is removed at the end, unless `--keep`
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Tells the story, and stops what was started, however it ends.
pub(crate) async fn run(arguments: &Arguments) -> Ended {
    bed::check_tools(arguments.kubeconfig.as_deref())?;
    let mut stop = Stop::listen()?;
    let screen = Screen::start();
    let mut bed = tokio::select! {
        bed = Bed::start(arguments.kubeconfig.as_deref(), &screen) => bed?,
        () = stop.asked() => return Err("stopped".into()),
    };
    let told = tokio::select! {
        told = story::tell(&mut bed, &screen) => Some(told),
        () = stop.asked() => None,
    };
    match &told {
        Some(Ok(())) if arguments.keep => keep::look_around(&bed, &screen, &mut stop).await?,
        Some(Err(_)) => bed.dir.leave(),
        Some(Ok(())) | None => {}
    }
    let ended = bed.end(arguments, &screen).await;
    told.unwrap_or_else(|| Err("stopped before the end".into()))
        .and(ended)?;
    if !arguments.keep {
        screen.detail("Look around: cargo xtask demo --keep");
    }
    Ok(())
}
