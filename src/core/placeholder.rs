//! Values that people leave behind and forget: `CHANGEME`, `your-api-key`, `<password>`, `sk-xxxx`.
//!
//! A wrong alarm stops a rotation, a missed one breaks an application, so every rule looks at words or at
//! the whole value, never for letters inside a random key. Values that are not text or longer than
//! [`MAX_LENGTH`] are taken for real.

use zeroize::Zeroizing;

/// Longest value that is looked at, in bytes.
pub const MAX_LENGTH: usize = 512;

/// The rule that a value breaks, as messages name it; None for a value that looks real.
pub fn placeholder(value: &[u8]) -> Option<&'static str> {
    if value.len() > MAX_LENGTH {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?.trim();
    let text = text.trim_matches(['"', '\'', '`']).trim();
    if text.is_empty() {
        return Some("empty");
    }
    let lower = Zeroizing::new(text.to_lowercase());
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    let is_address = is_address(&lower);
    whole(&lower)
        .or_else(|| enclosed(text))
        .or_else(|| masked(text, &lower))
        .or_else(|| phrase(text, &words, is_address))
        .or_else(|| to_do(text, &lower))
        .or_else(|| {
            if is_address {
                None
            } else {
                filler_words(text, &words)
            }
        })
}

/// Values that are nothing else.
fn whole(lower: &str) -> Option<&'static str> {
    match lower {
        "todo" | "tbd" | "to be defined" | "to be done" => Some("TODO"),
        "fixme" => Some("FIXME"),
        "null" | "undefined" | "nil" | "n/a" | "not set" | "not-set" | "not_set" | "notset"
        | "unset" => Some("null"),
        "changeit" => Some("CHANGEME"),
        "foo" | "foobar" | "asdf" | "asdfasdf" | "lorem ipsum" | "blah" => Some("dummy"),
        "mysecret" | "mysecretkey" | "supersecret" | "supersecretkey" | "defaultsecret"
        | "mypassword" | "defaultpassword" => Some("default-secret"),
        "..." | "…" => Some("..."),
        _ => None,
    }
}

/// `<password>`, `${PASSWORD}`, `{{ password }}`, `[your key]`, also `<...>` as a part of a URL.
fn enclosed(text: &str) -> Option<&'static str> {
    let inside = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
    let is_word = |c: char| c.is_alphanumeric() || " _-.".contains(c);
    let marks = [
        ("<", ">", "<...>"),
        ("${", "}", "${...}"),
        ("{{", "}}", "{{...}}"),
    ];
    for (open, close, rule) in marks {
        if inside(open, close).is_some_and(is_prose) {
            return Some(rule);
        }
    }
    if inside("[", "]")
        .is_some_and(|t| t.starts_with(char::is_alphabetic) && t.chars().all(is_word))
    {
        return Some("[...]");
    }
    let mut parts = text.match_indices('<');
    parts
        .any(|(i, _)| is_angle_part(text, i))
        .then_some("<...>")
}

/// Words as people write them. Generated passwords may begin and end like a placeholder, but hold other signs.
fn is_prose(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || " _-.,:'|…".contains(c))
}

/// Whether `<word>` begins at `open` and stands between signs, as in `https://<host>/` or `<user>:<password>@`.
/// Outside of a URL it must be a word that is known: random signs can look the same.
fn is_angle_part(text: &str, open: usize) -> bool {
    let after = &text[open + 1..];
    let Some(close) = after.find('>') else {
        return false;
    };
    let word = &after[..close];
    let before = text[..open].chars().next_back();
    let behind = after[close + 1..].chars().next();
    let sign = |c: Option<char>| c.is_none_or(|c| "/:@.?&=, -_".contains(c));
    let known = |part: &str| {
        let part = Zeroizing::new(part.to_lowercase());
        OBJECTS.contains(&part.as_str()) || NOUNS.contains(&part.as_str())
    };
    word.len() >= 3
        && (text.contains("://") || word.split(['_', '-', ' ']).any(known))
        && word.chars().all(|c| c.is_alphabetic() || "_- ".contains(c))
        && sign(before)
        && sign(behind)
}

/// Prefixes by which providers' keys are known.
const PROVIDERS: [&str; 31] = [
    "sk-proj-",
    "sk-ant-",
    "sk-or-",
    "sk-",
    "sk_live_",
    "sk_test_",
    "pk_live_",
    "pk_test_",
    "rk_live_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "akia",
    "asia",
    "aiza",
    "sg.",
    "hf_",
    "npm_",
    "pypi-",
    "dop_v1_",
    "key-",
    "bearer ",
];

/// `xxxx`, `****`, `sk-xxxx`, `ghp_...xxxx`, `AKIAXXXXXXXX`, `eyJhbGci...`.
fn masked(text: &str, lower: &str) -> Option<&'static str> {
    let is_mask = |t: &str| {
        let marks = t.chars().filter(|c| is_mask_char(*c)).count();
        marks >= 3 && t.chars().all(|c| is_mask_char(c) || " -_/:".contains(c))
    };
    if is_mask(lower) {
        return Some("xxx");
    }
    let provider = PROVIDERS.iter().find_map(|p| lower.strip_prefix(p));
    if let Some(rest) = provider
        && (is_mask(rest) || rest.starts_with("...") || is_counting(rest))
    {
        return Some("prefix and filler");
    }
    if lower.ends_with("...") || lower.ends_with('…') {
        return Some("...");
    }
    let (head, tail) = lower.split_at(lower.find(['-', '_']).map_or(0, |i| i + 1));
    if (2..=12).contains(&head.len()) && is_mask(tail) && tail.contains(['x', '*']) {
        return Some("xxx");
    }
    (run_at_end(text) || repeated(lower)).then_some("xxx")
}

fn is_mask_char(c: char) -> bool {
    matches!(c, 'x' | '*' | '.' | '?' | '#' | '•' | '●' | '…')
}

/// `1234567890abcdef`, `abcdef123456`, `0000`.
fn is_counting(rest: &str) -> bool {
    const RUNS: [&str; 3] = [
        "1234567890abcdefghijklmnopqrstuvwxyz",
        "abcdefghijklmnopqrstuvwxyz1234567890",
        "0123456789abcdef",
    ];
    rest.len() >= 4 && (RUNS.iter().any(|r| r.starts_with(rest)) || rest.bytes().all(|b| b == b'0'))
}

/// Six or more equal `x`, `X` or `*` at the end: too many for chance.
fn run_at_end(text: &str) -> bool {
    let last = text.chars().next_back();
    matches!(last, Some('x' | 'X' | '*'))
        && text.chars().rev().take_while(|c| Some(*c) == last).count() >= 6
}

/// Eight or more of one letter or digit and nothing else.
fn repeated(lower: &str) -> bool {
    let mut chars = lower.chars();
    let first = chars.next();
    lower.len() >= 8 && first.is_some_and(char::is_alphanumeric) && chars.all(|c| Some(c) == first)
}

/// Phrases that are left-overs wherever they stand, also as a part of a URL.
fn phrase(text: &str, words: &[&str], is_address: bool) -> Option<&'static str> {
    let has = |first: &str, second: &[&str]| {
        words
            .windows(2)
            .any(|w| w[0] == first && second.contains(&w[1]))
    };
    let starts = |prefixes: &[&str]| {
        words
            .iter()
            .any(|w| prefixes.iter().any(|p| w.starts_with(p)))
    };
    if starts(&["changeme", "changethis", "pleasechange"])
        || has("change", &["me", "this", "it", "before"])
    {
        return Some("CHANGEME");
    }
    if words
        .iter()
        .any(|w| ["replaceme", "replacethis", "replacewith"].contains(w))
        || has("replace", &["me", "with", "this", "by", "before"])
        || has("be", &["replaced"])
    {
        return Some("replace...");
    }
    if has("your", &OBJECTS) || words.iter().any(|w| is_joined_your(w)) {
        return Some("your-...");
    }
    if !is_address && words.first() == Some(&"your") && words.len() > 1 && is_prose(text) {
        return Some("your-...");
    }
    (!is_address && starts(&["placeholder"])).then_some("placeholder")
}

/// What people ask others to fill in.
const OBJECTS: [&str; 37] = [
    "access",
    "account",
    "actual",
    "api",
    "app",
    "auth",
    "aws",
    "bucket",
    "client",
    "cluster",
    "company",
    "connection",
    "database",
    "db",
    "domain",
    "email",
    "google",
    "host",
    "id",
    "instance",
    "jwt",
    "key",
    "name",
    "openai",
    "org",
    "organization",
    "own",
    "password",
    "private",
    "project",
    "region",
    "secret",
    "server",
    "stripe",
    "token",
    "user",
    "username",
];

/// `yourpassword`, `yourdomain`.
fn is_joined_your(word: &str) -> bool {
    word.strip_prefix("your")
        .is_some_and(|rest| OBJECTS.iter().any(|o| o.len() > 2 && rest.starts_with(o)))
}

/// `TODO: ask ops`, `FIXME later`; not `todo-service`.
fn to_do(text: &str, lower: &str) -> Option<&'static str> {
    for (word, rule) in [("todo", "TODO"), ("fixme", "FIXME"), ("tbd", "TODO")] {
        if let Some(rest) = lower.strip_prefix(word) {
            let shouted = text.starts_with(&word.to_uppercase());
            if rest.starts_with([':', ' ', '!', '(']) || (shouted && rest.starts_with(['-', '_'])) {
                return Some(rule);
            }
        }
    }
    None
}

/// Words that say a value is not real.
const NOT_REAL: [&str; 12] = [
    "default", "dummy", "fake", "sample", "my", "super", "some", "insert", "enter", "put", "paste",
    "example",
];
/// Words such values consist of otherwise.
const NOUNS: [&str; 29] = [
    "a",
    "access",
    "api",
    "apikey",
    "client",
    "credentials",
    "db",
    "database",
    "encryption",
    "for",
    "goes",
    "here",
    "id",
    "in",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "production",
    "secret",
    "signing",
    "string",
    "the",
    "token",
    "user",
    "username",
    "value",
    "very",
];

/// `default-secret`, `dummy`, `my_api_key`, `insert key here`, AWS's documented example keys.
fn filler_words(text: &str, words: &[&str]) -> Option<&'static str> {
    match words {
        ["dummy" | "fake", ..] => return Some("dummy"),
        ["example", ..] | [.., "example"] => return Some("example"),
        ["insert" | "enter" | "put" | "paste", _, ..] if words.last() == Some(&"here") => {
            return Some("...-here");
        }
        [.., "goes", "here"] => return Some("...-here"),
        _ => {}
    }
    if text.ends_with("EXAMPLE") || text.ends_with("EXAMPLEKEY") {
        return Some("example");
    }
    let known = |w: &&str| NOT_REAL.contains(w) || NOUNS.contains(w);
    let is_filler =
        words.len() > 1 && words.iter().all(known) && words.iter().any(|w| NOT_REAL.contains(w));
    is_filler.then_some("default-secret")
}

/// URLs, host names, e-mail addresses and paths, whose words are names of real things.
fn is_address(lower: &str) -> bool {
    let host = lower.split([':', '/']).next().unwrap_or_default();
    let is_host = host.contains('.')
        && !host.contains("..")
        && !host.contains(char::is_whitespace)
        && host
            .rsplit('.')
            .next()
            .is_some_and(|tld| tld.len() >= 2 && tld.chars().all(char::is_alphabetic));
    lower.contains("://") || lower.starts_with('/') || is_host
}

#[cfg(test)]
#[path = "placeholder_tests.rs"]
mod tests;
