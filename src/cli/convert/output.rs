//! Where the bindings go: the standard output, a file, or a file for each of them.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

use serde::Serialize;

use super::{ConvertArgs, Page, label};
use crate::{api::ExternalSecretBindingSpec, cli::Problems};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: &'a ExternalSecretBindingSpec,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

fn text(page: &Page) -> Result<String, Problems> {
    let made = &page.made;
    let object = Object {
        api_version: "keyferry.dev/v1alpha1",
        kind: "ExternalSecretBinding",
        metadata: Metadata {
            name: &made.name,
            namespace: made.namespace.as_deref(),
            labels: &made.labels,
            annotations: &made.annotations,
        },
        spec: &made.spec,
    };
    let mut text = comment(&page.comments.join("\n"));
    text.push_str(&serde_yaml::to_string(&object).map_err(Problems::one)?);
    Ok(text)
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

/// Writes the bindings, and the policies that they need as comments.
pub(super) fn write(
    args: &ConvertArgs,
    out: &mut impl Write,
    pages: &[Page],
    policies: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let policies: Vec<String> = policies.iter().map(|policy| comment(policy)).collect();
    let is_folder = |path: &Path| path.is_dir() || path.to_string_lossy().ends_with('/');
    match &args.out {
        Some(folder) if is_folder(folder) => {
            fs::create_dir_all(folder).map_err(|why| at(folder, &why))?;
            for page in pages {
                let name = label(&page.made).replace('/', "-");
                save(args, &folder.join(format!("{name}.yaml")), &text(page)?)?;
            }
            if !policies.is_empty() {
                save(
                    args,
                    &folder.join("access-policies.yaml"),
                    &policies.join("#\n"),
                )?;
            }
        }
        file => {
            let mut documents: Vec<String> = pages.iter().map(text).collect::<Result<_, _>>()?;
            if !policies.is_empty() {
                documents.push(policies.join("#\n"));
            }
            let all = documents.join("---\n");
            match file {
                Some(file) => save(args, file, &all)?,
                None => out.write_all(all.as_bytes())?,
            }
        }
    }
    Ok(())
}

fn save(args: &ConvertArgs, path: &Path, text: &str) -> Result<(), Problems> {
    let opened = match args.force {
        true => fs::File::create(path),
        false => fs::File::create_new(path),
    };
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| match why.kind() {
        ErrorKind::AlreadyExists => Problems::one(format!(
            "{}: is there already; --force replaces it",
            path.display()
        )),
        _ => at(path, &why),
    })
}

fn at(path: &Path, why: &std::io::Error) -> Problems {
    Problems::one(format!("{}: {why}", path.display()))
}
