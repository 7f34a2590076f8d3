//! A control plane of one's own, built once.

use std::path::Path;
use std::time::{Duration, Instant};

use keyferry_testkit::ControlPlane;
use keyferry_testkit::control_plane::{ASSETS_VARIABLE, Options, is_built};

use super::build;
use super::screen::{Screen, seconds};
use crate::workspace::Ended;

/// Builds what is missing, starts it with its files in `dir`, and says how long that took.
pub(crate) async fn own(dir: &Path, screen: &Screen) -> Ended<ControlPlane> {
    let options = Options {
        dir: Some(dir.to_owned()),
    };
    let origin = if std::env::var_os(ASSETS_VARIABLE).is_some() {
        "found"
    } else if is_built() {
        "cached"
    } else {
        build::control_plane().await?;
        "built"
    };
    let started = Instant::now();
    let plane = ControlPlane::own(options).await?;
    say_ready(screen, &plane, origin, started.elapsed()).await?;
    Ok(plane)
}

async fn say_ready(screen: &Screen, plane: &ControlPlane, origin: &str, took: Duration) -> Ended {
    let version = plane.version().await?;
    let label = format!("control plane {}", version.trim_start_matches('v'));
    let first = match origin {
        "cached" => " (first build: about 4 min)",
        _ => "",
    };
    screen.fact(
        &label,
        format!("{origin}, ready in {}{first}", seconds(took)),
    );
    Ok(())
}
