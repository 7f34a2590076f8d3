//! `keyferry import`: a `.env` file becomes entries of Secrets Manager, and the binding that gives its keys back.
//!
//! First everything is read and judged, then entries are written, one after the other. A run that was broken off is
//! gone on with by the next one: what says the same already is not written again.

mod args;
mod file;
mod steps;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

pub use args::ImportArgs;
use args::Where;
use file::File;
use steps::{Step, Steps};

use super::{
    Problems, env_file, out_file,
    reading::{late, sources},
};
use crate::{
    core::{
        Finding,
        import::{Binding, Source, name_of},
    },
    source::{Writer, in_person},
};

/// Brings a file in.
///
/// # Errors
/// [`Problems`]: nothing was written, or the last line says how far it came. Or when `out` takes no more.
pub async fn run(
    args: &ImportArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<ExitCode, Box<dyn Error>> {
    let place = args.place()?;
    let file = File::read(args, &place)?;
    for warning in &file.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    let writer = connect(args, &place).await.map_err(Problems::one)?;
    let look = Steps::find(&writer, args, &place, &file);
    let steps = match tokio::time::timeout(args.timeout, look).await {
        Ok(steps) => steps?,
        Err(_) => return Err(Problems::one(late(args.timeout)).into()),
    };
    for warning in steps.warnings(args) {
        writeln!(err, "warning: {warning}")?;
    }
    // Beside a manifest on the same stream they are its comments.
    let mark = if args.binding_out.is_some() { "" } else { "# " };
    let mut done = Vec::new();
    for step in &steps.all {
        let line = match args.dry_run {
            true => step.would(),
            false => match step.write(&writer, args).await {
                Ok((line, note)) => {
                    if let Some(note) = note {
                        writeln!(err, "warning: {note}")?;
                    }
                    line
                }
                Err(finding) => return Err(broken_off(&finding, &done, &steps.all).into()),
            },
        };
        writeln!(out, "{mark}{line}")?;
        done.push(step);
    }
    out.flush()?;
    let manifest = serde_yaml::to_string(&binding(args, &place, &file, &steps).manifest())?;
    match &args.binding_out {
        Some(path) => {
            out_file::write(path, manifest.as_bytes()).map_err(Problems::one)?;
        }
        None => out.write_all(manifest.as_bytes())?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// As whoever runs the command.
async fn connect(args: &ImportArgs, place: &Where) -> Result<Writer, Finding> {
    let region = place.region(args)?;
    let sources = sources(region, args.timeout).await.map_err(in_person)?;
    sources.writer(region).map_err(in_person)
}

/// What happened, and what of the rest.
fn broken_off(finding: &Finding, done: &[&Step], all: &[Step]) -> Problems {
    let mut problems = vec![finding.to_string()];
    let written = done.iter().filter(|step| step.writes()).count();
    let left = all.iter().skip(done.len()).filter(|step| step.writes());
    let left: Vec<&str> = left.map(|step| step.entry.as_str()).collect();
    if all.len() > 1 {
        problems.push(format!(
            "broken off: {written} written before, {} not: {}. Run it again to go on",
            left.len(),
            left.join(", ")
        ));
    }
    Problems(problems)
}

fn binding(args: &ImportArgs, place: &Where, file: &File, steps: &Steps) -> Binding {
    let source = match place {
        Where::Entry(entry) => Source::Entry {
            name: entry.clone(),
            has_others: steps.has_others(),
        },
        Where::PerKey(prefix) => Source::PerKey {
            prefix: prefix.clone(),
            names: file.named.names.clone(),
            renamed: file.named.renamed.clone(),
        },
    };
    let name = args.binding_name.clone();
    Binding {
        name: name.unwrap_or_else(|| name_of(place.text())),
        namespace: args.namespace.clone(),
        region: args.region.clone(),
        source,
        keys: file.pairs.iter().map(|(key, _)| key.clone()).collect(),
        empty: file.empty.clone(),
        reject_placeholders: !file.has_left_overs,
    }
}

/// A whole file, or the standard input.
fn read(path: &std::path::Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    match path.as_os_str() == "-" {
        true => env_file::bounded(io::stdin().lock()),
        false => env_file::bounded(std::fs::File::open(path)?),
    }
}
