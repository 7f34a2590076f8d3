//! Templates: minijinja from an empty environment, behind a lexical gate, within fixed bounds.
//!
//! A template sees the fetched keys by name, and all of them as `values['redis-password']`. It can
//! branch and call the filters of [`filters`]; it cannot loop, assign, include or concatenate. Error
//! texts are made of minijinja's kind and line only: its own text can hold values.

pub mod filters;
mod gate;
mod names;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use self::names::Names;
use self::work::Work;
use super::SecretValue;
use super::value::Growing;

/// Longest source in bytes.
pub const MAX_SOURCE: usize = 16 * 1024;
/// Most bytes one template, and each filter in it, may give.
pub const MAX_OUTPUT: usize = 1024 * 1024;

/// Fetched keys as templates see them.
pub type Data = Arc<BTreeMap<String, SecretValue>>;

/// Checks a source without rendering it: size, lexical gate, grammar.
///
/// # Errors
/// A sentence with the line, made of the source's names at most.
pub fn check_source(source: &str) -> Result<(), String> {
    gate::check(source)?;
    let work = Arc::new(Work::default());
    let environment = environment(&work).map_err(|e| sentence(&e, &work, source))?;
    environment
        .template_from_str(source)
        .map(|_| ())
        .map_err(|e| sentence(&e, &work, source))
}

/// Renders one source over the fetched keys.
///
/// # Errors
/// A sentence with the line; it never holds any part of a value.
pub fn render(source: &str, data: &Data) -> Result<SecretValue, String> {
    gate::check(source)?;
    let work = Arc::new(Work::default());
    let mut out = Capped::default();
    let result = render_to(source, data, &work, &mut out);
    match (result, work.fault()) {
        (Ok(()), None) => Ok(out.0.into_value()),
        // A lookup that was refused looks undefined to the template, and `default` would hide it.
        (Ok(()), Some(fault)) => Err(fault.to_owned()),
        (Err(e), _) => Err(sentence(&e, &work, source)),
    }
}

fn render_to(source: &str, data: &Data, work: &Arc<Work>, out: &mut Capped) -> Result<(), Error> {
    let environment = environment(work)?;
    let template = environment.template_from_str(source)?;
    let context = Value::from_object(Names::new(data, work));
    template.render_captured_to(context, out).map(|_| ())
}

fn environment<'a>(work: &Arc<Work>) -> Result<Environment<'a>, Error> {
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_recursion_limit(64);
    environment.set_formatter(|out, _, value| match value.kind() {
        ValueKind::String => out
            .write_str(value.as_str().unwrap_or_default())
            .map_err(Error::from),
        ValueKind::Bool => write!(out, "{}", value.is_true()).map_err(Error::from),
        ValueKind::Number => write!(out, "{value}").map_err(Error::from),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        _ => Err(Error::from(ErrorKind::NonPrimitive)),
    });
    filters::add_all(&mut environment, work);
    Ok(environment)
}

/// minijinja's kind and line in our words.
fn sentence(error: &Error, work: &Work, source: &str) -> String {
    let what = match (work.fault(), error.kind()) {
        (Some(fault), _) => fault.to_owned(),
        (None, ErrorKind::UndefinedError) => missing(work, source),
        (None, ErrorKind::SyntaxError | ErrorKind::BadEscape) => {
            "is not valid template syntax".to_owned()
        }
        (None, ErrorKind::UnknownFilter) => format!(
            "uses an unknown filter (known: {})",
            filters::NAMES.join(", ")
        ),
        (None, ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod) => {
            "calls a function or test; only filters exist".to_owned()
        }
        (None, ErrorKind::TooManyArguments | ErrorKind::MissingArgument) => {
            "calls a filter with the wrong number of arguments".to_owned()
        }
        (None, ErrorKind::WriteFailure) => "gives more than 1 MiB".to_owned(),
        (None, ErrorKind::NonPrimitive) => {
            "prints something that is not text (binary values need `| b64encode`)".to_owned()
        }
        (None, _) => "uses a value in a way it does not allow".to_owned(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// Names that were looked up in vain, as far as they stand in the source.
fn missing(work: &Work, source: &str) -> String {
    let names: Vec<String> = work
        .missed()
        .into_iter()
        .filter(|name| stands_in(source, name))
        .map(|name| format!("\"{name}\""))
        .collect();
    match names.as_slice() {
        [] => "uses something that was not fetched".to_owned(),
        [one] => format!("uses {one}, which was not fetched"),
        many => format!("uses {}, which were not fetched", many.join(" and ")),
    }
}

/// A name computed from a value must not be shown: only names written in the source are.
fn stands_in(source: &str, name: &work::Missed) -> bool {
    match name {
        work::Missed::Plain(_) => true,
        work::Missed::Quoted(name) => [
            format!("'{name}'"),
            format!("\"{name}\""),
            format!("values.{name}"),
        ]
        .iter()
        .any(|literal| source.contains(literal)),
    }
}

/// Takes at most [`MAX_OUTPUT`] bytes, then refuses.
#[derive(Default)]
struct Capped(Growing);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
