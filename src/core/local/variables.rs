//! Variables of a program: which keys a shell or a loader would obey, and which of the caller's own go. Pure.

use std::collections::BTreeMap;

use crate::core::SecretValue;

/// Names that make programs run or load something else. A `*` at the end stands for any rest.
///
/// Sources: ld.so(8), dyld(1), bash(1), git(1), perlrun(1), and the pages on the environment of Node.js, Python,
/// Ruby, Java, .NET, PHP and Lua.
const OBEYED: [&str; 32] = [
    "PATH",
    "LD_*",
    "DYLD_*",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "BASH_ENV",
    "BASH_FUNC_*",
    "BASHOPTS",
    "SHELLOPTS",
    "CDPATH",
    "ENV",
    "GLOBIGNORE",
    "IFS",
    "PROMPT_COMMAND",
    "PS4",
    "ZDOTDIR",
    "EDITOR",
    "PAGER",
    "VISUAL",
    "GIT_*",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHON*",
    "PERL5*",
    "PERLLIB",
    "RUBYLIB",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "DOTNET_STARTUP_HOOKS",
    "PHPRC",
];

/// The caller's credentials for AWS, and where they are found. Region, endpoints and certificates are no secret.
const CREDENTIALS: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_*",
];

/// Why these keys must not become variables: a sentence for each.
///
/// `allowed` names those that somebody has allowed.
pub fn problems(data: &BTreeMap<String, SecretValue>, allowed: &[String]) -> Vec<String> {
    let problem = |(key, value): (&String, &SecretValue)| {
        if value.expose().contains(&0) {
            return Some(format!("{key}: a NUL byte: no environment can hold one"));
        }
        let obeyed = is_obeyed(key) && !allowed.contains(key);
        obeyed.then(|| {
            format!(
                "{key} decides what programs run or load: take it out of the binding, or say --allow-key {key}"
            )
        })
    };
    data.iter().filter_map(problem).collect()
}

/// True for a name that a shell, a loader or a runtime obeys.
pub fn is_obeyed(name: &str) -> bool {
    is_one_of(&OBEYED, name)
}

/// True for a variable that gives whoever has it the caller's rights in AWS.
pub fn is_credential(name: &str) -> bool {
    is_one_of(&CREDENTIALS, name)
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretValue> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned().into());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_programs_obey_is_refused_unless_it_is_allowed() {
        for key in [
            "PATH",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "BASH_ENV",
            "ENV",
            "IFS",
            "SHELLOPTS",
            "PERL5LIB",
            "PERL5OPT",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
            "GIT_SSH_COMMAND",
        ] {
            let found = problems(&data(&[(key, "x"), ("A", "x")]), &[]);
            assert_eq!(found.len(), 1, "{key}");
            assert!(
                found[0].contains(&format!("--allow-key {key}")),
                "{found:?}"
            );
            assert!(problems(&data(&[(key, "x")]), &[key.to_owned()]).is_empty());
        }
    }

    #[test]
    fn plain_keys_pass_whatever_they_look_like() {
        for key in [
            "DATABASE_URL",
            "GITHUB_TOKEN",
            "PATHS",
            "ENVIRONMENT",
            "NODE_ENV",
            "OLD_KEY",
            "redis-password",
            "AWS_REGION",
        ] {
            assert!(problems(&data(&[(key, "x")]), &[]).is_empty(), "{key}");
        }
    }

    #[test]
    fn a_nul_byte_is_refused_and_not_shown() {
        let found = problems(&data(&[("A", "hunter2\0")]), &["A".to_owned()]);
        assert_eq!(found, ["A: a NUL byte: no environment can hold one"]);
    }

    #[test]
    fn the_callers_credentials_are_known_and_its_region_is_none() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["AWS_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HOME"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
