//! Policy statements and their evaluation: the part of IAM that least-privilege tests need.

use std::collections::BTreeMap;

/// One statement of an identity policy.
///
/// Actions and resources are globs with `*` and `?`; actions are compared without case. Resources
/// and tag values may hold `${aws:PrincipalTag/KEY}`, which stands for the session's tag.
#[derive(Debug, Clone)]
pub struct Statement {
    allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    principal_tags: Vec<(String, String)>,
    resource_tags: Vec<(String, String)>,
    via_services: Vec<String>,
}

impl Statement {
    /// Allows the actions on the resources.
    pub fn allow(actions: &[&str], resources: &[&str]) -> Self {
        Self::new(true, actions, resources)
    }

    /// Denies them, whatever else allows them.
    pub fn deny(actions: &[&str], resources: &[&str]) -> Self {
        Self::new(false, actions, resources)
    }

    fn new(allow: bool, actions: &[&str], resources: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Self {
            allow,
            actions: owned(actions),
            resources: owned(resources),
            principal_tags: Vec::new(),
            resource_tags: Vec::new(),
            via_services: Vec::new(),
        }
    }

    /// Only for sessions with this tag (condition on `aws:PrincipalTag/KEY`, StringLike).
    #[must_use]
    pub fn when_principal_tag(mut self, key: &str, value: &str) -> Self {
        self.principal_tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Only on secrets with this tag (condition on `aws:ResourceTag/KEY`, StringLike).
    #[must_use]
    pub fn when_resource_tag(mut self, key: &str, value: &str) -> Self {
        self.resource_tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Only for a call that one of these services makes for the caller (condition on
    /// `kms:ViaService`, StringLike).
    #[must_use]
    pub fn when_via_service(mut self, services: &[&str]) -> Self {
        self.via_services
            .extend(services.iter().map(|service| (*service).to_owned()));
        self
    }

    fn applies(&self, request: &AccessRequest<'_>) -> bool {
        let action = request.action.to_ascii_lowercase();
        let fits = |pattern: &String, tags: &BTreeMap<String, String>, key: &String| {
            let pattern = substitute(pattern, request.principal_tags);
            tags.get(key)
                .zip(pattern)
                .is_some_and(|(value, pattern)| glob(&pattern, value))
        };
        self.actions
            .iter()
            .any(|a| glob(&a.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|r| {
                substitute(r, request.principal_tags).is_some_and(|r| glob(&r, request.resource))
            })
            && self
                .principal_tags
                .iter()
                .all(|(k, v)| fits(v, request.principal_tags, k))
            && self
                .resource_tags
                .iter()
                .all(|(k, v)| fits(v, request.resource_tags, k))
            && (self.via_services.is_empty()
                || request
                    .via_service
                    .is_some_and(|via| self.via_services.iter().any(|v| glob(v, via))))
    }
}

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRequest<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    pub principal_tags: &'a BTreeMap<String, String>,
    pub resource_tags: &'a BTreeMap<String, String>,
    /// The service that calls in the caller's place.
    pub via_service: Option<&'a str>,
}

/// The decision of a set of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// A Deny applies: it wins.
    Denied,
    /// Nothing applies, which means no.
    NotAllowed,
}

/// Decides as IAM does: a Deny wins over any Allow, and silence is no.
pub(crate) fn evaluate(statements: &[Statement], request: &AccessRequest<'_>) -> Verdict {
    let mut verdict = Verdict::NotAllowed;
    for statement in statements.iter().filter(|s| s.applies(request)) {
        if !statement.allow {
            return Verdict::Denied;
        }
        verdict = Verdict::Allowed;
    }
    verdict
}

/// Puts session tags into a pattern; `None` when a named tag is missing, which matches nothing.
fn substitute(pattern: &str, tags: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${aws:PrincipalTag/") {
        let (key, tail) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(tags.get(key)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

/// Matches `*` (any run) and `?` (one character), the whole text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                p = after_star;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("secret:prod/db-??????", "secret:prod/db-a1B2c3", true),
            ("secret:prod/db-??????", "secret:prod/db-a1B2c", false),
            ("*prod*db*", "x/prod/y/db", true),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn deny_wins_and_silence_is_no() {
        let get = "secretsmanager:GetSecretValue";
        let statements = [
            Statement::allow(&["secretsmanager:Get*"], &["arn:a-*"]),
            Statement::deny(&["*"], &["arn:a-secret"]),
            Statement::allow(&[get], &["arn:team"]).when_principal_tag("ns", "team-?"),
            Statement::allow(&[get], &["arn:abac/${aws:PrincipalTag/ns}/*"]),
            Statement::allow(&[get], &["arn:tagged"])
                .when_resource_tag("owner", "${aws:PrincipalTag/ns}"),
            Statement::allow(&["kms:Decrypt"], &["arn:key"]).when_via_service(&["one.service"]),
        ];
        let team = tags(&[("ns", "team-a")]);
        let owned = tags(&[("owner", "team-a")]);
        let none = BTreeMap::new();
        use Verdict::{Allowed, Denied, NotAllowed};
        for (action, resource, principal_tags, resource_tags, expected) in [
            (get, "arn:a-b", &none, &none, Allowed),
            (
                "SecretsManager:getsecretvalue",
                "arn:a-b",
                &none,
                &none,
                Allowed,
            ),
            (get, "arn:a-secret", &none, &none, Denied),
            (get, "arn:b", &none, &none, NotAllowed),
            (
                "secretsmanager:PutSecretValue",
                "arn:a-b",
                &none,
                &none,
                NotAllowed,
            ),
            (get, "arn:team", &none, &none, NotAllowed),
            (get, "arn:team", &team, &none, Allowed),
            (get, "arn:abac/team-a/x", &team, &none, Allowed),
            (get, "arn:abac/team-b/x", &team, &none, NotAllowed),
            (get, "arn:abac//x", &none, &none, NotAllowed),
            (get, "arn:tagged", &team, &owned, Allowed),
            (get, "arn:tagged", &team, &none, NotAllowed),
        ] {
            let request = AccessRequest {
                action,
                resource,
                principal_tags,
                resource_tags,
                via_service: None,
            };
            assert_eq!(
                evaluate(&statements, &request),
                expected,
                "{action} {resource}"
            );
        }
        for (via_service, expected) in [
            (Some("one.service"), Allowed),
            (Some("other.service"), NotAllowed),
            (None, NotAllowed),
        ] {
            let request = AccessRequest {
                action: "kms:Decrypt",
                resource: "arn:key",
                principal_tags: &none,
                resource_tags: &none,
                via_service,
            };
            assert_eq!(evaluate(&statements, &request), expected, "{via_service:?}");
        }
    }
}
