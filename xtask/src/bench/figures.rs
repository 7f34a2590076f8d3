//! What was measured, each figure beside its limit and its floor. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::calls::{BATCH, Calls, listed};
use super::changes::Spread;
use super::offline::Offline;
use super::phases::{Applied, Cold, Counted, Measured, QUIET};
use super::plan::Plan;
use super::process::Usage;

/// How an operator under IRSA gets its credentials.
const STS: &str = "AssumeRoleWithWebIdentity";

/// The window in which a secret is read once, however many bindings ask for it.
const WINDOW: Duration = Duration::from_secs(5);

/// How much slower than the bare loop.
const SLOWER: f64 = 1.2;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) measured: String,
    /// Empty without one.
    pub(crate) limit: String,
    /// The floor, or what else to compare with.
    pub(crate) beside: String,
    /// None without a limit.
    pub(crate) over: Option<bool>,
    /// The same in numbers.
    pub(crate) numbers: Value,
}

impl Figure {
    fn new(name: &str, measured: String, numbers: Value) -> Self {
        Self {
            name: name.to_owned(),
            measured,
            limit: String::new(),
            beside: String::new(),
            over: None,
            numbers,
        }
    }

    fn limit(mut self, limit: impl Into<String>, over: bool) -> Self {
        (self.limit, self.over) = (limit.into(), Some(over));
        self
    }

    fn beside(mut self, beside: impl Into<String>) -> Self {
        self.beside = beside.into();
        self
    }
}

/// The limits that depend on the number of bindings: MiB and processor seconds.
fn limits(plan: &Plan) -> (f64, f64) {
    match plan.bindings {
        0..=1_000 => (40.0, 3.0),
        _ => (120.0, 20.0),
    }
}

/// All of them.
pub(crate) fn all(plan: &Plan, measured: &Measured) -> Vec<Figure> {
    let mut figures = vec![
        cold_calls(plan, &measured.cold),
        applied(plan, &measured.applied),
        quiet_calls(plan, &measured.quiet),
        writes("Kubernetes writes, nothing changed", &measured.quiet),
        ready(measured),
    ];
    figures.extend(memory(plan, measured));
    figures.push(processor(plan, measured));
    figures.push(latency(measured));
    figures.push(polled(measured));
    figures.push(cost_of_changes(plan, &measured.while_events));
    figures.push(restart_calls(plan, &measured.restart));
    figures.push(writes("restart: Kubernetes writes", &measured.restart));
    figures.push(validate(&measured.offline));
    figures
}

fn cold_calls(plan: &Plan, cold: &Cold) -> Figure {
    let batches = plan.batches() as u64;
    let again = cold.calls.again;
    let over = cold.calls.total() - again > batches + 1;
    let counts = &cold.calls.by_operation;
    let beside = match again {
        0 => batches_of(&cold.calls),
        n => format!("{}; {n} of them the next sweep's", batches_of(&cold.calls)),
    };
    Figure::new(
        "AWS calls, cold",
        listed(counts),
        json!({"calls": counts, "nextSweep": again}),
    )
    .limit(format!("{batches} batch + 1 STS"), over)
    .beside(beside)
}

/// STS aside: one call for the life of a session.
fn applied(plan: &Plan, applied: &Applied) -> Figure {
    let calls = applied.calls.total() - applied.calls.of_operation(STS);
    // The reads go on for as long as the bindings wait for their writes: in no five seconds of it may there be more.
    let allowed = plan.batches() as u64;
    let busiest = applied.calls.busiest(WINDOW);
    let created = applied.creation.as_secs_f64();
    let numbers = json!({"calls": applied.calls.by_operation, "creationSeconds": created, "busiest5s": busiest});
    Figure::new(
        "AWS calls, applied while running",
        format!("{calls} for {created:.1} s of creation, at most {busiest} in 5 s"),
        numbers,
    )
    .limit(format!("{allowed} per 5 s"), busiest > allowed)
    .beside(batches_of(&applied.calls))
}

fn quiet_calls(plan: &Plan, quiet: &Counted) -> Figure {
    let each = quiet.calls.total() as f64 / f64::from(QUIET);
    let batches = plan.batches();
    let numbers = json!({"calls": quiet.calls.by_operation, "intervals": QUIET});
    Figure::new(
        "AWS calls per interval, nothing changed",
        format!("{each:.1}"),
        numbers,
    )
    .limit(batches.to_string(), each > batches as f64)
    .beside(format!("in {QUIET} intervals: {}", quiet.calls.fullness()))
}

fn writes(name: &str, counted: &Counted) -> Figure {
    let total: u64 = counted.writes.values().sum();
    let shown = match total {
        0 => "0".to_owned(),
        _ => listed(&counted.writes),
    };
    Figure::new(name, shown, json!(counted.writes)).limit("0", total > 0)
}

fn ready(measured: &Measured) -> Figure {
    let took = measured.cold.took.as_secs_f64();
    let floor = measured.floor.took.as_secs_f64();
    let ratio = took / floor;
    let writes = &measured.cold.writes;
    let numbers = json!({"seconds": took, "floorSeconds": floor, "ratio": ratio, "writes": writes});
    Figure::new("all Ready", format!("{took:.2} s, {ratio:.2}x"), numbers)
        .limit(format!("{SLOWER}x the floor"), ratio > SLOWER)
        .beside(format!("bare loop {floor:.2} s"))
}

fn memory(plan: &Plan, measured: &Measured) -> [Figure; 4] {
    let (limit, _) = limits(plan);
    let idle = mib(measured.idle.now_kib);
    let then = |usage: Usage| {
        let (now, data) = (mib(usage.now_kib), mib(usage.data_kib));
        format!("then {now:.1} MiB, {data:.1} of it data")
    };
    let figure = |name: &str, usage: Usage, beside: String| {
        let peak = mib(usage.peak_kib);
        Figure::new(name, format!("{peak:.1} MiB"), json!(usage))
            .limit(format!("{limit} MiB"), peak > limit)
            .beside(beside)
    };
    let lists = measured.relisted.lists;
    [
        figure(
            "peak memory, until all Ready",
            measured.cold.usage,
            format!("without bindings {idle:.1} MiB"),
        ),
        figure(
            "peak memory, restarted, quiet",
            measured.steady,
            then(measured.steady),
        ),
        figure(
            "peak memory, after a second list",
            measured.relisted.usage,
            format!("{lists} list requests"),
        ),
        figure(
            "peak memory, after the changes",
            measured.at_end,
            then(measured.at_end),
        ),
    ]
}

fn processor(plan: &Plan, measured: &Measured) -> Figure {
    let (_, limit) = limits(plan);
    let used = measured.cold.usage.cpu().as_secs_f64();
    let floor = measured.floor.cpu;
    let numbers = json!({"seconds": used, "floorSeconds": floor});
    Figure::new(
        "processor time to all Ready",
        format!("{used:.2} s"),
        numbers,
    )
    .limit(format!("{limit} s"), used > limit)
    .beside(format!("bare loop {floor:.2} s, with two watches"))
}

fn latency(measured: &Measured) -> Figure {
    let spread = measured.with_events;
    let late = spread.p50 >= Duration::from_secs(1) || spread.p99 >= Duration::from_secs(3);
    let posts = Spread::of(measured.floor.posts.clone());
    let beside = posts.map(|posts| {
        let (p50, p99) = (ms(posts.p50), ms(posts.p99));
        format!("a POST in the bare loop: p50 {p50} ms, p99 {p99} ms")
    });
    Figure::new(
        "message visible -> last Secret",
        shown(spread),
        json!(spread),
    )
    .limit("p50 < 1 s, p99 < 3 s", late)
    .beside(beside.unwrap_or_default())
}

fn polled(measured: &Measured) -> Figure {
    let spread = measured.without_events;
    Figure::new(
        "the same without events, every 10 s",
        shown(spread),
        json!(spread),
    )
    .beside("up to the interval + 10 %")
}

/// What events cost beside the sweeps that went on.
fn cost_of_changes(plan: &Plan, counted: &Counted) -> Figure {
    let calls = &counted.calls;
    let numbers =
        json!({"calls": calls.by_operation, "queue": calls.queue, "writes": counted.writes});
    let shown = listed(&calls.by_operation);
    Figure::new("AWS calls for the changes with events", shown, numbers).beside(format!(
        "{} changes, {} calls to SQS",
        plan.changes, calls.queue
    ))
}

fn restart_calls(plan: &Plan, restart: &Counted) -> Figure {
    let batches = plan.batches() as u64;
    let counts = &restart.calls.by_operation;
    let known = restart.calls.of_operation(BATCH) + restart.calls.of_operation(STS);
    let over = restart.calls.total() > batches + 1 || known < restart.calls.total();
    Figure::new("restart: AWS calls", listed(counts), json!(counts))
        .limit(format!("one sweep: {batches} batch + 1 STS"), over)
        .beside(batches_of(&restart.calls))
}

/// What a file costs; the start of the program is told apart.
fn validate(offline: &Offline) -> Figure {
    let each = |time: Duration| time.as_secs_f64() * 1e3 / offline.files as f64;
    let more = offline.validate.saturating_sub(offline.one);
    let ours = more.as_secs_f64() * 1e3 / (offline.files.saturating_sub(1)).max(1) as f64;
    let (read, server) = (each(offline.read), each(offline.server));
    let start = offline.one.as_secs_f64() * 1e3;
    let numbers = json!({"files": offline.files, "perFileMs": ours, "oneFileMs": start, "readPerFileMs": read, "serverPerFileMs": server});
    let files = offline.files;
    Figure::new(
        "validate, a file",
        format!(
            "{ours:.2} ms, {:.1}x the bare read; one file alone {start:.0} ms",
            ours / read
        ),
        numbers,
    )
    .beside(format!(
        "bare read {read:.2} ms, the API server's dry run {server:.1} ms ({files} files)"
    ))
}

fn batches_of(calls: &Calls) -> String {
    format!("batches: {}", calls.fullness())
}

fn shown(spread: Spread) -> String {
    let (p50, p99, max) = (ms(spread.p50), ms(spread.p99), ms(spread.max));
    format!("p50 {p50}, p99 {p99}, max {max} ms ({})", spread.count)
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
