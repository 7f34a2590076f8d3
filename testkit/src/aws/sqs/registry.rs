//! All queues, their URLs, and the operations that tell about a queue.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::error::AwsError;
use super::super::store::partition_of;
use super::{QueueState, Scope, missing, queue_arn};

/// What tells one queue from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey {
    pub account: String,
    pub region: String,
    pub name: String,
}

impl QueueKey {
    pub fn new(account: &str, region: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The queue that a URL `<endpoint>/<account>/<name>` means to a caller in this region. A URL
    /// with another region in its host name is refused, as at an endpoint of AWS.
    pub fn of_url(url: &str, region: &str) -> Result<Self, AwsError> {
        let parts: Vec<&str> = url.split('/').collect();
        let (host, account, name) = match parts.as_slice() {
            ["http:" | "https:", "", host, account, name]
                if !account.is_empty() && !name.is_empty() =>
            {
                (*host, *account, *name)
            }
            _ => return Err(invalid_address(url)),
        };
        let named = host.strip_prefix("sqs.").and_then(|h| h.split_once('.'));
        match named {
            Some((other, rest)) if rest.starts_with("amazonaws.com") && other != region => {
                Err(invalid_address(url))
            }
            _ => Ok(Self::new(account, region, name)),
        }
    }

    pub fn arn(&self) -> String {
        queue_arn(&self.account, &self.region, &self.name)
    }

    /// The URL at AWS.
    pub fn aws_url(&self) -> String {
        let tail = match partition_of(&self.region) {
            "aws-cn" => ".cn",
            _ => "",
        };
        let (region, account, name) = (&self.region, &self.account, &self.name);
        format!("https://sqs.{region}.amazonaws.com{tail}/{account}/{name}")
    }
}

fn invalid_address(url: &str) -> AwsError {
    AwsError::with_status(
        404,
        "InvalidAddress",
        format!("The address {url} is not valid for this endpoint."),
    )
}

/// Name of the queue in a URL, for the log.
pub(crate) fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// All queues of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Queues {
    endpoint: String,
    all: HashMap<QueueKey, QueueState>,
}

impl Queues {
    pub fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            all: HashMap::new(),
        }
    }

    /// The URL at this fake.
    pub fn url(&self, key: &QueueKey) -> String {
        format!("{}/{}/{}", self.endpoint, key.account, key.name)
    }

    pub fn get(&self, key: &QueueKey) -> Option<&QueueState> {
        self.all.get(key)
    }

    pub fn get_mut(&mut self, key: &QueueKey) -> Option<&mut QueueState> {
        self.all.get_mut(key)
    }

    /// Adds a queue unless it is there.
    pub fn create(&mut self, key: QueueKey, make: impl FnOnce() -> QueueState) {
        self.all.entry(key).or_insert_with(make);
    }

    pub fn remove(&mut self, key: &QueueKey) {
        self.all.remove(key);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UrlRequest {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(super) fn url(scope: &mut Scope<'_>, request: &UrlRequest) -> Result<Value, AwsError> {
    let owner = request.owner.as_ref().unwrap_or(&scope.caller.account);
    let key = QueueKey::new(owner, scope.region, &request.queue_name);
    scope.check("GetQueueUrl", &key)?;
    let queues = &scope.world.queues;
    queues.get(&key).ok_or_else(missing)?;
    Ok(json!({"QueueUrl": queues.url(&key)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesRequest {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

pub(super) fn attributes(
    scope: &mut Scope<'_>,
    request: &AttributesRequest,
) -> Result<Value, AwsError> {
    let now = scope.now;
    let queue = scope.queue("GetQueueAttributes", &request.queue_url)?;
    let stats = queue.stats(now);
    let all = [
        ("ApproximateNumberOfMessages", stats.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            stats.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            stats.delayed.to_string(),
        ),
        ("QueueArn", queue.arn.clone()),
        ("VisibilityTimeout", queue.visibility.as_secs().to_string()),
        (
            "MessageRetentionPeriod",
            queue.retention.as_secs().to_string(),
        ),
        (
            "ReceiveMessageWaitTimeSeconds",
            queue.wait.as_secs().to_string(),
        ),
        ("CreatedTimestamp", queue.created.as_second().to_string()),
    ];
    let known = |name: &String| name == "All" || all.iter().any(|(n, _)| n == name);
    if let Some(unknown) = request.attribute_names.iter().find(|n| !known(n)) {
        return Err(AwsError::new(
            "InvalidAttributeName",
            format!("Unknown Attribute {unknown}."),
        ));
    }
    let asked = |name: &str| {
        let mut names = request.attribute_names.iter();
        names.any(|n| n == "All" || n == name)
    };
    let shown: Map<String, Value> = all
        .iter()
        .filter(|(name, _)| asked(name))
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    Ok(json!({"Attributes": shown}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_queues() {
        let key = QueueKey::new("1", "us-east-1", "q");
        for url in ["http://127.0.0.1:1/1/q", key.aws_url().as_str()] {
            assert_eq!(QueueKey::of_url(url, "us-east-1").as_ref(), Ok(&key));
        }
        for bad in [
            "q",
            "http://h/q",
            "http://h/1/",
            "http://h/1/q/r",
            "https://sqs.eu-west-1.amazonaws.com/1/q",
        ] {
            assert!(QueueKey::of_url(bad, "us-east-1").is_err(), "{bad}");
        }
    }
}
