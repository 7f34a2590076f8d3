//! `.env` files: what they hold, and how values are written into them.
//!
//! Three tools and the shell read such files, and they agree only on the plain cases. [`parse`] is equal to
//! node's dotenv, python-dotenv and docker compose's `env_file` where those agree, and says in a warning
//! where they do not (docs/moving.md has the table). Nothing is ever replaced by a variable. Errors and
//! warnings name lines and keys, never a part of a value.
//!
//! Our own reader, because the one in common use (dotenvy 0.15.7, last released in 2023) puts the process's
//! environment into values that hold a `$`, shows the whole line in its errors, refuses keys with a dot or
//! hyphen, and has no writer.

mod read;
mod write;

use std::fmt;

use super::SecretValue;

pub use read::parse;
pub use write::{Differs, Reader, Unwritable, Why, Written, write};

/// What a file holds.
#[derive(Debug)]
pub struct Dotenv {
    /// Keys in the file's order, each once.
    pub pairs: Vec<(String, SecretValue)>,
    /// What a person should look at, in the order of lines.
    pub warnings: Vec<Warning>,
}

/// Something that is read, but not by every tool in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Line of the key.
    pub line: usize,
    /// The key.
    pub key: String,
    /// What it is.
    pub note: Note,
}

/// What can be odd about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The key stood in an earlier line already; this one wins.
    Repeated {
        /// The earlier line.
        first: usize,
    },
    /// A `$` that looks like a variable.
    Variable,
    /// A `#` in or behind an unquoted value, with no space before it.
    Hash,
    /// Nothing but a comment behind the `=`.
    CommentOnly,
    /// A backslash that not every tool reads in the same way.
    Backslash,
    /// Lines of a value in quotes that end in CR LF: read as LF.
    LineEnd,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DotenvError {
    /// The line, counted from 1; of a value in quotes: where the quotes open.
    pub line: usize,
    /// The key, where there is one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Bytes that are no UTF-8.
    NotText,
    /// A NUL byte.
    Nul,
    /// A carriage return without a line feed after it.
    CarriageReturn,
    /// Neither empty, comment nor `KEY=value`.
    NoAssignment,
    /// Quotes that never close.
    Unclosed,
    /// Text behind closing quotes.
    AfterQuotes,
    /// `\'` in single quotes, where some tools go on and others stop.
    BackslashQuote,
    /// Backtick quotes, which one tool alone knows.
    Backticks,
}

/// Begins with the line, so that `FILE:` can stand before it.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.line, self.key)?;
        match self.note {
            Note::Repeated { first } => {
                write!(f, "stands in line {first} already; this value is taken")
            }
            Note::Variable => f.write_str(
                "a `$` is taken as it stands; other readers may put a variable's value there",
            ),
            Note::Hash => f.write_str(
                "tools differ in whether a comment begins at the `#`; use quotes",
            ),
            Note::CommentOnly => f.write_str("nothing but a comment: taken for empty. Use quotes"),
            Note::Backslash => f.write_str(
                "tools differ in how they read a backslash here; see docs/moving.md for how it is taken",
            ),
            Note::LineEnd => {
                f.write_str("its lines end in CR LF, read as LF; docker compose keeps the CR")
            }
        }
    }
}

/// Begins with the line, so that `FILE:` can stand before it.
impl fmt::Display for DotenvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(match self.problem {
            Problem::NotText => "not UTF-8",
            Problem::Nul => "a NUL byte: no environment can hold one",
            Problem::CarriageReturn => "a carriage return without a line feed; write \"\\r\" in double quotes",
            Problem::NoAssignment => {
                "not KEY=value (letters, digits, `_`, `.` and `-` in the key); a value of several lines needs quotes"
            }
            Problem::Unclosed => "the quotes that open here never close",
            Problem::AfterQuotes => {
                "text behind the closing quotes of the value that begins here; is a quote missing?"
            }
            Problem::BackslashQuote => {
                "a backslash before a closing single quote: some tools end the value there, others do not; use double quotes"
            }
            Problem::Backticks => "backtick quotes are known to node's dotenv alone; use ' or \"",
        })
    }
}

impl std::error::Error for DotenvError {}
