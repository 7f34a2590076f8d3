//! What a binding gives: from AWS, or from a file in its place. Warnings go where the verb says.

use std::{path::Path, time::Duration};

use clap::Args;

use super::{
    Problems,
    bindings::{self, Binding, FileArgs},
    duration,
    env_file::{self, EnvFile, EnvFileArgs},
    reading::{AwsArgs, Reader},
};
use crate::core::{
    Rendered,
    local::{
        Refusal, candidate,
        substitute::{Substitute, substitute},
    },
};

/// Which binding, and where its values come from.
#[derive(Args, Clone, Debug)]
pub struct GivenArgs {
    #[command(flatten)]
    files: FileArgs,

    /// Which binding, where the files hold several
    name: Option<String>,

    #[command(flatten)]
    env_files: EnvFileArgs,

    #[command(flatten)]
    aws: AwsArgs,

    /// How long reading AWS may take in all
    #[arg(long, default_value = "20s", value_parser = duration::patience)]
    timeout: Duration,
}

/// The binding, and the complete data, let through by the gate.
///
/// # Errors
/// One line for each problem: why it gives nothing.
pub async fn give(
    args: &GivenArgs,
    warn: &mut dyn FnMut(String),
) -> Result<(Binding, Rendered), Problems> {
    let all = bindings::load(&args.files)?;
    let binding = bindings::choose(all, args.name.as_deref())?;
    let rendered = rendered(&binding, args, warn).await?;
    Ok((binding, rendered))
}

async fn rendered(
    binding: &Binding,
    args: &GivenArgs,
    warn: &mut dyn FnMut(String),
) -> Result<Rendered, Problems> {
    let files = &args.env_files;
    if let Some(path) = &files.from_env_file {
        let EnvFile { pairs, warnings } = env_file::read(path)?;
        warnings.into_iter().for_each(&mut *warn);
        let substitute = of_file(binding, path, pairs)?;
        if !substitute.left_out.is_empty() {
            warn(left_out(path, &substitute));
        }
        if !substitute.lacking.is_empty() {
            warn(lacking(path, &substitute));
        }
        return Ok(substitute.rendered);
    }
    let refusal = match from_aws(binding, &args.aws, args.timeout).await? {
        Ok(rendered) => return Ok(rendered),
        Err(refusal) => refusal,
    };
    match &files.fallback_env_file {
        Some(path) if refusal.is_outage() => {
            let read = env_file::read(path).and_then(|file| of_file(binding, path, file.pairs));
            let substitute = read.map_err(|Problems(mut lines)| {
                lines.insert(0, wrong(binding, &refusal).to_string());
                Problems(lines)
            })?;
            warn(stood_in(path, &refusal, &substitute));
            Ok(substitute.rendered)
        }
        _ => Err(wrong(binding, &refusal)),
    }
}

/// The outer error ends the verb; the inner one may be made up for.
async fn from_aws(
    binding: &Binding,
    aws: &AwsArgs,
    timeout: Duration,
) -> Result<Result<Rendered, Refusal>, Problems> {
    let reader = match Reader::new(aws.clone(), timeout).await {
        Ok(reader) => reader,
        Err(finding) => return Ok(Err(Refusal::NotGiven(finding))),
    };
    match reader.consent(binding).await {
        Ok(true) => Ok(candidate(&binding.recipe, &reader.fetch(binding).await)),
        Ok(false) => Err(Problems::one("not agreed: nothing was read")),
        Err(finding) => Ok(Err(Refusal::NotGiven(finding))),
    }
}

fn of_file(
    binding: &Binding,
    path: &Path,
    pairs: Vec<(String, crate::core::SecretValue)>,
) -> Result<Substitute, Problems> {
    let shown = path.display().to_string();
    substitute(&binding.recipe, pairs, &shown).map_err(|refusal| wrong(binding, &refusal))
}

fn wrong(binding: &Binding, refusal: &Refusal) -> Problems {
    Problems::one(format!("{}: {refusal}", binding.name))
}

fn left_out(path: &Path, substitute: &Substitute) -> String {
    let (path, keys) = (path.display(), substitute.left_out.join(", "));
    format!("{path}: left out, the binding does not give them: {keys}")
}

fn lacking(path: &Path, substitute: &Substitute) -> String {
    let (path, keys) = (path.display(), substitute.lacking.join(", "));
    format!("{path}: not there, though the binding gives them: {keys}")
}

/// All there is to say of a fallback, in one line.
fn stood_in(path: &Path, refusal: &Refusal, substitute: &Substitute) -> String {
    let finding = refusal.finding();
    let mut line = format!(
        "{}: {} {} is used instead, as it was last kept.",
        finding.reason,
        finding.fact,
        path.display()
    );
    for (what, keys) in [
        ("Left out", &substitute.left_out),
        ("Not there", &substitute.lacking),
    ] {
        if !keys.is_empty() {
            line.push_str(&format!(" {what}: {}.", keys.join(", ")));
        }
    }
    line
}
