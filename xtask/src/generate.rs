//! `cargo xtask generate`: files whose source is code.
//!
//! The binary prints them, so that what is committed is what users of that binary get.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::workspace::{Ended, cargo, root};

/// Folders that hold nothing but generated files.
const CRD_FOLDERS: [&str; 2] = ["crds", "charts/keyferry/files/crds"];
const RULES: &str = "charts/keyferry/files/rules.yaml";

/// Arguments of `generate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing, fail if a file is not current
    #[arg(long)]
    check: bool,
}

/// Writes every generated file that is not current, or only checks.
pub fn run(arguments: &Arguments) -> Ended {
    if arguments.check {
        return check();
    }
    let (root, wanted) = (root()?, wanted()?);
    for path in stale(&root, &wanted)? {
        let file = root.join(&path);
        match wanted.get(&path) {
            Some(text) => {
                fs::create_dir_all(file.parent().unwrap_or(&root))?;
                fs::write(&file, text)?;
            }
            None => fs::remove_file(&file)?,
        }
        println!("{}", path.display());
    }
    Ok(())
}

/// Fails if a generated file is not current.
pub fn check() -> Ended {
    match stale(&root()?, &wanted()?)? {
        stale if stale.is_empty() => Ok(()),
        stale => Err(format!("not current: {}. Run `cargo xtask generate`", list(&stale)).into()),
    }
}

/// Path in the repository to text.
type Files = BTreeMap<PathBuf, String>;

fn wanted() -> Ended<Files> {
    let mut files = Files::from([(PathBuf::from(RULES), printed("rights")?)]);
    for document in documents(&printed("crds")?) {
        let name = file_name(document)?;
        for folder in CRD_FOLDERS {
            files.insert(Path::new(folder).join(&name), document.to_owned());
        }
    }
    Ok(files)
}

/// What the binary prints for a verb.
fn printed(verb: &str) -> Ended<String> {
    let output = cargo(&["run", "--quiet", "--bin", "keyferry", "--", verb])?
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("`keyferry {verb}` failed").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// YAML documents without their separators; none is empty.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    let starts = std::iter::once(0).chain(text.match_indices("\n---\n").map(|(at, _)| at + 1));
    let ends = text
        .match_indices("\n---\n")
        .map(|(at, _)| at + 1)
        .chain([text.len()]);
    starts
        .zip(ends)
        .filter_map(|(start, end)| text.get(start..end))
        .map(|document| document.strip_prefix("---\n").unwrap_or(document))
        .filter(|document| !document.trim().is_empty())
}

/// `keyferry.dev_externalsecretbindings.yaml` for the CRD `externalsecretbindings.keyferry.dev`:
/// the name that controller-gen gives and kustomize users know.
fn file_name(document: &str) -> Ended<String> {
    let (plural, group) = document
        .lines()
        .find_map(|line| line.strip_prefix("  name: "))
        .and_then(|name| name.split_once('.'))
        .ok_or("a document of `keyferry crds` has no metadata.name")?;
    Ok(format!("{group}_{plural}.yaml"))
}

/// Paths that differ from what is wanted, and files in generated folders that nobody wants.
fn stale(root: &Path, wanted: &Files) -> Ended<Vec<PathBuf>> {
    let mut stale: Vec<PathBuf> = wanted
        .iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(*text))
        .map(|(path, _)| path.clone())
        .collect();
    for folder in CRD_FOLDERS {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = Path::new(folder).join(entry?.file_name());
            if !wanted.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_and_named() -> Ended {
        let text = "---\nkind: A\nmetadata:\n  name: as.keyferry.dev\n---\nkind: B\nmetadata:\n  name: bs.keyferry.dev\n";
        let found: Vec<_> = documents(text).collect();
        assert_eq!(found.len(), 2);
        assert!(
            found
                .iter()
                .all(|document| document.starts_with("kind: ") && !document.contains("---"))
        );
        assert_eq!(file_name(found[1])?, "keyferry.dev_bs.yaml");
        assert!(file_name("kind: C\n").is_err());
        Ok(())
    }

    #[test]
    fn missing_changed_and_unwanted_files_are_stale() -> Ended {
        let root = std::env::temp_dir().join(format!("keyferry-generate-{}", std::process::id()));
        let crds = root.join("crds");
        fs::create_dir_all(&crds)?;
        for (name, text) in [
            ("same.yaml", "a"),
            ("changed.yaml", "old"),
            ("unwanted.yaml", "x"),
        ] {
            fs::write(crds.join(name), text)?;
        }
        let wanted = [("same", "a"), ("changed", "new"), ("missing", "m")]
            .map(|(name, text)| (PathBuf::from(format!("crds/{name}.yaml")), text.to_owned()));
        let stale = stale(&root, &wanted.into())?;
        fs::remove_dir_all(&root)?;
        assert_eq!(
            list(&stale),
            "crds/changed.yaml, crds/missing.yaml, crds/unwanted.yaml"
        );
        Ok(())
    }
}
