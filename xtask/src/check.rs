//! `cargo xtask check`: everything about the sources that needs no cluster.

use std::process::Command;
use std::time::Instant;

use crate::generate;
use crate::workspace::{Ended, cargo};

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

/// Hostile templates meet other stack frames in an optimised build than in the one that is tested.
fn templates_in_release() -> Ended {
    let tests = [
        "test",
        "--release",
        "--package",
        "keyferry",
        "--lib",
        "--quiet",
        "core::template",
    ];
    done(cargo(&tests)?)
}

fn done(mut command: Command) -> Ended {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{status}").into()),
    }
}
