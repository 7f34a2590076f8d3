//! From names of entries and properties to keys of a Secret, and what a Secret can hold.

use super::glob::glob_matches;
use super::recipe::{GroupRecipe, RenameRecipe};
use crate::api::binding::KeyCase;
use crate::api::limits;

/// Longest key of a Secret (source: apimachinery `validation.IsConfigMapKey`).
pub const MAX_KEY: usize = limits::SECRET_KEY_CHARS as usize;
/// Most bytes of all values together (source: Kubernetes `core.MaxSecretSize`; keys are not counted).
pub const MAX_TOTAL: usize = limits::SECRET_BYTES;

/// Why a Secret cannot hold this key; None: it can.
pub fn key_problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("must not be empty")
    } else if key.len() > MAX_KEY {
        Some("must have at most 253 characters")
    } else if !key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    {
        Some("must consist of letters, digits, -, _ and .")
    } else if key == "." || key.starts_with("..") {
        Some("must not be . and must not begin with ..")
    } else {
        None
    }
}

/// A name in quotes for a message; only its length if it is long or holds control characters.
pub fn shown(name: &str) -> String {
    if name.len() <= 64 && name.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        format!("\"{name}\"")
    } else {
        format!("a name of {} characters", name.chars().count())
    }
}

impl GroupRecipe {
    /// Whether a name (of a property, or of an entry below the prefix) is taken.
    pub fn takes(&self, name: &str) -> bool {
        let any = |globs: &[String]| globs.iter().any(|g| glob_matches(g, name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

/// The name of a prefix member below its prefix, without a slash in front; None for the prefix itself
/// and for anything outside.
pub fn below<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    (!rest.is_empty()).then_some(rest)
}

impl RenameRecipe {
    /// The key for a name: `keys` wins; otherwise stripPrefix, `/` to `_`, case, addPrefix.
    pub fn key(&self, name: &str) -> String {
        if let Some(key) = self.keys.get(name) {
            return key.clone();
        }
        let name = name.strip_prefix(&*self.strip_prefix).unwrap_or(name);
        let name = match self.case {
            KeyCase::None => name.replace('/', "_"),
            KeyCase::UpperSnake => upper_snake(name),
        };
        format!("{}{name}", self.add_prefix)
    }
}

/// `redis-password` and `redisPassword` become `REDIS_PASSWORD`; every sign becomes `_`, none is dropped,
/// so that different names rarely meet.
fn upper_snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (i, &c) in chars.iter().enumerate() {
        if i > 0 && begins_word(chars[i - 1], c, chars.get(i + 1).copied()) {
            out.push('_');
        }
        match c {
            '-' | '.' | '/' | ' ' => out.push('_'),
            _ => out.extend(c.to_uppercase()),
        }
    }
    out
}

/// `dP` in `dbPassword`, and the last capital of a run before a small letter (`JWTSecret`).
fn begins_word(before: char, c: char, after: Option<char>) -> bool {
    let small = |c: char| c.is_lowercase() || c.is_ascii_digit();
    c.is_uppercase()
        && (small(before) || (before.is_uppercase() && after.is_some_and(char::is_lowercase)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_a_secret_can_hold() {
        for key in [
            "a",
            "A_b-c.d",
            ".dockerconfigjson",
            "-",
            "_",
            &"k".repeat(253),
        ] {
            assert_eq!(key_problem(key), None, "{key}");
        }
        for key in [
            "",
            ".",
            "..",
            "..a",
            "a b",
            "a/b",
            "é",
            "a:b",
            "a\n",
            &"k".repeat(254),
        ] {
            assert!(key_problem(key).is_some(), "{key}");
        }
    }

    #[test]
    fn upper_snake_table() {
        for (name, key) in [
            ("redis-password", "REDIS_PASSWORD"),
            ("redisPassword", "REDIS_PASSWORD"),
            ("JWTSecret", "JWT_SECRET"),
            ("MYSQL_HOST", "MYSQL_HOST"),
            ("db2Url", "DB2_URL"),
            ("a.b/c d", "A_B_C_D"),
            ("a--b", "A__B"),
            ("OAuth", "O_AUTH"),
            ("x", "X"),
            ("", ""),
        ] {
            assert_eq!(upper_snake(name), key, "{name}");
        }
    }

    #[test]
    fn keys_win_then_strip_case_add() {
        let rename = RenameRecipe {
            case: KeyCase::UpperSnake,
            keys: BTreeMap::from([("jwt-secret".into(), "JWT_SECRET_KEY".into())]),
            add_prefix: "APP_".into(),
            strip_prefix: "web-".into(),
        };
        assert_eq!(rename.key("jwt-secret"), "JWT_SECRET_KEY");
        assert_eq!(rename.key("web-redis/password"), "APP_REDIS_PASSWORD");
        assert_eq!(rename.key("other"), "APP_OTHER");
        assert_eq!(RenameRecipe::default().key("a/b-c"), "a_b-c");
    }

    #[test]
    fn names_below_a_prefix() {
        for (prefix, name, expected) in [
            ("gaara/prod/", "gaara/prod/jwt", Some("jwt")),
            ("gaara/prod/", "gaara/prod/a/b", Some("a/b")),
            ("gaara/prod", "gaara/prod/jwt", Some("jwt")),
            ("gaara/prod", "gaara/prod", None),
            ("gaara/prod/", "gaara/prod/", None),
            ("gaara/prod/", "other", None),
            ("gaara-", "gaara-db", Some("db")),
        ] {
            assert_eq!(below(prefix, name), expected, "{prefix} {name}");
        }
    }
}
