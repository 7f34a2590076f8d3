//! `keyferry convert`: bindings out of what other tools read.

mod check;
mod output;

use std::{collections::BTreeMap, io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{
    Problems, duration,
    manifests::{self, Filenames, Manifest},
    reading::AwsArgs,
};
use crate::core::{
    ParseSettings, Recipe,
    convert::{Converted, Kept, Made, convert, suggestion},
    parse,
};

/// Arguments of `keyferry convert`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  keyferry convert -f external-secrets/ --out bindings/\n  keyferry convert -f task-definition.json -n ecomind --check --compose\n\nReads ExternalSecret, SecretStore, ClusterSecretStore (v1, v1beta1), SecretProviderClass (aws) and ECS task definitions.\nBindings go to the standard output, every field that they do not carry to stderr."
)]
pub struct ConvertArgs {
    #[command(flatten)]
    files: Filenames,

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
        check::check(args, &mut pages, &mut said).await?;
    }
    let policies = judge(&mut pages, &mut said);
    output::write(args, out, &pages, &policies)?;
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
    for manifest in manifests::read(&args.files.filenames) {
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
