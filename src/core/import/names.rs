//! From a file's keys to names of entries, one a key, and back.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crate::{
    api::binding::KeyCase,
    core::{
        recipe::RenameRecipe,
        reference::{MAX_NAME, check_name},
    },
};

/// Names below a prefix.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Names below the prefix, in the order of the keys.
    pub names: Vec<String>,
    /// Names that `case: UpperSnake` does not turn back into their key, with the key.
    pub renamed: BTreeMap<String, String>,
}

/// Why there is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameProblem {
    /// Two keys would be one entry.
    Twice(String, String),
    /// AWS does not take the name.
    Refused(String),
    /// A prefix that ends in a letter or digit runs into the names.
    Prefix,
}

/// `REDIS_PASSWORD` becomes `redis-password`: the inverse of `rename: {case: UpperSnake}`.
///
/// # Errors
/// [`NameProblem`].
pub fn names(prefix: &str, keys: &[&str]) -> Result<Named, NameProblem> {
    if !prefix.ends_with(['/', '-', '_', '.', '+', '=', '@']) {
        return Err(NameProblem::Prefix);
    }
    let back = RenameRecipe {
        case: KeyCase::UpperSnake,
        ..RenameRecipe::default()
    };
    let mut seen = HashMap::new();
    let mut named = Named {
        names: Vec::new(),
        renamed: BTreeMap::new(),
    };
    for key in keys {
        let name = key.to_ascii_lowercase().replace('_', "-");
        if let Some(other) = seen.insert(name.clone(), *key) {
            return Err(NameProblem::Twice(other.to_owned(), (*key).to_owned()));
        }
        let whole = format!("{prefix}{name}");
        if name_problem(&whole).is_some() {
            return Err(NameProblem::Refused(whole));
        }
        if back.key(&name) != **key {
            named.renamed.insert(name.clone(), (*key).to_owned());
        }
        named.names.push(name);
    }
    Ok(named)
}

/// Why AWS does not take a name; None: it does.
pub fn name_problem(name: &str) -> Option<String> {
    check_name(name, MAX_NAME).err().map(|it| it.to_string())
}

/// Hyphen and six letters or digits at the end, as AWS appends them in ARNs: partial ARNs of such a name are
/// misread.
pub fn ends_like_an_arn(name: &str) -> bool {
    let tail = name.len().checked_sub(7).and_then(|at| name.get(at..));
    let tail = tail.and_then(|tail| tail.strip_prefix('-'));
    tail.is_some_and(|tail| tail.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(one, other) => write!(
                f,
                "{one} and {other} would be one entry: rename one, or put all into one entry with --to"
            ),
            Self::Refused(name) => write!(
                f,
                "AWS does not take the name \"{name}\" (at most {MAX_NAME} letters, digits and /_+=.@-)"
            ),
            Self::Prefix => f.write_str(
                "the prefix must end in / or another sign, as in gaara-store/production/",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_are_the_inverse_of_upper_snake() {
        let keys = [
            "REDIS_PASSWORD",
            "JWT_SECRET_KEY",
            "A",
            "S3_KEY_2",
            "X__Y",
            "_Z",
        ];
        let named = names("gaara-store/production/", &keys).unwrap();
        let expected = [
            "redis-password",
            "jwt-secret-key",
            "a",
            "s3-key-2",
            "x--y",
            "-z",
        ];
        assert_eq!(
            (named.names.as_slice(), named.renamed.len()),
            (&expected.map(str::to_owned)[..], 0)
        );
    }

    #[test]
    fn a_key_that_does_not_come_back_by_itself_is_renamed() {
        let named = names("p/", &["redis-password", "app.name", "dbPassword", "Db_2"]).unwrap();
        let renamed: Vec<_> = named
            .renamed
            .iter()
            .map(|(n, k)| (n.as_str(), k.as_str()))
            .collect();
        let expected = [
            ("app.name", "app.name"),
            ("db-2", "Db_2"),
            ("dbpassword", "dbPassword"),
            ("redis-password", "redis-password"),
        ];
        assert_eq!(renamed, expected);
    }

    #[test]
    fn names_that_meet_or_that_aws_refuses_are_refused() {
        for (prefix, keys, problem) in [
            (
                "p/",
                &["A_B", "A-B"][..],
                NameProblem::Twice("A_B".into(), "A-B".into()),
            ),
            (
                "p/",
                &["a", "A"],
                NameProblem::Twice("a".into(), "A".into()),
            ),
            ("p", &["A"], NameProblem::Prefix),
            ("", &["A"], NameProblem::Prefix),
            ("p p/", &["A"], NameProblem::Refused("p p/a".into())),
        ] {
            assert_eq!(names(prefix, keys), Err(problem));
        }
        let long = format!("{}/", "p".repeat(511));
        assert!(matches!(names(&long, &["A"]), Err(NameProblem::Refused(_))));
    }

    #[test]
    fn endings_that_look_like_an_arns() {
        for (name, like) in [
            ("a/jwt-secret", true),
            ("a/jwt-secret-key", false),
            ("a-AbC123", true),
            ("-secret", true),
            ("secret", false),
            ("a-secre_", false),
            ("", false),
        ] {
            assert_eq!(ends_like_an_arn(name), like, "{name}");
        }
    }
}
