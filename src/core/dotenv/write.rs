//! Writing: for each value the form that most readers read back.
//!
//! Plain values stand alone, others in single quotes, which nobody looks into. A value with a single quote or
//! a carriage return goes into double quotes with everything escaped that any reader would replace or run,
//! so that a reader that does not know an escape sees a backslash too many, and never does something.

use std::fmt;

use zeroize::Zeroizing;

use crate::core::{SecretValue, value::Growing};

/// A file's text, and who does not read all of it rightly.
pub struct Written {
    /// The file.
    pub text: Zeroizing<String>,
    /// Keys that some reader gets wrong.
    pub differs: Vec<Differs>,
}

/// A key whose value no form carries to every reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The key.
    pub key: String,
    /// Those who read something else; never [`super::parse`].
    pub readers: Vec<Reader>,
}

/// Who reads such files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// node's dotenv.
    Node,
    /// python-dotenv, as it is set by default.
    Python,
    /// docker compose's `env_file`.
    Compose,
    /// `set -a; . ./.env`.
    Shell,
}

/// A value or key that no `.env` file can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable {
    /// The key.
    pub key: String,
    /// Why.
    pub why: Why,
}

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not letters, digits, `_`, `.` and `-`.
    Key,
    /// Not UTF-8.
    NotText,
    /// A NUL byte.
    Nul,
    /// A backslash at the end, and more than letters, digits and a few signs before it: behind such a value
    /// some readers take the lines that follow for a part of it.
    EndsInBackslash,
}

/// One line a key, in the order given.
///
/// # Errors
/// [`Unwritable`] for the first key that cannot be written.
pub fn write<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a SecretValue)>,
) -> Result<Written, Unwritable> {
    let mut text = Growing::default();
    let mut differs = Vec::new();
    for (key, value) in pairs {
        let unwritable = |why| Unwritable {
            key: key.to_owned(),
            why,
        };
        check_key(key).map_err(unwritable)?;
        let value = value.as_str().ok_or_else(|| unwritable(Why::NotText))?;
        text.push(key.as_bytes());
        text.push(b"=");
        let mut readers = put(&mut text, value).map_err(unwritable)?;
        text.push(b"\n");
        readers.extend(readers_of_key(key));
        readers.sort_unstable();
        readers.dedup();
        if !readers.is_empty() {
            differs.push(Differs {
                key: key.to_owned(),
                readers,
            });
        }
    }
    // Keys and values were text, and only ASCII was put between them.
    let text = text.into_value();
    let text = Zeroizing::new(text.as_str().unwrap_or_default().to_owned());
    Ok(Written { text, differs })
}

fn check_key(key: &str) -> Result<(), Why> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match !key.is_empty() && key.bytes().all(good) {
        true => Ok(()),
        false => Err(Why::Key),
    }
}

/// Readers to which a key of this shape is no variable's name.
fn readers_of_key(key: &str) -> &'static [Reader] {
    let is_word = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (is_word, key.starts_with(|c: char| c.is_ascii_digit())) {
        (true, false) => &[],
        (false, false) => &[Reader::Shell],
        (_, true) => &[Reader::Compose, Reader::Shell],
    }
}

/// Writes one value; tells who reads it wrongly.
fn put(text: &mut Growing, value: &str) -> Result<Vec<Reader>, Why> {
    if value.contains('\0') {
        return Err(Why::Nul);
    }
    if value.bytes().all(is_plain) {
        text.push(value.as_bytes());
        return Ok(Vec::new());
    }
    if value.ends_with('\\') {
        if !value.bytes().all(|b| is_plain(b) || b == b'\\') {
            return Err(Why::EndsInBackslash);
        }
        text.push(value.as_bytes());
        // The shell joins the next line to this one: that may not be a key.
        text.push(b"\n");
        return Ok(vec![Reader::Shell]);
    }
    if !value.contains(['\'', '\r']) {
        text.push(b"'");
        text.push(value.as_bytes());
        text.push(b"'");
        let replaced = value.contains("\\\\") || value.contains("${");
        return Ok(if replaced {
            vec![Reader::Python]
        } else {
            vec![]
        });
    }
    double(text, value);
    Ok(readers_of_double(value))
}

/// What nobody needs quotes for.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&b)
}

fn double(text: &mut Growing, value: &str) {
    text.push(b"\"");
    for c in value.chars() {
        match c {
            '\r' => text.push(b"\\r"),
            '\\' | '"' | '$' | '`' => {
                text.push(b"\\");
                text.push(&[c as u8]);
            }
            _ => text.push(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    text.push(b"\"");
}

fn readers_of_double(value: &str) -> Vec<Reader> {
    let holds = |signs: &[char]| value.contains(signs);
    let wrong = [
        (Reader::Node, holds(&['\\', '"', '$', '`'])),
        (Reader::Python, holds(&['$', '`'])),
        (Reader::Compose, holds(&['`'])),
        (Reader::Shell, holds(&['\r'])),
    ];
    let wrong = wrong.into_iter().filter(|(_, differs)| *differs);
    wrong.map(|(reader, _)| reader).collect()
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node's dotenv",
            Self::Python => "python-dotenv",
            Self::Compose => "docker compose",
            Self::Shell => "the shell",
        })
    }
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readers: Vec<String> = self.readers.iter().map(ToString::to_string).collect();
        let (key, readers) = (&self.key, readers.join(", "));
        write!(
            f,
            "{key}: not read rightly from a .env file by {readers}; see docs/moving.md"
        )
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Key => "no name for a .env file (letters, digits, `_`, `.` and `-`)",
            Why::NotText => "binary: a .env file holds text",
            Why::Nul => "a NUL byte: no environment can hold one",
            Why::EndsInBackslash => {
                "ends in a backslash: some readers of .env files would take the next line for a part of it"
            }
        };
        write!(f, "{}: {why}", self.key)
    }
}

impl std::error::Error for Unwritable {}

#[cfg(test)]
#[path = "write_test.rs"]
mod tests;
