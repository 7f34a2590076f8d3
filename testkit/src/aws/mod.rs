//! A fake AWS on loopback: Secrets Manager, Parameter Store, STS and SQS with the real limits and refusals.
//!
//! It owns the truth that tests compare with: what is stored, who may read it, what was asked how
//! often. Real SDK clients talk to it over HTTP; tests steer it through [`FakeAws`]. Region and
//! account come from the credentials of each call. Changes of secrets reach queues as EventBridge events.
//! It must not become kinder than AWS: where AWS refuses, it refuses, in AWS's words as far as they
//! are known.
//!
//! Not modelled: signatures are parsed but not recomputed, rotation by Lambda, policies over HTTP.

mod calls;
mod control;
mod error;
mod events;
mod faults;
mod http;
mod iam;
mod lag;
mod parameter_store;
mod pod_identity;
mod policy;
mod policy_document;
mod proxy;
mod quota;
mod region;
mod reply;
mod request;
mod secrets_manager;
mod seed;
mod sqs;
mod store;
mod sts;
pub(crate) mod tls;
mod tokens;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use calls::{Call, CallLog, Outcome, Service};
pub use control::{Account, FaultHandle, Hang, WaitTimeout};
pub use error::AwsError;
pub use events::{Emission, EmissionCounts, EventKinds, Order, Subscription};
pub use faults::Fault;
pub use iam::Role;
pub use policy::Statement;
pub use policy_document::UnreadablePolicy;
pub use proxy::Proxy;
pub use quota::QuotaGroup;
pub use region::Region;
pub use seed::SeedError;
pub use sqs::{Queue, QueueStats};
pub use store::{CURRENT, MAX_VALUE_BYTES, PREVIOUS, SecretValue, StaleScope};
pub use tls::TlsEndpoint;

use calls::CallLog as Log;
use events::Events;
use faults::Faults;
use iam::Iam;
use parameter_store::ParameterStores;
use quota::Quotas;
use sqs::Queues;
use store::Stores;
use tokens::Issuers;

/// How to start a [`FakeAws`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; loopback and a free port by default.
    pub listen: SocketAddr,
    /// Region that [`FakeAws::env`] names.
    pub region: String,
    /// Multiplies the published quotas; `None` switches throttling off.
    pub quota_scale: Option<f64>,
    /// Calls remembered in the log; counters are not limited.
    pub log_capacity: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            region: "ap-northeast-2".to_owned(),
            quota_scale: Some(1.0),
            log_capacity: 100_000,
        }
    }
}

/// A running fake. It stops when dropped.
pub struct FakeAws {
    shared: Arc<Shared>,
    address: SocketAddr,
    region: String,
    server: JoinHandle<()>,
}

impl FakeAws {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let endpoint = format!("http://{address}");
        let shared = Arc::new(Shared::new(&options, endpoint));
        let app = router(shared.clone());
        let server = tokio::spawn(async move {
            // Accept errors are retried inside; this ends only with the task.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            shared,
            address,
            region: options.region,
            server,
        })
    }

    /// Base URL of all services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Environment that points an AWS SDK here and keeps it from looking elsewhere.
    pub fn env(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", &self.region),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    /// URL of the Pod Identity agent, for `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn pod_identity_url(&self) -> String {
        format!("{}/v1/credentials", self.endpoint())
    }

    /// Environment of a Pod with Pod Identity, beside [`FakeAws::env`]; the file holds a
    /// ServiceAccount token for the audience `pods.eks.amazonaws.com`.
    pub fn pod_identity_env(&self, token_file: &str) -> Vec<(String, String)> {
        let url = self.pod_identity_url();
        let pairs = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token_file),
        ];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    /// Environment of a Pod with IRSA, beside [`FakeAws::env`]; the file holds a ServiceAccount
    /// token for the audience `sts.amazonaws.com`.
    pub fn web_identity_env(&self, role_arn: &str, token_file: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ROLE_ARN", role_arn),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file),
        ];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The one handler behind every listener.
fn router(shared: Arc<Shared>) -> axum::Router {
    axum::Router::new().fallback(http::serve).with_state(shared)
}

/// Everything that changes, behind one lock that is never held across an await.
pub(crate) struct World {
    pub stores: Stores,
    pub parameters: ParameterStores,
    pub iam: Iam,
    pub issuers: Issuers,
    /// Pod Identity: (namespace, ServiceAccount) to role ARN.
    pub associations: HashMap<(String, String), String>,
    pub faults: Faults,
    pub quotas: Quotas,
    pub log: Log,
    pub queues: Queues,
    pub events: Events,
}

/// What the listener and the handles share.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub clock: Clock,
    changes: watch::Sender<u64>,
    queue_changes: watch::Sender<u64>,
}

impl Shared {
    fn new(options: &Options, endpoint: String) -> Self {
        let mut quotas = Quotas::default();
        quotas.set_scale(options.quota_scale);
        Self {
            world: Mutex::new(World {
                stores: Stores::default(),
                parameters: ParameterStores::default(),
                iam: Iam::default(),
                issuers: Issuers::default(),
                associations: HashMap::new(),
                faults: Faults::default(),
                quotas,
                log: Log::new(options.log_capacity.max(1)),
                queues: Queues::new(endpoint),
                events: Events::default(),
            }),
            clock: Clock::default(),
            changes: watch::channel(0).0,
            queue_changes: watch::channel(0).0,
        }
    }

    /// A panic in one test's predicate must not hide what the others see.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a call.
    pub fn note_change(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Wakes long polls and those who wait for a queue.
    pub fn note_queues(&self) {
        self.queue_changes.send_modify(|n| *n += 1);
    }

    /// Is told of each change of a queue and of the clock from now on.
    pub fn queue_changes(&self) -> watch::Receiver<u64> {
        self.queue_changes.subscribe()
    }
}

/// The fake's clock: the system's, moved forward by tests.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        // Whole milliseconds, which is what goes over the wire.
        let ms = Timestamp::now().as_millisecond() + self.ahead_ms.load(Ordering::Relaxed);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A random UUID (version 4, RFC 9562), as AWS uses for version ids and request ids.
pub(crate) fn random_uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let n = u128::from_be_bytes(bytes);
    let hex = format!("{n:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}
