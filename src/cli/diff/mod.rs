//! `keyferry diff`: what bindings in files would change in a cluster, before they are merged.

mod scene;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use futures::future::join_all;

use self::scene::Scene;
use super::{
    Problems,
    bindings::{self, Binding, FileArgs},
    cluster::ClusterArgs,
    duration,
    manifests::Filenames,
    reading::{AwsArgs, Reader},
};
use crate::{
    api::SecretAccessPolicy,
    core::{
        Fetched, Rendered,
        local::{
            Refusal, candidate,
            difference::{Row, table},
        },
        reference::account_of,
    },
};

/// What `--exit-code` answers where something would change.
const DIFFERS: u8 = 4;

/// Arguments of `keyferry diff`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyferry diff -f deploy/\n\n  ~ changes, + is created, = stays, ! is refused. Names of keys are shown, never values.\n\nExits with 1 when a binding would be refused or something cannot be read; with --exit-code with 4 when something\nwould change; else with 0."
)]
pub struct DiffArgs {
    #[command(flatten)]
    files: Filenames,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    aws: AwsArgs,

    /// How long all calls to AWS, and all to the cluster, may take
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    timeout: Duration,

    /// The install's policy file, where it has one, instead of the built-in policy
    #[arg(long, value_name = "FILE")]
    access_policy_file: Option<PathBuf>,

    /// Exit with 4 when something would change
    #[arg(long)]
    exit_code: bool,
}

/// Compares, and prints a line for each binding.
///
/// # Errors
/// One line for each problem that keeps it from comparing at all.
pub async fn run(
    args: &DiffArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode, Problems> {
    let files = FileArgs {
        files: args.files.clone(),
        namespace: args.cluster.namespace.clone(),
    };
    let (mut all, policies) = bindings::load_with(&files, Some("SecretAccessPolicy"))?;
    if all.is_empty() {
        return Err(Problems::one("no ExternalSecretBinding in these files"));
    }
    let of_files = policies.into_iter().map(serde_json::from_value);
    let of_files: Result<Vec<SecretAccessPolicy>, _> = of_files.collect();
    let of_files = of_files.map_err(|_| Problems::one("a SecretAccessPolicy cannot be read"))?;
    let cluster = args.cluster.connect(args.timeout).await;
    let cluster = cluster.map_err(Problems::one)?;
    for binding in all.iter_mut().filter(|it| !it.namespace_is_named) {
        cluster.namespace().clone_into(&mut binding.namespace);
    }
    let reads = read(args, &all).await?;
    let mut warn = |line: &str| drop(writeln!(err, "warning: {line}"));
    let scene = Scene::read(args, cluster.from_now(), &all, of_files, &mut warn).await?;
    let mut rows = Vec::new();
    for (binding, read) in all.iter().zip(&reads) {
        let secret = format!("{}/{}", binding.namespace, binding.recipe.target.name);
        let said = scene.say(binding, read).await?;
        rows.push(Row { secret, said });
    }
    let _ = out.write_all(table(&rows).as_bytes());
    Ok(if rows.iter().any(Row::is_refused) {
        ExitCode::FAILURE
    } else if args.exit_code && rows.iter().any(Row::differs) {
        ExitCode::from(DIFFERS)
    } else {
        ExitCode::SUCCESS
    })
}

/// What a binding gives, and as whom it was read.
struct Read {
    fetched: Fetched,
    candidate: Result<Rendered, Refusal>,
    account: Option<String>,
    region: String,
}

async fn read(args: &DiffArgs, all: &[Binding]) -> Result<Vec<Read>, Problems> {
    let reader = Reader::new(args.aws.clone(), args.timeout).await;
    let reader = &reader.map_err(|finding| Problems::one(Refusal::NotGiven(finding)))?;
    for binding in all {
        match reader.consent(binding).await {
            Ok(true) => {}
            Ok(false) => return Err(Problems::one("not agreed: nothing was read")),
            Err(finding) => return Err(Problems::one(Refusal::NotGiven(finding))),
        }
    }
    let reads = all.iter().map(|binding| async move {
        let (fetched, caller) = futures::join!(reader.fetch(binding), reader.caller(binding));
        let role = binding.recipe.identity.role_arn.as_deref();
        Read {
            candidate: candidate(&binding.recipe, &fetched),
            fetched,
            account: match role {
                Some(role) => account_of(role).map(str::to_owned),
                None => caller.ok().map(|caller| caller.account),
            },
            region: reader.region(binding).unwrap_or_default().to_owned(),
        }
    });
    let reads = join_all(reads).await;
    let is_outage = |read: &Read| read.candidate.as_ref().is_err_and(Refusal::is_outage);
    match reads.iter().all(is_outage).then(|| reads.first()).flatten() {
        Some(Read {
            candidate: Err(refusal),
            ..
        }) => Err(Problems::one(refusal)),
        _ => Ok(reads),
    }
}
