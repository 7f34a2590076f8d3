//! A request as it arrived: which service and operation, by whom, about what.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use http::{HeaderMap, Method, request::Parts};
use jiff::Timestamp;
use serde::Deserialize;

use super::calls::{Call, Outcome, Service};
use super::sqs::{message_of, name_in};

/// A parsed request; the body stays as it was, values and all, and never enters the log.
pub(crate) struct Incoming {
    /// By the fake's clock.
    pub arrived: Timestamp,
    pub service: Service,
    pub operation: String,
    pub host: String,
    pub signature: Option<Result<Signature, SignatureProblem>>,
    /// `X-Amz-Security-Token`.
    pub token: Option<String>,
    /// The raw `Authorization` header, which Pod Identity uses for its token.
    pub authorization: Option<String>,
    /// Whether an SQS client wants the error codes of the query protocol.
    pub query_mode: bool,
    /// Form fields of an STS call.
    pub form: BTreeMap<String, String>,
    pub body: Bytes,
}

/// The parts of a SigV4 `Authorization` header that the fake looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub access_key_id: String,
    pub region: String,
    pub service: String,
}

/// A header that is not a SigV4 signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignatureProblem;

impl Incoming {
    /// Whether it asks for a page after the first.
    pub fn is_later_page(&self) -> bool {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["NextToken"].is_string()
    }

    pub fn new(parts: &Parts, body: Bytes, arrived: Timestamp) -> Self {
        let header = |name: &str| text(&parts.headers, name);
        let authorization = header("authorization");
        let mut form = BTreeMap::new();
        let (service, operation) = if parts.method == Method::GET {
            (Service::PodIdentity, "GetCredentials".to_owned())
        } else if let Some(target) = header("x-amz-target") {
            // `secretsmanager.GetSecretValue`, `AmazonSQS.ReceiveMessage`.
            let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", &target));
            let service = match prefix {
                "AmazonSQS" => Service::Sqs,
                "AmazonSSM" => Service::Ssm,
                _ => Service::SecretsManager,
            };
            (service, operation.to_owned())
        } else {
            form = form_urlencoded::parse(&body).into_owned().collect();
            let action = form.get("Action").cloned();
            (Service::Sts, action.unwrap_or_default())
        };
        let uri_host = parts.uri.host().map(str::to_owned);
        Self {
            signature: match service {
                Service::PodIdentity => None,
                _ => authorization.as_deref().map(Signature::parse),
            },
            arrived,
            service,
            operation,
            host: header("host").or(uri_host).unwrap_or_default(),
            token: header("x-amz-security-token"),
            query_mode: header("x-amzn-query-mode").as_deref() == Some("true"),
            authorization,
            form,
            body,
        }
    }

    /// Region of the credential scope, or the one in an STS host name.
    pub fn region(&self) -> &str {
        if let Some(Ok(signature)) = &self.signature {
            return &signature.region;
        }
        match self.host.split('.').collect::<Vec<_>>().as_slice() {
            ["sts" | "sts-fips", region, "amazonaws" | "api", ..] => region,
            _ => "",
        }
    }

    /// The log entry, not yet knowing the caller.
    pub fn to_call(&self) -> Call {
        let field = |name: &str| self.form.get(name).cloned();
        let asked = self.asked();
        Call {
            seq: 0,
            at: Instant::now(),
            service: self.service,
            operation: self.operation.clone(),
            region: self.region().to_owned(),
            account: String::new(),
            host: self.host.clone(),
            principal: String::new(),
            session_name: field("RoleSessionName").unwrap_or_default(),
            access_key_id: match &self.signature {
                Some(Ok(signature)) => signature.access_key_id.clone(),
                _ => String::new(),
            },
            ids: asked.ids(field("RoleArn").or_else(|| field("roleArn"))),
            versions: asked
                .version_id
                .into_iter()
                .chain(asked.version_stage)
                .collect(),
            entry_errors: Vec::new(),
            tags: tags(&self.form),
            external_id: field("ExternalId"),
            outcome: Outcome::Pending,
        }
    }

    fn asked(&self) -> Asked {
        match self.service {
            // A body that is no JSON is refused later, by the operation.
            Service::SecretsManager | Service::Ssm | Service::Sqs => {
                serde_json::from_slice(&self.body).unwrap_or_default()
            }
            _ => Asked::default(),
        }
    }
}

/// What the log wants to know of a request in JSON. Values are skipped, not read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Asked {
    secret_id: Option<String>,
    secret_id_list: Vec<String>,
    names: Vec<String>,
    path: Option<String>,
    name: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
    queue_url: Option<String>,
    queue_name: Option<String>,
    receipt_handle: Option<String>,
    entries: Vec<AskedEntry>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AskedEntry {
    receipt_handle: Option<String>,
}

impl Asked {
    fn ids(&self, role: Option<String>) -> Vec<String> {
        let one = self
            .secret_id
            .clone()
            .or_else(|| self.name.clone())
            .or_else(|| self.path.clone())
            .or_else(|| self.queue_url.as_deref().map(|url| name_in(url).to_owned()))
            .or_else(|| self.queue_name.clone())
            .or(role);
        let entries = self.entries.iter().map(|entry| &entry.receipt_handle);
        let receipts = entries.chain([&self.receipt_handle]).flatten();
        one.into_iter()
            .chain(self.secret_id_list.iter().cloned())
            .chain(self.names.iter().cloned())
            .chain(receipts.filter_map(|handle| message_of(handle)))
            .collect()
    }
}

/// Session tags: `Tags.member.N.Key` and `Tags.member.N.Value`.
pub(crate) fn tags(form: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pair = |n: usize| {
        let key = form.get(&format!("Tags.member.{n}.Key"))?;
        let value = form.get(&format!("Tags.member.{n}.Value"));
        Some((key.clone(), value.cloned().unwrap_or_default()))
    };
    (1..).map_while(pair).collect()
}

impl Signature {
    /// Reads `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=...,
    /// Signature=...` (AWS: "Create a signed AWS API request"). The signature itself is not
    /// recomputed: the fake does not keep secret keys.
    fn parse(header: &str) -> Result<Self, SignatureProblem> {
        let fields = header
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or(SignatureProblem)?;
        let fields: BTreeMap<&str, &str> = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let field = |name: &str| fields.get(name).copied().ok_or(SignatureProblem);
        let scope: Vec<&str> = field("Credential")?.split('/').collect();
        let &[key, date, region, service, "aws4_request"] = scope.as_slice() else {
            return Err(SignatureProblem);
        };
        let signature = field("Signature")?;
        let signed = field("SignedHeaders")?;
        let good = signature.len() == 64
            && signature.bytes().all(|b| b.is_ascii_hexdigit())
            && date.len() == 8
            && signed.split(';').any(|header| header == "host");
        if !good {
            return Err(SignatureProblem);
        }
        Ok(Self {
            access_key_id: key.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_signatures_are_accepted() {
        let sig = "0".repeat(64);
        let good = format!(
            "AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-east-1/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date, Signature={sig}"
        );
        let parsed = Signature::parse(&good);
        assert_eq!(
            parsed,
            Ok(Signature {
                access_key_id: "AKIA".into(),
                region: "us-east-1".into(),
                service: "secretsmanager".into(),
            })
        );
        for bad in [
            good.replace("AWS4-HMAC-SHA256", "Bearer"),
            good.replace("/aws4_request", ""),
            good.replace("host;", ""),
            good.replace(&sig, "00"),
            good.replace("20261121", ""),
        ] {
            assert_eq!(Signature::parse(&bad), Err(SignatureProblem), "{bad}");
        }
    }
}
