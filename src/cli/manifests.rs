//! Manifests: YAML and JSON files as kubectl reads them, with the line of every field.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use saphyr::{MarkedYaml, Scalar, ScalarStyle, YamlData, YamlLoader};
use saphyr_parser::Parser;
use serde_json::{Map, Number, Value};

/// Endings of files that are read in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Bytes of a file; more is no manifest (etcd takes 1.5 MiB an object).
const LARGEST: u64 = 64 << 20;

/// The files that a verb reads.
#[derive(Args, Clone, Debug)]
pub struct Filenames {
    /// File, folder (with everything in it) or - for the standard input; may be repeated
    #[arg(
        short = 'f',
        long = "filename",
        required = true,
        value_name = "FILE|DIR|-"
    )]
    pub filenames: Vec<PathBuf>,
}

/// One document of a file.
#[derive(Debug)]
pub struct Manifest {
    /// The file as it was named; `-` for the standard input.
    pub file: String,
    /// What it says.
    pub value: Value,
    lines: Lines,
}

impl Manifest {
    /// The line of a field, or of the nearest one around it that is written. The first line is 1.
    pub fn line(&self, path: &str) -> usize {
        self.lines.find(path)
    }

    /// `file:line` of a field.
    pub fn place(&self, path: &str) -> String {
        format!("{}:{}", self.file, self.line(path))
    }
}

/// Why a file or a document could not be read: a sentence that begins with its place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unreadable(String);

/// Reads files, folders (with everything in them) and `-`, the standard input.
pub fn read(names: &[PathBuf]) -> Vec<Result<Manifest, Unreadable>> {
    let mut all = Vec::new();
    for name in names {
        match files(name) {
            Ok(files) => files.iter().for_each(|file| all.extend(file_of(file))),
            Err(why) => all.push(Err(why)),
        }
    }
    all
}

fn files(name: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    if !name.is_dir() {
        return Ok(vec![name.to_owned()]);
    }
    let unreadable = |error: std::io::Error| unreadable(name, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(name).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_of(path: &Path) -> Vec<Result<Manifest, Unreadable>> {
    let text = match path.as_os_str() == "-" {
        true => text_of(std::io::stdin().lock(), LARGEST),
        false => fs::File::open(path).and_then(|file| text_of(file, LARGEST)),
    };
    match text {
        Ok(text) => documents(&path.display().to_string(), &text),
        Err(error) => vec![Err(unreadable(path, &error))],
    }
}

fn text_of(file: impl Read, most: u64) -> std::io::Result<String> {
    let mut text = String::new();
    match file.take(most + 1).read_to_string(&mut text)? as u64 > most {
        true => Err(std::io::Error::other(format!("more than {most} bytes"))),
        false => Ok(text),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Unreadable {
    Unreadable(format!("{}: cannot be read: {error}", path.display()))
}

/// The documents of a text; empty ones are none.
pub fn documents(file: &str, text: &str) -> Vec<Result<Manifest, Unreadable>> {
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    // Quoted or not decides what `yes` is.
    loader.early_parse(false);
    let loaded = Parser::new_from_str(text).load(&mut loader, true);
    let refused = loaded.err().or_else(|| loader.error().cloned());
    if let Some(error) = refused {
        let (line, why) = (error.marker().line(), error.info());
        return vec![Err(Unreadable(format!("{file}:{line}: is no YAML: {why}")))];
    }
    let read = loader.into_documents().into_iter().filter_map(|document| {
        let manifest = value(&document).map(|value| Manifest {
            file: file.to_owned(),
            lines: Lines::of(&document),
            value,
        });
        let place = |why| Unreadable(format!("{file}:{why}"));
        match manifest {
            Ok(manifest) if manifest.value.is_null() => None,
            other => Some(other.map_err(place)),
        }
    });
    read.collect()
}

/// A node as JSON; the error begins with its line.
fn value(node: &MarkedYaml<'_>) -> Result<Value, String> {
    let line = node.span.start.line();
    match &node.data {
        YamlData::Sequence(items) => items.iter().map(value).collect(),
        YamlData::Mapping(fields) => {
            let mut all = Map::new();
            for (key, inner) in fields {
                match (key_of(key), value(inner)?) {
                    // A merge: what stands here itself wins.
                    (Some(key), Value::Object(merged)) if key == "<<" => {
                        for (name, inner) in merged {
                            all.entry(name).or_insert(inner);
                        }
                    }
                    (Some(key), inner) => drop(all.insert(key, inner)),
                    (None, _) => return Err(format!("{line}: a key is no text")),
                }
            }
            Ok(Value::Object(all))
        }
        YamlData::Tagged(_, inner) => value(inner),
        YamlData::Representation(text, style, tag) => {
            if let Some(word) = (*style == ScalarStyle::Plain && tag.is_none())
                .then(|| boolean(text))
                .flatten()
            {
                return Ok(Value::Bool(word));
            }
            let parsed = Scalar::parse_from_cow_and_metadata(text.clone(), *style, tag.as_ref());
            Ok(parsed.map_or(Value::Null, |scalar| scalar_value(&scalar)))
        }
        YamlData::Value(scalar) => Ok(scalar_value(scalar)),
        YamlData::Alias(_) | YamlData::BadValue => Err(format!("{line}: has no value")),
    }
}

/// What kubectl takes for a boolean and later YAML for text (source: YAML 1.1, as sigs.k8s.io/yaml reads it).
fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(word) => Value::Bool(*word),
        Scalar::Integer(number) => Value::from(*number),
        Scalar::FloatingPoint(number) => {
            Number::from_f64(number.into_inner()).map_or(Value::Null, Value::Number)
        }
        Scalar::String(text) => Value::String(text.to_string()),
    }
}

fn key_of(key: &MarkedYaml<'_>) -> Option<String> {
    match &key.data {
        YamlData::Representation(text, ..) => Some(text.to_string()),
        YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// Where the fields of a document stand.
#[derive(Debug, Default)]
struct Lines {
    line: usize,
    inner: Vec<(String, Lines)>,
}

impl Lines {
    fn of(node: &MarkedYaml<'_>) -> Self {
        let at = |key: String, line: usize, node: &MarkedYaml<'_>| {
            let line = Self {
                line,
                ..Self::of(node)
            };
            (key, line)
        };
        let inner = match &node.data {
            YamlData::Mapping(fields) => fields
                .iter()
                .filter_map(|(key, inner)| Some(at(key_of(key)?, key.span.start.line(), inner)))
                .collect(),
            YamlData::Sequence(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(n, item)| at(n.to_string(), item.span.start.line(), item))
                    .collect()
            }
            YamlData::Tagged(_, inner) => return Self::of(inner),
            _ => Vec::new(),
        };
        Self {
            line: node.span.start.line(),
            inner,
        }
    }

    /// Names and numbers of a path, in brackets or behind dots; a name may hold dots itself.
    fn find(&self, path: &str) -> usize {
        let path = path.trim_start_matches(['.', '[', ']']);
        let fits = |(name, _): &&(String, Self)| {
            path.strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ']']))
        };
        let longest = self.inner.iter().filter(fits).max_by_key(|(n, _)| n.len());
        longest.map_or(self.line, |(name, inner)| inner.find(&path[name.len()..]))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Manifest {
        documents("f", text).pop().unwrap().unwrap()
    }

    #[test]
    fn yaml_is_read_as_kubectl_reads_it() {
        for (text, expected) in [
            ("a: yes", json!({"a": true})),
            ("a: 'yes'", json!({"a": "yes"})),
            (
                "a: off\nb: 1\nc: 1.5\nd:\ne: ~",
                json!({"a": false, "b": 1, "c": 1.5, "d": null, "e": null}),
            ),
            ("a: \"1\"\nb: !!str 2", json!({"a": "1", "b": "2"})),
            (
                "x: &x {k: 1, l: 2}\na:\n  k: 3\n  <<: *x",
                json!({"x": {"k": 1, "l": 2}, "a": {"k": 3, "l": 2}}),
            ),
            ("a: |\n  two\n  lines\n", json!({"a": "two\nlines\n"})),
            (
                "{\"a\": [1, {\"b\": null}]}",
                json!({"a": [1, {"b": null}]}),
            ),
        ] {
            assert_eq!(one(text).value, expected, "{text}");
        }
    }

    #[test]
    fn every_field_has_its_line() {
        let text = "# first\na: 1\n---\nspec:\n  data:\n  - key: A\n    from:\n      secret: x\n  - {key: B}\n  labels:\n    a.b/c: d\n";
        let all = documents("f", text);
        assert_eq!(all.len(), 2);
        let second = all[1].as_ref().unwrap();
        for (path, line) in [
            ("spec", 4),
            ("spec.data", 5),
            ("spec.data[0].from.secret", 8),
            ("spec.data[0].from.absent", 7),
            ("spec.data[1].key", 9),
            ("spec.labels[a.b/c]", 11),
            ("spec.labels.a.b/c", 11),
            ("absent", 4),
        ] {
            assert_eq!(second.line(path), line, "{path}");
        }
        assert_eq!(second.place("spec"), "f:4");
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        assert_eq!(text_of("a: 1".as_bytes(), 4).unwrap(), "a: 1");
        let error = text_of("a: 12".as_bytes(), 4).unwrap_err();
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_line() {
        for (text, says) in [
            ("a: 1\nb: [1", "f:"),
            ("a: 1\na: 2", "f:2"),
            ("a: 1\n? [x]\n: 2", "a key is no text"),
        ] {
            let why = documents("f", text).pop().unwrap().unwrap_err().to_string();
            assert!(why.starts_with("f:") && why.contains(says), "{text}: {why}");
        }
        assert!(documents("f", "# nothing\n---\n").is_empty());
    }
}
