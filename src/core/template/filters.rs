//! The filters, each of which takes text and gives at most [`MAX_OUTPUT`] bytes. What they make is
//! wiped; minijinja keeps a copy of its own, which only the allocator reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Error, ErrorKind, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use zeroize::Zeroizing;

use super::MAX_OUTPUT;
use super::names::Binary;
use super::work::Work;
use crate::core::json::{Document, Node};
use crate::core::value::Growing;

/// Every filter there is.
pub const NAMES: [&str; 11] = [
    "b64decode",
    "b64encode",
    "default",
    "fromjson",
    "lower",
    "replace",
    "tojson",
    "trim",
    "upper",
    "urlencode",
    "with_query",
];

/// Every byte but letters, digits and `-._~` (source: RFC 3986, unreserved characters).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Deepest JSON that `fromjson` opens.
const MAX_DEPTH: usize = 64;

/// What a filter makes.
type Text = Zeroizing<String>;

/// Puts the filters into an environment; what they cost is charged to `work`.
pub(super) fn add_all(environment: &mut Environment<'_>, work: &Arc<Work>) {
    simple(environment, work, "urlencode", |text| Ok(urlencode(text)));
    simple(environment, work, "b64decode", b64decode);
    simple(environment, work, "tojson", |text| {
        tojson(text).ok_or("`tojson` failed")
    });
    simple(environment, work, "trim", |text| {
        Ok(text.trim().to_owned().into())
    });
    simple(environment, work, "upper", |text| {
        Ok(text.to_uppercase().into())
    });
    simple(environment, work, "lower", |text| {
        Ok(text.to_lowercase().into())
    });
    environment.add_filter("default", |value: Value, other: Value| {
        if value.is_undefined() || value.is_none() {
            other
        } else {
            value
        }
    });
    let w = Arc::clone(work);
    environment.add_filter("b64encode", move |value: Value| b64encode(&w, &value));
    let w = Arc::clone(work);
    environment.add_filter("fromjson", move |value: Value| {
        fromjson(&w, text(&w, &value)?)
    });
    let w = Arc::clone(work);
    environment.add_filter("replace", move |value: Value, from: Value, to: Value| {
        replace(&w, text(&w, &value)?, text(&w, &from)?, text(&w, &to)?)
    });
    let w = Arc::clone(work);
    environment.add_filter(
        "with_query",
        move |url: Value, name: Value, value: Value| {
            let (url, name, value) = (text(&w, &url)?, text(&w, &name)?, text(&w, &value)?);
            let input = url.len() + name.len() + value.len();
            finish(&w, input, with_query(url, name, value))
        },
    );
}

fn simple(
    environment: &mut Environment<'_>,
    work: &Arc<Work>,
    name: &'static str,
    f: fn(&str) -> Result<Text, &'static str>,
) {
    let work = Arc::clone(work);
    environment.add_filter(name, move |value: Value| -> Result<Value, Error> {
        let text = text(&work, &value)?;
        let result = f(text).map_err(|fault| work.fail(fault))?;
        finish(&work, text.len(), result)
    });
}

/// The text of an argument. minijinja would turn other values into text, binary ones lossily.
fn text<'a>(work: &Work, value: &'a Value) -> Result<&'a str, Error> {
    match value.as_str() {
        Some(text) => Ok(text),
        None if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError)),
        None => Err(work
            .fail("gives a filter something that is not text (binary values need `| b64encode`)")),
    }
}

/// Charges and caps one result.
fn finish(work: &Work, input: usize, result: Text) -> Result<Value, Error> {
    work.charge(input.saturating_add(result.len()))?;
    if result.len() > MAX_OUTPUT {
        return Err(work.fail("a filter gives more than 1 MiB"));
    }
    Ok(Value::from(result.as_str()))
}

fn urlencode(text: &str) -> Text {
    // Three characters a byte at most: it never grows.
    let mut encoded = Text::new(String::with_capacity(text.len().saturating_mul(3)));
    encoded.extend(utf8_percent_encode(text, RESERVED));
    encoded
}

fn tojson(text: &str) -> Option<Text> {
    let mut json = Growing::default();
    serde_json::to_writer(&mut json, text).ok()?;
    Some(std::str::from_utf8(json.expose()).ok()?.to_owned().into())
}

fn b64decode(text: &str) -> Result<Text, &'static str> {
    let bytes = crate::core::render::decode_base64(text.as_bytes(), false)
        .ok_or("`b64decode` was given something that is not base64")?;
    let text = std::str::from_utf8(bytes.expose());
    let text = text.map_err(|_| "`b64decode` gives bytes that are not text")?;
    Ok(text.to_owned().into())
}

/// The only filter that takes binary values.
fn b64encode(work: &Work, value: &Value) -> Result<Value, Error> {
    let encoded = |bytes: &[u8]| finish(work, bytes.len(), STANDARD.encode(bytes).into());
    if let Some(text) = value.as_str() {
        return encoded(text.as_bytes());
    }
    if let Some(binary) = value.downcast_object_ref::<Binary>() {
        return encoded(binary.0.expose());
    }
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Err(work.fail("`b64encode` takes text and binary values"))
}

/// Counts before it builds: a short text replaced by a long one can grow a million times.
fn replace(work: &Work, text: &str, from: &str, to: &str) -> Result<Value, Error> {
    if from.is_empty() {
        return Err(work.fail("`replace` needs something to replace"));
    }
    work.charge(text.len())?;
    let grown = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(grown) > MAX_OUTPUT.saturating_mul(2) {
        return Err(work.fail("a filter gives more than 1 MiB"));
    }
    let mut replaced = Text::new(String::with_capacity(text.len().saturating_add(grown)));
    for (at, part) in text.split(from).enumerate() {
        replaced.push_str(if at > 0 { to } else { "" });
        replaced.push_str(part);
    }
    finish(work, 0, replaced)
}

/// Objects become maps, arrays lists, strings text; numbers are text too, so that they keep their token.
fn fromjson(work: &Work, text: &str) -> Result<Value, Error> {
    let invalid =
        |_| work.fail("`fromjson` was given something that is not JSON without repeated names");
    work.charge(text.len())?;
    let document = Document::parse(text).map_err(invalid)?;
    open(work, &document, document.root, MAX_DEPTH)
}

fn open<'a>(
    work: &Work,
    document: &Document<'a>,
    raw: &'a serde_json::value::RawValue,
    depth: usize,
) -> Result<Value, Error> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(work.fail("`fromjson` was given JSON more than 64 deep"));
    };
    // A list of small values takes many times its text.
    work.charge(raw.get().len().saturating_add(64))?;
    let node = document.node(raw).map_err(|_| {
        work.fail("`fromjson` was given something that is not JSON without repeated names")
    })?;
    match node {
        Node::Object(members) => {
            let open_member = |(name, value)| Ok((name, open(work, document, value, depth)?));
            let map: Result<BTreeMap<String, Value>, Error> =
                members.into_iter().map(open_member).collect();
            map.map(Value::from)
        }
        Node::Array(elements) => {
            let list: Result<Vec<Value>, Error> = elements
                .into_iter()
                .map(|e| open(work, document, e, depth))
                .collect();
            list.map(Value::from)
        }
        Node::Text(text) => Ok(Value::from(text.as_str().unwrap_or_default())),
        Node::Token("null") => Ok(Value::from(())),
        Node::Token("true") => Ok(Value::from(true)),
        Node::Token("false") => Ok(Value::from(false)),
        Node::Token(number) => Ok(Value::from(number)),
    }
}

/// Sets a query parameter exactly once: the first of that name gets the value, further ones go, a new one
/// is appended; the fragment stays behind. Other parameters keep their bytes.
pub fn with_query(url: &str, name: &str, value: &str) -> Zeroizing<String> {
    let begin = after_user(url);
    let (head, fragment) = match url[begin..].find('#') {
        Some(i) => url.split_at(begin + i),
        None => (url, ""),
    };
    let (base, query) = match head[begin..].find('?') {
        Some(i) => (&head[..begin + i], &head[begin + i + 1..]),
        None => (head, ""),
    };
    let pair = Text::new([&**urlencode(name), "=", &**urlencode(value)].concat());
    let mut pairs: Vec<&str> = Vec::new();
    for old in query.split('&').filter(|p| !p.is_empty()) {
        let is_same = is_named(old, name);
        if !is_same {
            pairs.push(old);
        } else if !pairs.contains(&pair.as_str()) {
            pairs.push(&pair);
        }
    }
    if !pairs.contains(&pair.as_str()) {
        pairs.push(&pair);
    }
    let query = Text::new(pairs.join("&"));
    Text::new([base, "?", &query, fragment].concat())
}

fn is_named(pair: &str, name: &str) -> bool {
    let written = pair.split('=').next().unwrap_or_default();
    percent_decode_str(written)
        .decode_utf8()
        .is_ok_and(|n| n == name)
}

/// Where a query can begin: behind `user:password@` of a URL with a path, because passwords with an
/// unescaped `?` or `#` are common and clients accept them.
fn after_user(url: &str) -> usize {
    let authority = url.find("://").map_or(0, |i| i + 3);
    let rest = &url[authority..];
    let user = rest.split('/').next().unwrap_or_default();
    let has_path = user.len() < rest.len();
    let before_query = user.split(['?', '#']).next().unwrap_or_default();
    match user.rfind('@') {
        Some(at) if has_path && before_query.contains(':') => authority + at + 1,
        _ => authority,
    }
}
