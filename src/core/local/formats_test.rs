#![allow(clippy::unwrap_used)]
use std::process::Command;

use serde_json::json;

use super::*;
use crate::core::{ParseSettings, Recipe, parse};

fn recipe(target: Value) -> Recipe {
    let spec = json!({"dataFrom": [{"secret": "s"}], "target": target});
    let spec = serde_json::from_value(spec).unwrap();
    parse("estate", "backend", &spec, &ParseSettings::default()).unwrap()
}

fn data(pairs: &[(&str, &[u8])]) -> Data {
    let pair = |(key, value): &(&str, &[u8])| ((*key).to_owned(), SecretValue::new(value.to_vec()));
    pairs.iter().map(pair).collect()
}

fn formatted(form: Format, pairs: &[(&str, &[u8])]) -> Result<Text, String> {
    let target = json!({"name": "s", "labels": {"team": "true"}, "annotations": {"a/b": "x: y"}});
    format(form, &data(pairs), &recipe(target).target, Some("estate"))
}

fn text(form: Format, pairs: &[(&str, &[u8])]) -> String {
    let text = formatted(form, pairs).unwrap();
    String::from_utf8(text.bytes.expose().to_vec()).unwrap()
}

const ODD: [(&str, &[u8]); 5] = [
    ("A", b"it's \"$HOME\" `id` \\ !x"),
    ("B", b"two\nlines\n"),
    ("C", b""),
    ("D", "gr\u{fc}n".as_bytes()),
    ("E", b"'"),
];

#[test]
fn a_shell_reads_back_every_byte() {
    let mut script = text(Format::Shell, &ODD);
    script.push_str("printf '%s\\0' \"$A\" \"$B\" \"$C\" \"$D\" \"$E\"");
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    let read: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    let expected: Vec<&[u8]> = ODD.iter().map(|(_, value)| *value).collect();
    assert_eq!(&read[..5], expected);
}

#[test]
fn what_a_shell_cannot_export_is_told() {
    let made = formatted(
        Format::Shell,
        &[("redis-password", b"x"), ("1A", b"x"), ("B", b"x")],
    );
    let made = made.unwrap();
    assert_eq!(made.bytes.expose(), b"export B='x'\n");
    assert_eq!(made.warnings.len(), 2);
    assert!(made.warnings[1].starts_with("redis-password: left out"));
}

#[test]
fn json_reads_back_every_text() {
    let object: Value = serde_json::from_str(&text(Format::Json, &ODD)).unwrap();
    for (key, value) in ODD {
        assert_eq!(object[key].as_str().unwrap().as_bytes(), value);
    }
}

#[test]
fn a_secret_reads_back_every_byte_and_its_texts_stay_texts() {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut pairs = ODD.to_vec();
    pairs.extend([("all", &bytes[..]), ("yes", b"\xd7\x6d\xf8")]);
    let manifest: Value = serde_yaml::from_str(&text(Format::Secret, &pairs)).unwrap();
    assert_eq!(manifest["kind"], "Secret");
    assert_eq!(manifest["type"], "Opaque");
    assert_eq!(
        manifest["metadata"],
        json!({"name": "s", "namespace": "estate", "labels": {"team": "true"}, "annotations": {"a/b": "x: y"}})
    );
    assert_eq!(manifest["data"]["yes"], "1234");
    for (key, value) in pairs {
        let read = STANDARD.decode(manifest["data"][key].as_str().unwrap());
        assert_eq!(read.unwrap(), value, "{key}");
    }
    let bare = format(Format::Secret, &data(&ODD), &recipe(json!({})).target, None).unwrap();
    let bare: Value = serde_yaml::from_slice(bare.bytes.expose()).unwrap();
    assert_eq!(bare["metadata"], json!({"name": "backend"}));
}

#[test]
fn what_a_form_cannot_hold_is_refused_by_key_and_not_shown() {
    for (form, value) in [
        (Format::Json, &b"hunter2\xff"[..]),
        (Format::Dotenv, b"hunter2\xff"),
        (Format::Dotenv, b"hunter2\0"),
        (Format::Shell, b"hunter2\0"),
    ] {
        let why = formatted(form, &[("KEY", value)]).err().unwrap();
        assert!(
            why.starts_with("KEY: ") && !why.contains("hunter2"),
            "{why}"
        );
    }
    let binary = formatted(Format::Shell, &[("KEY", b"\xff")]).unwrap();
    assert_eq!(binary.bytes.expose(), b"export KEY='\xff'\n");
}

#[test]
fn dotenv_is_read_back_by_our_own_reader() {
    let made = text(Format::Dotenv, &ODD);
    let read = dotenv::parse(made.as_bytes()).unwrap().pairs;
    let expected: Vec<_> = data(&ODD).into_iter().collect();
    assert_eq!(read, expected);
}
