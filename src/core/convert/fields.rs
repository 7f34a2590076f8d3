//! Fields of a foreign object, each of which is taken or told: what nobody has taken in the end is reported.

use serde_json::{Map, Value};

use super::{Kept, Line};

/// What was found while one document was converted.
#[derive(Debug)]
pub(super) struct Report {
    document: usize,
    object: String,
    pub lines: Vec<Line>,
}

impl Report {
    pub fn new(document: usize, object: &str) -> Self {
        Self {
            document,
            object: object.to_owned(),
            lines: Vec::new(),
        }
    }

    /// Kind and name of what is converted.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// A field that the bindings do not have.
    pub fn lost(&mut self, path: &str, why: impl Into<String>) {
        self.say(path, Kept::Lost, why.into());
    }

    /// A field that is carried, or needs not be, with something to know about it.
    pub fn note(&mut self, path: &str, why: impl Into<String>) {
        self.say(path, Kept::Noted, why.into());
    }

    fn say(&mut self, path: &str, kept: Kept, why: String) {
        self.lines.push(Line {
            document: self.document,
            object: self.object.clone(),
            path: path.to_owned(),
            kept,
            why,
        });
    }
}

/// An object of which field after field is taken.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    left: Map<String, Value>,
}

impl Fields {
    /// `value` at `path`; anything but an object has no fields, which is told.
    pub fn of(path: &str, value: Value, report: &mut Report) -> Self {
        let left = match value {
            Value::Object(left) => left,
            Value::Null => Map::new(),
            _ => {
                report.lost(path, "is not an object");
                Map::new()
            }
        };
        Self {
            path: path.to_owned(),
            left,
        }
    }

    /// The path of a field.
    pub fn at(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Names of what is left.
    pub fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// A field, whatever it is; null is none.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A text; empty is none, as Go has it. Numbers and booleans are texts too.
    pub fn text(&mut self, name: &str, report: &mut Report) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(word) => Some(word.to_string()),
            _ => {
                report.lost(&self.at(name), "is not a text");
                None
            }
        }
    }

    /// A boolean; absent is false.
    pub fn is(&mut self, name: &str) -> bool {
        self.take(name)
            .is_some_and(|value| value == Value::Bool(true) || value == "true")
    }

    /// An object; one that is absent has no fields.
    pub fn fields(&mut self, name: &str, report: &mut Report) -> Self {
        let value = self.take(name).unwrap_or_default();
        Self::of(&self.at(name), value, report)
    }

    /// The items of a list, each with its path.
    pub fn items(&mut self, name: &str, report: &mut Report) -> Vec<(String, Value)> {
        let path = self.at(name);
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let items = items.into_iter().enumerate();
                items
                    .map(|(n, item)| (format!("{path}[{n}]"), item))
                    .collect()
            }
            Some(_) => {
                report.lost(&path, "is not a list");
                Vec::new()
            }
        }
    }

    /// A map of texts.
    pub fn texts(&mut self, name: &str, report: &mut Report) -> Vec<(String, String)> {
        let mut inner = self.fields(name, report);
        let names: Vec<String> = inner.left.keys().cloned().collect();
        let texts = names.into_iter().filter_map(|name| {
            let text = inner.take(&name)?;
            match text {
                Value::String(text) => Some((name, text)),
                Value::Number(number) => Some((name, number.to_string())),
                Value::Bool(word) => Some((name, word.to_string())),
                _ => {
                    report.lost(&inner.at(&name), "is not a text");
                    None
                }
            }
        });
        texts.collect()
    }

    /// Takes fields that are lost, if they are there.
    pub fn lost(&mut self, names: &[&str], why: &str, report: &mut Report) {
        for name in names {
            if self.take(name).is_some() {
                report.lost(&self.at(name), why);
            }
        }
    }

    /// Whatever was not taken is reported, leaf by leaf.
    pub fn end(self, report: &mut Report) {
        for (name, value) in &self.left {
            leaves(&self.at(name), value, report);
        }
    }
}

/// Every leaf below a value that nobody knows.
fn leaves(path: &str, value: &Value, report: &mut Report) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() => {
            for (name, inner) in fields {
                leaves(&format!("{path}.{name}"), inner, report);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (n, inner) in items.iter().enumerate() {
                leaves(&format!("{path}[{n}]"), inner, report);
            }
        }
        _ => report.lost(path, "is not known to this converter"),
    }
}
