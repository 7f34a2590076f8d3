//! `cargo xtask check`: everything about the sources that `cargo xtask test` leaves out.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::generate;
use crate::workspace::{Ended, cargo, root};

/// Runs every stage, prints its time, fails at the end if one of them failed.
pub fn run() -> Ended {
    let stages: [(&str, Stage); 5] = [
        ("format", format),
        ("lints", lints),
        ("generated files", generated),
        ("documentation", documentation),
        ("templates in a release build", templates_in_release),
    ];
    let mut failed = Vec::new();
    for (name, stage) in stages {
        println!("check: {name} ...");
        let start = Instant::now();
        let ended = stage();
        let seconds = start.elapsed().as_secs_f32();
        match ended {
            Ok(()) => println!("check: {name} ok ({seconds:.1}s)"),
            Err(error) => {
                println!("check: {name} FAILED ({seconds:.1}s): {error}");
                failed.push(name);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {}", failed.join(", ")).into()),
    }
}

type Stage = fn() -> Ended;

fn format() -> Ended {
    done(cargo(&["fmt", "--all", "--check"])?)
}

fn lints() -> Ended {
    let all = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    done(cargo(&all)?)
}

fn generated() -> Ended {
    generate::check()
}

fn documentation() -> Ended {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"])?;
    doc.env("RUSTDOCFLAGS", "-D warnings");
    done(doc)
}

/// Hostile templates meet other stack frames in an optimised operator than in the one that is tested.
fn templates_in_release() -> Ended {
    done(cargo(&[
        "build",
        "--release",
        "--bin",
        "keyferry",
        "--quiet",
    ])?)?;
    let mut test = cargo(&[
        "test",
        "--quiet",
        "--test",
        "e2e",
        "--",
        "hostile_templates",
    ])?;
    test.env("KEYFERRY_TEST_BINARY", release_binary()?);
    done(test)
}

fn release_binary() -> Ended<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.map_or_else(|| Ok(root()?.join("target")), Ended::Ok)?;
    Ok(target.join("release/keyferry"))
}

fn done(mut command: Command) -> Ended {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{status}").into()),
    }
}
