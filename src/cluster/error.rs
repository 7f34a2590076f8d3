//! What the API server can answer instead of what was asked for.
//!
//! Owns the reading of `Status` bodies. No free text of an answer is kept that could quote a value:
//! admission webhooks see whole Secrets and write their own messages.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::core::Class;

/// Longest text taken over from an answer.
const MAX_TEXT: usize = 300;

/// Why a request to the API server did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// The object (or its namespace) does not exist.
    #[error("not found")]
    NotFound,
    /// POST of a name that is taken.
    #[error("exists already")]
    AlreadyExists,
    /// Another resourceVersion or uid than the one sent.
    #[error("changed by somebody else at the same moment")]
    Conflict,
    /// Server-side apply without force met fields of other managers.
    #[error("fields belong to other managers")]
    FieldConflict(Vec<FieldConflict>),
    /// Refused by RBAC, quota or admission.
    #[error("may not {verb} {resource}: {why}")]
    Forbidden {
        /// Verb as RBAC names it.
        verb: &'static str,
        /// Resource as RBAC names it.
        resource: &'static str,
        /// Who refused.
        why: String,
    },
    /// The namespace is going away: nothing can be created, and nobody needs to be told.
    #[error("the namespace is terminating")]
    NamespaceTerminating,
    /// The object breaks a rule of the API: `field (reason)` each, never the value.
    #[error("refused as invalid: {}", causes.join(", "))]
    Invalid {
        /// Fields and reasons.
        causes: Vec<String>,
    },
    /// More bytes than the API server takes.
    #[error("too large")]
    TooLarge,
    /// No whole answer within our timeout. The request may have had its effect.
    #[error("no answer in time")]
    Timeout,
    /// Too many requests; how long to wait, if said.
    #[error("asked to slow down")]
    Throttled(Option<Duration>),
    /// Not reached, or a fault of the API server.
    #[error("API server unavailable: {0}")]
    Unavailable(&'static str),
}

/// One field of one manager that stood in the way of an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// `.data.KEY`, `.metadata.labels.x/y`...
    pub field: String,
    /// Name of the manager.
    pub manager: String,
}

impl ClusterError {
    /// Which row of the retry table this is.
    pub fn class(&self) -> Class {
        match self {
            Self::NotFound => Class::Missing,
            Self::AlreadyExists | Self::Conflict => Class::Conflict,
            Self::Forbidden { .. } => Class::Denied,
            Self::FieldConflict(_)
            | Self::Invalid { .. }
            | Self::TooLarge
            | Self::NamespaceTerminating => Class::Invalid,
            Self::Throttled(_) => Class::Throttled,
            Self::Timeout | Self::Unavailable(_) => Class::Transient,
        }
    }
}

/// What was asked, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `create`, `update`, `patch`, `delete`...
    pub verb: &'static str,
    /// `secrets`, `externalsecretbindings/status`...
    pub resource: &'static str,
}

/// Turns an unsuccessful answer into an error. `retry_after` is the header of that name.
pub fn from_answer(
    asked: Asked,
    code: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ClusterError {
    // An undecodable body is not quoted: it could be anything, also a value.
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let wait = retry_after.or(status.details.retry_after());
    let webhook = admission(&status.message);
    match code {
        404 if status.details.kind == "namespaces" => ClusterError::NamespaceTerminating,
        404 => ClusterError::NotFound,
        409 if status.reason == "AlreadyExists" => ClusterError::AlreadyExists,
        409 => status
            .details
            .field_conflicts()
            .map_or(ClusterError::Conflict, ClusterError::FieldConflict),
        403 if status.details.has_cause("NamespaceTerminating") => {
            ClusterError::NamespaceTerminating
        }
        _ if webhook.is_some() => forbidden(asked, webhook.unwrap_or_default()),
        401 => ClusterError::Unavailable("our token is not accepted"),
        403 => forbidden(asked, why_forbidden(&status.message)),
        413 => ClusterError::TooLarge,
        429 => ClusterError::Throttled(wait),
        400 | 422 => ClusterError::Invalid {
            causes: status.details.causes(),
        },
        500.. => ClusterError::Unavailable("it answered with a fault of its own"),
        _ => ClusterError::Unavailable("it answered in a way we do not know"),
    }
}

fn forbidden(asked: Asked, why: String) -> ClusterError {
    ClusterError::Forbidden {
        verb: asked.verb,
        resource: asked.resource,
        why,
    }
}

/// The name of the webhook or policy that refused; what it says about it may quote the object.
fn admission(message: &str) -> Option<String> {
    let who = ["admission webhook ", "ValidatingAdmissionPolicy "]
        .iter()
        .find_map(|kind| {
            let name = message.split_once(kind)?.1.split(['"', '\'']).nth(1)?;
            Some(format!("{kind}\"{name}\" denied the request"))
        })?;
    Some(cut(&who))
}

/// RBAC and quota name subjects and numbers only (kubernetes: `pkg/registry/authorization`,
/// `plugin/pkg/admission/resourcequota`); anything else is not taken over.
fn why_forbidden(message: &str) -> String {
    let said = message
        .split_once(" is forbidden: ")
        .map_or("", |(_, said)| said);
    if said.starts_with("User \"") {
        "RBAC: no role grants it".to_owned()
    } else if said.starts_with("exceeded quota: ") {
        cut(said)
    } else {
        "the API server refuses it".to_owned()
    }
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

/// The parts of a `Status` we look at (Kubernetes API conventions, "Response Status Kind").
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
    message: String,
}

impl Details {
    fn retry_after(&self) -> Option<Duration> {
        self.retry_after_seconds.map(Duration::from_secs)
    }

    fn has_cause(&self, reason: &str) -> bool {
        self.causes.iter().any(|cause| cause.reason == reason)
    }

    fn causes(&self) -> Vec<String> {
        let one = |cause: &Cause| cut(&format!("{} ({})", cause.field, cause.reason));
        self.causes.iter().map(one).collect()
    }

    /// None when no cause is about a field manager.
    fn field_conflicts(&self) -> Option<Vec<FieldConflict>> {
        let of_managers = self
            .causes
            .iter()
            .filter(|cause| cause.reason == "FieldManagerConflict");
        let all: Vec<_> = of_managers
            .map(|cause| FieldConflict {
                field: cause.field.clone(),
                manager: manager_in(&cause.message),
            })
            .collect();
        (!all.is_empty()).then_some(all)
    }
}

/// `conflict with "helm" using v1 at ...`: the quoted name.
fn manager_in(message: &str) -> String {
    message
        .split('"')
        .nth(1)
        .map_or("somebody else".to_owned(), cut)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    const ASKED: Asked = Asked {
        verb: "create",
        resource: "secrets",
    };

    fn answer(code: u16, status: serde_json::Value) -> ClusterError {
        from_answer(ASKED, code, None, status.to_string().as_bytes())
    }

    #[test]
    fn every_answer_has_its_error_and_class() {
        let cause = |reason: &str| json!({"details": {"causes": [{"reason": reason, "field": ".data.A", "message": "conflict with \"helm\" using v1"}]}});
        let conflict = FieldConflict {
            field: ".data.A".into(),
            manager: "helm".into(),
        };
        let table = [
            (
                answer(404, json!({})),
                ClusterError::NotFound,
                Class::Missing,
            ),
            (
                answer(404, json!({"details": {"kind": "namespaces"}})),
                ClusterError::NamespaceTerminating,
                Class::Invalid,
            ),
            (
                answer(409, json!({"reason": "AlreadyExists"})),
                ClusterError::AlreadyExists,
                Class::Conflict,
            ),
            (
                answer(409, json!({"reason": "Conflict"})),
                ClusterError::Conflict,
                Class::Conflict,
            ),
            (
                answer(409, cause("FieldManagerConflict")),
                ClusterError::FieldConflict(vec![conflict]),
                Class::Invalid,
            ),
            (
                answer(403, cause("NamespaceTerminating")),
                ClusterError::NamespaceTerminating,
                Class::Invalid,
            ),
            (
                answer(422, cause("FieldValueInvalid")),
                ClusterError::Invalid {
                    causes: vec![".data.A (FieldValueInvalid)".into()],
                },
                Class::Invalid,
            ),
            (
                answer(413, json!({})),
                ClusterError::TooLarge,
                Class::Invalid,
            ),
            (
                answer(429, json!({"details": {"retryAfterSeconds": 7}})),
                ClusterError::Throttled(Some(Duration::from_secs(7))),
                Class::Throttled,
            ),
            (
                answer(503, json!({})),
                ClusterError::Unavailable("it answered with a fault of its own"),
                Class::Transient,
            ),
        ];
        for (got, wanted, class) in table {
            assert_eq!(got, wanted);
            assert_eq!(got.class(), class);
        }
    }

    #[test]
    fn forbidden_names_verb_resource_and_who_refused() {
        let table = [
            (
                "secrets is forbidden: User \"system:serviceaccount:k:k\" cannot create resource",
                "RBAC: no role grants it",
            ),
            (
                "secrets \"a\" is forbidden: exceeded quota: q, limited: secrets=1",
                "exceeded quota: q, limited: secrets=1",
            ),
            (
                "admission webhook \"w.example\" denied the request: value hunter2 is weak",
                "admission webhook \"w.example\" denied the request",
            ),
            (
                "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: hunter2",
                "ValidatingAdmissionPolicy \"p\" denied the request",
            ),
            ("hunter2", "the API server refuses it"),
        ];
        for (message, wanted) in table {
            let error = answer(403, json!({"message": message}));
            let text = error.to_string();
            assert_eq!(text, format!("may not create secrets: {wanted}"));
        }
    }

    #[test]
    fn a_body_that_is_no_status_is_not_quoted() {
        for code in [400, 403, 404, 409, 418, 422, 500] {
            let error = from_answer(ASKED, code, None, b"<html>hunter2</html>");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{code}");
        }
    }

    #[test]
    fn messages_of_invalid_fields_are_not_quoted() {
        let error = answer(
            422,
            json!({"message": "hunter2", "details": {"causes": [
            {"reason": "FieldValueInvalid", "field": "data[A]", "message": "Invalid value: \"hunter2\""}]}}),
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
