//! Replies and refusals in the shape of each service.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};

use super::calls::{Outcome, Service};
use super::error::AwsError;
use super::request::Incoming;
use super::{random_uuid, sqs, sts};

const PROXY_PAGE: &str = "<html><body><h1>Not the service you meant</h1></body></html>";

/// A reply before faults shape it.
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    retry_after: Option<u32>,
    /// `x-amzn-query-error`.
    query_error: Option<String>,
    pub outcome: Outcome,
}

impl Reply {
    pub fn success(service: Service, body: String) -> Self {
        Self {
            status: 200,
            content_type: content_type(service),
            body,
            retry_after: None,
            query_error: None,
            outcome: Outcome::Ok,
        }
    }

    /// What proxies answer.
    pub fn not_json(status: u16) -> Self {
        Self {
            status,
            content_type: "text/html",
            body: PROXY_PAGE.to_owned(),
            retry_after: None,
            query_error: None,
            outcome: Outcome::Broken,
        }
    }

    pub fn refusal(incoming: &Incoming, error: &AwsError, retry_after: Option<u32>) -> Self {
        let (code, message) = (&error.code, &error.message);
        let body = match incoming.service {
            Service::SecretsManager | Service::Ssm => serde_json::json!({
                "__type": code, "Message": message, "message": message,
            })
            .to_string(),
            Service::Sqs => serde_json::json!({
                "__type": format!("com.amazonaws.sqs#{code}"), "message": message,
            })
            .to_string(),
            Service::Sts => sts::error_xml(error),
            Service::PodIdentity => serde_json::json!({
                "code": code, "message": message,
            })
            .to_string(),
        };
        let side = if error.status < 500 {
            "Sender"
        } else {
            "Receiver"
        };
        let named = incoming.service == Service::Sqs && incoming.query_mode;
        Self {
            status: error.status,
            content_type: content_type(incoming.service),
            body,
            retry_after,
            query_error: named.then(|| format!("{};{side}", sqs::query_code(code))),
            outcome: Outcome::Failed {
                status: error.status,
                code: code.to_string(),
            },
        }
    }

    /// The HTTP response; cut in the middle if asked.
    pub fn render(self, cut: bool) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut builder = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, self.content_type)
            .header("x-amzn-RequestId", random_uuid());
        if let Some(seconds) = self.retry_after {
            builder = builder.header(RETRY_AFTER, seconds);
        }
        if let Some(code) = self.query_error {
            builder = builder.header("x-amzn-query-error", code);
        }
        let body = if cut {
            builder = builder.header(CONTENT_LENGTH, self.body.len());
            let half = Bytes::from(self.body.into_bytes());
            let half = half.slice(..half.len() / 2);
            let broken = std::io::Error::other("cut on purpose");
            Body::from_stream(stream::iter([Ok(half), Err(broken)]))
        } else {
            Body::from(self.body)
        };
        builder
            .body(body)
            .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

/// The refusal of an empty bucket, in the code of each service.
pub(crate) fn throttled(service: Service) -> AwsError {
    let code = match service {
        Service::Sts => "Throttling",
        Service::Sqs => "RequestThrottled",
        _ => "ThrottlingException",
    };
    AwsError::new(code, "Rate exceeded")
}

fn content_type(service: Service) -> &'static str {
    match service {
        Service::SecretsManager | Service::Ssm => "application/x-amz-json-1.1",
        Service::Sqs => "application/x-amz-json-1.0",
        Service::Sts => "text/xml",
        Service::PodIdentity => "application/json",
    }
}

pub(super) fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
