//! `keyferry render`: the data that a binding gives, into a file or on the standard output.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::{
    Problems,
    given::{self, GivenArgs},
    out_file::{self, Written},
};
use crate::core::local::{
    formats::{self, Data, Format, Text},
    variables,
};

/// Arguments of `keyferry render`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  keyferry render -f binding.yaml -o dotenv --out .env\n  eval \"$(keyferry render -f binding.yaml -o shell --show-values)\"\n\nReads AWS as you do with any tool: environment, profile, instance. Exits with 1, and leaves the file as it was,\nwhen something cannot be read or the binding's gate refuses a value."
)]
#[group(id = "where", required = true, multiple = false, args = ["out", "show_values"])]
pub struct RenderArgs {
    #[command(flatten)]
    given: GivenArgs,

    /// Form of the data
    #[arg(short, long, value_enum, default_value_t = Format::Dotenv)]
    output: Format,

    /// File to write, with mode 0600; it is replaced as a whole, and only when its content changes
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print the values on the standard output
    #[arg(long)]
    show_values: bool,

    /// Let `-o shell` export a key that programs obey, such as PATH; may be repeated
    #[arg(long, value_name = "KEY")]
    allow_key: Vec<String>,
}

/// Renders one binding.
///
/// # Errors
/// One line for each problem; then nothing was printed, and no file changed.
pub async fn run(args: &RenderArgs) -> Result<ExitCode, Problems> {
    let mut warn = |line: String| eprintln!("warning: {line}");
    let (binding, rendered) = given::give(&args.given, &mut warn).await?;
    let data: Data = rendered.data;
    if args.output == Format::Shell {
        let problems = variables::problems(&data, &args.allow_key);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
    }
    let namespace = binding.namespace_is_named.then_some(&*binding.namespace);
    let text = formats::format(args.output, &data, &binding.recipe.target, namespace);
    let Text { bytes, warnings } = text.map_err(Problems::one)?;
    warnings.into_iter().for_each(warn);
    let keys = match data.len() {
        1 => "1 key".to_owned(),
        n => format!("{n} keys"),
    };
    match &args.out {
        None => print(bytes.expose()).map_err(Problems::one)?,
        Some(path) => {
            let done = match out_file::write(path, bytes.expose()).map_err(Problems::one)? {
                Written::Anew => "written",
                Written::Unchanged => "unchanged",
            };
            let line = format!("{} {done}: {keys}\n", path.display());
            print(line.as_bytes()).map_err(Problems::one)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A reader that has seen enough is no failure.
fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}
