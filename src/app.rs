//! The only place that spawns: client, watches, loops, http, shutdown.

mod events;
mod rollouts;
mod setup;

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::run::Settings,
    cluster::{ObjectKey, Views, Wake, watches},
    controllers::{
        binding,
        context::Context,
        drive::{Queue, drive},
        queue::Urgency,
        workload,
    },
    source::Subscriber,
    telemetry::{
        http::{Endpoints, Heartbeat, Readiness, Server},
        metrics::{Followed, Metrics},
    },
};

/// Passes under way at once. Most of them wait for AWS or for one of the `--concurrency` writes; each takes
/// some tens of KiB meanwhile, which at a start with a thousand bindings is most of the memory.
const PASSES: usize = 64;
/// Steps of workloads under way at once.
const STEPS: usize = 64;
/// A main loop that has not turned for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How often fetched values are looked through for those whose time is over.
const TIDY: Duration = Duration::from_secs(2);
/// How long what runs at the end may take to finish.
const FAREWELL: Duration = Duration::from_secs(20);

/// Why the operator could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The HTTP endpoints.
    #[error("http endpoints on {address}: {source}")]
    Http {
        /// Where they were to listen.
        address: std::net::SocketAddr,
        /// Why they could not.
        source: std::io::Error,
    },
    /// No way to an API server.
    #[error("no way to an API server: {0}")]
    Kubernetes(String),
    /// The access policy file.
    #[error("{0}")]
    PolicyFile(String),
    /// AWS settings.
    #[error("{0}")]
    Aws(String),
    /// Signals cannot be caught.
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
    /// A task that must run as long as the process has ended.
    #[error("a part of the operator ended unexpectedly")]
    Ended,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// When it cannot start, or must not go on.
pub async fn run(settings: Settings) -> Result<ExitCode, AppError> {
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let (metrics, readiness, heartbeat) = (
        Metrics::new(),
        Readiness::default(),
        Heartbeat::new(SILENCE),
    );
    let address = settings.http_address;
    let server = Server::bind(address)
        .await
        .map_err(|source| AppError::Http { address, source })?;
    let (http_stop, http_stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let endpoints = Endpoints {
        heartbeat: heartbeat.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
    };
    tasks.spawn(async move {
        server.serve(endpoints, http_stopped).await.ok();
    });
    let operating = operate(
        &settings,
        metrics,
        &readiness,
        heartbeat,
        stop.clone(),
        &mut tasks,
    );
    let started = tokio::select! {
        started = operating => started,
        () = signals.any() => Ok(()),
    };
    let ended = match started {
        Ok(()) if !stop.is_cancelled() => tokio::select! {
            () = signals.any() => Ok(ExitCode::SUCCESS),
            _ = tasks.join_next() => Err(AppError::Ended),
        },
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    };
    tracing::info!("stopping: what was begun is finished");
    stop.cancel();
    http_stop.send(true).ok();
    tokio::time::timeout(FAREWELL, async {
        while tasks.join_next().await.is_some() {}
    })
    .await
    .ok();
    tracing::info!("stopped");
    ended
}

/// Builds everything and spawns the loops; returns once they run.
async fn operate(
    settings: &Settings,
    metrics: Metrics,
    readiness: &Readiness,
    heartbeat: Heartbeat,
    stop: CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), AppError> {
    let (views_ready, key_ready) = (readiness.check("watches"), readiness.check("install-key"));
    views_ready.fails("the first lists are not complete");
    let client = setup::client(settings).await?;
    let views = Arc::new(Views::default());
    let (binding_queue, binding_asks) = Queue::new();
    let (workload_queue, workload_asks) = Queue::new();
    let plan = watches::Plan {
        namespaces: settings.watch_namespaces.clone(),
        service_accounts: settings.allow_service_account_identity,
    };
    let (wakes_sender, mut wakes) = mpsc::unbounded_channel();
    let watching = watches::watches(&client, &views, &plan);
    tasks.spawn(until(
        stop.clone(),
        watching.for_each(move |batch| {
            wakes_sender.send(batch).ok();
            std::future::ready(())
        }),
    ));
    let install_key = setup::install_key(settings, &client, &key_ready).await;
    let context = setup::context(
        settings,
        client,
        Arc::clone(&views),
        metrics,
        install_key,
        workload_queue.clone(),
        binding_queue.clone(),
    );
    let context = Arc::new(context.await?);
    // Whom the first lists wake is not kept: ten thousand bindings are woken three times over.
    tokio::select! {
        () = setup::first_lists(&views, &plan, &views_ready) => {}
        () = dropped(&mut wakes) => {}
    }
    let (namespaces_sender, namespaces) = mpsc::unbounded_channel();
    binding::recall(&context, &settings.watch_namespaces).await;
    // What the first lists have shown is looked at as a whole; what comes from now on, one by one.
    while wakes.try_recv().is_ok() {}
    begin(&context, &binding_queue, &namespaces_sender).await;
    tasks.spawn(until(
        stop.clone(),
        distribute(
            Arc::clone(&context),
            wakes,
            binding_queue.clone(),
            namespaces_sender,
        ),
    ));
    tasks.spawn(until(
        stop.clone(),
        rollouts::watch(
            Arc::clone(&context),
            namespaces,
            binding_queue.clone(),
            workload_queue,
        ),
    ));
    let passes = {
        let context = Arc::clone(&context);
        let depth = Arc::clone(&context);
        let turned = move |keys| {
            heartbeat.beat(std::time::Instant::now());
            depth.metrics.queue_depth("bindings", keys);
        };
        drive(
            binding_asks,
            PASSES,
            stop.clone(),
            turned,
            move |key: ObjectKey| {
                let context = Arc::clone(&context);
                async move { binding::reconcile(&context, key).await }
            },
        )
    };
    tasks.spawn(passes);
    let depth = Arc::clone(&context);
    let turned = move |keys| depth.metrics.queue_depth("workloads", keys);
    if let Some(address) = &settings.events_queue {
        tasks.spawn(events::follow(
            &context,
            address,
            binding_queue.clone(),
            stop.clone(),
        )?);
    }
    let tidied = Arc::clone(&context);
    tasks.spawn(drive(
        workload_asks,
        STEPS,
        stop.clone(),
        turned,
        move |key| {
            let context = Arc::clone(&context);
            async move { workload::roll(&context, key).await }
        },
    ));
    tasks.spawn(until(
        stop.clone(),
        sweep(Arc::clone(&tidied), binding_queue.clone()),
    ));
    tasks.spawn(until(stop, tidy(tidied)));
    tracing::info!("the loops run");
    Ok(())
}

/// Drops what arrives, for as long as anything can.
async fn dropped<T>(arriving: &mut mpsc::UnboundedReceiver<T>) {
    while arriving.recv().await.is_some() {}
    std::future::pending().await
}

/// Asks for the first pass of every binding that needs one, those with the same entries next to each other.
async fn begin(
    context: &Context,
    queue: &Queue<ObjectKey>,
    namespaces: &mpsc::UnboundedSender<String>,
) {
    let due = binding::first_look(context).await;
    tracing::info!(
        passes = due.len(),
        "the bindings there are have been looked at"
    );
    let begun = Instant::now().into_std();
    for (place, key) in (0..).zip(due) {
        queue.add(key, begun + Duration::from_nanos(place), Urgency::Now);
    }
    for namespace in context.views.rolling_namespaces() {
        namespaces.send(namespace).ok();
    }
}

/// Asks AWS for what is due, and for a pass of every binding of which something has changed.
async fn sweep(context: Arc<Context>, queue: Queue<ObjectKey>) {
    let tell = |who: &Subscriber| moved(&context, &queue, who, Urgency::Routine);
    context.sources.sweep(tell).await;
}

/// Something that a binding uses has changed: a pass is due.
fn moved(context: &Context, queue: &Queue<ObjectKey>, who: &Subscriber, urgency: Urgency) {
    let (namespace, name) = who.parts();
    let (key, now) = (ObjectKey::new(namespace, name), Instant::now().into_std());
    context.remember(&key, |memory| {
        memory.due = Some(now);
        memory.moved = true;
    });
    queue.add(key, now, urgency);
}

/// Hands what the watches found to the queues, and tells which namespaces roll workloads.
async fn distribute(
    context: Arc<Context>,
    mut wakes: mpsc::UnboundedReceiver<Vec<Wake>>,
    queue: Queue<ObjectKey>,
    namespaces: mpsc::UnboundedSender<String>,
) {
    while let Some(batch) = wakes.recv().await {
        for wake in batch {
            match wake {
                Wake::Now(key) => {
                    if context.views.binding(&key).is_some_and(|row| row.rolls) {
                        namespaces.send(key.namespace.clone()).ok();
                    }
                    context.remember(&key, |memory| memory.asked = true);
                    queue.add(key, Instant::now().into_std(), Urgency::Now);
                }
                Wake::Touched(key) => queue.add(key, Instant::now().into_std(), Urgency::Now),
                Wake::Gone(key) => {
                    context.forget(&key);
                    queue.forget(key);
                }
            }
        }
    }
}

/// Values whose time is over leave memory also when nobody asks for any. What is followed is counted at the same
/// time.
async fn tidy(context: Arc<Context>) {
    loop {
        tokio::time::sleep(TIDY).await;
        context.sources.tidy();
        let aws = context.metrics.aws();
        aws.oldest_look(context.sources.oldest());
        let (bindings, entries, prefixes) = context.sources.followed();
        aws.followed(Followed {
            bindings,
            entries,
            prefixes,
        });
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    stop.run_until_cancelled(work).await;
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, AppError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(AppError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(AppError::Signals)?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
