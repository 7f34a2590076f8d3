//! What a program said, as far as it may be shown: not if any value of the candidate is in it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::core::{SecretValue, change::Data};

/// Shorter values are found in any text.
const LEAST: usize = 4;
/// The part of a value that is cut off by the kubelet counts from this length.
const LEAST_PART: usize = 8;
/// Characters of a message that are shown.
const MOST: usize = 1_024;
/// What stands in place of a message that holds a value.
pub const WITHHELD: &str = "(not shown: it holds a value of the candidate)";

/// The message as the status may show it.
pub fn shown(message: &SecretValue, candidate: &Data) -> String {
    let said = message.expose();
    if candidate.values().any(|value| holds(said, value)) {
        return WITHHELD.to_owned();
    }
    let text = String::from_utf8_lossy(said);
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    words.join(" ").chars().take(MOST).collect()
}

fn holds(said: &[u8], value: &SecretValue) -> bool {
    let value = value.expose();
    // Programs that read a URL talk about its password alone.
    let password = password(value).unwrap_or_default();
    let decoded: Zeroizing<Vec<u8>> = Zeroizing::new(percent_decode(&password).collect());
    let needles = [value, value.trim_ascii(), &password, &decoded];
    needles
        .into_iter()
        .filter(|needle| needle.len() >= LEAST)
        .any(|needle| is_in(said, needle))
}

fn is_in(said: &[u8], needle: &[u8]) -> bool {
    let decoded = Zeroizing::new(percent_decode(said).collect::<Vec<u8>>());
    contains(said, needle)
        || contains(&decoded, needle)
        || is_cut(said, needle)
        || is_in_hex(said, needle)
        || is_in_base64(said, needle)
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// The kubelet keeps the last kilobytes of a message: it may begin or end within a value.
fn is_cut(said: &[u8], needle: &[u8]) -> bool {
    (LEAST_PART..needle.len()).any(|length| {
        said.starts_with(&needle[needle.len() - length..]) || said.ends_with(&needle[..length])
    })
}

fn is_in_hex(said: &[u8], needle: &[u8]) -> bool {
    let mut hex = Zeroizing::new(Vec::with_capacity(needle.len() * 2));
    for byte in needle {
        for digit in [byte >> 4, byte & 15] {
            hex.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
    let lower = Zeroizing::new(said.to_ascii_lowercase());
    contains(&lower, &hex)
}

/// Base64 of a text that holds the needle: it may begin at any of three places of a group of bytes, and
/// the characters at its edges depend on its neighbours.
fn is_in_base64(said: &[u8], needle: &[u8]) -> bool {
    (0..3).any(|place| {
        let mut bytes = Zeroizing::new(vec![0; place]);
        bytes.extend_from_slice(needle);
        let (first, last) = ((place * 8).div_ceil(6), bytes.len() * 8 / 6);
        [STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().any(|engine| {
            let text = Zeroizing::new(engine.encode(&*bytes));
            text.as_bytes()
                .get(first..last)
                .is_some_and(|inner| inner.len() >= LEAST && contains(said, inner))
        })
    })
}

/// The password of a value that is a URL.
fn password(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(Zeroizing::new(password.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "p#ss/w%rd+1";

    fn told(said: &str, values: &[&str]) -> String {
        let candidate = values
            .iter()
            .enumerate()
            .map(|(n, value)| (format!("K{n}"), SecretValue::from((*value).to_owned())))
            .collect();
        shown(&SecretValue::from(said.to_owned()), &candidate)
    }

    #[test]
    fn what_holds_no_value_is_shown_in_one_line() {
        let said = "FATAL:  password authentication failed\n for user \"estate\"\u{7}";
        let line = "FATAL: password authentication failed for user \"estate\"";
        assert_eq!(told(said, &[VALUE]), line);
        assert_eq!(told("", &[VALUE]), "");
        assert_eq!(told(&"x".repeat(5000), &[VALUE]).len(), MOST);
        assert_eq!(
            told("abc", &["abc"]),
            "abc",
            "too short to be told from any text"
        );
    }

    #[test]
    fn a_value_in_any_form_withholds_all_of_it() {
        let standard = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let url = |text: &str| base64::engine::general_purpose::URL_SAFE.encode(text);
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let forms = [
            VALUE.to_owned(),
            standard(VALUE),
            url(VALUE),
            standard(&format!("u:{VALUE}")),
            standard(&format!("us:{VALUE}@host")),
            url(&format!("usr:{VALUE}?")),
            hex(VALUE),
            hex(VALUE).to_uppercase(),
            "p%23ss%2Fw%25rd%2B1".to_owned(),
            "p%23ss%2fw%25rd+1".to_owned(),
            "%70%23%73%73%2f%77%25%72%64%2B%31".to_owned(),
        ];
        for form in forms {
            let said = format!("wrong: {form}, give another");
            assert_eq!(told(&said, &["other", VALUE]), WITHHELD, "{form}");
        }
    }

    #[test]
    fn a_value_that_the_kubelet_cut_counts() {
        assert_eq!(
            told("w%rd+1 is wrong", &["long/p#ss/w%rd+1"]),
            "w%rd+1 is wrong",
            "too short a part"
        );
        assert_eq!(
            told("/p#ss/w%rd+1 is wrong", &["long/p#ss/w%rd+1"]),
            WITHHELD
        );
        assert_eq!(told("wrong: long/p#ss", &["long/p#ss/w%rd+1"]), WITHHELD);
    }

    #[test]
    fn the_password_of_a_url_counts_by_itself_and_its_host_does_not() {
        let url = "postgresql://estate:p%23ssword@db:5432/estate";
        assert_eq!(told("bad password p#ssword", &[url]), WITHHELD);
        assert_eq!(told("bad password p%23ssword", &[url]), WITHHELD);
        let said = "could not translate host name \"db\" for estate";
        assert_eq!(told(said, &[url]), said);
    }

    #[test]
    fn a_value_that_ends_in_a_newline_counts_without_it() {
        assert_eq!(told("it was hunter22 indeed", &["hunter22\n"]), WITHHELD);
    }
}
