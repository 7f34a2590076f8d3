//! Reading JSON entries without changing what stands in them.
//!
//! Strings are unescaped; every other value keeps its original token (`1.10`, `1e5`, long numbers),
//! objects and arrays lose only the whitespace between tokens. Nothing here is recursive. Errors hold
//! positions and counts, never text of the document other than a repeated property's name.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::SecretValue;

/// Why nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON at this place (both count from 1, the column in bytes).
    Invalid {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// JSON, but not an object (for a property: neither object nor array).
    NotAnObject,
    /// An object on the way repeats a property.
    Duplicate {
        /// The repeated name.
        name: String,
        /// Line of the second value.
        line: usize,
        /// Column of the second value.
        column: usize,
    },
    /// Nothing there.
    Missing {
        /// Properties (or elements) at the top level.
        properties: usize,
    },
}

/// One property: a top-level name as it stands first, else a JSON pointer (with a leading `/`) or a
/// dotted path; elements of arrays by number. `null` is the token `null`.
///
/// # Errors
/// [`JsonError`]; a repeated property counts only in objects on the way.
pub fn property(text: &str, property: &str) -> Result<SecretValue, JsonError> {
    let document = Document::parse(text)?;
    let found = document.find(property)?;
    document.value(found)
}

/// Every property of the object at `property` (None: the whole document), in document order.
///
/// # Errors
/// [`JsonError`]; [`JsonError::NotAnObject`] for anything but an object.
pub fn members(
    text: &str,
    property: Option<&str>,
) -> Result<Vec<(String, SecretValue)>, JsonError> {
    let document = Document::parse(text)?;
    let raw = match property {
        Some(property) => document.find(property)?,
        None => document.root,
    };
    match document.node(raw)? {
        Node::Object(members) => members
            .into_iter()
            .map(|(name, value)| Ok((name, document.value(value)?)))
            .collect(),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Line and column of the first mistake, or None for valid JSON.
pub fn mistake(text: &str) -> Option<(usize, usize)> {
    match Document::parse(text) {
        Err(JsonError::Invalid { line, column }) => Some((line, column)),
        _ => None,
    }
}

/// A JSON text whose grammar was checked.
pub(crate) struct Document<'a> {
    text: &'a str,
    /// The outermost value.
    pub(crate) root: &'a RawValue,
}

/// One level of a document.
pub(crate) enum Node<'a> {
    /// Members in order, names unescaped and distinct.
    Object(Vec<(String, &'a RawValue)>),
    /// Elements.
    Array(Vec<&'a RawValue>),
    /// Unescaped text.
    Text(SecretValue),
    /// A number, `true`, `false` or `null` as it stands.
    Token(&'a str),
}

impl<'a> Document<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let root = serde_json::from_str(text).map_err(|e| JsonError::Invalid {
            line: e.line(),
            column: e.column(),
        })?;
        Ok(Self { text, root })
    }

    /// Opens one value.
    pub(crate) fn node(&self, raw: &'a RawValue) -> Result<Node<'a>, JsonError> {
        let text = raw.get();
        let invalid = |e: serde_json::Error| self.within(raw, &e);
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text).map_err(invalid)?;
                self.check_distinct(&members)?;
                Node::Object(members)
            }
            Some(b'[') => Node::Array(serde_json::from_str(text).map_err(invalid)?),
            Some(b'"') => {
                let unescaped: String = serde_json::from_str(text).map_err(invalid)?;
                Node::Text(unescaped.into())
            }
            _ => Node::Token(text),
        })
    }

    /// The bytes a key of a Secret gets from one value.
    fn value(&self, raw: &'a RawValue) -> Result<SecretValue, JsonError> {
        match raw.get().as_bytes().first() {
            Some(b'"') => match self.node(raw)? {
                Node::Text(text) => Ok(text),
                _ => Ok(raw.get().to_owned().into()),
            },
            Some(b'{' | b'[') => Ok(SecretValue::new(without_whitespace(raw.get()))),
            _ => Ok(raw.get().to_owned().into()),
        }
    }

    fn find(&self, property: &str) -> Result<&'a RawValue, JsonError> {
        let top = self.node(self.root)?;
        let properties = match &top {
            Node::Object(members) => members.len(),
            Node::Array(elements) => elements.len(),
            Node::Text(_) | Node::Token(_) => return Err(JsonError::NotAnObject),
        };
        let missing = JsonError::Missing { properties };
        if let Node::Object(members) = &top
            && let Some((_, value)) = members.iter().find(|(name, _)| name == property)
        {
            return Ok(value);
        }
        let mut segments = segments(property).into_iter();
        let first = segments.next().ok_or_else(|| missing.clone())?;
        let mut here = step(&top, &first).ok_or_else(|| missing.clone())?;
        for segment in segments {
            here = step(&self.node(here)?, &segment).ok_or_else(|| missing.clone())?;
        }
        Ok(here)
    }

    fn check_distinct(&self, members: &[(String, &'a RawValue)]) -> Result<(), JsonError> {
        let mut seen = BTreeSet::new();
        for (name, value) in members {
            if !seen.insert(name) {
                let (line, column) = self.position(value);
                return Err(JsonError::Duplicate {
                    name: name.clone(),
                    line,
                    column,
                });
            }
        }
        Ok(())
    }

    /// How many bytes stand before a part of this document.
    pub(crate) fn offset(&self, part: &RawValue) -> usize {
        (part.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// Where a part of this document begins.
    fn position(&self, part: &RawValue) -> (usize, usize) {
        let offset = self.offset(part);
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        (line, column)
    }

    /// An error inside `part`, counted from the beginning of the document.
    fn within(&self, part: &RawValue, error: &serde_json::Error) -> JsonError {
        let (line, column) = self.position(part);
        JsonError::Invalid {
            line: line + error.line().saturating_sub(1),
            column: match error.line() {
                0 | 1 => column + error.column().saturating_sub(1),
                _ => error.column(),
            },
        }
    }
}

/// A JSON pointer's or a dotted path's steps.
fn segments(property: &str) -> Vec<String> {
    match property.strip_prefix('/') {
        Some(pointer) => pointer
            .split('/')
            .map(|s| s.replace("~1", "/").replace("~0", "~"))
            .collect(),
        None => property.split('.').map(str::to_owned).collect(),
    }
}

fn step<'a>(node: &Node<'a>, segment: &str) -> Option<&'a RawValue> {
    match node {
        Node::Object(members) => members
            .iter()
            .find(|(name, _)| name == segment)
            .map(|(_, value)| *value),
        Node::Array(elements) => {
            let plain = segment == "0" || !segment.starts_with(['0', '+']);
            let index: usize = segment.parse().ok().filter(|_| plain)?;
            elements.get(index).copied()
        }
        Node::Text(_) | Node::Token(_) => None,
    }
}

/// Valid JSON without the whitespace between tokens; every token as it stands.
fn without_whitespace(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &b in json.as_bytes() {
        if in_string {
            (in_string, escaped) = match (escaped, b) {
                (false, b'"') => (false, false),
                (false, b'\\') => (true, true),
                _ => (true, false),
            };
        } else if b.is_ascii_whitespace() {
            continue;
        } else {
            in_string = b == b'"';
        }
        out.push(b);
    }
    out
}

/// An object's members in order, repeated names included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
