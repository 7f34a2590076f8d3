#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;
use crate::core::dotenv::parse;

fn written(pairs: &[(&str, &str)]) -> Result<Written, Unwritable> {
    let pairs: Vec<(&str, SecretValue)> = pairs
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned().into()))
        .collect();
    write(pairs.iter().map(|(key, value)| (*key, value)))
}

/// Every form, and the readers that the real tools were seen to differ in.
#[test]
fn each_value_has_the_form_that_most_read() {
    use Reader::{Compose, Node, Python, Shell};
    let none: &[Reader] = &[];
    for (value, line, readers) in [
        ("", "A=\n", none),
        (
            "plain-1.0_a:b@c/d%20,e+f==",
            "A=plain-1.0_a:b@c/d%20,e+f==\n",
            none,
        ),
        ("two words", "A='two words'\n", none),
        (" x ", "A=' x '\n", none),
        ("#x", "A='#x'\n", none),
        ("~", "A='~'\n", none),
        ("$HOME \"q\" `x`", "A='$HOME \"q\" `x`'\n", none),
        ("one\n\ntwo\n", "A='one\n\ntwo\n'\n", none),
        ("a\\b c", "A='a\\b c'\n", none),
        ("ä", "A='ä'\n", none),
        ("a\\\\b", "A='a\\\\b'\n", &[Python]),
        ("a${B}", "A='a${B}'\n", &[Python]),
        ("C:\\dir\\", "A=C:\\dir\\\n\n", &[Shell]),
        ("it's\nmine", "A=\"it's\nmine\"\n", none),
        ("a\rb", "A=\"a\\rb\"\n", &[Shell]),
        ("it's \"q\" \\", "", none),
        ("it's \"q\"\\.", "A=\"it's \\\"q\\\"\\\\.\"\n", &[Node]),
        ("it's $5", "A=\"it's \\$5\"\n", &[Node, Python]),
        ("it's `x`", "A=\"it's \\`x\\`\"\n", &[Node, Python, Compose]),
    ] {
        let result = written(&[("A", value)]);
        if line.is_empty() {
            assert_eq!(result.err().map(|e| e.why), Some(Why::EndsInBackslash));
            continue;
        }
        let result = result.unwrap();
        assert_eq!(*result.text, line, "{value:?}");
        let differs: Vec<Reader> = result
            .differs
            .iter()
            .flat_map(|d| d.readers.clone())
            .collect();
        assert_eq!(differs, readers, "{value:?}");
    }
}

#[test]
fn keys_that_are_no_variables_are_told() {
    use Reader::{Compose, Shell};
    let text = written(&[
        ("redis-password", "x"),
        ("9a", "x"),
        ("_a9", "x"),
        ("a.b", "it's `"),
    ]);
    let differs = text.unwrap().differs;
    let differs: Vec<_> = differs
        .iter()
        .map(|d| (d.key.as_str(), d.readers.as_slice()))
        .collect();
    let expected: [(&str, &[Reader]); 3] = [
        ("redis-password", &[Shell]),
        ("9a", &[Compose, Shell]),
        ("a.b", &[Reader::Node, Reader::Python, Compose, Shell]),
    ];
    assert_eq!(differs, expected);
}

#[test]
fn what_no_file_can_hold_is_refused_by_key() {
    for (key, value, why) in [
        ("A", &b"\xff"[..], Why::NotText),
        ("A", b"a\0b", Why::Nul),
        ("A", b"a b\\", Why::EndsInBackslash),
        ("A B", b"x", Why::Key),
        ("", b"x", Why::Key),
        ("A\nB", b"x", Why::Key),
    ] {
        let value = SecretValue::new(value.to_vec());
        let error = write([("FIRST", &"x".to_owned().into()), (key, &value)])
            .err()
            .unwrap();
        assert_eq!((error.key.as_str(), error.why), (key, why));
    }
    let error = Unwritable {
        key: "A".into(),
        why: Why::NotText,
    };
    assert_eq!(error.to_string(), "A: binary: a .env file holds text");
    let differs = Differs {
        key: "A".into(),
        readers: vec![Reader::Node, Reader::Shell],
    };
    assert_eq!(
        differs.to_string(),
        "A: not read rightly from a .env file by node's dotenv, the shell; see docs/moving.md"
    );
}

/// Text with many of the signs that mean something to somebody.
fn text() -> impl Strategy<Value = String> {
    let sign = prop_oneof![
        4 => prop::sample::select(vec!['\'', '"', '`', '\\', '$', '{', '}', '#', '\n', '\r', ' ', '\t', '=', 'n']),
        2 => prop::char::range('a', 'e'),
        1 => any::<char>().prop_filter("no environment holds a NUL", |c| *c != '\0'),
    ];
    prop::collection::vec(sign, 0..24).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(values in prop::collection::vec(text(), 0..8)) {
        let keys: Vec<String> = (0..values.len()).map(|n| format!("KEY-{n}.a_b")).collect();
        let is_writable = |value: &&String| written(&[("A", value)]).is_ok();
        let pairs: Vec<(&str, &str)> = keys
            .iter()
            .zip(values.iter().filter(is_writable))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let text = written(&pairs).unwrap().text;
        let read = parse(text.as_bytes()).unwrap();
        let back: Vec<(&str, &str)> = read
            .pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
            .collect();
        prop_assert_eq!(back, pairs);
    }

    /// Only a backslash at the end is a reason not to write text.
    #[test]
    fn text_is_refused_for_its_last_sign_alone(value in text()) {
        match written(&[("A", &value)]) {
            Ok(_) => {}
            Err(error) => prop_assert!(error.why == Why::EndsInBackslash && value.ends_with('\\')),
        }
    }

    #[test]
    fn reading_never_panics(bytes in prop_oneof![
        text().prop_map(String::into_bytes),
        text().prop_map(|t| format!("A={t}\nB='{t}").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40),
    ]) {
        let _ = parse(&bytes);
    }
}
