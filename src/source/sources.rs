//! All hubs and all credentials, made on first use and shared by key.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::app_name::AppName;
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    TokenRequester,
    bucket::Clock,
    budget::Budgets,
    calls::Calls,
    credentials::{Credentials, Held},
    http::{self, Route},
    hub::{Common, Hub},
    identity::{CredentialKey, HubKey, IdentityAsk},
    line::Pace,
    metrics::SourceMetrics,
    origin::{OperatorOrigin, OwnChain, RoleOrigin, ServiceAccountOrigin},
    parameter_calls::ParameterCalls,
    settings::SourceSettings,
    sts::Sts,
    subscriptions::{Interest, Subscriber},
    writer::Writer,
};
use crate::{api::Reason, core::Finding};

/// A hub's rounds begin so far apart at least: whatever keeps something due without a call made for it, the
/// processor is not kept busy with that.
const LEAST_ROUND: Duration = Duration::from_millis(50);

/// Every identity and region the operator reads with.
pub struct Sources {
    settings: SourceSettings,
    sdk: SdkConfig,
    /// For credential endpoints on the node: never through a proxy.
    local: SharedHttpClient,
    proxied: SharedHttpClient,
    metrics: SourceMetrics,
    tokens: TokenRequester,
    pace: Pace,
    kept_bytes: Arc<AtomicUsize>,
    /// Wakes the sweep.
    changed: Arc<Notify>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    hubs: HashMap<HubKey, (Arc<Hub>, Instant)>,
    credentials: HashMap<CredentialKey, Arc<Credentials>>,
    /// Where each binding is subscribed.
    subscribed: HashMap<Subscriber, Arc<Hub>>,
}

/// What a client that acts as the operator itself is made of.
pub(super) struct Own<'a> {
    pub settings: &'a SourceSettings,
    pub sdk: &'a SdkConfig,
    pub credentials: Arc<Credentials>,
    pub metrics: SourceMetrics,
}

impl Sources {
    /// Reads the SDK's variables and profile; calls nobody (except IMDS for a region that nothing else names).
    ///
    /// # Errors
    /// `AwsUnavailable` for a CA bundle that cannot be used.
    pub async fn new(
        settings: SourceSettings,
        metrics: SourceMetrics,
        tokens: TokenRequester,
    ) -> Result<Self, Finding> {
        let proxied = http::client(settings.ca_bundle.as_deref(), Route::Environment)?;
        let local = http::client(settings.ca_bundle.as_deref(), Route::Direct)?;
        let sdk = load(&settings, proxied.clone()).await;
        let pace = Pace {
            budgets: Arc::new(Budgets::new(settings.quota_share, Clock::monotonic())),
            patience: settings.timeouts.operation,
            chance: rand::random,
        };
        Ok(Self {
            settings,
            sdk,
            local,
            proxied,
            metrics,
            tokens,
            pace,
            kept_bytes: Arc::default(),
            changed: Arc::default(),
            made: Mutex::default(),
        })
    }

    /// The operator's own region, if it has one.
    pub fn own_region(&self) -> Option<&str> {
        self.settings
            .region
            .as_deref()
            .or_else(|| self.sdk.region().map(|region| region.as_ref()))
    }

    /// The operator's own identity, for a service in `region`.
    pub(super) fn own(&self, region: &str) -> Own<'_> {
        let sts_region = self.own_region().unwrap_or(region).to_owned();
        let key = CredentialKey::Operator { sts_region };
        Own {
            settings: &self.settings,
            sdk: &self.sdk,
            credentials: self.credentials(&mut self.lock(), &key),
            metrics: self.metrics.clone(),
        }
    }

    /// The hub of an identity and region: the same one for equal asks.
    ///
    /// # Errors
    /// `NoCredentials` where neither the ask nor the operator names a region.
    pub async fn hub(&self, ask: &IdentityAsk) -> Result<Arc<Hub>, Finding> {
        let region = ask.region.as_deref().or(self.own_region()).ok_or_else(|| {
            Finding::new(
                Reason::NoCredentials,
                "No AWS region: the binding names none and the operator has none.",
                "Set spec.source.region, or AWS_REGION on the operator.",
            )
        })?;
        let sts_region = ask.sts_region.as_deref().or(self.own_region());
        let sts_region = sts_region.unwrap_or(region);
        let key = HubKey {
            credentials: ask.credential_key(sts_region),
            region: region.to_owned(),
        };
        let mut made = self.lock();
        if let Some((hub, asked)) = made.hubs.get_mut(&key) {
            *asked = Instant::now();
            return Ok(hub.clone());
        }
        self.drop_idle(&mut made);
        let credentials = self.credentials(&mut made, &key.credentials);
        let hub = Arc::new(self.new_hub(&key, credentials));
        made.hubs.insert(key, (hub.clone(), Instant::now()));
        Ok(hub)
    }

    /// Writes of whoever runs the command, in `region` (None: their own).
    ///
    /// # Errors
    /// `NoCredentials` where nothing names a region.
    pub fn writer(&self, region: Option<&str>) -> Result<Writer, Finding> {
        let region = region.or(self.own_region()).ok_or_else(|| {
            Finding::new(
                Reason::NoCredentials,
                "No AWS region: nothing names one.",
                "Set AWS_REGION, or use --region.",
            )
        })?;
        let own = self.own(region);
        let endpoint = self.settings.secrets_manager_endpoint.as_deref();
        let calls = Calls::new(
            &self.sdk,
            endpoint,
            region,
            own.credentials,
            self.metrics.clone(),
            self.pace.clone(),
        );
        Ok(Writer::new(
            calls,
            region.to_owned(),
            self.settings.timeouts.operation,
        ))
    }

    /// Drops values past their seconds and hubs nobody uses. For a timer of the caller: reads tidy only the
    /// hub they use.
    pub fn tidy(&self) {
        self.pace.budgets.tidy();
        let mut made = self.lock();
        self.drop_idle(&mut made);
        for (hub, _) in made.hubs.values() {
            hub.tidy();
        }
    }

    /// Replaces what a binding uses. It is told by [`Self::sweep`] when any of it changes.
    pub fn subscribe(&self, who: &Subscriber, hub: &Arc<Hub>, interest: Interest) {
        let before = self.lock().subscribed.insert(who.clone(), hub.clone());
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, hub)) {
            before.unsubscribe(who);
        }
        hub.subscribe(who, interest);
    }

    /// Forgets a binding.
    pub fn unsubscribe(&self, who: &Subscriber) {
        let before = self.lock().subscribed.remove(who);
        if let Some(hub) = before {
            hub.unsubscribe(who);
        }
    }

    /// Asks AWS for whatever is due, for ever; `tell` hears of every binding of which something has changed.
    pub async fn sweep(&self, tell: impl Fn(&Subscriber)) {
        let (mut running, mut resting) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut busy: HashSet<HubKey> = HashSet::new();
        loop {
            let (due, next) = self.due(&busy, Instant::now());
            for (key, hub) in due {
                busy.insert(key.clone());
                let rest = tokio::time::sleep(LEAST_ROUND);
                running.push(async move { (key, hub.sweep().await, rest) });
            }
            let later = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((key, changed, rest)) = running.next(), if !running.is_empty() => {
                    changed.iter().for_each(&tell);
                    resting.push(async move {
                        rest.await;
                        key
                    });
                }
                Some(key) = resting.next(), if !resting.is_empty() => {
                    busy.remove(&key);
                }
                () = self.changed.notified() => {}
                () = later => {}
            }
        }
    }

    /// How long ago AWS was asked about the entry or prefix that waits longest for a look; None: nothing is
    /// followed.
    pub fn oldest(&self) -> Option<Duration> {
        let now = Instant::now();
        self.hubs().iter().filter_map(|hub| hub.oldest(now)).max()
    }

    /// How many bindings are followed now, and how many entries and prefixes for them.
    pub fn followed(&self) -> (usize, usize, usize) {
        let bindings = self.lock().subscribed.len();
        let hubs = self.hubs();
        let counts = hubs.iter().map(|hub| hub.followed());
        counts.fold((bindings, 0, 0), |all, (entries, prefixes)| {
            (all.0, all.1 + entries, all.2 + prefixes)
        })
    }

    pub(super) fn hubs(&self) -> Vec<Arc<Hub>> {
        let made = self.lock();
        made.hubs.values().map(|(hub, _)| hub.clone()).collect()
    }

    /// The hubs that have something to do now, and when the next one will.
    fn due(
        &self,
        busy: &HashSet<HubKey>,
        now: Instant,
    ) -> (Vec<(HubKey, Arc<Hub>)>, Option<Instant>) {
        let made = self.lock();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (key, (hub, _)) in made.hubs.iter().filter(|(key, _)| !busy.contains(*key)) {
            match hub.next_due() {
                Some(at) if at <= now => due.push((key.clone(), hub.clone())),
                Some(at) => next = Some(next.map_or(at, |other| other.min(at))),
                None => {}
            }
        }
        (due, next)
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock()
    }

    fn drop_idle(&self, made: &mut Made) {
        let idle = self.settings.idle_hub;
        made.hubs.retain(|_, (hub, asked)| {
            Arc::strong_count(hub) > 1 || hub.is_subscribed() || asked.elapsed() < idle
        });
        made.credentials
            .retain(|_, credentials| Arc::strong_count(credentials) > 1);
    }

    fn new_hub(&self, key: &HubKey, credentials: Arc<Credentials>) -> Hub {
        let endpoint = self.settings.secrets_manager_endpoint.as_deref();
        let calls = Calls::new(
            &self.sdk,
            endpoint,
            &key.region,
            credentials.clone(),
            self.metrics.clone(),
            self.pace.clone(),
        );
        let parameters = ParameterCalls::new(
            &self.sdk,
            self.settings.ssm_endpoint.as_deref(),
            &key.region,
            credentials,
            self.metrics.clone(),
            self.pace.clone(),
        );
        Hub::new(
            key.region.clone(),
            (calls, parameters),
            self.settings.reads,
            self.settings.timeouts.operation,
            self.metrics.clone(),
            Common {
                kept_bytes: self.kept_bytes.clone(),
                changed: self.changed.clone(),
                phase: (self.pace.chance)(),
            },
        )
    }

    fn credentials(&self, made: &mut Made, key: &CredentialKey) -> Arc<Credentials> {
        if let Some(credentials) = made.credentials.get(key) {
            return credentials.clone();
        }
        let hold = self.settings.identity_failure_hold;
        // A chain of two roles and a refused base are four operations at most.
        let patience = self.settings.timeouts.operation * 4;
        let cluster = self.settings.cluster.clone();
        let credentials = match key {
            CredentialKey::Operator { sts_region } => {
                let own = OwnChain::new(
                    &self.settings.identity,
                    &self.sdk,
                    self.proxied.clone(),
                    self.local.clone(),
                );
                let origin = |held| {
                    Box::new(OperatorOrigin {
                        sts: self.sts(sts_region, held),
                        cluster,
                        own,
                    }) as _
                };
                Credentials::new(origin, hold, patience)
            }
            CredentialKey::ServiceAccount {
                sts_region,
                namespace,
                account,
            } => {
                let (namespace, account, tokens) =
                    (namespace.clone(), account.clone(), self.tokens.clone());
                let origin = |held| {
                    let sts = self.sts(sts_region, held);
                    Box::new(ServiceAccountOrigin {
                        sts,
                        cluster,
                        namespace,
                        account,
                        tokens,
                    }) as _
                };
                Credentials::new(origin, hold, patience)
            }
            CredentialKey::Role { base, role } => {
                let (sts_region, step) = (base.sts_region().to_owned(), role.clone());
                let base = self.credentials(made, base);
                let origin = |held| {
                    Box::new(RoleOrigin {
                        sts: self.sts(&sts_region, held),
                        cluster,
                        base,
                        step,
                    }) as _
                };
                Credentials::new(origin, hold, patience)
            }
        };
        let credentials = Arc::new(credentials);
        made.credentials.insert(key.clone(), credentials.clone());
        credentials
    }

    fn sts(&self, region: &str, held: Held) -> Sts {
        let endpoint = self.settings.sts_endpoint.as_deref();
        let patience = self.settings.timeouts.operation;
        Sts::new(
            &self.sdk,
            endpoint,
            region,
            held,
            patience,
            self.metrics.clone(),
        )
    }
}

/// The SDK's configuration without credentials: those are ours.
async fn load(settings: &SourceSettings, client: SharedHttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.timeouts.connect)
        .read_timeout(settings.timeouts.read)
        .operation_attempt_timeout(settings.timeouts.attempt)
        .operation_timeout(settings.timeouts.operation)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(client)
        .timeout_config(timeouts)
        .no_credentials();
    if let Some(region) = &settings.region {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    if let Some(attempts) = settings.attempts {
        loader = loader.retry_config(RetryConfig::standard().with_max_attempts(attempts));
    }
    if let Ok(name) = AppName::new("keyferry") {
        loader = loader.app_name(name);
    }
    loader.load().await
}
