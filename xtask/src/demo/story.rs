//! The story: what happens in which order, and what is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::aws::{Estate, PASSWORD, database_url};
use super::bed::Bed;
use super::checks;
use super::cluster::{NAMESPACE, Pods, Written};
use super::install::{self, BY_HAND};
use crate::bed::operator::OPERATOR;
use crate::bed::patience::until;
use crate::bed::screen::{Screen, column, keys, seconds};
use crate::workspace::Ended;

/// Bindings of `examples/estate`, and those of them that read the password.
const BINDINGS: usize = 3;
const READERS: [&str; 2] = ["ai", "etl"];
/// What must not restart when the password changes.
const BYSTANDER: &str = "estate-backend";

/// What was there before the password changed.
struct Before {
    pods: Pods,
    written: BTreeMap<String, Written>,
}

/// Tells it from beginning to end.
pub(crate) async fn tell(bed: &mut Bed, screen: &Screen) -> Ended {
    let estate = Arc::new(Estate::start(&bed.plane, OPERATOR).await?);
    screen.fact(
        "fake AWS",
        "8 entries under estate/, real quotas, IRSA checked",
    );
    install::estate(bed, screen).await?;
    let pods = install::pods_that_wait(bed).await?;
    bed.operator = Some(install::operator(bed, &estate, screen).await?);
    let estate = bed.aws.insert(estate).clone();
    let before = first_creation(bed, &estate, pods, screen).await?;
    rotation(bed, &estate, before, screen).await
}

/// Secrets come, pods start with them, none starts twice.
async fn first_creation(bed: &Bed, estate: &Estate, pods: Pods, screen: &Screen) -> Ended<Before> {
    let cluster = &bed.cluster;
    until("bindings Ready", async || {
        Ok(checks::all_ready(&cluster.bindings().await?, BINDINGS))
    })
    .await?;
    let calls = estate.calls();
    screen.fact(
        &format!("bindings Ready {BINDINGS}/{BINDINGS}"),
        format!("AWS calls: {calls}"),
    );
    let written = cluster.written().await?;
    for (name, secret) in &written {
        let names = keys(secret.keys.iter().map(String::as_str));
        screen.detail(format!(
            "{}{}revision {}",
            column(name, 16),
            column(&names, 46),
            secret.short()
        ));
    }
    until("every Deployment runs with its Secret", async || {
        Ok(checks::first_pods_run(&cluster.deployments().await?))
    })
    .await?;
    if cluster.pods().await? != pods || cluster.container_restarts().await? > 0 {
        return Err("the first creation of a Secret has restarted a pod".into());
    }
    screen.detail("no pod was restarted by first creation");
    Ok(Before { pods, written })
}

/// A new password: two Secrets, three Deployments, and nothing else.
async fn rotation(bed: &Bed, estate: &Estate, before: Before, screen: &Screen) -> Ended {
    let cluster = &bed.cluster;
    let by_hand = cluster.secret(BY_HAND).await?;
    estate.aws.reset_counts();
    let password = estate.new_password();
    let version = estate.region().put(PASSWORD, &password)?;
    let put = Instant::now();
    let short = version.get(..8).unwrap_or(&version);
    screen.fact(
        &format!("put {PASSWORD}"),
        format!("version {short} is now AWSCURRENT"),
    );
    ask_for_refresh(bed, &version).await?;
    screen.detail(
        "refresh asked for by the annotation keyferry.dev/refresh on all 3 bindings; else within 5m",
    );

    let to_secret = secrets(bed, &before, &version, put, screen).await?;
    rollouts(bed, &before, &password, screen).await?;
    let to_pods = put.elapsed();
    if cluster.secret(BY_HAND).await? != by_hand {
        return Err(format!("Secret {BY_HAND}, which is not ours, has changed").into());
    }
    let calls = estate.calls();
    screen.line(
        "done: ",
        format!(
            "change to Secret {}, to healthy pods {}, AWS calls since: {calls}",
            seconds(to_secret),
            seconds(to_pods)
        ),
    );
    Ok(())
}

/// There are no events yet that would tell the operator of a new version at once.
async fn ask_for_refresh(bed: &Bed, token: &str) -> Ended {
    let refresh = format!("keyferry.dev/refresh={token}");
    let arguments = [
        "annotate",
        "esb",
        "--all",
        "-n",
        NAMESPACE,
        "--overwrite",
        &refresh,
    ];
    bed.kubectl(&arguments).await?;
    Ok(())
}

/// Waits until the refresh was acted on; gives the time from the put to the last new Secret.
async fn secrets(
    bed: &Bed,
    before: &Before,
    token: &str,
    put: Instant,
    screen: &Screen,
) -> Ended<Duration> {
    let cluster = &bed.cluster;
    let wanted = READERS.map(|name| format!("estate-{name}"));
    let mut written_after = None;
    let after = until("the Secrets hold the new password", async || {
        let after = cluster.written().await?;
        let changed = checks::changed(&before.written, &after);
        let names: Vec<&str> = changed.iter().map(|(name, ..)| *name).collect();
        if names != wanted {
            return Ok(Err(format!("changed so far: {names:?}")));
        }
        written_after.get_or_insert_with(|| put.elapsed());
        let bindings = cluster.bindings().await?;
        let mut open = bindings
            .iter()
            .filter(|(_, s)| s.last_handled_refresh != token);
        Ok(match open.next() {
            Some((name, _)) => Err(format!("binding {name} has not acted on the refresh")),
            None => Ok(after),
        })
    })
    .await?;
    if before.written.get(BYSTANDER) != after.get(BYSTANDER) {
        return Err(
            format!("Secret {BYSTANDER} was written though nothing in it has changed").into(),
        );
    }
    let changes: Vec<String> = checks::changed(&before.written, &after)
        .into_iter()
        .map(|(name, old, new)| format!("{name} {} -> {}", old.short(), new.short()))
        .collect();
    screen.fact(
        &format!("Secrets written {}/{}", changes.len(), after.len()),
        changes.join(", "),
    );
    Ok(written_after.unwrap_or_default())
}

/// Waits for the rollouts, then looks at who was restarted and who was not.
async fn rollouts(bed: &Bed, before: &Before, password: &str, screen: &Screen) -> Ended {
    let cluster = &bed.cluster;
    let names: Vec<String> = before
        .pods
        .keys()
        .filter(|n| *n != BYSTANDER)
        .cloned()
        .collect();
    let rolled = until("the Deployments are rolled", async || {
        let deployments = cluster.deployments().await?;
        let bindings = cluster.bindings().await?;
        let says = checks::rolled_out(&bindings, &READERS);
        Ok(checks::restarted_once(&deployments, &names)
            .and(says)
            .map(|()| deployments))
    })
    .await?;
    let after = cluster.pods().await?;
    checks::all_new(&before.pods, &after, &names)?;
    checks::same(&before.pods, &after, BYSTANDER)?;
    let shown: Vec<String> = names
        .iter()
        .filter_map(|name| Some((name, rolled.get(name)?)))
        .map(|(name, d)| format!("{name} {}/{}", d.ready, d.wanted))
        .collect();
    screen.fact("rollouts", format!("{} Healthy", shown.join(", ")));
    screen.detail(format!(
        "{BYSTANDER}: not restarted, it does not use this entry"
    ));
    let url = database_url(password);
    for secret in READERS.map(|name| format!("estate-{name}")) {
        let data = cluster.secret(&secret).await?.data.unwrap_or_default();
        if data.get("DATABASE_URL").map(|bytes| bytes.0.as_slice()) != Some(url.as_bytes()) {
            return Err(format!("Secret {secret} does not hold the new DATABASE_URL").into());
        }
    }
    screen.detail(seen_by_pods(bed, &after, &names, &url)?);
    Ok(())
}

/// Whether every new pod was started with the new value, which is never shown.
fn seen_by_pods(bed: &Bed, pods: &Pods, names: &[String], url: &str) -> Ended<String> {
    let Some(nodes) = &bed.nodes else {
        return Ok(
            "both Secrets hold the new DATABASE_URL; real nodes do not show what pods see".into(),
        );
    };
    let all = nodes.pods(NAMESPACE, &[]);
    let mut count = 0;
    for name in names {
        for uid in pods.get(name).into_iter().flatten() {
            let pod = all.iter().find(|pod| pod.uid == *uid);
            let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
            let mut environments = containers.iter().filter_map(|c| c.environment.as_ref());
            if !environments.any(|e| e.get("DATABASE_URL") == Some(url)) {
                return Err(format!(
                    "a new pod of {name} was not started with the new DATABASE_URL"
                )
                .into());
            }
            count += 1;
        }
    }
    Ok(format!(
        "{count} new pods, each started with the new DATABASE_URL"
    ))
}
