//! The names a template sees, and binary values, which refuse to be printed.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use super::Data;
use super::work::{Missed, Work};
use crate::core::SecretValue;

/// The name under which all keys can be reached, whatever they are called.
const VALUES: &str = "values";

/// Fetched keys, turned into template values when they are asked for. `values` always means all of
/// them; a key of that name is `values['values']`.
pub(super) struct Names {
    data: Data,
    work: Arc<Work>,
    top: bool,
}

impl Names {
    pub(super) fn new(data: &Data, work: &Arc<Work>) -> Self {
        Self {
            data: Arc::clone(data),
            work: Arc::clone(work),
            top: true,
        }
    }

    fn all(&self) -> Value {
        Value::from_object(Self {
            data: Arc::clone(&self.data),
            work: Arc::clone(&self.work),
            top: false,
        })
    }

    fn get(&self, name: &str) -> Option<Value> {
        if self.top && name == VALUES {
            return Some(self.all());
        }
        let Some(value) = self.data.get(name) else {
            let missed = if self.top {
                Missed::Plain
            } else {
                Missed::Quoted
            };
            self.work.miss(missed(name.to_owned()));
            return None;
        };
        self.work.charge(value.len()).ok()?;
        Some(match std::str::from_utf8(value.expose()) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from_object(Binary(value.clone())),
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.data.len())
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.data.is_empty()
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

/// A value that is not UTF-8.
#[derive(Debug)]
pub(super) struct Binary(pub(super) SecretValue);

impl Object for Binary {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}
