//! Builds what the loops need from the settings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::Semaphore;

use super::AppError;
use crate::{
    cli::run::Settings,
    cluster::{
        Events, ObjectKey, Raw, StatusStore, Views,
        connect::{Choice, connect},
        install_key,
        jobs::Jobs,
        secrets::Secrets,
        tokens,
        watches::Plan,
        workloads::Workloads,
    },
    controllers::{
        context::{Context, Nature, PassSettings, WorkloadKey},
        drive::Queue,
    },
    core::{
        InstallKey, ParseSettings,
        access::{Policy, parse_policy_file},
    },
    source::{SourceEvent, SourceMetrics, SourceSettings, Sources, Sweep, TokenRequester},
    telemetry::{
        http::ReadyCheck,
        metrics::{AwsMetrics, Metrics},
    },
};

/// Pause between two looks at something that is not there yet.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two tries for the install key.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long the first passes wait for access policies that do not come.
const POLICY_PATIENCE: Duration = Duration::from_secs(10);
/// Reads of one hub under way at once.
const PARALLEL_READS: usize = 64;

/// A client from the pod's ServiceAccount, or outside a cluster from KUBECONFIG.
pub async fn client(settings: &Settings) -> Result<Client, AppError> {
    let connection = connect(&Choice::default(), settings.kube_timeout).await;
    let connection = connection.map_err(|why| AppError::Kubernetes(why.to_string()))?;
    Ok(connection.client)
}

/// The install key, waited for: without it no pass is made, and /readyz says why.
pub async fn install_key(settings: &Settings, client: &Client, ready: &ReadyCheck) -> InstallKey {
    let secrets = Secrets::new(Raw::new(client.clone(), settings.kube_timeout));
    let mut pause = Duration::from_secs(1);
    loop {
        match install_key::ensure(&secrets, &settings.operator_namespace).await {
            Ok(key) => {
                ready.holds();
                return key;
            }
            Err(error) => {
                tracing::error!(%error, "no install key: no pass is made until there is one");
                ready.fails(error.to_string());
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits until every watch has shown all it has.
pub async fn first_lists(views: &Views, plan: &Plan, ready: &ReadyCheck) {
    let scopes = plan.namespaces.len().max(1);
    let cluster_wide = plan.namespaces.is_empty();
    let begun = Instant::now();
    loop {
        let (bindings, secrets) = views.listed();
        let (accounts, namespaces) = views.listed_identities();
        let identities =
            (!plan.service_accounts || accounts >= scopes) && (!cluster_wide || namespaces > 0);
        // Where policies cannot be listed the bindings say so; that must not look so for a moment only.
        let policies =
            !cluster_wide || views.policies().is_some() || begun.elapsed() > POLICY_PATIENCE;
        if bindings >= scopes && secrets >= scopes && identities && policies {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    ready.holds();
}

/// The shared context.
pub async fn context(
    settings: &Settings,
    client: Client,
    views: Arc<Views>,
    metrics: Metrics,
    install_key: InstallKey,
    workload_queue: Queue<WorkloadKey>,
    binding_queue: Queue<ObjectKey>,
) -> Result<Context, AppError> {
    let timeout = settings.kube_timeout;
    let sources = sources(settings, &client, metrics.clone()).await?;
    Ok(Context {
        settings: pass_settings(settings)?,
        statuses: StatusStore::new(client.clone(), Arc::clone(&views), timeout),
        events: Events::new(client.clone(), std::env::var("HOSTNAME").ok(), timeout),
        secrets: Secrets::new(Raw::new(client.clone(), timeout)),
        jobs: Jobs::new(Raw::new(client.clone(), timeout)),
        workloads: Workloads::new(client),
        views,
        sources,
        install_key,
        metrics,
        writes: Semaphore::new(settings.concurrency),
        nature: Nature {
            now: Timestamp::now,
            chance: rand::random::<f64>,
        },
        workload_queue,
        binding_queue,
        companions: Default::default(),
        bindings: Default::default(),
        rows: Default::default(),
        rollouts: Default::default(),
    })
}

fn pass_settings(settings: &Settings) -> Result<PassSettings, AppError> {
    let policies = match &settings.access_policy_file {
        None => vec![Policy::built_in()],
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                AppError::PolicyFile(format!("access policy file {}: {e}", path.display()))
            })?;
            parse_policy_file(&text).map_err(AppError::PolicyFile)?
        }
    };
    Ok(PassSettings {
        access: settings.access_policy,
        policies,
        cluster_wide: settings.watch_namespaces.is_empty(),
        allow_service_accounts: settings.allow_service_account_identity,
        allow_preflight: settings.allow_preflight,
        parse: ParseSettings {
            min_refresh_interval: settings.min_refresh_interval,
        },
    })
}

async fn sources(
    settings: &Settings,
    client: &Client,
    metrics: Metrics,
) -> Result<Sources, AppError> {
    let mut source = SourceSettings::from_env(|name| std::env::var(name).ok());
    source.cluster.clone_from(&settings.cluster_name);
    source.timeouts.connect = settings.aws_timeouts.connect;
    source.timeouts.read = settings.aws_timeouts.read;
    source.timeouts.attempt = settings.aws_timeouts.read;
    source.timeouts.operation = settings.aws_timeouts.operation;
    source.quota_share = settings.aws_quota_share;
    source.reads.reuse = settings.value_reuse;
    source.reads.sweep = settings.sweep;
    source.reads.parallel = PARALLEL_READS;
    let (client, timeout) = (client.clone(), settings.kube_timeout);
    let tokens: TokenRequester = Arc::new(move |namespace, name| {
        let request = tokens::request(
            client.clone(),
            timeout,
            namespace.to_owned(),
            name.to_owned(),
        );
        Box::pin(request)
    });
    let hook = SourceMetrics::new(move |event| count(metrics.aws(), event));
    Sources::new(source, hook, tokens)
        .await
        .map_err(|finding| AppError::Aws(finding.to_string()))
}

fn count(aws: &AwsMetrics, event: SourceEvent) {
    match event {
        SourceEvent::Request {
            operation,
            outcome,
            duration,
        } => aws.request(operation.as_str(), outcome.as_str(), duration),
        SourceEvent::Throttled => aws.throttled(),
        SourceEvent::Retried(operation) => aws.retried(operation.as_str()),
        SourceEvent::Waited {
            operation,
            duration,
        } => aws.waited(operation.as_str(), duration),
        SourceEvent::Decrypted { operation, values } => aws.decrypted(operation.as_str(), values),
        SourceEvent::WayDenied(operation) => aws.fell_back(operation.as_str()),
        SourceEvent::CredentialsRebuilt => aws.credentials_rebuilt(),
        SourceEvent::ReadAsked => aws.read_asked(),
        SourceEvent::ReadReused => aws.read_reused(),
        SourceEvent::ReadMade => aws.read_made(),
        SourceEvent::Swept(Sweep { items, told }) => aws.swept(items, told),
        SourceEvent::Event(outcome) => {
            let (event, outcome) = outcome.labels();
            aws.event(event, outcome);
        }
        SourceEvent::EventLag(lag) => aws.event_lag(lag),
        SourceEvent::EventsUnreceived => aws.events_unreceived(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::source::Operation;

    #[test]
    fn what_the_source_tells_is_counted() {
        let metrics = Metrics::new();
        let list = Operation::ListSecrets;
        for event in [
            SourceEvent::ReadAsked,
            SourceEvent::ReadReused,
            SourceEvent::ReadMade,
            SourceEvent::WayDenied(list),
            SourceEvent::Decrypted {
                operation: Operation::BatchGetSecretValue,
                values: 20,
            },
            SourceEvent::Swept(Sweep {
                items: 200,
                told: 7,
            }),
            SourceEvent::CredentialsRebuilt,
        ] {
            count(metrics.aws(), event);
        }
        let text = metrics.encode().unwrap();
        for line in [
            "keyferry_reads_asked_total 1",
            "keyferry_reads_reused_total 1",
            "keyferry_reads_made_total 1",
            "keyferry_aws_fallbacks_total{operation=\"ListSecrets\"} 1",
            "keyferry_aws_decrypts_total{operation=\"BatchGetSecretValue\"} 20",
            "keyferry_sweep_entries_sum 200.0",
            "keyferry_sweep_bindings_told_total 7",
            "keyferry_aws_credentials_rebuilt_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}`");
        }
    }
}
