//! `keyferry validate`: manifests judged before anything is applied, without cluster and AWS.

use std::{
    collections::HashMap,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::{
    duration,
    manifests::{self, Filenames, Manifest},
};
use crate::core::{ParseSettings, offline::Checker};

/// Arguments of `keyferry validate`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyferry validate -f deploy/\n\nExits with 1 when a manifest would be refused."
)]
pub struct ValidateArgs {
    #[command(flatten)]
    files: Filenames,

    /// Floor under every binding's refreshInterval in the install that they are for
    #[arg(long, default_value = "1m", value_parser = duration::parse)]
    min_refresh_interval: Duration,
}

/// Judges the manifests; a line for each problem, and a summary.
///
/// # Errors
/// When `out` takes no more.
pub fn run(args: &ValidateArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    let checker = Checker::new(ParseSettings {
        min_refresh_interval: args.min_refresh_interval,
    });
    let mut ours = Vec::new();
    let (mut lines, mut others) = (Vec::new(), 0);
    for manifest in manifests::read(&args.files.filenames) {
        match manifest {
            Ok(manifest) if checker.knows(&manifest.value) => ours.push(manifest),
            Ok(_) => others += 1,
            Err(unreadable) => lines.push(unreadable.to_string()),
        }
    }
    for manifest in &ours {
        for problem in checker.check(&manifest.value) {
            let place = manifest.place(&problem.path);
            lines.push(format!("{place}: {}: {problem}", label(&manifest.value)));
        }
    }
    lines.extend(twice(&ours));
    for line in &lines {
        writeln!(out, "{line}")?;
    }
    let found = match lines.len() {
        0 => "no problem".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    writeln!(
        out,
        "{} of keyferry's manifests, {others} others: {found}",
        ours.len()
    )?;
    Ok(match lines.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Objects that stand in several places, and Secrets that several bindings want to own.
fn twice(manifests: &[Manifest]) -> Vec<String> {
    let (mut objects, mut targets) = (HashMap::new(), HashMap::new());
    let mut lines = Vec::new();
    for manifest in manifests {
        let (value, label) = (&manifest.value, label(&manifest.value));
        let namespace = text(&value["metadata"]["namespace"]);
        let own = (
            text(&value["kind"]),
            namespace,
            text(&value["metadata"]["name"]),
        );
        let here = manifest.place("metadata.name");
        if let Some(first) = objects.insert(own, here.clone()) {
            lines.push(format!("{here}: {label}: stands in {first} too"));
            continue;
        }
        let Some(target) = target(value) else {
            continue;
        };
        let here = manifest.place("spec.target.name");
        if let Some((other, first)) =
            targets.insert((namespace, target), (label.clone(), here.clone()))
        {
            lines.push(format!(
                "{here}: {label}: spec.target.name: Secret \"{target}\" is the target of {other} too ({first}); use creationPolicy: Merge, or another name"
            ));
        }
    }
    lines
}

/// The Secret that a binding wants for itself.
fn target(binding: &Value) -> Option<&str> {
    let target = &binding["spec"]["target"];
    let alone = binding["kind"] == "ExternalSecretBinding" && target["creationPolicy"] != "Merge";
    let name = target["name"].as_str();
    name.or(binding["metadata"]["name"].as_str())
        .filter(|_| alone)
}

fn label(manifest: &Value) -> String {
    format!(
        "{}/{}",
        text(&manifest["kind"]),
        text(&manifest["metadata"]["name"])
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: ValidateArgs,
    }

    /// Exit code and output over a folder with these files.
    fn validate(files: &[(&str, &str)]) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let args = Alone::parse_from(["validate".as_ref(), "-f".as_ref(), dir.path().as_os_str()]);
        let mut out = Vec::new();
        let code = run(&args.args, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let root = format!("{}/", dir.path().display());
        (code == ExitCode::SUCCESS, out.replace(&root, ""))
    }

    fn binding(name: &str, more: &str) -> String {
        format!(
            "apiVersion: keyferry.dev/v1alpha1\nkind: ExternalSecretBinding\nmetadata:\n  name: {name}\nspec:\n  data:\n  - key: A\n    from: {{secret: estate/a}}\n{more}"
        )
    }

    #[test]
    fn each_problem_has_its_file_and_line() {
        let bad = format!(
            "kind: ConfigMap\n---\n{}",
            binding("one", "  refreshInterval: 9s\n")
        );
        let (good, out) = validate(&[
            ("sub/a.yaml", &bad),
            ("ok.yml", &binding("two", "")),
            ("b.txt", "x: ["),
        ]);
        assert!(!good);
        let expected = "sub/a.yaml:11: ExternalSecretBinding/one: spec.refreshInterval: Invalid value: \"9s\": must be between 10s and 24h; to stop refreshing set `suspend: true`\n2 of keyferry's manifests, 1 others: 1 problem\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn templates_are_compiled() {
        let text = binding("one", "  template: {data: {B: \"{{ A | nothing }}\"}}\n");
        let (good, out) = validate(&[("a.yaml", &text)]);
        assert!(
            !good && out.contains("a.yaml:5: ExternalSecretBinding/one: spec: "),
            "{out}"
        );
    }

    #[test]
    fn a_secret_has_one_owner() {
        let (one, two) = (
            binding("one", "  target: {name: s}\n"),
            binding("two", "  target: {name: s}\n"),
        );
        let (good, out) = validate(&[("a.yaml", &one), ("b.yaml", &two)]);
        assert!(!good && out.contains("b.yaml:9: ExternalSecretBinding/two: spec.target.name: Secret \"s\" is the target of ExternalSecretBinding/one too (a.yaml:9)"), "{out}");
        let merged = two.replace("{name: s}", "{name: s, creationPolicy: Merge}");
        assert!(validate(&[("a.yaml", &one), ("b.yaml", &merged)]).0);
        let elsewhere = two.replace("  name: two", "  name: two\n  namespace: other");
        assert!(validate(&[("a.yaml", &one), ("b.yaml", &elsewhere)]).0);
        let (good, out) = validate(&[("a.yaml", &one), ("b.yaml", &one)]);
        assert!(
            !good && out.contains("b.yaml:4: ExternalSecretBinding/one: stands in a.yaml:4 too"),
            "{out}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_nothing_is_none() {
        let (good, out) = validate(&[("a.yaml", "a: [1\n")]);
        assert!(!good && out.starts_with("a.yaml:"), "{out}");
        let (good, out) = validate(&[("a.yaml", "")]);
        assert!(good, "{out}");
        assert_eq!(out, "0 of keyferry's manifests, 0 others: no problem\n");
        let args = Alone::parse_from(["validate", "-f", "/no/such/file"]);
        let mut out = Vec::new();
        assert_eq!(run(&args.args, &mut out).unwrap(), ExitCode::FAILURE);
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("/no/such/file: cannot be read")
        );
    }
}
