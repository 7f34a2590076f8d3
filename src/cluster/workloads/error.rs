//! What the API server can answer about workloads.

use kube::core::Status;
use thiserror::Error;

/// Why a request about a workload did not do what it should. Holds no text of the API server: an
/// admission webhook's may quote the pod template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// It does not exist.
    #[error("not found")]
    NotFound,
    /// Another object has that name now.
    #[error("another object of that name")]
    WrongUid,
    /// It changed since it was read, or is gone; or a listing took longer than its snapshot lives.
    #[error("changed by somebody else at the same moment")]
    Stale,
    /// RBAC refuses, or an admission rule does.
    #[error("may not {verb} {resource}: {why}")]
    Forbidden {
        /// Verb as RBAC names it.
        verb: &'static str,
        /// Resource as RBAC names it.
        resource: &'static str,
        /// Who refused.
        why: &'static str,
    },
    /// The object or the write cannot be understood, or breaks a rule of the API.
    #[error("refused as invalid")]
    Invalid,
    /// No answer in time. A write may have happened.
    #[error("no answer in time")]
    Timeout,
    /// Too many requests.
    #[error("asked to slow down")]
    Throttled,
    /// Not reached, or a fault of the API server.
    #[error("API server unavailable")]
    Unavailable,
}

impl WorkloadError {
    /// What an answer to a request for `verb` on `resource`, in the words of RBAC, means.
    pub(super) fn of(verb: &'static str, resource: &'static str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::answered(verb, resource, &status),
            kube::Error::SerdeError(_) => Self::Invalid,
            _ => Self::Unavailable,
        }
    }

    /// The same of an answer that is no success.
    pub(super) fn answered(verb: &'static str, resource: &'static str, status: &Status) -> Self {
        match status.code {
            404 => Self::NotFound,
            401 | 403 => Self::Forbidden {
                verb,
                resource,
                why: refusal(&status.message),
            },
            409 | 410 => Self::Stale,
            422 if names_uid(status) => Self::WrongUid,
            400 | 413 | 422 => Self::Invalid,
            429 => Self::Throttled,
            504 => Self::Timeout,
            _ => Self::Unavailable,
        }
    }
}

/// The API server's RBAC authorizer writes `... is forbidden: User "x" cannot patch resource ...`.
fn refusal(message: &str) -> &'static str {
    match message.contains(" is forbidden: User \"") {
        true => "RBAC: no role grants it",
        false => "an admission rule refuses it",
    }
}

fn names_uid(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes
        .into_iter()
        .any(|cause| cause.field == "metadata.uid")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn status(code: u16, field: &str) -> Status {
        serde_json::from_value(serde_json::json!({
            "status": "Failure", "code": code, "message": "text of the API server",
            "details": {"causes": [{"reason": "r", "message": "m", "field": field}]},
        }))
        .unwrap()
    }

    fn answered(status: &Status) -> WorkloadError {
        WorkloadError::answered("patch", "deployments", status)
    }

    #[test]
    fn a_right_that_is_missing_is_named() {
        let text = r#"deployments.apps "ai" is forbidden: User "system:serviceaccount:keyferry:keyferry" cannot patch resource "deployments" in API group "apps" in the namespace "estate""#;
        let mut refused = status(403, "");
        refused.message = text.to_owned();
        assert_eq!(
            answered(&refused).to_string(),
            "may not patch deployments: RBAC: no role grants it"
        );
    }

    #[test]
    fn each_answer_has_its_word() {
        let rows = [
            (404, "", WorkloadError::NotFound),
            (
                403,
                "",
                WorkloadError::Forbidden {
                    verb: "patch",
                    resource: "deployments",
                    why: "an admission rule refuses it",
                },
            ),
            (409, "", WorkloadError::Stale),
            (410, "", WorkloadError::Stale),
            (422, "metadata.uid", WorkloadError::WrongUid),
            (422, "spec.template", WorkloadError::Invalid),
            (429, "", WorkloadError::Throttled),
            (504, "", WorkloadError::Timeout),
            (500, "", WorkloadError::Unavailable),
        ];
        for (code, field, word) in rows {
            assert_eq!(answered(&status(code, field)), word, "{code} {field}");
        }
    }
}
