//! What the API server can answer about workloads.

use kube::core::Status;
use thiserror::Error;

/// Why a request about a workload did not do what it should. Holds no text of the API server but
/// that of RBAC: an admission webhook's may quote the pod template.
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
    /// RBAC refuses, the text names user, verb and resource; or an admission rule does.
    #[error("{0}")]
    Forbidden(String),
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

impl From<kube::Error> for WorkloadError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(*status),
            kube::Error::SerdeError(_) => Self::Invalid,
            _ => Self::Unavailable,
        }
    }
}

impl From<Status> for WorkloadError {
    fn from(status: Status) -> Self {
        match status.code {
            404 => Self::NotFound,
            401 | 403 => Self::Forbidden(refusal(status.message)),
            409 | 410 => Self::Stale,
            422 if names_uid(&status) => Self::WrongUid,
            400 | 413 | 422 => Self::Invalid,
            429 => Self::Throttled,
            504 => Self::Timeout,
            _ => Self::Unavailable,
        }
    }
}

/// The API server's RBAC authorizer writes `... is forbidden: User "x" cannot patch resource ...`.
fn refusal(message: String) -> String {
    if message.contains(" is forbidden: User \"") {
        message
    } else {
        "refused by an admission rule".to_owned()
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

    #[test]
    fn rbac_is_quoted() {
        let text = r#"deployments.apps "ai" is forbidden: User "system:serviceaccount:keyferry:keyferry" cannot patch resource "deployments" in API group "apps" in the namespace "estate""#;
        let mut refused = status(403, "");
        refused.message = text.to_owned();
        assert_eq!(
            WorkloadError::from(refused),
            WorkloadError::Forbidden(text.to_owned())
        );
    }

    #[test]
    fn each_answer_has_its_word() {
        let rows = [
            (404, "", WorkloadError::NotFound),
            (
                403,
                "",
                WorkloadError::Forbidden("refused by an admission rule".into()),
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
            assert_eq!(
                WorkloadError::from(status(code, field)),
                word,
                "{code} {field}"
            );
        }
    }
}
