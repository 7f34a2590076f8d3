//! A fake AWS with an operator's role, tokens for it, and shorthands.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use futures::FutureExt;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use keyferry::{
    core::{Entry, EntryAsk, EntryValue, Finding, SecretId, VersionSelector, entry::SecretArn},
    source::{
        Freshness, Hub, IdentityAsk, OperatorIdentity, ReadSettings, SourceEvent, SourceMetrics,
        SourceSettings, Sources, Timeouts, TokenRequester, WebIdentity,
    },
};
use keyferry_testkit::aws::{FakeAws, Options, Region, Role};
use serde_json::json;
use zeroize::Zeroizing;

pub const ACCOUNT: &str = "111122223333";
pub const OTHER: &str = "444455556666";
pub const REGION: &str = "ap-northeast-2";
pub const OPERATOR: &str = "arn:aws:iam::111122223333:role/operator";
const ISSUER: &str = "https://kubernetes.default.svc";

/// A fake AWS and sources whose operator may read everything in its account.
pub struct Bed {
    pub aws: FakeAws,
    pub issuer: Arc<Issuer>,
    pub sources: Sources,
    pub events: Arc<parking_lot::Mutex<Vec<SourceEvent>>>,
    pub token_file: PathBuf,
}

pub fn settings(aws: &FakeAws, token_file: PathBuf) -> SourceSettings {
    SourceSettings {
        cluster: "prod".into(),
        identity: OperatorIdentity::WebIdentity(WebIdentity {
            role_arn: OPERATOR.into(),
            token_file,
        }),
        region: Some(REGION.into()),
        secrets_manager_endpoint: Some(aws.endpoint()),
        ssm_endpoint: Some(aws.endpoint()),
        sts_endpoint: Some(aws.endpoint()),
        sqs_endpoint: Some(aws.endpoint()),
        attempts: Some(1),
        reads: ReadSettings {
            gather: Duration::from_millis(100),
            ..ReadSettings::default()
        },
        identity_failure_hold: Duration::from_secs(60),
        ..SourceSettings::default()
    }
}

impl Bed {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A bed whose settings are changed by `change`.
    pub async fn with(change: impl FnOnce(&mut SourceSettings)) -> Self {
        let aws = FakeAws::start(Options {
            quota_scale: None,
            ..Options::default()
        })
        .await
        .unwrap();
        let issuer = Arc::new(Issuer::new());
        aws.trust_issuer(ISSUER, &issuer.jwks).unwrap();
        aws.put_role(operator_role().allow(&["*"], &["*"]));
        let token_file = token_file(&issuer.token("keyferry", "keyferry", "sts.amazonaws.com"));
        let mut settings = settings(&aws, token_file.clone());
        change(&mut settings);
        let events = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = events.clone();
        let metrics = SourceMetrics::new(move |event| seen.lock().push(event));
        let sources = Sources::new(settings, metrics, issuer.requester())
            .await
            .unwrap();
        Self {
            aws,
            issuer,
            sources,
            events,
            token_file,
        }
    }

    /// Short patience, for calls that never end.
    pub async fn impatient() -> Self {
        Self::with(|settings| {
            settings.timeouts = Timeouts {
                operation: Duration::from_secs(3),
                ..Timeouts::default()
            };
            settings.reads.reuse = Duration::ZERO;
        })
        .await
    }

    pub fn region(&self) -> Region {
        self.aws.account(ACCOUNT).region(REGION)
    }

    /// The operator's own hub, with credentials at hand and the counts at zero.
    pub async fn hub(&self) -> Arc<Hub> {
        let hub = self.sources.hub(&operator()).await.unwrap();
        hub.caller().await.unwrap();
        self.aws.reset_counts();
        hub
    }

    pub fn counted(&self, event: impl Fn(&SourceEvent) -> bool) -> usize {
        self.events.lock().iter().filter(|e| event(e)).count()
    }

    /// (single reads, batches, listings)
    pub fn calls(&self) -> (u64, u64, u64) {
        let count = |operation| self.aws.count(operation);
        (
            count("GetSecretValue"),
            count("BatchGetSecretValue"),
            count("ListSecrets"),
        )
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.token_file);
    }
}

pub fn operator_role() -> Role {
    Role::new(OPERATOR).trust_service_account("keyferry", "keyferry")
}

pub fn token_file(token: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "keyferry-source-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Relaxed)
    );
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, token).unwrap();
    file
}

pub fn operator() -> IdentityAsk {
    IdentityAsk {
        namespace: "estate".into(),
        ..IdentityAsk::default()
    }
}

pub fn name(name: &str) -> EntryAsk {
    EntryAsk {
        id: SecretId::Name(name.into()),
        version: VersionSelector::Current,
    }
}

/// An ask by ARN, full or partial.
pub fn arn(text: &str) -> EntryAsk {
    let fields: Vec<&str> = text.splitn(7, ':').collect();
    let id = SecretId::Arn(SecretArn {
        partition: fields[1].into(),
        region: fields[3].into(),
        account: fields[4].into(),
        resource: fields[6].into(),
    });
    EntryAsk {
        id,
        version: VersionSelector::Current,
    }
}

pub fn own_arn(resource: &str) -> EntryAsk {
    arn(&format!(
        "arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{resource}"
    ))
}

/// Waits for something that is counted.
pub async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("it never came");
}

/// Reads all at once.
pub async fn read_all(hub: &Arc<Hub>, asks: &[EntryAsk]) -> Vec<Result<Arc<Entry>, Finding>> {
    futures::future::join_all(asks.iter().map(|ask| hub.read(ask, Freshness::Anew))).await
}

/// The text of a good read; a failed one panics with its finding, which holds no value.
pub fn text(read: &Result<Arc<Entry>, Finding>) -> String {
    match read {
        Ok(entry) => match &entry.value {
            EntryValue::Text(value) => String::from_utf8(value.expose().to_vec()).unwrap(),
            EntryValue::Binary(_) => panic!("binary"),
        },
        Err(finding) => panic!("{:?}: {finding}", finding.reason),
    }
}

/// The finding of a failed read.
pub fn refused(read: Result<Arc<Entry>, Finding>) -> Finding {
    read.expect_err("expected a refusal")
}

/// Signs ServiceAccount tokens like an API server.
pub struct Issuer {
    key: EncodingKey,
    pub jwks: String,
    /// Tokens asked for through the requester.
    pub requested: AtomicUsize,
}

impl Issuer {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("key-1".into());
        let jwks = serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap();
        Self {
            key,
            jwks,
            requested: AtomicUsize::new(0),
        }
    }

    pub fn token(&self, namespace: &str, account: &str, audience: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "aud": [audience], "exp": now + 600,
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("key-1".into());
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    pub fn requester(self: &Arc<Self>) -> TokenRequester {
        let issuer = self.clone();
        Arc::new(move |namespace, account| {
            issuer.requested.fetch_add(1, Relaxed);
            let token = issuer.token(namespace, account, "sts.amazonaws.com");
            async move { Ok(Zeroizing::new(token)) }.boxed()
        })
    }
}

/// Set in a child process that runs one test with an environment of its own.
const CHILD: &str = "KEYFERRY_SOURCE_TEST_CHILD";

pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs the named test of this binary again with exactly this environment; variables cannot be set in a
/// process with threads.
pub async fn in_child(test: &str, environment: Vec<(String, String)>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .envs(environment);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// What the child printed, for messages and for looking in.
pub fn printed(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Sources as the operator makes them from its environment.
pub async fn sources_from_env() -> Sources {
    let settings = SourceSettings {
        attempts: Some(1),
        ..SourceSettings::from_env(|name| std::env::var(name).ok())
    };
    let tokens: TokenRequester = Arc::new(|_, _| async { panic!("no token is needed") }.boxed());
    Sources::new(settings, SourceMetrics::default(), tokens)
        .await
        .unwrap()
}
