//! What a machine must have before anything is built: said in one line each, before minutes are spent.

use std::path::Path;
use std::process::Command;

use keyferry_testkit::control_plane;

use crate::workspace::{Ended, root};

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
    let asked = Command::new("rustc").arg("--version").output();
    let answers = asked.is_ok_and(|answer| answer.status.success());
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

/// Only where the control plane is still to be built. Asked where its module lies: from 1.21 on an
/// older Go fetches the version that the module wants, unless it is told not to.
fn go() -> Option<String> {
    if !control_plane::builds_on_start() {
        return None;
    }
    let (major, minor) = GO;
    let wanted =
        format!("Go {major}.{minor} or later builds the control plane (https://go.dev/dl)");
    let module = root().ok()?.join("testkit/control-plane");
    let asked = Command::new("go")
        .arg("version")
        .current_dir(module)
        .output();
    let Ok(answer) = asked else {
        let assets = control_plane::ASSETS_VARIABLE;
        return Some(format!(
            "no Go: {wanted}; or set {assets} to a folder with its programs"
        ));
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !answer.status.success() {
        return Some(format!("{wanted}: {}", said(&answer.stderr)));
    }
    match go_version(&said(&answer.stdout)) {
        Some(found) if found < GO => {
            Some(format!("Go {}.{} is too old: {wanted}", found.0, found.1))
        }
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
