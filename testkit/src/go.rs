//! Builds programs from Go modules beside this crate, on first use, and keeps them in the target
//! folder by the hash of their sources. Owns that cache; knows nothing about what is built.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How often a running build says that it still runs.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// One program and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The module's folder in this crate, and the program's file name.
    pub name: &'static str,
    /// The package, as `go build` wants it in that folder.
    pub package: &'static str,
    /// How the lines of progress begin.
    pub title: String,
    /// Variables set at link time, as `-X` wants them.
    pub variables: Vec<String>,
    /// Told before a build: how long it takes.
    pub takes: &'static str,
    /// Told where there is no `go`: what to do.
    pub without_go: &'static str,
}

impl Program {
    /// The built program: a cached one, or else one built now, which takes minutes. Two processes
    /// that ask at once build once: the second waits for the first.
    ///
    /// # Errors
    /// No Go toolchain, a failed build (the compiler's words are in the message), or a cache folder
    /// that cannot be written.
    pub(crate) fn built(&self) -> Result<PathBuf> {
        let cache = self.cache()?;
        let binary = cache.join(self.name);
        if binary.exists() {
            return Ok(binary);
        }
        fs::create_dir_all(&cache).map_err(Error::io(format!("make {}", cache.display())))?;
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).map_err(Error::io("make the build's lock file"))?;
        if lock.try_lock().is_err() {
            self.say("another process is building it, waiting");
            lock.lock()
                .map_err(Error::io("wait for the build's lock"))?;
        }
        // Whoever held the lock may have built what we want.
        if !binary.exists() {
            self.build(&binary)?;
        }
        Ok(binary)
    }

    /// The cached program if there is one; never builds.
    pub(crate) fn cached(&self) -> Option<PathBuf> {
        let binary = self.cache().ok()?.join(self.name);
        binary.exists().then_some(binary)
    }

    fn build(&self, binary: &Path) -> Result<()> {
        self.say(&format!("building, {} (once)", self.takes));
        let unfinished = binary.with_extension("unfinished");
        let started = Instant::now();
        let mut go = Command::new("go")
            .current_dir(self.sources())
            .args(["build", "-trimpath", "-buildvcs=false"])
            // Debug information is the linker's and the compiler's slowest part.
            .arg("-gcflags=all=-dwarf=false")
            .arg(format!("-ldflags=-s -w {}", self.link_flags()))
            .arg("-o")
            .arg(&unfinished)
            .arg(self.package)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env("GOFLAGS", "")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(format!("start `go` ({})", self.without_go)))?;
        let said = collect_stderr(&mut go);
        let status = self.wait_with_progress(&mut go, started)?;
        if !status.success() {
            let said = said.join().unwrap_or_default();
            return Err(Error::other(format!(
                "go build of {} failed ({status}):\n{}",
                self.title,
                said.trim()
            )));
        }
        fs::rename(&unfinished, binary)
            .map_err(Error::io("put the built program into the cache"))?;
        self.say(&format!("built in {} s", started.elapsed().as_secs()));
        Ok(())
    }

    fn wait_with_progress(&self, go: &mut Child, started: Instant) -> Result<ExitStatus> {
        let mut next = PROGRESS_EVERY;
        loop {
            if let Some(status) = go.try_wait().map_err(Error::io("wait for go build"))? {
                return Ok(status);
            }
            if started.elapsed() >= next {
                self.say(&format!("building, {} s so far", next.as_secs()));
                next += PROGRESS_EVERY;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn say(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "{}      {what}", self.title);
    }

    fn sources(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.name)
    }

    fn cache(&self) -> Result<PathBuf> {
        Ok(target_dir().join(self.name).join(self.hash()?))
    }

    fn link_flags(&self) -> String {
        let set = self
            .variables
            .iter()
            .map(|variable| format!("-X {variable}"));
        set.collect::<Vec<_>>().join(" ")
    }

    /// A name for the exact sources and flags. Not a cryptographic hash: it only tells one state of
    /// the module from another.
    fn hash(&self) -> Result<String> {
        let sources = self.sources();
        let mut files: Vec<PathBuf> = fs::read_dir(&sources)
            .map_err(Error::io(format!("list {}", sources.display())))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|e| e == "go" || e == "mod" || e == "sum")
            })
            .collect();
        files.sort();
        let mut hasher = DefaultHasher::new();
        self.link_flags().hash(&mut hasher);
        for file in files {
            file.file_name().hash(&mut hasher);
            fs::read(&file)
                .map_err(Error::io(format!("read {}", file.display())))?
                .hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// Cargo's target folder, where it is this workspace's default or named by
/// `CARGO_TARGET_DIR` (a relative one counts from the workspace).
pub(crate) fn target_dir() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
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
