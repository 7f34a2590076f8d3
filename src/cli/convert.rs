//! `keyferry convert`: bindings out of what other tools read.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{
    Problems,
    bindings::Binding,
    duration,
    manifests::{self, Manifest},
    reading::{AwsArgs, Reader},
};
use crate::{
    api::ExternalSecretBindingSpec,
    core::{
        ParseSettings, Recipe,
        convert::{Converted, Kept, Made, Offer, composed, convert, missing, suggestion},
        parse,
    },
};

/// Arguments of `keyferry convert`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  keyferry convert -f external-secrets/ --out bindings/\n  keyferry convert -f task-definition.json -n ecomind --check --compose\n\nReads ExternalSecret, SecretStore, ClusterSecretStore (v1, v1beta1), SecretProviderClass (aws) and ECS task definitions.\nBindings go to the standard output, every field that they do not carry to stderr."
)]
pub struct ConvertArgs {
    /// File, folder (with everything in it) or - for the standard input; may be repeated
    #[arg(
        short = 'f',
        long = "filename",
        required = true,
        value_name = "FILE|DIR|-"
    )]
    filenames: Vec<PathBuf>,

    /// Namespace of what names none
    #[arg(short = 'n', long)]
    namespace: Option<String>,

    /// File, or folder with a file for each binding (made if it ends in /) [default: the standard output]
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,

    /// Replace files that are there
    #[arg(long, requires = "out")]
    force: bool,

    /// Exit with 1 when something is not carried
    #[arg(long)]
    strict: bool,

    /// Read AWS, and say which entries and properties do not exist
    #[arg(long)]
    check: bool,

    /// Write the database URL that --check offers for a property that does not exist
    #[arg(long, requires = "check")]
    compose: bool,

    #[command(flatten)]
    aws: AwsArgs,

    /// How long reading AWS may take in all
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    timeout: Duration,
}

/// A binding with what there is to say about it.
struct Page {
    made: Made,
    comments: Vec<String>,
}

/// Lines for stderr, and whether they tell of something that is not in the bindings.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    lost: usize,
}

impl Said {
    fn lost(&mut self, line: &str) {
        self.lost += 1;
        self.lines.push(format!("warning: {line}"));
    }

    fn note(&mut self, line: &str) {
        self.lines.push(format!("note: {line}"));
    }
}

/// Converts, and prints.
///
/// # Errors
/// A line for each file that cannot be read or written, and where AWS cannot be asked.
pub async fn run(
    args: &ConvertArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let manifests = read(args)?;
    let values: Vec<_> = manifests
        .iter()
        .map(|manifest| manifest.value.clone())
        .collect();
    let converted = convert(&values, args.namespace.as_deref());
    if converted.bindings.is_empty() && converted.lines.is_empty() {
        let none = "nothing to convert: neither an ExternalSecret, a SecretProviderClass of provider aws nor an ECS task definition";
        return Err(Problems::one(none).into());
    }
    let mut said = Said::default();
    let mut pages = pages(converted, &manifests, &mut said);
    if args.check {
        check(args, &mut pages, &mut said).await?;
    }
    let policies = judge(&mut pages, &mut said);
    write(args, out, &pages, &policies)?;
    for line in &said.lines {
        writeln!(err, "{line}")?;
    }
    let count =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    writeln!(
        err,
        "{}, {} not carried",
        count(pages.len(), "binding", "bindings"),
        count(said.lost, "thing", "things")
    )?;
    let failed = pages.is_empty() || (args.strict && said.lost > 0);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(args: &ConvertArgs) -> Result<Vec<Manifest>, Problems> {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for manifest in manifests::read(&args.filenames) {
        match manifest {
            Ok(manifest) => manifests.push(manifest),
            Err(unreadable) => problems.push(unreadable.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok(manifests),
        false => Err(Problems(problems)),
    }
}

/// Bindings with the lines of their documents as comments; all lines for stderr, with file and line.
fn pages(converted: Converted, manifests: &[Manifest], said: &mut Said) -> Vec<Page> {
    for line in &converted.lines {
        let place = manifests[line.document].place(&line.path);
        let path = match line.path.is_empty() {
            true => String::new(),
            false => format!("{}: ", line.path),
        };
        let text = format!("{place}: {}: {path}{}", line.object, line.why);
        match line.kept {
            Kept::Lost => said.lost(&text),
            Kept::Noted => said.note(&text),
        }
    }
    let page = |made: Made| {
        let manifest = &manifests[made.document];
        let mut comments = vec![format!("From {}, {}.", made.from, manifest.file)];
        let own = converted.lines.iter().filter(|line| {
            line.document == made.document && line.object == made.from && !is_plumbing(&line.path)
        });
        comments.extend(own.map(|line| match line.kept {
            Kept::Lost => format!("not carried: {}: {}", line.path, line.why),
            Kept::Noted => format!("{}: {}", line.path, line.why),
        }));
        Page { made, comments }
    };
    let bindings = converted.bindings.clone();
    bindings.into_iter().map(page).collect()
}

/// What a comment need not say: fields of the object that was, and of a container.
fn is_plumbing(path: &str) -> bool {
    path.starts_with("metadata.")
        || path.contains("containerDefinitions[") && !path.contains(".secrets[")
}

fn label(made: &Made) -> String {
    match &made.namespace {
        Some(namespace) => format!("{namespace}/{}", made.name),
        None => made.name.clone(),
    }
}

fn recipe(made: &Made) -> Result<Recipe, String> {
    let namespace = made.namespace.as_deref().unwrap_or("default");
    let read = parse(namespace, &made.name, &made.spec, &ParseSettings::default());
    read.map_err(|finding| finding.fact)
}

/// Asks AWS for everything.
async fn check(args: &ConvertArgs, pages: &mut [Page], said: &mut Said) -> Result<(), Problems> {
    let reader = Reader::new(args.aws.clone(), args.timeout)
        .await
        .map_err(Problems::one)?;
    for page in pages {
        let Ok(recipe) = recipe(&page.made) else {
            continue;
        };
        let binding = Binding {
            namespace: page
                .made
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            namespace_is_named: page.made.namespace.is_some(),
            name: page.made.name.clone(),
            recipe,
            place: String::new(),
        };
        if !reader.consent(&binding).await.map_err(Problems::one)? {
            said.lost(&format!("{}: not checked", label(&page.made)));
            continue;
        }
        let fetched = reader.fetch(&binding).await;
        let unread =
            |finding: &&crate::core::Finding| finding.outage || !is_an_answer(finding.reason);
        let mut reads = fetched
            .entries
            .values()
            .filter_map(|read| read.as_ref().err());
        if let Some(finding) = reads.find(unread) {
            return Err(Problems::one(finding));
        }
        found(args, page, &missing(&binding.recipe, &fetched), said);
    }
    Ok(())
}

/// Whether AWS spoke about the entry.
fn is_an_answer(reason: crate::api::Reason) -> bool {
    use crate::api::Reason::{
        AccessDenied, KmsAccessDenied, MarkedForDeletion, SecretNotFound, StageMissing,
    };
    matches!(
        reason,
        AccessDenied | KmsAccessDenied | MarkedForDeletion | SecretNotFound | StageMissing
    )
}

/// Tells what does not exist; offers, or writes, the URL in its place.
fn found(
    args: &ConvertArgs,
    page: &mut Page,
    missing: &[crate::core::convert::Missing],
    said: &mut Said,
) {
    let offers: Vec<Offer> = missing.iter().filter_map(|it| it.offer.clone()).collect();
    let written: Option<ExternalSecretBindingSpec> = match args.compose && !offers.is_empty() {
        true => composed(&page.made.spec, &offers),
        false => None,
    };
    for it in missing {
        let told = format!("{}: {}: {}", label(&page.made), it.path, it.told);
        let Some(offer) = &it.offer else {
            said.lost(&told);
            page.comments.push(format!("{}: {}", it.path, it.told));
            continue;
        };
        let template = &offer.composed.template;
        match (&written, args.compose) {
            (Some(_), _) => {
                said.note(&format!("{told}; composed: {template}"));
                page.comments
                    .push(format!("{} is composed: {}", offer.key, it.told));
            }
            (None, true) => said.lost(&format!(
                "{told}; not composed, other keys of the binding are in the way: {template}"
            )),
            (None, false) => said.lost(&format!(
                "{told}; compose it (--compose writes it): {template}"
            )),
        }
        if written.is_none() {
            page.comments
                .push(format!("{}: {}; compose it: {template}", it.path, it.told));
        }
    }
    if let Some(spec) = written {
        page.made.spec = spec;
    }
}

/// What the API server, the operator and the access policies will say; a policy for each namespace that needs one.
fn judge(pages: &mut [Page], said: &mut Said) -> Vec<String> {
    let mut by_namespace: BTreeMap<String, Vec<Recipe>> = BTreeMap::new();
    for page in pages {
        match recipe(&page.made) {
            Err(why) => {
                let line = format!("would be refused: {why}");
                said.lost(&format!("{}: {line}", label(&page.made)));
                page.comments.push(line);
            }
            Ok(recipe) => {
                if let Some(namespace) = page.made.namespace.clone() {
                    by_namespace.entry(namespace).or_default().push(recipe);
                }
            }
        }
    }
    let mut policies = Vec::new();
    for (namespace, recipes) in by_namespace {
        let recipes: Vec<&Recipe> = recipes.iter().collect();
        if let Some(policy) = suggestion(&namespace, &recipes) {
            said.note(&format!(
                "namespace {namespace} may read {namespace}/* by the built-in access policy: a cluster admin must add the SecretAccessPolicy that stands in the output as a comment"
            ));
            policies.push(policy);
        }
    }
    policies
}

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

fn write(
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
        std::io::ErrorKind::AlreadyExists => Problems::one(format!(
            "{}: is there already; --force replaces it",
            path.display()
        )),
        _ => at(path, &why),
    })
}

fn at(path: &Path, why: &std::io::Error) -> Problems {
    Problems::one(format!("{}: {why}", path.display()))
}
