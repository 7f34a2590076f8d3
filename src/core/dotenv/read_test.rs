#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

/// What a file says, and its warnings.
fn read(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let read = parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    let pairs = read.pairs.into_iter();
    (
        pairs
            .map(|(key, value)| (key, value.as_str().unwrap().to_owned()))
            .collect(),
        read.warnings.iter().map(ToString::to_string).collect(),
    )
}

/// The value of A, in a file with another line after it.
fn value(text: &str) -> (String, Vec<Note>) {
    let read = parse(format!("{text}\nZ=end\n").as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let [(a, value), (z, end)] = read.pairs.as_slice() else {
        panic!("{text:?}: {} keys", read.pairs.len());
    };
    assert_eq!(
        (a.as_str(), z.as_str(), end.expose()),
        ("A", "Z", &b"end"[..])
    );
    let notes = read.warnings.iter().map(|w| w.note).collect();
    (value.as_str().unwrap().to_owned(), notes)
}

#[test]
fn what_every_tool_reads_alike() {
    for (text, expected) in [
        ("A=b", "b"),
        ("A=", ""),
        ("A= ", ""),
        ("A=''", ""),
        ("A=\"\"", ""),
        ("A = b", "b"),
        ("  A=b  ", "b"),
        ("\tA\t=\tb", "b"),
        ("export A=b", "b"),
        ("export\t A = b", "b"),
        ("A=b=c==", "b=c=="),
        ("A==b", "=b"),
        ("A=two words", "two words"),
        ("A=b # comment", "b"),
        ("A=b   # comment # more", "b"),
        ("A='b' # comment", "b"),
        ("A=\"b\"# comment", "b"),
        ("A='b # c'", "b # c"),
        ("A=\"b # c\"", "b # c"),
        ("A=' b '", " b "),
        ("A=\" b \"", " b "),
        ("A='say \"hi\"'", "say \"hi\""),
        ("A=\"it's\"", "it's"),
        ("A=say \"hi\"", "say \"hi\""),
        ("A=it's", "it's"),
        ("A='one\ntwo\n'", "one\ntwo\n"),
        ("A=\"one\n# two\nB=three\"", "one\n# two\nB=three"),
        ("A=\"one\\ntwo\"", "one\ntwo"),
        ("A=\"one\\r\\ntwo\"", "one\r\ntwo"),
        ("A='one\\ntwo'", "one\\ntwo"),
        ("A=one\\ntwo", "one\\ntwo"),
        ("A=C:\\dir", "C:\\dir"),
        ("A='$9.99'", "$9.99"),
        ("A=é ü", "é ü"),
        ("# comment\n\n  # B=c\nA=b", "b"),
    ] {
        assert_eq!(value(text), (expected.to_owned(), vec![]), "{text:?}");
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let in_quotes = text.starts_with("A=") && text.contains('\n');
        let notes = if in_quotes {
            vec![Note::LineEnd]
        } else {
            vec![]
        };
        assert_eq!(value(&windows), (expected.to_owned(), notes), "{windows:?}");
    }
}

#[test]
fn where_tools_differ_it_is_said() {
    use Note::{Backslash, CommentOnly, Hash, Variable};
    for (text, expected, note) in [
        ("A=b#c", "b#c", Hash),
        ("A=#c", "#c", Hash),
        ("A=b#c # d", "b#c", Hash),
        ("A=b\t# c", "b", Hash),
        ("A= # c", "", CommentOnly),
        ("A=\t#c", "", CommentOnly),
        ("A=$HOME", "$HOME", Variable),
        ("A=a${HOME}b", "a${HOME}b", Variable),
        ("A=$$", "$$", Variable),
        ("A=\"$HOME ${HOME}\"", "$HOME ${HOME}", Variable),
        ("A='${HOME}'", "${HOME}", Variable),
        ("A='it\\'s'", "it's", Backslash),
        ("A='a\\\\b'", "a\\\\b", Backslash),
        ("A=\"say \\\"hi\\\"\"", "say \"hi\"", Backslash),
        ("A=\"a\\\\nb\"", "a\\nb", Backslash),
        ("A=\"C:\\dir\"", "C:\\dir", Backslash),
        ("A=\"\\t\\a\\b\\v\\f\"", "\t\u{7}\u{8}\u{b}\u{c}", Backslash),
        ("A=\"\\$HOME \\`x\\`\"", "$HOME `x`", Backslash),
        ("A=\"a\\\nb\"", "a\\\nb", Backslash),
    ] {
        assert_eq!(value(text), (expected.to_owned(), vec![note]), "{text:?}");
    }
    for price in ["A=$9.99", "A=b$", "A=\"b$ $\""] {
        assert_eq!(value(price).1, [], "{price}");
    }
}

#[test]
fn keys_keep_their_order_and_the_last_value_wins() {
    let (pairs, warnings) = read("B=1\nredis-password=2\napp.name=3\n\nB=4\n_9=5\nexport=6\n9=7");
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let expected = [
        ("B", "4"),
        ("redis-password", "2"),
        ("app.name", "3"),
        ("_9", "5"),
        ("export", "6"),
        ("9", "7"),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(
        warnings,
        ["5: B: stands in line 1 already; this value is taken"]
    );
    assert_eq!(read(""), (vec![], vec![]));
    assert_eq!(read("\n# only\n"), (vec![], vec![]));
}

#[test]
fn what_is_refused_has_its_line_and_never_its_text() {
    use Problem::{
        AfterQuotes, BackslashQuote, Backticks, CarriageReturn, NoAssignment, Nul, Unclosed,
    };
    let canary = "zq7canary";
    for (text, line, key, problem) in [
        ("A=b\nCANARY", 2, None, NoAssignment),
        ("A=b\nCANARY\nC=d", 2, None, NoAssignment),
        ("A=b\nB CANARY=c", 2, None, NoAssignment),
        ("A: CANARY", 1, None, NoAssignment),
        ("=CANARY", 1, None, NoAssignment),
        ("'A'=CANARY", 1, None, NoAssignment),
        ("É=CANARY", 1, None, NoAssignment),
        ("export A", 1, None, NoAssignment),
        ("export =CANARY", 1, None, NoAssignment),
        ("\nA='CANARY\nB=c\n", 2, Some("A"), Unclosed),
        ("\nA=\"CANARY\\", 2, Some("A"), Unclosed),
        ("A=\"CANARY\\\"\nB=c", 1, Some("A"), Unclosed),
        ("A='CANARY'CANARY", 1, Some("A"), AfterQuotes),
        ("A='it's CANARY'", 1, Some("A"), AfterQuotes),
        ("A=\"b\nB=\"CANARY\"", 1, Some("A"), AfterQuotes),
        ("A='C:\\CANARY\\'\nB='c'", 1, Some("A"), BackslashQuote),
        ("A=`CANARY`", 1, Some("A"), Backticks),
        ("A=b\nB=CANARY\0", 2, None, Nul),
        ("A=b\nB=CANARY\rC=d", 2, None, CarriageReturn),
    ] {
        let error = parse(text.replace("CANARY", canary).as_bytes()).unwrap_err();
        let expected = DotenvError {
            line,
            key: key.map(str::to_owned),
            problem,
        };
        assert_eq!(error, expected, "{text:?}");
        assert!(!format!("{error} {error:?}").contains(canary), "{error}");
    }
    let error = parse(b"A=b\nB=\xff").unwrap_err();
    assert_eq!((error.line, error.problem), (2, Problem::NotText));
}

#[test]
fn a_message_begins_with_its_line() {
    let error = parse(b"\nA='x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "2: A: the quotes that open here never close"
    );
    let (_, warnings) = read("A=$X");
    assert_eq!(
        warnings,
        ["1: A: a `$` is taken as it stands; other readers may put a variable's value there"]
    );
}
