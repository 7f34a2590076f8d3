//! A write as the API server is asked for it: what it is about, read from the request alone. Pure.

use std::fmt;

use axum::body::Bytes;
use http::{Method, Uri};
use serde_json::Value;

/// What operators write besides their work, and what stores nothing.
const APART: [&str; 6] = [
    "leases",
    "events",
    "tokenreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
];

/// One write. `Debug` and `Display` show what it is about and never what it carries.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub verb: String,
    /// The plural, such as `secrets`.
    pub resource: String,
    /// Such as `status`; empty: the object itself.
    pub subresource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// The object, also where only the body of a POST names it.
    pub name: String,
    /// HTTP code of the answer; `None` before it, and for a write that was never let through.
    pub code: Option<u16>,
    body: Bytes,
}

impl Write {
    /// `None`: it reads, or it is about something that is left apart.
    pub(super) fn of(method: &Method, uri: &Uri, body: &Bytes) -> Option<Self> {
        let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        if !writes.contains(method) || uri.query().is_some_and(|query| query.contains("dryRun=")) {
            return None;
        }
        let words: Vec<&str> = uri.path().split('/').skip(1).collect();
        let rest = match words.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // Two words are the Namespace object itself.
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let word = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        let mut write = Self {
            verb: method.to_string(),
            resource: word(0),
            name: word(1),
            subresource: word(2),
            namespace: namespace.to_owned(),
            code: None,
            body: body.clone(),
        };
        if APART.contains(&write.resource.as_str()) {
            return None;
        }
        if write.name.is_empty() {
            let name = write.body()["metadata"]["name"].take();
            name.as_str()
                .unwrap_or_default()
                .clone_into(&mut write.name);
        }
        Some(write)
    }

    /// What it carries; Null if that is not JSON. May hold values: never print it.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the API server has done it.
    pub fn is_done(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        write!(f, " {}/{}", self.namespace, self.name)?;
        match self.code {
            Some(code) => write!(f, " -> {code}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seen(method: &str, uri: &str, body: &str) -> Option<String> {
        let body = Bytes::from(body.to_owned());
        let write = Write::of(&method.parse().unwrap(), &uri.parse().unwrap(), &body)?;
        Some(write.to_string())
    }

    #[test]
    fn a_write_is_named_by_its_path_and_a_created_object_by_its_body() {
        for (method, uri, shown) in [
            (
                "PUT",
                "/api/v1/namespaces/a/secrets/s?fieldManager=x",
                "PUT secrets a/s",
            ),
            (
                "PATCH",
                "/apis/keyferry.dev/v1alpha1/namespaces/a/externalsecretbindings/b/status",
                "PATCH externalsecretbindings/status a/b",
            ),
            ("POST", "/api/v1/namespaces/a/secrets", "POST secrets a/new"),
            ("DELETE", "/api/v1/namespaces/a/pods/p", "DELETE pods a/p"),
            ("PATCH", "/api/v1/namespaces/a", "PATCH namespaces /a"),
            (
                "PATCH",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c",
                "PATCH customresourcedefinitions /c",
            ),
        ] {
            let body = r#"{"metadata": {"name": "new"}}"#;
            assert_eq!(seen(method, uri, body).as_deref(), Some(shown));
        }
    }

    #[test]
    fn reads_dry_runs_leases_events_and_questions_are_no_writes() {
        for (method, uri) in [
            ("GET", "/api/v1/namespaces/a/secrets/s"),
            ("PUT", "/api/v1/namespaces/a/secrets/s?dryRun=All"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l"),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events"),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ),
            ("POST", "/metrics"),
        ] {
            assert_eq!(seen(method, uri, "{}"), None, "{method} {uri}");
        }
    }

    #[test]
    fn what_it_carries_is_not_shown() {
        let uri = "/api/v1/namespaces/a/secrets/s".parse().unwrap();
        let body = Bytes::from_static(br#"{"data": {"K": "aGlkZGVu"}}"#);
        let write = Write::of(&Method::PUT, &uri, &body).unwrap();
        assert_eq!(
            format!("{write} {write:?}"),
            "PUT secrets a/s PUT secrets a/s"
        );
        assert_eq!(write.body()["data"]["K"], "aGlkZGVu");
    }
}
