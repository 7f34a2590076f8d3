//! Bindings of files: read, judged as `validate` judges them, parsed, and one chosen by name.

use clap::Args;
use serde_json::Value;

use super::{
    Problems,
    manifests::{self, Filenames, Manifest},
};
use crate::core::{
    ParseSettings, Recipe,
    offline::{Checker, Problem},
    parse,
};

/// The one kind that gives data.
const KIND: &str = "ExternalSecretBinding";
/// Where kubectl puts what names no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Which files, and for which namespace.
#[derive(Args, Clone, Debug)]
pub struct FileArgs {
    /// The files.
    #[command(flatten)]
    pub files: Filenames,

    /// Namespace of bindings that name none
    #[arg(short = 'n', long)]
    pub namespace: Option<String>,
}

/// A binding of a file that the API server would take.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Its namespace: as written, else as given, else `default`.
    pub namespace: String,
    /// Whether a file or an argument says so.
    pub namespace_is_named: bool,
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub recipe: Recipe,
    /// `file:line` of its name.
    pub place: String,
}

/// Reads every binding. Manifests of other kinds are left alone.
///
/// # Errors
/// A line for everything that cannot be read or would be refused, with file and line.
pub fn load(args: &FileArgs) -> Result<Vec<Binding>, Problems> {
    let (bindings, _) = load_with(args, None)?;
    Ok(bindings)
}

/// The same, and the manifests of another kind of ours, which are judged likewise.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    args: &FileArgs,
    other: Option<&str>,
) -> Result<(Vec<Binding>, Vec<Value>), Problems> {
    let checker = Checker::new(ParseSettings::default());
    let (mut bindings, mut others, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for manifest in manifests::read(&args.files.filenames) {
        match manifest {
            Ok(manifest) if checker.knows(&manifest.value) && is(&manifest.value, Some(KIND)) => {
                match binding(&checker, &manifest, args.namespace.as_deref()) {
                    Ok(binding) => bindings.push(binding),
                    Err(lines) => problems.extend(lines),
                }
            }
            Ok(manifest) if checker.knows(&manifest.value) && is(&manifest.value, other) => {
                let found = checker.check(&manifest.value);
                let at = |it: &Problem| format!("{}: {it}", manifest.place(&it.path));
                problems.extend(found.iter().map(at));
                others.push(manifest.value);
            }
            Ok(_) => {}
            Err(unreadable) => problems.push(unreadable.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok((bindings, others)),
        false => Err(Problems(problems)),
    }
}

/// The one that is meant: by name, or the only one there is.
///
/// # Errors
/// A sentence with the names to choose from.
pub fn choose(bindings: Vec<Binding>, name: Option<&str>) -> Result<Binding, Problems> {
    let names: Vec<String> = bindings.iter().map(|b| b.name.clone()).collect();
    let mut fitting: Vec<Binding> = bindings
        .into_iter()
        .filter(|binding| name.is_none_or(|name| name == binding.name))
        .collect();
    let choice = names.join(", ");
    match (fitting.len(), name) {
        (1, _) => Ok(fitting.remove(0)),
        (0, None) => Err(Problems::one(format!("no {KIND} in these files"))),
        (0, Some(name)) => {
            let there = if choice.is_empty() { "none" } else { &choice };
            let told = format!("no {KIND} \"{name}\" in these files; there is {there}");
            Err(Problems::one(told))
        }
        (_, None) => Err(Problems::one(format!("which one? Name one of {choice}"))),
        (_, Some(name)) => {
            let places: Vec<&str> = fitting.iter().map(|b| b.place.as_str()).collect();
            let places = places.join(", ");
            Err(Problems::one(format!("\"{name}\" stands in {places}")))
        }
    }
}

fn is(manifest: &Value, kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| manifest["kind"] == kind)
}

fn binding(
    checker: &Checker,
    manifest: &Manifest,
    namespace: Option<&str>,
) -> Result<Binding, Vec<String>> {
    let text = |field: &str| manifest.value["metadata"][field].as_str();
    let name = text("name").unwrap_or_default().to_owned();
    let wrong = |path: &str, what: String| {
        let place = manifest.place(path);
        format!("{place}: {KIND}/{name}: {what}")
    };
    let problems = checker.check(&manifest.value);
    if !problems.is_empty() {
        let lines = problems.iter().map(|it| wrong(&it.path, it.to_string()));
        return Err(lines.collect());
    }
    if let (Some(written), Some(given)) = (text("namespace"), namespace)
        && written != given
    {
        let what = format!("is in namespace {written}, not in {given} (-n)");
        return Err(vec![wrong("metadata.namespace", what)]);
    }
    let named = text("namespace").or(namespace);
    let namespace = named.unwrap_or(DEFAULT_NAMESPACE);
    let spec = serde_json::from_value(manifest.value["spec"].clone());
    let spec = spec.map_err(|_| vec![wrong("spec", "cannot be read".to_owned())])?;
    let recipe = parse(namespace, &name, &spec, &ParseSettings::default());
    let recipe = recipe.map_err(|finding| vec![wrong("spec", finding.to_string())])?;
    Ok(Binding {
        namespace: namespace.to_owned(),
        namespace_is_named: named.is_some(),
        place: manifest.place("metadata.name"),
        name,
        recipe,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(name: &str, namespace: &str, key: &str) -> String {
        format!(
            "apiVersion: keyferry.dev/v1alpha1\nkind: {KIND}\nmetadata:\n  name: {name}\n{namespace}spec:\n  data:\n  - key: {key}\n    from: {{secret: a}}\n"
        )
    }

    fn loaded(texts: &[String], namespace: Option<&str>) -> Result<Vec<Binding>, Problems> {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in texts.iter().enumerate() {
            std::fs::write(dir.path().join(format!("{n}.yaml")), text).unwrap();
        }
        let result = load(&FileArgs {
            files: Filenames {
                filenames: vec![dir.path().to_owned()],
            },
            namespace: namespace.map(str::to_owned),
        });
        let root = format!("{}/", dir.path().display());
        let short = |Problems(lines): Problems| {
            Problems(lines.iter().map(|it| it.replace(&root, "")).collect())
        };
        result.map_err(short)
    }

    #[test]
    fn the_namespace_is_the_written_one_else_the_given_one() {
        for (written, given, expected) in [
            ("", None, "default"),
            ("", Some("estate"), "estate"),
            ("  namespace: bizi\n", None, "bizi"),
            ("  namespace: bizi\n", Some("bizi"), "bizi"),
        ] {
            let all = loaded(&[text("a", written, "A")], given).unwrap();
            assert_eq!(all[0].namespace, expected, "{written:?} {given:?}");
        }
        let error = loaded(&[text("a", "  namespace: bizi\n", "A")], Some("x")).unwrap_err();
        let expected = format!("0.yaml:5: {KIND}/a: is in namespace bizi, not in x (-n)");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn every_problem_is_told_with_file_and_line_and_other_kinds_are_left_alone() {
        let files = [
            text("a", "", "A"),
            text("b", "", "A/B"),
            "kind: ConfigMap\n---\n{a: [\n".to_owned(),
        ];
        let Problems(lines) = loaded(&files, None).unwrap_err();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(&format!("1.yaml:7: {KIND}/b: spec.data[0].key: ")));
        assert!(lines[1].starts_with("2.yaml:"), "{lines:?}");
        assert!(
            loaded(&["kind: ConfigMap".to_owned()], None)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn one_is_chosen_or_the_names_are_told() {
        let two = || loaded(&[text("a", "", "A"), text("b", "", "A")], None).unwrap();
        assert_eq!(choose(two(), Some("b")).unwrap().name, "b");
        let told = |bindings, name| choose(bindings, name).unwrap_err().to_string();
        assert_eq!(told(two(), None), "which one? Name one of a, b");
        assert!(told(two(), Some("c")).ends_with("there is a, b"));
        assert!(told(Vec::new(), None).starts_with("no ExternalSecretBinding"));
        let twice = loaded(&[text("a", "", "A"), text("a", "", "A")], None).unwrap();
        assert!(told(twice, Some("a")).contains("1.yaml:4"));
    }
}
