//! Builds the Go control plane on first use and keeps it in the target folder,
//! by the hash of its sources. Owns the cache; knows nothing about running.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// The Kubernetes version that the Go module requires, without the `v`.
pub const KUBERNETES_VERSION: &str = "1.36.3";

/// How often a running build says that it still runs.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// The built program: a cached one, or else one built now, which takes minutes.
/// Two processes that ask at once build once: the second waits for the first.
///
/// # Errors
/// No Go toolchain, a failed build (the compiler's words are in the message),
/// or a cache folder that cannot be written.
pub(super) fn binary() -> Result<PathBuf> {
    let sources = sources_dir();
    let cache = target_dir().join("control-plane").join(hash(&sources)?);
    let binary = cache.join("control-plane");
    if binary.exists() {
        return Ok(binary);
    }
    fs::create_dir_all(&cache).map_err(Error::io(format!("make {}", cache.display())))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io("make the build's lock file"))?;
    if lock.try_lock().is_err() {
        say("another process is building it, waiting");
        lock.lock()
            .map_err(Error::io("wait for the build's lock"))?;
    }
    // Whoever held the lock may have built what we want.
    if !binary.exists() {
        build(&sources, &binary)?;
    }
    Ok(binary)
}

/// The cached program if there is one; never builds.
pub(super) fn cached() -> Option<PathBuf> {
    let hash = hash(&sources_dir()).ok()?;
    let binary = target_dir()
        .join("control-plane")
        .join(hash)
        .join("control-plane");
    binary.exists().then_some(binary)
}

fn build(sources: &Path, binary: &Path) -> Result<()> {
    say("building, about 4 min on 2 cores (once)");
    let unfinished = binary.with_extension("unfinished");
    let started = Instant::now();
    let mut go = Command::new("go")
        .current_dir(sources)
        .args(["build", "-trimpath", "-buildvcs=false"])
        // Debug information is the linker's and the compiler's slowest part.
        .arg("-gcflags=all=-dwarf=false")
        .arg(format!("-ldflags=-s -w {}", version_flags()))
        .arg("-o")
        .arg(&unfinished)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(
            "start `go` (Go 1.26 builds the control plane; or set KUBEBUILDER_ASSETS)",
        ))?;
    let said = collect_stderr(&mut go);
    let status = wait_with_progress(&mut go, started)?;
    if !status.success() {
        let said = said.join().unwrap_or_default();
        return Err(Error::other(format!(
            "go build failed ({status}):\n{}",
            said.trim()
        )));
    }
    fs::rename(&unfinished, binary).map_err(Error::io("put the built program into the cache"))?;
    say(&format!("built in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// `/version`, kubectl and the API's own defaults follow these variables, which
/// Kubernetes' release build sets the same way.
fn version_flags() -> String {
    let (major, rest) = KUBERNETES_VERSION.split_once('.').unwrap_or(("", ""));
    let minor = rest.split('.').next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-X {package}.gitVersion=v{KUBERNETES_VERSION} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    )
}

/// Reads in a thread of its own, so that a talkative compiler never blocks.
fn collect_stderr(go: &mut Child) -> std::thread::JoinHandle<String> {
    let pipe = go.stderr.take();
    std::thread::spawn(move || {
        let mut said = String::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_string(&mut said);
        }
        said
    })
}

fn wait_with_progress(go: &mut Child, started: Instant) -> Result<std::process::ExitStatus> {
    let mut next = PROGRESS_EVERY;
    loop {
        if let Some(status) = go.try_wait().map_err(Error::io("wait for go build"))? {
            return Ok(status);
        }
        if started.elapsed() >= next {
            say(&format!("building, {} s so far", next.as_secs()));
            next += PROGRESS_EVERY;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn say(what: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "control plane {KUBERNETES_VERSION}      {what}"
    );
}

fn sources_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane")
}

/// Cargo's target folder, where it is this workspace's default or named by
/// `CARGO_TARGET_DIR` (a relative one counts from the workspace).
pub(super) fn target_dir() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A name for the exact sources and flags. Not a cryptographic hash: it only
/// tells one state of this folder from another.
fn hash(sources: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .map_err(Error::io(format!("list {}", sources.display())))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "go" || e == "mod" || e == "sum")
        })
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    version_flags().hash(&mut hasher);
    for file in files {
        file.file_name().hash(&mut hasher);
        fs::read(&file)
            .map_err(Error::io(format!("read {}", file.display())))?
            .hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
