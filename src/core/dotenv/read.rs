//! Reading: a scanner over lines, and one for each kind of quotes.

use std::collections::HashMap;

use super::{Dotenv, DotenvError, Note, Problem, Warning};
use crate::core::value::{Growing, SecretValue};

/// Reads a file. `LF` and `CRLF` end lines, also inside of quotes; a byte order mark is skipped.
///
/// # Errors
/// [`DotenvError`] for the first line that cannot be read, or that tools read so differently that a value
/// could be lost.
pub fn parse(bytes: &[u8]) -> Result<Dotenv, DotenvError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let valid = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
        plain(line, Problem::NotText)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lone = |(at, _): &(usize, &str)| !text[at + 1..].starts_with('\n');
    let carriage_return = text.match_indices('\r').find(lone).map(|(at, _)| at);
    for (at, problem) in [
        (text.find('\0'), Problem::Nul),
        (carriage_return, Problem::CarriageReturn),
    ] {
        if let Some(at) = at {
            return Err(plain(1 + newlines(&text[..at]), problem));
        }
    }
    let mut scanner = Scanner {
        rest: text,
        line: 1,
        pairs: Pairs::default(),
    };
    while scanner.skip_to_statement() {
        scanner.statement()?;
    }
    Ok(scanner.pairs.read)
}

fn plain(line: usize, problem: Problem) -> DotenvError {
    DotenvError {
        line,
        key: None,
        problem,
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'\n').count()
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

/// Whether some tool replaces a `$` before this text (`$NAME`, `${NAME}`, `$$`).
fn is_variable(after_dollar: &str) -> bool {
    after_dollar.starts_with(|c: char| c.is_ascii_alphabetic() || "_{$".contains(c))
}

/// What was read so far.
struct Pairs {
    read: Dotenv,
    /// Where each key stands in `read`, and its line.
    known: HashMap<String, (usize, usize)>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            read: Dotenv {
                pairs: Vec::new(),
                warnings: Vec::new(),
            },
            known: HashMap::new(),
        }
    }
}

impl Pairs {
    fn put(&mut self, line: usize, key: &str, value: Value) {
        let mut notes = value.notes;
        let index = match self.known.get(key) {
            Some((index, first)) => {
                notes.insert(0, Note::Repeated { first: *first });
                self.read.pairs[*index].1 = value.bytes;
                *index
            }
            None => {
                self.read.pairs.push((key.to_owned(), value.bytes));
                self.read.pairs.len() - 1
            }
        };
        self.known.insert(key.to_owned(), (index, line));
        self.read
            .warnings
            .extend(notes.into_iter().map(|note| Warning {
                line,
                key: key.to_owned(),
                note,
            }));
    }
}

/// One value, and what is odd about it.
struct Value {
    bytes: SecretValue,
    notes: Vec<Note>,
}

/// A value that is being read.
#[derive(Default)]
struct Building {
    bytes: Growing,
    notes: Vec<Note>,
}

impl Building {
    fn push(&mut self, c: char) {
        self.bytes.push(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn done(self) -> Value {
        Value {
            bytes: self.bytes.into_value(),
            notes: self.notes,
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    pairs: Pairs,
}

impl<'a> Scanner<'a> {
    /// Leaves out empty lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let found = self.rest.trim_start();
            self.line += newlines(&self.rest[..self.rest.len() - found.len()]);
            self.rest = found;
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.take_line();
        }
    }

    /// The rest of the line; the newline stays.
    fn take_line(&mut self) -> &'a str {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        line
    }

    /// `[export ]KEY = value`.
    fn statement(&mut self) -> Result<(), DotenvError> {
        let line = self.line;
        let key = self
            .key()
            .ok_or_else(|| plain(line, Problem::NoAssignment))?;
        let problem = |problem| DotenvError {
            line,
            key: Some(key.to_owned()),
            problem,
        };
        let spaced = self.rest.starts_with(is_blank);
        self.rest = self.rest.trim_start_matches(is_blank);
        let value = match self.rest.chars().next() {
            Some('\'') => self.single(),
            Some('"') => self.double(),
            Some('`') => Err(Problem::Backticks),
            _ => Ok(unquoted(self.take_line(), spaced)),
        };
        self.pairs.put(line, key, value.map_err(problem)?);
        Ok(())
    }

    /// The key, up to behind the `=`.
    fn key(&mut self) -> Option<&'a str> {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let end = self.rest.find(|c| !is_key_char(c))?;
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start_matches(is_blank).strip_prefix('=')?;
        (!key.is_empty()).then_some(key)
    }

    /// `'...'`: everything stands for itself but `\'`.
    fn single(&mut self) -> Result<Value, Problem> {
        let mut value = Building::default();
        let mut rest = &self.rest[1..];
        loop {
            let c = rest.chars().next().ok_or(Problem::Unclosed)?;
            rest = &rest[c.len_utf8()..];
            match c {
                '\'' => break,
                '\\' if rest.starts_with('\'') => {
                    // The value's end, or a quote in it: only another one in this line tells.
                    let line = rest.lines().next().unwrap_or_default();
                    if !line[1..].contains('\'') {
                        return Err(Problem::BackslashQuote);
                    }
                    rest = &rest[1..];
                    value.push('\'');
                    value.note(Note::Backslash);
                }
                '\\' if rest.starts_with('\\') => {
                    rest = &rest[1..];
                    value.bytes.push(b"\\\\");
                    value.note(Note::Backslash);
                }
                '\r' => value.note(Note::LineEnd),
                _ => {
                    if c == '$' && rest.starts_with('{') {
                        value.note(Note::Variable);
                    }
                    value.push(c);
                }
            }
        }
        self.close(rest, value)
    }

    /// `"..."`: with escapes.
    fn double(&mut self) -> Result<Value, Problem> {
        let mut value = Building::default();
        let mut rest = &self.rest[1..];
        loop {
            let c = rest.chars().next().ok_or(Problem::Unclosed)?;
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => break,
                '\\' => {
                    let escaped = rest.chars().next().ok_or(Problem::Unclosed)?;
                    rest = &rest[escaped.len_utf8()..];
                    if !matches!(escaped, 'n' | 'r') {
                        value.note(Note::Backslash);
                    }
                    match escape(escaped) {
                        Some(meant) => value.push(meant),
                        None => {
                            value.push('\\');
                            value.push(escaped);
                        }
                    }
                }
                '\r' => value.note(Note::LineEnd),
                _ => {
                    if c == '$' && is_variable(rest) {
                        value.note(Note::Variable);
                    }
                    value.push(c);
                }
            }
        }
        self.close(rest, value)
    }

    /// Goes on behind closing quotes: only a comment may follow in that line.
    fn close(&mut self, rest: &'a str, value: Building) -> Result<Value, Problem> {
        self.line += newlines(&self.rest[..self.rest.len() - rest.len()]);
        self.rest = rest.trim_start_matches(is_blank);
        match self.rest.chars().next() {
            None | Some('\n') => {}
            Some('#') => {
                self.take_line();
            }
            Some(_) => return Err(Problem::AfterQuotes),
        }
        Ok(value.done())
    }
}

/// What a backslash and this character stand for in double quotes.
fn escape(c: char) -> Option<char> {
    Some(match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'v' => '\u{b}',
        'f' => '\u{c}',
        '"' | '\\' | '$' | '`' => c,
        _ => return None,
    })
}

/// A value without quotes, up to the end of the line or a `#` behind a space. `spaced`: a blank stood behind
/// the `=`.
fn unquoted(line: &str, spaced: bool) -> Value {
    let mut value = Building::default();
    let comment = line
        .match_indices('#')
        .find(|(at, _)| match line[..*at].chars().next_back() {
            Some(before) => before.is_whitespace(),
            None => spaced,
        });
    let text = line[..comment.map_or(line.len(), |(at, _)| at)].trim_end();
    if text.is_empty() && comment.is_some() {
        value.note(Note::CommentOnly);
    }
    let after_tab = comment.is_some_and(|(at, _)| at > 0 && !line[..at].ends_with(' '));
    if text.contains('#') || after_tab && !text.is_empty() {
        value.note(Note::Hash);
    }
    if text
        .match_indices('$')
        .any(|(at, _)| is_variable(&text[at + 1..]))
    {
        value.note(Note::Variable);
    }
    value.bytes.push(text.as_bytes());
    value.done()
}

#[cfg(test)]
#[path = "read_test.rs"]
mod tests;
