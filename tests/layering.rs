//! The dependency rule: api <- core <- {source, cluster} <- controllers <- app, and what `api` and
//! `core` must not know at all. Read from the sources, so that it cannot drift from them.

use std::{error::Error, fs, path::Path};

type Tested = Result<(), Box<dyn Error>>;

/// Each room with the rooms it may use beside itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("core", &["api"]),
    ("telemetry", &["api"]),
    ("source", &["api", "core"]),
    ("cluster", &["api", "core"]),
    (
        "controllers",
        &["api", "core", "source", "cluster", "telemetry"],
    ),
    ("cli", &["api", "core", "source", "cluster", "telemetry"]),
    (
        "app",
        &[
            "api",
            "core",
            "source",
            "cluster",
            "controllers",
            "telemetry",
            "cli",
        ],
    ),
];

/// What the pure rooms must not know: clients, AWS, runtime, clocks.
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "aws_sdk",
    "aws_config",
    "aws_smithy",
    "tokio",
    "async fn",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "std::fs",
    "std::env",
    "std::net",
];

/// Files of a room with their text, tests left out.
fn room(name: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![src.join(name), src.join(format!("{name}.rs"))];
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
            let shown = path.strip_prefix(&src)?.display().to_string();
            let is_test = shown.contains("test");
            let text = fs::read_to_string(&path)?;
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            if !is_test {
                files.push((shown, code.to_owned()));
            }
        }
    }
    assert!(!files.is_empty(), "no file found for room {name}");
    Ok(files)
}

/// Code without comments: they may speak of anything.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

/// First path segments after `crate::`, also in `use crate::{a::.., b::..}`.
fn used_rooms(text: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            used.extend(top_level_names(group));
        } else {
            used.push(word(rest));
        }
    }
    used
}

fn top_level_names(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(word(group[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(word(group[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn every_room_uses_only_those_before_it() -> Tested {
    let rooms: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, allowed) in MAY_USE {
        for (file, text) in room(name)? {
            for used in used_rooms(&text) {
                let foreign = rooms.contains(&used.as_str()) && used != *name;
                if foreign && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{file} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn api_and_core_know_no_client_no_clock_and_no_runtime() -> Tested {
    let mut wrong = Vec::new();
    for (file, text) in room("api")?.into_iter().chain(room("core")?) {
        for line in code_lines(&text) {
            wrong.extend(
                IMPURE
                    .iter()
                    .filter(|bad| line.contains(*bad))
                    .map(|bad| format!("{file}: {bad}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_check_sees_what_it_should() {
    let text = "use crate::{\n    api::Reason,\n    core::{Finding, x::Y},\n};\nfn f() { crate::cluster::g() } // crate::app";
    assert_eq!(used_rooms(text), ["api", "core", "cluster"]);
}
