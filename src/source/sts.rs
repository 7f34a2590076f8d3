//! The STS clients of one credential key: own retry budget, own signer, the shared HTTP client.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sts::config::{Builder, IdentityCache, Region, retry::RetryPartition};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{
    credentials::Held,
    failure::Failure,
    identity::Caller,
    metrics::{Operation, Outcome, SourceEvent, SourceMetrics},
    sts_errors,
};
use crate::core::Finding;

/// STS as one credential key calls it.
#[derive(Clone)]
pub(super) struct Sts {
    /// Signs nothing: for AssumeRoleWithWebIdentity.
    pub client: aws_sdk_sts::Client,
    base: Builder,
    held: Held,
    region: String,
    patience: Duration,
    metrics: SourceMetrics,
}

/// Where a call went, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub operation: Operation,
    pub region: &'a str,
    pub patience: Duration,
}

impl Sts {
    /// `held` is where this key's credentials will be; `partition` names the retry budget.
    pub fn new(
        sdk: &SdkConfig,
        endpoint: Option<&str>,
        region: &str,
        held: Held,
        patience: Duration,
        metrics: SourceMetrics,
    ) -> Self {
        let mut base = Builder::from(sdk)
            .region(Region::new(region.to_owned()))
            .identity_cache(IdentityCache::no_cache())
            .retry_partition(RetryPartition::custom("keyferry-sts").build());
        if let Some(endpoint) = endpoint {
            base = base.endpoint_url(endpoint);
        }
        let client = aws_sdk_sts::Client::from_conf(base.clone().build());
        Self {
            client,
            base,
            held,
            region: region.to_owned(),
            patience,
            metrics,
        }
    }

    /// A client that signs with somebody's credentials.
    pub fn signed_by(&self, signer: Held) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::from_conf(self.base.clone().credentials_provider(signer).build())
    }

    /// GetCallerIdentity with this key's own credentials.
    pub async fn whose(&self) -> Result<Caller, Finding> {
        let operation = Operation::GetCallerIdentity;
        let call = self.signed_by(self.held.clone()).get_caller_identity();
        let reply = self.timed(operation, call.send()).await;
        let place = self.place(operation);
        let reply = reply.map_err(|failure| sts_errors::caller_finding(&failure, place))?;
        let caller = reply.arn().and_then(Caller::parse);
        caller.ok_or_else(|| sts_errors::unusable_reply(place))
    }

    /// For messages.
    pub fn place(&self, operation: Operation) -> Place<'_> {
        Place {
            operation,
            region: &self.region,
            patience: self.patience,
        }
    }

    /// Waits for a call and counts it.
    pub async fn timed<T, E: ProvideErrorMetadata>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        let call = async { call.await.map_err(|error| Failure::from_sdk(&error)) };
        let result = self.metrics.timed(operation, call).await;
        if let Err(failure) = &result
            && failure.outcome() == Outcome::Throttled
        {
            self.metrics.record(SourceEvent::Throttled);
        }
        result
    }
}
