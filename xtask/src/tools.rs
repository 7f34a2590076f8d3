//! What a machine must have before anything is built: said in one line each, before minutes are spent.

use std::path::Path;
use std::process::Command;

use keyferry_testkit::control_plane;

use crate::workspace::Ended;

/// The Go version that builds the control plane (`go` in `testkit/control-plane/go.mod`).
const GO: (u32, u32) = (1, 26);

/// Fails with one line for each thing that is missing.
pub(crate) fn check() -> Ended {
    let missing: Vec<String> = [rust(), c_compiler(), go()].into_iter().flatten().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(missing.join("\nerror: ").into()),
    }
}

/// Whether the machine has a program of this name or path.
pub(crate) fn has(program: &str) -> bool {
    let here = |dir: std::path::PathBuf| dir.join(program).is_file();
    match Path::new(program).components().count() > 1 {
        true => Path::new(program).is_file(),
        false => std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(here)),
    }
}

/// Cargo runs us, so there is a Rust; it may still lack its compiler.
fn rust() -> Option<String> {
    let answers = printed("rustc", "--version").is_some();
    (!answers).then(|| "Rust is incomplete: `rustc --version` fails (https://rustup.rs)".into())
}

/// For linking, and for aws-lc, the TLS library.
fn c_compiler() -> Option<String> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    // `CC` may hold arguments, and `ccache gcc` is a usual one.
    let program = compiler.split_whitespace().next().unwrap_or("cc");
    (!has(program)).then(|| {
        format!("no C compiler: `{program}` is not on the PATH (Debian: apt install build-essential; macOS: xcode-select --install)")
    })
}

/// Only where the control plane is still to be built.
fn go() -> Option<String> {
    if !control_plane::builds_on_start() {
        return None;
    }
    let (major, minor) = GO;
    let Some(found) = printed("go", "version") else {
        return Some(format!(
            "no Go: the control plane is built with Go {major}.{minor} (https://go.dev/dl), or set {} to a folder with its programs",
            control_plane::ASSETS_VARIABLE
        ));
    };
    match go_version(&found) {
        Some(version) if version < GO => Some(format!(
            "Go {}.{} is too old: the control plane wants {major}.{minor} (https://go.dev/dl)",
            version.0, version.1
        )),
        _ => None,
    }
}

/// `go version go1.26.8 linux/amd64`; development builds have no number and pass.
fn go_version(line: &str) -> Option<(u32, u32)> {
    let word = line.split_whitespace().find_map(|word| {
        word.strip_prefix("go")
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })?;
    let mut numbers = word.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn printed(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_read() {
        let table = [
            ("go version go1.26.8 linux/amd64", Some((1, 26))),
            ("go version go1.9 darwin/arm64", Some((1, 9))),
            ("go version go1.27rc1 linux/amd64", Some((1, 27))),
            ("go version devel +abc linux/amd64", None),
            ("", None),
        ];
        for (line, version) in table {
            assert_eq!(go_version(line), version, "{line}");
        }
    }

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert!(has("sh") && has("/bin/sh"));
        assert!(!has("no-such-program") && !has("/no/such/program"));
    }
}
