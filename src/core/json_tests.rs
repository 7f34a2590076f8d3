#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

const DOC: &str = r#"{
  "port": 5432, "price": 1.10, "exp": 1e5, "long": 123456789012345678901234567890, "on": true,
  "nothing": null, "neg": -0, "text": "a\"b\\c\n\u00e9\ud83d\ude00 /", "empty": "",
  "a.b": "dotted name", "a": {"b": "path", "c": [10, {"d": 1.50}], "/": 1, "~": 2},
  "/a/b": "slashed name",
  "obj": { "n" : 1.10 , "s" : " a \" b " , "l" : [ 1 , 2 ] }
}"#;

fn get(path: &str) -> Result<String, JsonError> {
    property(DOC, path).map(|v| String::from_utf8(v.expose().to_vec()).unwrap())
}

#[test]
fn values_are_the_original_tokens() {
    for (path, expected) in [
        ("port", "5432"),
        ("price", "1.10"),
        ("exp", "1e5"),
        ("long", "123456789012345678901234567890"),
        ("on", "true"),
        ("nothing", "null"),
        ("neg", "-0"),
        ("text", "a\"b\\c\né😀 /"),
        ("empty", ""),
        ("obj", r#"{"n":1.10,"s":" a \" b ","l":[1,2]}"#),
    ] {
        assert_eq!(get(path).as_deref(), Ok(expected), "{path}");
    }
}

#[test]
fn names_come_before_paths() {
    for (path, expected) in [
        ("a.b", "dotted name"),
        ("/a/b", "slashed name"),
        ("a.c.0", "10"),
        ("a.c.1.d", "1.50"),
        ("/a/c/1/d", "1.50"),
        ("/a/~1", "1"),
        ("/a/~0", "2"),
        ("/port", "5432"),
        ("a.c", r#"[10,{"d":1.50}]"#),
    ] {
        assert_eq!(get(path).as_deref(), Ok(expected), "{path}");
    }
    for path in [
        "A", "b", "a.x", "a.c.2", "a.c.01", "a.c.+1", "a.c.-", "a.b.c", "port.x", "/", "/a/", "",
        ".", "a.",
    ] {
        assert_eq!(
            get(path),
            Err(JsonError::Missing { properties: 13 }),
            "{path}"
        );
    }
    let elements = |path| property("[7,[8]]", path).map(|v| v.expose().to_vec());
    assert_eq!(elements("0"), Ok(b"7".to_vec()));
    assert_eq!(elements("/1/0"), Ok(b"8".to_vec()));
}

#[test]
fn repeated_properties_are_errors_on_the_way_only() {
    let duplicate = |line, column| {
        Err(JsonError::Duplicate {
            name: "x".into(),
            line,
            column,
        })
    };
    assert_eq!(property(r#"{"x":1,"x":2}"#, "y"), duplicate(1, 12));
    assert_eq!(property("{\"x\":1,\n\"\\u0078\":2}", "x"), duplicate(2, 10));
    assert_eq!(property(r#"{"a":{"x":1,"x":1}}"#, "a.b"), duplicate(1, 17));
    assert_eq!(
        members(r#"{"a":{"x":1,"x":1}}"#, Some("a")).map(|_| ()),
        duplicate(1, 17).map(|_| ())
    );
    assert!(property(r#"{"a":{"x":1,"x":1},"b":2}"#, "b").is_ok());
    assert!(members(r#"{"a":{"x":1,"x":1}}"#, None).is_ok());
}

#[test]
fn what_is_not_json_is_told_by_position() {
    for (text, line, column) in [
        ("", 1, 0),
        ("plain", 1, 1),
        ("{\"a\":\n 01}", 2, 3),
        ("{\"a\":1}x", 1, 8),
        ("{\"a\":1,}", 1, 8),
    ] {
        assert_eq!(
            property(text, "a"),
            Err(JsonError::Invalid { line, column }),
            "{text}"
        );
    }
    for text in [
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00x"}"#,
        r#"{"\ud800":1}"#,
        r#"{"a":"\ud800A"}"#,
    ] {
        assert!(
            matches!(property(text, "a"), Err(JsonError::Invalid { .. })),
            "{text}"
        );
    }
    assert_eq!(property("\"text\"", "a"), Err(JsonError::NotAnObject));
    assert_eq!(property("5", "a"), Err(JsonError::NotAnObject));
    assert_eq!(
        members("[1]", None).map(|_| ()),
        Err(JsonError::NotAnObject)
    );
    assert_eq!(
        members(r#"{"a":1}"#, Some("a")).map(|_| ()),
        Err(JsonError::NotAnObject)
    );
}

#[test]
fn a_mistake_inside_is_counted_from_the_beginning() {
    let text = "{\"a\":\n  {\"b\": \"\\ud800\"}}";
    assert!(
        matches!(property(text, "a.b"), Err(JsonError::Invalid { line: 2, column }) if column > 8)
    );
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(property(&deep, "a").unwrap().len(), 100_000);
    assert_eq!(mistake(&"[".repeat(100_000)).map(|(line, _)| line), Some(1));
}

#[test]
fn members_keep_their_order() {
    let names = |v: Vec<(String, SecretValue)>| v.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(
        names(members(r#"{"b":1,"a":2}"#, None).unwrap()),
        ["b", "a"]
    );
    assert_eq!(
        names(members(r#"{"x":{"b":1,"a":2}}"#, Some("x")).unwrap()),
        ["b", "a"]
    );
    assert_eq!(names(members("{}", None).unwrap()), Vec::<String>::new());
}

proptest! {
    #[test]
    fn strings_equal_what_serde_json_reads(name in "[^./]{1,12}", value in ".{0,40}", other in ".{0,12}") {
        prop_assume!(other != name);
        let text = serde_json::json!({ &name: &value, other: 1 }).to_string();
        let read = property(&text, &name).unwrap();
        prop_assert_eq!(read.expose(), value.as_bytes());
    }

    #[test]
    fn whitespace_goes_and_the_meaning_stays(keys in proptest::collection::btree_map(".{0,8}", ".{0,20}", 0..6)) {
        let pretty = serde_json::to_string_pretty(&serde_json::json!({ "o": [&keys, 1, null] })).unwrap();
        let expected = serde_json::json!([&keys, 1, null]).to_string();
        let read = property(&pretty, "o").unwrap();
        prop_assert_eq!(read.expose(), expected.as_bytes());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}", path in ".{0,12}") {
        let _ = property(&text, &path);
        let _ = members(&text, Some(&path));
        let _ = property(&format!("{{\"a\":{text}}}"), &path);
    }
}
