//! The Parameter Store calls themselves: plain types out.

use std::sync::{Arc, LazyLock};

use aws_config::SdkConfig;
use aws_sdk_ssm::{
    Client,
    config::{Builder, IdentityCache, Region, retry::RetryConfig},
    types::{Parameter, ParameterType},
};
use jiff::Timestamp;

use super::{
    bucket::Lane,
    credentials::Credentials,
    failure::Failure,
    line::{Line, Pace},
    listing::Listed,
    metrics::{Operation, SourceEvent, SourceMetrics},
};
use crate::core::{
    Entry, EntryValue, SecretValue, Store,
    parameter::{ParameterArn, version_id},
};

/// Most items of a page (source: GetParametersByPath API reference, `MaxResults`).
const PAGE: i32 = 10;

/// Parameter Store as one hub calls it.
pub(super) struct ParameterCalls {
    /// Made when the first parameter is asked for: most installs have none.
    client: LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>,
    line: Line,
}

/// What was found of the names that were asked for.
#[derive(Debug, Default)]
pub(super) struct ParameterReply {
    pub found: Vec<Found>,
    /// Names, as they were sent, that mean nothing.
    pub invalid: Vec<String>,
}

/// One parameter of a reply.
#[derive(Debug)]
pub(super) struct Found {
    pub entry: Arc<Entry>,
    /// The number or label that was asked for.
    pub selector: Option<String>,
}

impl ParameterCalls {
    pub fn new(
        sdk: &SdkConfig,
        endpoint: Option<&str>,
        region: &str,
        credentials: Arc<Credentials>,
        metrics: SourceMetrics,
        pace: Pace,
    ) -> Self {
        let (of_client, signer) = (sdk.clone(), credentials.signer());
        let (endpoint, here) = (endpoint.map(str::to_owned), region.to_owned());
        let client = move || {
            // One attempt: the SDK's own further ones would go past the budget, and their throttles unseen.
            let mut config = Builder::from(&of_client)
                .region(Region::new(here))
                .identity_cache(IdentityCache::no_cache())
                .credentials_provider(signer)
                .retry_config(RetryConfig::disabled());
            if let Some(endpoint) = endpoint {
                config = config.endpoint_url(endpoint);
            }
            Client::from_conf(config.build())
        };
        Self {
            client: LazyLock::new(Box::new(client)),
            line: Line::new(sdk, Store::Parameters, region, credentials, metrics, pace),
        }
    }

    /// One GetParameters, decrypted.
    pub async fn get(&self, wires: &[String], lane: Lane) -> Result<ParameterReply, Failure> {
        let reply = self
            .line
            .call(Operation::GetParameters, lane, || {
                let call = self.client.get_parameters().with_decryption(true);
                call.set_names(Some(wires.to_vec())).send()
            })
            .await?;
        let parameters = reply.parameters.unwrap_or_default();
        let is_secure = |p: &&Parameter| p.r#type == Some(ParameterType::SecureString);
        let values = parameters.iter().filter(is_secure).count();
        if values > 0 {
            let operation = Operation::GetParameters;
            let event = SourceEvent::Decrypted { operation, values };
            self.line.metrics.record(event);
        }
        Ok(ParameterReply {
            found: parameters.into_iter().filter_map(found).collect(),
            invalid: reply.invalid_parameters.unwrap_or_default(),
        })
    }

    /// One page of GetParametersByPath, and the token of the next. Nothing is decrypted: what has moved is read by
    /// name.
    pub async fn page(
        &self,
        path: &str,
        token: Option<&str>,
        lane: Lane,
    ) -> Result<(Vec<Listed>, Option<String>), Failure> {
        let reply = self
            .line
            .call(Operation::GetParametersByPath, lane, || {
                let call = self.client.get_parameters_by_path().path(path);
                call.recursive(true)
                    .with_decryption(false)
                    .max_results(PAGE)
                    .set_next_token(token.map(str::to_owned))
                    .send()
            })
            .await?;
        let parameters = reply.parameters.unwrap_or_default().into_iter();
        Ok((parameters.filter_map(listed).collect(), reply.next_token))
    }
}

/// None if something that AWS always sends is missing.
fn found(parameter: Parameter) -> Option<Found> {
    let (name, arn, version_id) = identity(&parameter)?;
    let entry = Entry {
        arn,
        name,
        version_id,
        created: modified(&parameter),
        value: EntryValue::Text(SecretValue::from(parameter.value?)),
    };
    let selector = parameter.selector.unwrap_or_default();
    let selector = selector.strip_prefix(':').unwrap_or(&selector);
    Some(Found {
        entry: Arc::new(entry),
        selector: (!selector.is_empty()).then(|| selector.to_owned()),
    })
}

fn listed(parameter: Parameter) -> Option<Listed> {
    let (name, arn, version_id) = identity(&parameter)?;
    Some(Listed {
        name,
        arn,
        current_version_id: Some(version_id),
    })
}

/// Name, ARN and version id. Of one that another account shares the name may be told as its ARN.
fn identity(parameter: &Parameter) -> Option<(String, String, String)> {
    let arn = parameter.arn.clone()?;
    let name = match parameter.name.as_deref()? {
        name if name.starts_with("arn:") => ParameterArn::parse(name)?.resource,
        name => name.to_owned(),
    };
    let version = version_id(&arn, parameter.version, modified(parameter));
    Some((name, arn, version))
}

fn modified(parameter: &Parameter) -> Option<Timestamp> {
    let at = parameter.last_modified_date?;
    let nanos = i32::try_from(at.subsec_nanos()).ok()?;
    Timestamp::new(at.secs(), nanos).ok()
}
