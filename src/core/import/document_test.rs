#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, SecretValue)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned().into());
    pairs.iter().map(owned).collect()
}

/// The new text, with the keys added, changed, removed and kept.
fn write(now: &str, file: &[(&str, &str)], mode: Mode) -> (String, [String; 4]) {
    match plan(Some(now), &pairs(file), Some(mode)).unwrap() {
        Plan::Write {
            text,
            added,
            changed,
            removed,
            kept,
        } => (
            text.as_str().unwrap().to_owned(),
            [added, changed, removed, kept].map(|keys| keys.join(",")),
        ),
        Plan::Unchanged { .. } => panic!("unchanged"),
    }
}

#[test]
fn a_new_entry_is_an_object_of_strings_in_the_files_order() {
    let text = written(&pairs(&[
        ("B", "1"),
        ("A", "it's \"x\"\n$\u{e9}\\"),
        ("C", ""),
    ]))
    .unwrap();
    assert_eq!(
        text.as_str().unwrap(),
        "{\"B\":\"1\",\"A\":\"it's \\\"x\\\"\\n$\u{e9}\\\\\",\"C\":\"\"}"
    );
    assert_eq!(written(&[]).unwrap().as_str(), Some("{}"));
}

#[test]
fn what_is_not_in_the_file_keeps_every_byte() {
    let now = "{\n  \"rate\": 1.10,\n  \"port\" :5432 , \"big\": 12345678901234567890123,\n  \"list\": [1, 2 ],\n  \"a\": \"\\u0041\"\n}\n";
    let (text, keys) = write(
        now,
        &[("port", "5433"), ("new", "x"), ("two", "y")],
        Mode::Merge,
    );
    let expected = "{\n  \"rate\": 1.10,\n  \"port\" :\"5433\" , \"big\": 12345678901234567890123,\n  \"list\": [1, 2 ],\n  \"a\": \"\\u0041\",\n  \"new\": \"x\",\n  \"two\": \"y\"\n}\n";
    assert_eq!(text, expected);
    assert_eq!(keys, ["new,two", "port", "", "rate,big,list,a"]);
    let (text, keys) = write(
        "{\"a\":1.10,\"b\":2}",
        &[("b", "3"), ("c", "4")],
        Mode::Merge,
    );
    assert_eq!(text, "{\"a\":1.10,\"b\":\"3\",\"c\":\"4\"}");
    assert_eq!(keys, ["c", "b", "", "a"]);
    assert_eq!(
        write(" { } ", &[("a", "1"), ("b", "2")], Mode::Merge).0,
        " {\"a\":\"1\",\"b\":\"2\" } "
    );
}

#[test]
fn a_replaced_entry_keeps_the_tokens_that_say_the_same() {
    let (text, keys) = write(
        "{\"rate\": 1.10, \"gone\": 1, \"b\": \"x\"}",
        &[("b", "y"), ("rate", "1.10"), ("c", "z")],
        Mode::Replace,
    );
    assert_eq!(text, "{\"b\":\"y\",\"rate\":1.10,\"c\":\"z\"}");
    assert_eq!(keys, ["c", "b", "gone", ""]);
    // It was no object: it goes as a whole.
    for now in ["plain", "[1]", "{\"a\":1,\"a\":2}"] {
        let (text, keys) = write(now, &[("a", "1")], Mode::Replace);
        assert_eq!(
            (text.as_str(), keys),
            ("{\"a\":\"1\"}", ["a", "", "", ""].map(str::to_owned))
        );
    }
    assert!(matches!(
        plan(None, &pairs(&[("a", "1")]), Some(Mode::Replace)),
        Ok(Plan::Write { .. })
    ));
}

#[test]
fn what_says_the_same_is_not_written() {
    let unchanged = |kept: &[&str]| {
        let kept = kept.iter().map(|key| (*key).to_owned()).collect();
        Ok(Plan::Unchanged { kept })
    };
    let now = Some("{\"port\": 5432, \"a\": \"\\u0041\", \"other\": null}");
    let file = pairs(&[("a", "A"), ("port", "5432")]);
    for mode in [None, Some(Mode::Merge)] {
        assert_eq!(plan(now, &file, mode), unchanged(&["other"]));
    }
    assert!(matches!(
        plan(now, &file, Some(Mode::Replace)),
        Ok(Plan::Write { .. })
    ));
    let all = pairs(&[("a", "A"), ("port", "5432"), ("other", "null")]);
    assert_eq!(plan(now, &all, Some(Mode::Replace)), unchanged(&[]));
}

#[test]
fn an_entry_that_is_there_changes_only_as_asked() {
    let file = pairs(&[("a", "1"), ("b", "2")]);
    for (now, mode, obstacle) in [
        (
            Some("{\"a\":\"0\",\"c\":\"3\",\"d\":\"4\"}"),
            None,
            Obstacle::MustChoose {
                changed: 1,
                added: 1,
                others: 2,
            },
        ),
        (Some("plain"), Some(Mode::Merge), Obstacle::NotAnObject),
        (Some("[]"), None, Obstacle::NotAnObject),
        (None, Some(Mode::Merge), Obstacle::NotAnObject),
        (
            Some("{\"c\":1,\"c\":1}"),
            Some(Mode::Merge),
            Obstacle::Duplicate,
        ),
    ] {
        assert_eq!(plan(now, &file, mode), Err(obstacle));
    }
}

#[test]
fn an_entry_has_65536_bytes_at_most() {
    let fits = "x".repeat(MAX_ENTRY - "{\"a\":\"\"}".len());
    assert_eq!(written(&pairs(&[("a", &fits)])).unwrap().len(), MAX_ENTRY);
    let long = format!("{fits}x");
    let too_large = Err(Obstacle::TooLarge(MAX_ENTRY + 1));
    assert_eq!(written(&pairs(&[("a", &long)])), too_large);
    assert_eq!(
        plan(
            Some("{\"a\":1}"),
            &pairs(&[("a", &long)]),
            Some(Mode::Merge)
        )
        .err(),
        too_large.err()
    );
    let binary = [("a".to_owned(), SecretValue::new(vec![0xff]))];
    assert_eq!(written(&binary), Err(Obstacle::NotText("a".into())));
}

proptest::proptest! {
    /// Whatever the entry holds: the file's keys read as the file says, the others as before.
    #[test]
    fn merging_changes_the_files_keys_alone(
        now in proptest::collection::btree_map("[a-d]{1,2}", "[ -~\u{e9}]{0,6}", 0..6),
        file in proptest::collection::btree_map("[a-d]{1,2}", "[ -~\u{e9}]{0,6}", 1..6),
        pretty in proptest::prelude::any::<bool>(),
    ) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&now).unwrap(),
            false => serde_json::to_string(&now).unwrap(),
        };
        let pairs: Vec<_> = file.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        let merged = match plan(Some(&text), &pairs, Some(Mode::Merge)).unwrap() {
            Plan::Write { text, .. } => text.as_str().unwrap().to_owned(),
            Plan::Unchanged { .. } => text,
        };
        let mut expected = now.clone();
        expected.extend(file);
        let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&merged).unwrap();
        proptest::prop_assert_eq!(read, expected);
    }
}
