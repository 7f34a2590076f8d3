//! `keyferry validate` over the bindings as files, beside a bare read of the same files and the API server's own
//! judgement of them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::bed::Bed;
use super::plan::Plan;
use crate::bed::screen::{Screen, seconds};
use crate::workspace::Ended;

/// Files, one binding each: a large repository.
const FILES: usize = 200;

/// Each is run so often; the shortest time counts, the least disturbed one.
const RUNS: usize = 5;

/// How long it took to go over all files.
pub(crate) struct Offline {
    pub(crate) files: usize,
    pub(crate) validate: Duration,
    /// `keyferry validate` over one of them: what its start costs.
    pub(crate) one: Duration,
    /// Each file read and parsed as YAML, in this process.
    pub(crate) read: Duration,
    /// `kubectl create --dry-run=server`: the API server at hand, nothing stored.
    pub(crate) server: Duration,
}

/// # Errors
/// When a file cannot be written, or somebody refuses one.
pub(crate) async fn measure(bed: &Bed, plan: Plan, set: &str, screen: &Screen) -> Ended<Offline> {
    let binary = bed.binary();
    let dir = bed.folder().join("manifests");
    std::fs::create_dir(&dir)?;
    let files = write(&dir, plan, set)?;
    let (all, first) = (text(&dir)?, text(&dir.join(name(0)))?);
    let begun = Instant::now();
    let create = ["create", "--dry-run=server", "-o", "name", "-f", &all];
    let judged = bed.plane.kubectl(&create, None).await?;
    let server = begun.elapsed();
    if !judged.status.success() {
        return Err(String::from_utf8_lossy(&judged.stderr).into());
    }
    let measured = Offline {
        files,
        validate: shortest(|| validate(binary, &all))?,
        one: shortest(|| validate(binary, &first))?,
        read: shortest(|| read(&dir))?,
        server,
    };
    screen.fact(
        "validate",
        format!("{files} files in {}", seconds(measured.validate)),
    );
    Ok(measured)
}

fn name(file: usize) -> String {
    format!("binding-{file}.yaml")
}

fn text(path: &Path) -> Ended<String> {
    let text = path.to_str().ok_or("a path is no text")?;
    Ok(text.to_owned())
}

fn write(dir: &Path, plan: Plan, set: &str) -> Ended<usize> {
    let mut files = 0;
    for place in plan.places().take(FILES) {
        let mut object = place.object(plan, set);
        // One of this name is there already.
        object["metadata"]["name"] = format!("offline-{files}").into();
        std::fs::write(dir.join(name(files)), serde_yaml::to_string(&object)?)?;
        files += 1;
    }
    Ok(files)
}

fn shortest(run: impl Fn() -> Ended) -> Ended<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed());
    }
    Ok(best)
}

fn validate(binary: &Path, files: &str) -> Ended {
    let mut command = Command::new(binary);
    command
        .args(["validate", "-f", files])
        .stdout(Stdio::null());
    match command.status()?.success() {
        true => Ok(()),
        false => Err("validate refuses what the API server takes".into()),
    }
}

fn read(dir: &Path) -> Ended {
    for entry in std::fs::read_dir(dir)? {
        let text = std::fs::read_to_string(entry?.path())?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            std::hint::black_box(serde_yaml::Value::deserialize(document)?);
        }
    }
    Ok(())
}
