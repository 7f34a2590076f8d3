//! Where credentials come from: the operator's own chain, a ServiceAccount's token, a role on top.

use std::{path::Path, sync::Arc};

use aws_config::{
    SdkConfig, ecs::EcsCredentialsProvider,
    environment::credentials::EnvironmentVariableCredentialsProvider,
    imds::credentials::ImdsCredentialsProvider, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials as Keys,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};
use aws_sdk_sts::types::{AssumedRoleUser, Credentials as StsKeys, Tag};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures::future::{BoxFuture, FutureExt};
use zeroize::Zeroizing;

use super::{
    TokenRequester,
    credentials::{Credentials, Origin, Session},
    failure::Failure,
    identity::{Caller, RoleStep, ServiceAccountIdentity, session_name},
    metrics::Operation,
    settings::{OperatorIdentity, WebIdentity},
    sts::Sts,
    sts_errors::{self, Trusted},
};
use crate::{api::Reason, core::Finding};

/// Role chaining is capped at one hour by AWS; longer asks fail.
const CHAINED_SECONDS: i32 = 3600;

/// The operator itself.
pub(super) struct OperatorOrigin {
    pub sts: Sts,
    pub cluster: String,
    pub own: OwnChain,
}

/// The parts of the SDK's default chain, around our own web identity.
pub(super) struct OwnChain {
    /// Before the web identity: environment and profile.
    before: Option<Profile>,
    web: Option<WebIdentity>,
    after: Vec<SharedCredentialsProvider>,
}

impl OwnChain {
    /// The providers in the SDK's order (source: aws-config, default_provider/credentials.rs). `local` is an
    /// HTTP client that never uses a proxy.
    pub fn new(
        identity: &OperatorIdentity,
        sdk: &SdkConfig,
        general: SharedHttpClient,
        local: SharedHttpClient,
    ) -> Self {
        if let OperatorIdentity::WebIdentity(web) = identity {
            return Self {
                before: None,
                web: Some(web.clone()),
                after: vec![],
            };
        }
        let local = provider_config(sdk, local);
        let container = EcsCredentialsProvider::builder().configure(&local).build();
        let imds = ImdsCredentialsProvider::builder().configure(&local).build();
        Self {
            before: Some(Profile {
                sdk: sdk.clone(),
                client: general,
            }),
            web: WebIdentity::from_env(|name| std::env::var(name).ok()),
            after: vec![
                SharedCredentialsProvider::new(container),
                SharedCredentialsProvider::new(imds),
            ],
        }
    }
}

/// What a provider of the profile's credentials is made of.
struct Profile {
    sdk: SdkConfig,
    client: SharedHttpClient,
}

impl Profile {
    /// The environment, then the profile. Made for each ask: a provider keeps the files as it first read
    /// them, and keys that come later, or take the place of others, would want a restart.
    fn chain(&self) -> [SharedCredentialsProvider; 2] {
        let config = provider_config(&self.sdk, self.client.clone());
        let profile = ProfileFileCredentialsProvider::builder().configure(&config);
        [
            SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()),
            SharedCredentialsProvider::new(profile.build()),
        ]
    }
}

/// The first that has credentials; a provider that should have some and fails ends the search, as in the SDK.
async fn first(providers: &[SharedCredentialsProvider]) -> Result<Option<Keys>, Finding> {
    for provider in providers {
        match provider.provide_credentials().await {
            Ok(keys) => return Ok(Some(keys)),
            Err(CredentialsError::CredentialsNotLoaded(_)) => {}
            Err(error) => return Err(sts_errors::provider_failed(&error)),
        }
    }
    Ok(None)
}

impl OperatorOrigin {
    async fn get(&self) -> Result<Session, Finding> {
        if let Some(profile) = &self.own.before
            && let Some(keys) = first(&profile.chain()).await?
        {
            return Ok(Session::new(keys, None));
        }
        if let Some(web) = &self.own.web {
            let token = read_token(&web.token_file)?;
            let session = session_name(&self.cluster, "");
            return web_identity(&self.sts, &web.role_arn, &session, token, Trusted::Operator)
                .await;
        }
        match first(&self.own.after).await? {
            Some(keys) => Ok(Session::new(keys, None)),
            None => Err(Finding::new(
                Reason::NoCredentials,
                "The operator found no AWS credentials (environment, profile, IRSA, Pod Identity, instance).",
                "Give its ServiceAccount a role: annotation eks.amazonaws.com/role-arn, or a Pod Identity association.",
            )),
        }
    }
}

impl Origin for OperatorOrigin {
    fn obtain(&self) -> BoxFuture<'_, Result<Session, Finding>> {
        self.get().boxed()
    }

    fn whose(&self) -> BoxFuture<'_, Result<Caller, Finding>> {
        self.sts.whose().boxed()
    }
}

/// Read each time: the kubelet replaces the file.
fn read_token(file: &Path) -> Result<Zeroizing<String>, Finding> {
    let token = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| {
        Finding::new(
            Reason::NoCredentials,
            format!("The web identity token {} cannot be read ({}).", file.display(), e.kind()),
            "Check AWS_WEB_IDENTITY_TOKEN_FILE and the projected token volume of the operator's pod.",
        )
    })?;
    Ok(Zeroizing::new(token.trim().to_owned()))
}

/// A ServiceAccount of a binding's namespace.
pub(super) struct ServiceAccountOrigin {
    pub sts: Sts,
    pub cluster: String,
    pub namespace: String,
    pub account: ServiceAccountIdentity,
    pub tokens: TokenRequester,
}

impl ServiceAccountOrigin {
    async fn get(&self) -> Result<Session, Finding> {
        let token = (self.tokens)(&self.namespace, &self.account.name).await?;
        let session = session_name(&self.cluster, &self.namespace);
        let trusted = Trusted::ServiceAccount {
            namespace: &self.namespace,
            name: &self.account.name,
        };
        web_identity(&self.sts, &self.account.role_arn, &session, token, trusted).await
    }
}

impl Origin for ServiceAccountOrigin {
    fn obtain(&self) -> BoxFuture<'_, Result<Session, Finding>> {
        self.get().boxed()
    }

    fn whose(&self) -> BoxFuture<'_, Result<Caller, Finding>> {
        self.sts.whose().boxed()
    }
}

/// One AssumeRoleWithWebIdentity.
async fn web_identity(
    sts: &Sts,
    role_arn: &str,
    session: &str,
    token: Zeroizing<String>,
    trusted: Trusted<'_>,
) -> Result<Session, Finding> {
    let operation = Operation::AssumeRoleWithWebIdentity;
    let call = sts.client.assume_role_with_web_identity();
    let call = call
        .role_arn(role_arn)
        .role_session_name(session)
        .web_identity_token(token.as_str());
    drop(token);
    let reply = sts.timed(operation, call.send()).await;
    let reply = reply.map_err(|failure| {
        sts_errors::role_finding(&failure, role_arn, trusted, sts.place(operation))
    })?;
    session_of(reply.credentials, reply.assumed_role_user)
        .ok_or_else(|| sts_errors::unusable_reply(sts.place(operation)))
}

/// A role assumed from other credentials.
pub(super) struct RoleOrigin {
    pub sts: Sts,
    pub cluster: String,
    pub base: Arc<Credentials>,
    pub step: RoleStep,
}

impl RoleOrigin {
    /// Once more with new base credentials if AWS no longer accepts those at hand.
    async fn get(&self) -> Result<Session, Finding> {
        let base = self.base.session().await?;
        let reply = match self.assume().await {
            Err(failure) if failure.is_expired() => {
                self.base.refuse(&base);
                self.base.session().await?;
                self.assume().await
            }
            first => first,
        };
        match reply {
            Ok(session) => Ok(session),
            Err(failure) => Err(self.explain(&failure).await),
        }
    }

    async fn assume(&self) -> Result<Session, Failure> {
        let operation = Operation::AssumeRole;
        let mut call = self
            .base_client()
            .assume_role()
            .role_arn(&self.step.role_arn);
        call = call.role_session_name(session_name(&self.cluster, &self.step.namespace));
        call = call
            .set_external_id(self.step.external_id.clone())
            .duration_seconds(CHAINED_SECONDS);
        for (key, value) in &self.step.tags {
            let tag = Tag::builder().key(key).value(value).build();
            call = call.tags(tag.map_err(|_| Failure::Unreachable)?);
        }
        let reply = self.sts.timed(operation, call.send()).await?;
        session_of(reply.credentials, reply.assumed_role_user).ok_or(Failure::Unreadable(200))
    }

    fn base_client(&self) -> aws_sdk_sts::Client {
        self.sts.signed_by(self.base.signer())
    }

    async fn explain(&self, failure: &Failure) -> Finding {
        let caller = self.base.caller().await.ok();
        let trusted = Trusted::Role {
            from: caller
                .as_ref()
                .map_or("the operator's identity", |c| &c.arn),
            external_id: self.step.external_id.is_some(),
        };
        sts_errors::role_finding(
            failure,
            &self.step.role_arn,
            trusted,
            self.sts.place(Operation::AssumeRole),
        )
    }
}

impl Origin for RoleOrigin {
    fn obtain(&self) -> BoxFuture<'_, Result<Session, Finding>> {
        self.get().boxed()
    }

    fn whose(&self) -> BoxFuture<'_, Result<Caller, Finding>> {
        self.sts.whose().boxed()
    }
}

/// The session a reply of STS holds.
fn session_of(keys: Option<StsKeys>, user: Option<AssumedRoleUser>) -> Option<Session> {
    let keys = keys?;
    let caller = user.and_then(|user| Caller::parse(&user.arn));
    let mut built = Keys::builder()
        .access_key_id(keys.access_key_id)
        .secret_access_key(keys.secret_access_key)
        .session_token(keys.session_token)
        .expiry(keys.expiration.try_into().ok()?)
        .provider_name("keyferry");
    if let Some(caller) = &caller {
        built = built.account_id(caller.account.clone());
    }
    Some(Session::new(built.build(), caller))
}

/// Makes the provider configuration of the chain's own calls.
fn provider_config(sdk: &SdkConfig, client: SharedHttpClient) -> ProviderConfig {
    let mut config = ProviderConfig::without_region()
        .with_region(sdk.region().cloned())
        .with_use_fips(sdk.use_fips())
        .with_use_dual_stack(sdk.use_dual_stack())
        .with_behavior_version(sdk.behavior_version())
        .with_http_client(client);
    if let Some(timeouts) = sdk.timeout_config() {
        config = config.with_timeout_config(timeouts.clone());
    }
    config
}
