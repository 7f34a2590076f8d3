//! A `.env` file instead of AWS, as an argument and as data.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::Problems;
use crate::core::{SecretValue, dotenv};

/// Bytes of a file: more than any Secret holds.
const LARGEST: u64 = 4 << 20;

/// What stands in for AWS.
#[derive(Args, Clone, Debug, Default)]
pub struct EnvFileArgs {
    /// Take the values from this file instead of AWS; the binding's gate judges them all the same
    #[arg(long, value_name = "FILE", conflicts_with = "fallback_env_file")]
    pub from_env_file: Option<PathBuf>,

    /// Take them from this file when AWS cannot be read now (unreachable, throttled, no credentials)
    #[arg(long, value_name = "FILE")]
    pub fallback_env_file: Option<PathBuf>,
}

/// What a file holds, and what is to be said about it.
#[derive(Debug)]
pub struct EnvFile {
    /// Keys and values in the file's order.
    pub pairs: Vec<(String, SecretValue)>,
    /// A sentence with file and line each.
    pub warnings: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// One line with the file, and the line in it where there is one.
pub fn read(path: &Path) -> Result<EnvFile, Problems> {
    let shown = path.display();
    let bytes = bytes(path).map_err(|error| Problems::one(format!("{shown}: {error}")))?;
    let parsed = dotenv::parse(&bytes);
    let parsed = parsed.map_err(|error| Problems::one(format!("{shown}:{error}")))?;
    let warnings = parsed.warnings.iter().map(|it| format!("{shown}:{it}"));
    Ok(EnvFile {
        warnings: warnings.collect(),
        pairs: parsed.pairs,
    })
}

fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded(File::open(path)?)
}

/// All of it.
///
/// # Errors
/// What reading it gives, or that there is more than any Secret holds.
pub(super) fn bounded(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::other(format!("more than {LARGEST} bytes"))),
        false => Ok(bytes),
    }
}
