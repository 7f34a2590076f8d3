//! The order of things: what is done to the operator, and what is counted meanwhile.

use std::time::{Duration, Instant};

use http::Method;
use keyferry_testkit::aws::{CallLog, EventKinds};
use serde_json::json;

use super::audit::{Audit, Writes};
use super::bed::Bed;
use super::calls::{BATCH, Calls, listed};
use super::changes::{self, Spread};
use super::floor::{self, Floor, Template};
use super::follow::All;
use super::objects::{self, send};
use super::offline::{self, Offline};
use super::plan::Plan;
use super::process::Usage;
use crate::bed::screen::{Screen, seconds};
use crate::workspace::Ended;

/// Intervals that are observed while nothing changes.
pub(crate) const QUIET: u32 = 3;

/// The namespaces of the bindings, and those of the bare loop.
const SET: &str = "bench";
const FLOOR_SET: &str = "floor";

/// Most changes that are waited for without events.
const POLLED: usize = 20;

/// Between changes, which come one after another as people and rotations make them.
const APART: Duration = Duration::from_millis(200);

/// The shortest interval there is.
const SHORTEST: Duration = Duration::from_secs(10);

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) idle: Usage,
    pub(crate) applied: Applied,
    pub(crate) cold: Cold,
    pub(crate) floor: Floor,
    pub(crate) restart: Counted,
    pub(crate) quiet: Counted,
    pub(crate) steady: Usage,
    pub(crate) relisted: Relisted,
    pub(crate) with_events: Spread,
    pub(crate) while_events: Counted,
    pub(crate) without_events: Spread,
    pub(crate) at_end: Usage,
    pub(crate) offline: Offline,
}

/// Bindings made while the operator runs.
pub(crate) struct Applied {
    pub(crate) calls: Calls,
    /// From the first to the last of them.
    pub(crate) creation: Duration,
}

/// The operator started with bindings that were there.
pub(crate) struct Cold {
    pub(crate) calls: Calls,
    pub(crate) writes: Writes,
    /// From the start of its process until the last binding was Ready.
    pub(crate) took: Duration,
    pub(crate) usage: Usage,
}

/// What was called and written in some time.
pub(crate) struct Counted {
    pub(crate) calls: Calls,
    pub(crate) writes: Writes,
}

/// The second list of all bindings.
pub(crate) struct Relisted {
    /// List requests that it took, as the API server counts them.
    pub(crate) lists: u64,
    pub(crate) usage: Usage,
}

/// Does it all, and says how it goes.
pub(crate) async fn measure(bed: &mut Bed, plan: &Plan, screen: &Screen) -> Ended<Measured> {
    objects::namespaces(&bed.client, *plan, SET).await?;
    objects::namespaces(&bed.client, *plan, FLOOR_SET).await?;
    let (idle, applied) = applied(bed, *plan, screen).await?;
    let cold = cold(bed, *plan, screen).await?;
    let floor = bare_loop(bed, *plan, screen).await?;
    let (pid, restart) = restart(bed, *plan, screen).await?;
    let quiet = quiet(bed, *plan, screen).await?;
    let steady = Usage::of(pid)?;
    let relisted = relist(bed, pid, screen).await?;
    bed.stop_operator().await?;
    let (with_events, while_events, without_events, at_end) = latency(bed, *plan, screen).await?;
    bed.stop_operator().await?;
    let offline = offline::measure(bed, *plan, SET, screen).await?;
    Ok(Measured {
        idle,
        applied,
        cold,
        floor,
        restart,
        quiet,
        steady,
        relisted,
        with_events,
        while_events,
        without_events,
        at_end,
        offline,
    })
}

/// Seconds between two looks of bindings of which the first reads alone are counted.
const UNSWEPT: u64 = 3_600;

/// Bindings are made while the operator runs; then all is removed again.
async fn applied(bed: &mut Bed, plan: Plan, screen: &Screen) -> Ended<(Usage, Applied)> {
    let (pid, _) = bed.operate(&[]).await?;
    // It has listed nothing yet that would count, and is left to come to rest.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = Usage::of(pid)?;
    bed.aws.reset_counts();
    let begun = Instant::now();
    let unswept = Plan {
        interval: UNSWEPT,
        ..plan
    };
    let made = objects::create(&bed.client, unswept, SET).await?.len();
    let creation = begun.elapsed();
    all_ready(bed, plan).await?;
    let calls = Calls::of(&bed.aws.calls());
    bed.stop_operator().await?;
    let created = seconds(creation);
    let shown = listed(&calls.by_operation);
    screen.fact(
        "applied while running",
        format!("{made} bindings in {created}: {shown}"),
    );
    cleared(bed, plan, SET).await?;
    Ok((idle, Applied { calls, creation }))
}

/// The bindings are there, and the operator starts.
async fn cold(bed: &mut Bed, plan: Plan, screen: &Screen) -> Ended<Cold> {
    objects::create(&bed.client, plan, SET).await?;
    bed.aws.reset_counts();
    let audit = Audit::begin(&bed.plane)?;
    let (pid, started) = bed.operate(&[]).await?;
    let last = all_ready(bed, plan).await?;
    let cold = Cold {
        usage: Usage::of(pid)?,
        took: last.saturating_duration_since(started),
        calls: Calls::of(&bed.aws.calls()),
        writes: audit.writes()?,
    };
    let shown = listed(&cold.calls.by_operation);
    screen.fact(
        "cold",
        format!("all Ready after {:.1} s: {shown}", cold.took.as_secs_f32()),
    );
    bed.stop_operator().await?;
    Ok(cold)
}

/// The same writes without an operator, right after it: the machine is as busy as it was.
async fn bare_loop(bed: &Bed, plan: Plan, screen: &Screen) -> Ended<Floor> {
    let template = Template::take(&bed.client, plan, SET).await?;
    let made = objects::create(&bed.client, plan, FLOOR_SET).await?;
    let floor = floor::run(&bed.operators_client, &template, FLOOR_SET, &made).await?;
    screen.fact(
        "floor",
        format!(
            "a bare loop of the same writes: {:.1} s",
            floor.took.as_secs_f32()
        ),
    );
    cleared(bed, plan, FLOOR_SET).await?;
    Ok(floor)
}

/// The operator starts again and has nothing to do.
async fn restart(bed: &mut Bed, plan: Plan, screen: &Screen) -> Ended<(u32, Counted)> {
    bed.aws.reset_counts();
    let audit = Audit::begin(&bed.plane)?;
    let (pid, _) = bed.operate(&[]).await?;
    // An entry is not looked at again before a tenth of the interval is over: until then it is one sweep.
    let read = |log: &CallLog| log.count(BATCH) + log.count("GetSecretValue") > 0;
    bed.aws.wait_within(Duration::from_secs(60), read).await?;
    tokio::time::sleep(plan.interval() / 10).await;
    let counted = Counted {
        calls: Calls::of(&bed.aws.calls()),
        writes: audit.writes()?,
    };
    say(screen, "restart", &counted);
    Ok((pid, counted))
}

/// Nothing changes for some intervals.
async fn quiet(bed: &Bed, plan: Plan, screen: &Screen) -> Ended<Counted> {
    bed.aws.reset_counts();
    let audit = Audit::begin(&bed.plane)?;
    tokio::time::sleep(plan.interval() * QUIET).await;
    let counted = Counted {
        calls: Calls::of(&bed.aws.calls()),
        writes: audit.writes()?,
    };
    say(screen, &format!("{QUIET} quiet intervals"), &counted);
    Ok(counted)
}

fn say(screen: &Screen, what: &str, counted: &Counted) {
    let (calls, writes) = (listed(&counted.calls.by_operation), listed(&counted.writes));
    screen.fact(what, format!("AWS: {calls}; Kubernetes writes: {writes}"));
}

/// A change of the CRD makes the API server end the watches of its objects and forget their history:
/// clients must list everything again while they still hold what they know.
async fn relist(bed: &Bed, pid: u32, screen: &Screen) -> Ended<Relisted> {
    let before = lists(bed).await?;
    let description = json!([{"op": "add",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/description",
        "value": "Changed, so that the API server serves it anew."}]);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/externalsecretbindings.keyferry.dev";
    let patch = description.to_string().into_bytes();
    let form = "application/json-patch+json";
    send(&bed.client, Method::PATCH, path.into(), form, patch).await?;
    // The list comes when the watch has ended and kube's pause is over.
    let (mut known, mut same) = (before, 0);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = lists(bed).await?;
        same = if now == known && now > before {
            same + 1
        } else {
            0
        };
        known = now;
        if same == 5 {
            break;
        }
    }
    let relisted = Relisted {
        lists: known - before,
        usage: Usage::of(pid)?,
    };
    screen.fact("second list", format!("{} list requests", relisted.lists));
    Ok(relisted)
}

/// Lists of bindings that the API server has served so far, page by page.
async fn lists(bed: &Bed) -> Ended<u64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = bed.client.request_text(request).await?;
    let ours = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains(r#"resource="externalsecretbindings""#)
            && line.contains(r#"verb="LIST""#)
    };
    let count = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    Ok(text.lines().filter(ours).filter_map(count).sum::<f64>() as u64)
}

/// Secrets change, at first with events, then without.
async fn latency(
    bed: &mut Bed,
    plan: Plan,
    screen: &Screen,
) -> Ended<(Spread, Counted, Spread, Usage)> {
    let floor = format!("--min-refresh-interval={}s", SHORTEST.as_secs());
    let floor = (plan.interval() > SHORTEST).then_some(floor);
    let queue = format!("--events-queue-url={}", bed.queue.url());
    let more: Vec<String> = floor.into_iter().chain([queue]).collect();
    let (pid, _) = bed.operate(&more).await?;
    let subscription = bed.queue.subscribe(&bed.region(), EventKinds::native());
    tokio::time::sleep(SHORTEST).await;
    bed.aws.reset_counts();
    let audit = Audit::begin(&bed.plane)?;
    let with = changes::run(bed, plan, plan.changes, APART, "second").await?;
    let counted = Counted {
        calls: Calls::of(&bed.aws.calls()),
        writes: audit.writes()?,
    };
    tell(screen, "changes with events", with);
    say(screen, "", &counted);
    subscription.end();
    let polled = plan.changes.min(POLLED);
    shorten(bed, plan, polled).await?;
    let apart = SHORTEST / u32::try_from(polled)?;
    let without = changes::run(bed, plan, polled, apart, "third").await?;
    tell(screen, "changes without events", without);
    Ok((with, counted, without, Usage::of(pid)?))
}

fn tell(screen: &Screen, what: &str, spread: Spread) {
    let ms = |time: Duration| time.as_millis();
    let Spread {
        count,
        p50,
        p99,
        max,
    } = spread;
    let text = format!(
        "{count}: p50 {} ms, p99 {} ms, max {} ms",
        ms(p50),
        ms(p99),
        ms(max)
    );
    screen.fact(what, text);
}

/// The bindings of the first secrets look every ten seconds from now on.
async fn shorten(bed: &Bed, plan: Plan, secrets: usize) -> Ended {
    for place in plan.places().filter(|place| place.secret < secrets) {
        let path = objects::bindings(&place.namespace(SET), &format!("/{}", place.name()));
        let patch = json!({"spec": {"refreshInterval": format!("{}s", SHORTEST.as_secs())}});
        let patch = patch.to_string().into_bytes();
        let form = "application/merge-patch+json";
        send(&bed.client, Method::PATCH, path, form, patch).await?;
    }
    // Each edit is a pass of its own; they are over by then.
    tokio::time::sleep(SHORTEST).await;
    Ok(())
}

/// Waits until every binding is Ready; gives the time when the last one was.
async fn all_ready(bed: &Bed, plan: Plan) -> Ended<Instant> {
    let limit =
        Duration::from_secs(120) + Duration::from_millis(20) * u32::try_from(plan.bindings)?;
    let done = |all: &All| {
        let ready = all
            .iter()
            .filter(|(key, seen)| ours(&key.0, SET) && seen.mark == "True");
        let (count, last) = ready.fold((0, None), |(count, last), (_, seen)| {
            (count + 1, last.max(Some(seen.at)))
        });
        last.filter(|_| count == plan.bindings)
    };
    bed.bindings
        .until("every binding is Ready", limit, done)
        .await
}

/// Removes the objects of a set and waits until they are gone.
async fn cleared(bed: &Bed, plan: Plan, set: &str) -> Ended {
    objects::remove(&bed.client, plan, set).await?;
    let limit = Duration::from_secs(300);
    let gone = |all: &All| (!all.keys().any(|key| ours(&key.0, set))).then_some(());
    bed.bindings
        .until("the bindings are gone", limit, gone)
        .await?;
    bed.secrets.until("the Secrets are gone", limit, gone).await
}

fn ours(namespace: &str, set: &str) -> bool {
    namespace
        .strip_prefix(set)
        .is_some_and(|rest| rest.starts_with('-'))
}
