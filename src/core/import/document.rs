//! The JSON text of an entry, with a file's keys in it.
//!
//! What is not in the file keeps every byte: numbers as they were written, blanks between tokens.

use std::{collections::HashMap, fmt};

use serde_json::value::RawValue;

use super::MAX_ENTRY;
use crate::core::{
    SecretValue,
    json::{self, Document, JsonError, Node},
    value::Growing,
};

/// What becomes of an entry that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keys that are not in the file stay.
    Merge,
    /// The file's keys alone stay.
    Replace,
}

/// What is to be done with one entry. Lists hold keys.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Every key of the file has its value there; `kept` are the entry's others.
    Unchanged {
        /// Keys that the file has not.
        kept: Vec<String>,
    },
    /// A new version.
    Write {
        /// Its text.
        text: SecretValue,
        /// Keys that the entry had not.
        added: Vec<String>,
        /// Keys whose value is another now.
        changed: Vec<String>,
        /// Keys that go.
        removed: Vec<String>,
        /// Keys that the file has not, and stay.
        kept: Vec<String>,
    },
}

/// Why an entry cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is there, would change, and nobody said how.
    MustChoose {
        /// Keys that would change.
        changed: usize,
        /// Keys that it has not.
        added: usize,
        /// Keys that the file has not.
        others: usize,
    },
    /// It is there, holds something else, and nobody said that it may go.
    OtherValue,
    /// It is no JSON object, so that nothing can be merged into it.
    NotAnObject,
    /// It repeats a property.
    Duplicate,
    /// A value is no text.
    NotText(String),
    /// The new text is longer than AWS takes.
    TooLarge(usize),
}

/// The text of a new entry.
///
/// # Errors
/// [`Obstacle::NotText`], [`Obstacle::TooLarge`].
pub fn written(pairs: &[(String, SecretValue)]) -> Result<SecretValue, Obstacle> {
    let mut text = Growing::default();
    for (at, (key, value)) in pairs.iter().enumerate() {
        text.push(if at == 0 { b"{" } else { b"," });
        push_string(&mut text, key);
        text.push(b":");
        push_string(&mut text, string(key, value)?);
    }
    text.push(if pairs.is_empty() { b"{}" } else { b"}" });
    fits(text)
}

/// What to do with an entry that holds `now` (None: bytes that are no text).
///
/// # Errors
/// [`Obstacle`].
pub fn plan(
    now: Option<&str>,
    pairs: &[(String, SecretValue)],
    mode: Option<Mode>,
) -> Result<Plan, Obstacle> {
    let object = now.ok_or(Obstacle::NotAnObject).and_then(Object::parse);
    let object = match (object, mode) {
        (Ok(object), _) => object,
        // Whatever it was: it goes.
        (Err(_), Some(Mode::Replace)) => {
            return Ok(Plan::Write {
                text: written(pairs)?,
                added: pairs.iter().map(|(key, _)| key.clone()).collect(),
                changed: Vec::new(),
                removed: Vec::new(),
                kept: Vec::new(),
            });
        }
        (Err(obstacle), _) => return Err(obstacle),
    };
    let keys = |is: &dyn Fn(&String, &SecretValue) -> bool| -> Vec<String> {
        let found = pairs.iter().filter(|(key, value)| is(key, value));
        found.map(|(key, _)| key.clone()).collect()
    };
    let added = keys(&|key, _| object.value(key).is_none());
    let changed = keys(&|key, value| object.value(key).is_some_and(|now| now != value));
    let others = object.names_without(pairs);
    let is_same = added.is_empty() && changed.is_empty();
    let (text, removed, kept) = match mode {
        None | Some(Mode::Merge) if is_same => return Ok(Plan::Unchanged { kept: others }),
        Some(Mode::Replace) if is_same && others.is_empty() => {
            return Ok(Plan::Unchanged { kept: others });
        }
        None => {
            return Err(Obstacle::MustChoose {
                changed: changed.len(),
                added: added.len(),
                others: others.len(),
            });
        }
        Some(Mode::Merge) => (object.merged(pairs)?, Vec::new(), others),
        Some(Mode::Replace) => (object.replaced(pairs)?, others, Vec::new()),
    };
    Ok(Plan::Write {
        text,
        added,
        changed,
        removed,
        kept,
    })
}

/// A JSON object: its text, and where each value stands in it.
struct Object<'a> {
    text: &'a str,
    document: Document<'a>,
    members: Vec<Member<'a>>,
    index: HashMap<String, usize>,
}

struct Member<'a> {
    name: String,
    raw: &'a RawValue,
    value: SecretValue,
}

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Result<Self, Obstacle> {
        let obstacle = |error| match error {
            JsonError::Duplicate { .. } => Obstacle::Duplicate,
            _ => Obstacle::NotAnObject,
        };
        let document = Document::parse(text).map_err(obstacle)?;
        let Node::Object(raws) = document.node(document.root).map_err(obstacle)? else {
            return Err(Obstacle::NotAnObject);
        };
        let values = json::members(text, None).map_err(obstacle)?;
        let members: Vec<Member<'a>> = raws
            .into_iter()
            .zip(values)
            .map(|((name, raw), (_, value))| Member { name, raw, value })
            .collect();
        let names = members.iter().enumerate();
        let index = names.map(|(at, member)| (member.name.clone(), at));
        Ok(Self {
            text,
            index: index.collect(),
            members,
            document,
        })
    }

    fn member(&self, key: &str) -> Option<&Member<'a>> {
        self.members.get(*self.index.get(key)?)
    }

    fn value(&self, key: &str) -> Option<&SecretValue> {
        self.member(key).map(|member| &member.value)
    }

    fn names_without(&self, pairs: &[(String, SecretValue)]) -> Vec<String> {
        let names = self.members.iter().map(|member| &member.name);
        names
            .filter(|name| !pairs.iter().any(|(key, _)| key == *name))
            .cloned()
            .collect()
    }

    /// This text with the file's values in place of its own, and new ones at its end.
    fn merged(&self, pairs: &[(String, SecretValue)]) -> Result<SecretValue, Obstacle> {
        let mut out = Growing::default();
        let mut copied = 0;
        for member in &self.members {
            let start = self.document.offset(member.raw);
            push(&mut out, self.text, copied, start);
            copied = start + member.raw.get().len();
            let new = pairs.iter().find(|(key, _)| *key == member.name);
            match new.filter(|(_, value)| *value != member.value) {
                Some((key, value)) => push_string(&mut out, string(key, value)?),
                None => out.push(member.raw.get().as_bytes()),
            }
        }
        if self.members.is_empty() {
            copied = self.document.offset(self.document.root) + 1;
            push(&mut out, self.text, 0, copied);
        }
        let (blank, colon) = self.style();
        let new = pairs.iter().filter(|(key, _)| self.value(key).is_none());
        for (at, (key, value)) in new.enumerate() {
            if at > 0 || !self.members.is_empty() {
                out.push(b",");
            }
            out.push(blank.as_bytes());
            push_string(&mut out, key);
            out.push(colon.as_bytes());
            push_string(&mut out, string(key, value)?);
        }
        push(&mut out, self.text, copied, self.text.len());
        fits(out)
    }

    /// The file's keys alone, in the file's order; values that stay keep their token.
    fn replaced(&self, pairs: &[(String, SecretValue)]) -> Result<SecretValue, Obstacle> {
        let mut out = Growing::default();
        for (at, (key, value)) in pairs.iter().enumerate() {
            out.push(if at == 0 { b"{" } else { b"," });
            push_string(&mut out, key);
            out.push(b":");
            match self.member(key).filter(|member| member.value == *value) {
                Some(member) => out.push(member.raw.get().as_bytes()),
                None => push_string(&mut out, string(key, value)?),
            }
        }
        out.push(if pairs.is_empty() { b"{}" } else { b"}" });
        fits(out)
    }

    /// The blanks before the first key, and its colon.
    fn style(&self) -> (&'a str, &'static str) {
        let begin = self.document.offset(self.document.root) + 1;
        let inside = self.text.get(begin..).unwrap_or_default();
        let Some(first) = self.members.first() else {
            return ("", ":");
        };
        let blank = inside.len() - inside.trim_start().len();
        let before = self.text.get(..self.document.offset(first.raw));
        let spaced = before.is_some_and(|before| before.ends_with(' '));
        let colon = if spaced { ": " } else { ":" };
        (inside.get(..blank).unwrap_or_default(), colon)
    }
}

fn push(out: &mut Growing, text: &str, from: usize, to: usize) {
    out.push(text.as_bytes().get(from..to).unwrap_or_default());
}

/// A JSON string.
fn push_string(out: &mut Growing, text: &str) {
    // Writing to memory cannot fail, and every text is a JSON string.
    let _ = serde_json::to_writer(out, text);
}

fn string<'v>(key: &str, value: &'v SecretValue) -> Result<&'v str, Obstacle> {
    let text = value.as_str();
    text.ok_or_else(|| Obstacle::NotText(key.to_owned()))
}

fn fits(text: Growing) -> Result<SecretValue, Obstacle> {
    match text.len() {
        too_many if too_many > MAX_ENTRY => Err(Obstacle::TooLarge(too_many)),
        _ => Ok(text.into_value()),
    }
}

/// Continues the name of an entry.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MustChoose {
                changed,
                added,
                others,
            } => write!(
                f,
                "exists: {changed} of its keys would change, {added} would be added, {others} are not in the file. Say --merge (they stay) or --replace (they go)"
            ),
            Self::OtherValue => {
                f.write_str("exists with another value. Say --replace if it is to go")
            }
            Self::NotAnObject => f.write_str(
                "exists and is no JSON object: nothing can be merged into it. Name another, or say --replace",
            ),
            Self::Duplicate => f.write_str(
                "repeats a property, so that nobody can tell which one counts. Mend it, or say --replace",
            ),
            Self::NotText(key) => write!(f, "{key} is no text"),
            Self::TooLarge(bytes) => write!(
                f,
                "would have {bytes} bytes; AWS takes {MAX_ENTRY}. Spread the keys over several entries, or say --per-key"
            ),
        }
    }
}

#[cfg(test)]
#[path = "document_test.rs"]
mod tests;
