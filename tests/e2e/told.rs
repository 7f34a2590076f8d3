//! Events of Secrets Manager: they carry changes within seconds, and nothing that happens to them on their way
//! does any harm.

use std::time::Duration;

use keyferry_testkit::aws::{Emission, EventKinds, Order, Queue, Subscription};
use serde_json::{Value, json};

use crate::{
    case::{Case, condition, data, holds},
    counted::count,
    workload::Uses,
};

crate::tests![own:
    events_tripled_reordered_late_replayed_and_forged_carry_each_change_once,
    events_minutes_late_change_nothing_that_was_carried_since,
    lost_events_cost_an_interval_and_never_a_change,
    a_deletion_is_told_at_once_and_so_is_its_end,
];

const EVERY_KIND: EventKinds = EventKinds {
    native: true,
    cloudtrail: true,
    old_arn_key: false,
    sns_wrapped: false,
};

/// A binding `app` of one entry `e` that only events carry, with its rollout, and its operator.
struct Told {
    case: Case,
    queue: Queue,
    events: Subscription,
    rollouts: i64,
    writes: usize,
}

impl Told {
    async fn start(case: &Case) -> (Self, crate::operators::Running) {
        let region = case.own_region();
        let queue = region.create_queue(&case.namespace);
        let events = queue.subscribe(&region, EVERY_KIND);
        case.put_apart("e", &case.plain());
        let operator = case.operator_with_queue(&queue, &[]).await;
        let mut spec = case.one("K", "e");
        spec["refreshInterval"] = json!("24h");
        spec["rollout"] = json!({});
        case.binding("app", spec).await;
        case.synced("app").await;
        let at_first = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
        case.rolled_out("app", "True", "Synced").await;
        let told = Self {
            case: case.clone(),
            queue,
            events,
            rollouts: at_first.generation,
            writes: 1,
        };
        told.is_idle().await;
        (told, operator)
    }

    /// Waits until every message is done with.
    async fn is_idle(&self) {
        let waited = self.queue.wait_for(|stats| stats.is_empty()).await;
        waited.expect("messages stay in the queue");
    }

    /// Waits until the change to this version has arrived everywhere, and counts what it cost: one write of the
    /// Secret, one rollout, and at most a read for each of `events`.
    async fn arrives(&mut self, what: &str, value: &str, version: &str, reads: u64, events: u64) {
        let case = &self.case;
        case.until_secret("app", what, |s| holds(s, "K", value))
            .await;
        case.rolled_out_at("app", version).await;
        self.is_idle().await;
        self.writes += 1;
        self.rollouts += 1;
        self.nothing_more(what).await;
        let made = case.reads("e") - reads;
        assert!(made <= events, "{what}: {made} reads for {events} events");
    }

    /// Messages about what is known: no write, no rollout, no status, and at most a read for each.
    async fn costs_nothing(&self, what: &str, happens: impl FnOnce(&Self)) {
        let case = &self.case;
        let (reads, statuses) = (case.reads("e"), case.statuses("app").len());
        let sent = self.queue.stats().deleted;
        happens(self);
        self.is_idle().await;
        let events = self.queue.stats().deleted - sent;
        self.nothing_more(what).await;
        let made = case.reads("e") - reads;
        assert!(made <= events, "{what}: {made} reads for {events} events");
        let written = case.statuses("app").len() - statuses;
        assert_eq!(written, 0, "{what}: no status is written");
    }

    async fn nothing_more(&self, what: &str) {
        let case = &self.case;
        let mut writes = case.writes(&case.operator_name());
        writes.retain(|write| write.resource == "secrets" && write.name == "app");
        assert_eq!(writes.len(), self.writes, "{what}: writes of the Secret");
        let generation = case.settled("web").await.generation;
        assert_eq!(generation, self.rollouts, "{what}: rollouts");
    }
}

async fn events_tripled_reordered_late_replayed_and_forged_carry_each_change_once(case: Case) {
    let (mut told, operator) = Told::start(&case).await;
    let put = || {
        let value = case.plain();
        let version = case.put_apart("e", &value);
        (value, version)
    };
    // Three of each.
    told.events.set_emission(Emission::default().copies(3));
    let reads = case.reads("e");
    let (value, version) = put();
    told.arrives("three times", &value, &version, reads, 2)
        .await;
    told.events.set_emission(Emission::default());

    // The newest first.
    let reads = case.reads("e");
    told.events.hold();
    put();
    put();
    let (value, version) = put();
    told.events.release(Order::Reversed);
    told.arrives("reordered", &value, &version, reads, 6).await;

    // Late.
    let reads = case.reads("e");
    let late = Emission::default().delayed(Duration::from_secs(4));
    told.events.set_emission(late);
    let (value, version) = put();
    told.arrives("late", &value, &version, reads, 2).await;
    told.events.set_emission(Emission::default());

    // All of them once more.
    let (reads, bodies) = (case.reads("e"), told.queue.bodies());
    let statuses = case.statuses("app").len();
    for body in &bodies {
        told.queue.send_raw(body);
    }
    told.is_idle().await;
    told.nothing_more("replayed").await;
    let made = case.reads("e") - reads;
    let replayed = bodies.len() as u64;
    assert!(made <= replayed, "{made} reads for {replayed} events");
    assert_eq!(case.statuses("app").len(), statuses, "no status is written");

    forged(&case, &told, &bodies).await;
    operator.terminate(&case.world.channels).await;
}

/// Messages about nothing that is ours cause no call.
async fn forged(case: &Case, told: &Told, bodies: &[String]) {
    let native = bodies
        .iter()
        .find(|body| body.contains("Secret Label Updated"));
    let native = native.unwrap();
    let before = case.last_call();
    for body in [
        native.replace(&case.entry("e"), &case.entry("unknown")),
        native.replace(crate::world::ACCOUNT, "999988887777"),
        native.replace("aws.secretsmanager", "somebody.else"),
        native[..native.len() / 2].to_owned(),
        "garbage".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
    ] {
        told.queue.send_raw(&body);
    }
    told.is_idle().await;
    told.nothing_more("forged").await;
    let calls = case.calls_since(before);
    for operation in ["GetSecretValue", "BatchGetSecretValue", "DescribeSecret"] {
        assert_eq!(count(&calls, operation), 0, "{operation}");
    }
}

async fn events_minutes_late_change_nothing_that_was_carried_since(case: Case) {
    let (mut told, operator) = Told::start(&case).await;
    let region = case.own_region();
    let entry = case.entry("e");
    // Two versions come and go while nothing is told; a refresh that is asked for carries each.
    told.events.hold();
    let mut versions = Vec::new();
    for n in 0..3 {
        let value = case.plain();
        let version = case.put_apart("e", &value);
        case.ask_refresh("app", &format!("look-{n}")).await;
        case.until_secret("app", "is asked for", |s| holds(s, "K", &value))
            .await;
        case.rolled_out_at("app", &version).await;
        told.writes += 1;
        told.rollouts += 1;
        told.nothing_more("refreshed").await;
        versions.push(version);
    }
    let held = told.costs_nothing("held", |told| told.events.release(Order::Kept));
    held.await;
    // The same minutes later, by their own account too: of versions that AWSCURRENT has left twice by now.
    region
        .move_label(&entry, "AWSCURRENT", &versions[0])
        .unwrap();
    case.rolled_out_at("app", &versions[0]).await;
    region
        .move_label(&entry, "AWSCURRENT", &versions[2])
        .unwrap();
    case.rolled_out_at("app", &versions[2]).await;
    told.is_idle().await;
    told.writes += 2;
    told.rollouts += 2;
    told.nothing_more("moved").await;
    let old: Vec<String> = told.queue.bodies().iter().map(|body| aged(body)).collect();
    let of_old = |body: &&String| versions[..2].iter().any(|version| body.contains(version));
    assert!(old.iter().filter(of_old).count() >= 4, "{}", old.len());
    let late = told.costs_nothing("minutes late", |told| {
        for body in &old {
            told.queue.send_raw(body);
        }
    });
    late.await;
    // While several versions pass, in any order: the last one arrives, once.
    let reads = case.reads("e");
    let sent = told.queue.bodies().len();
    told.events.hold();
    for version in [&versions[1], &versions[0]] {
        region.move_label(&entry, "AWSCURRENT", version).unwrap();
    }
    let value = case.plain();
    let version = case.put_apart("e", &value);
    told.events.release(Order::Shuffled(7));
    let events = (told.queue.bodies().len() - sent) as u64;
    told.arrives("shuffled", &value, &version, reads, events)
        .await;
    operator.terminate(&case.world.channels).await;
}

/// The same event as if it had happened half an hour before.
fn aged(body: &str) -> String {
    let mut event: Value = serde_json::from_str(body).unwrap();
    let earlier = |time: &mut Value| {
        let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        *time = json!((at - jiff::SignedDuration::from_mins(30)).to_string());
    };
    earlier(&mut event["time"]);
    if let Some(time) = event["detail"].get_mut("eventTime") {
        earlier(time);
    }
    event.to_string()
}

async fn lost_events_cost_an_interval_and_never_a_change(case: Case) {
    let region = case.own_region();
    let queue = region.create_queue(&case.namespace);
    let events = queue.subscribe(&region, EventKinds::native());
    let names: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
    for name in &names {
        case.put_apart(name, &case.plain());
    }
    let operator = case.operator_with_queue(&queue, &[]).await;
    let mut items = Vec::new();
    for name in &names {
        let mut spec = case.one("K", name);
        spec["refreshInterval"] = json!("10s");
        items.push(case.manifest(name, spec));
    }
    case.apply(json!({"apiVersion": "v1", "kind": "List", "items": items}))
        .await;
    for name in &names {
        case.synced(name).await;
    }
    events.set_emission(Emission::default().losing_every(5).copies(2));
    let mut last = Vec::new();
    for _ in 0..2 {
        last = names.iter().map(|name| (name, case.plain())).collect();
        for (name, value) in &last {
            case.put_apart(name, value);
        }
    }
    for (name, value) in &last {
        case.until_secret(name, "follows", |s| holds(s, "K", value))
            .await;
        let version = region.current_version(&case.entry(name));
        let is_at = |object: &Value| object["status"]["sources"][0]["versionId"] == json!(version);
        case.until(name, "at the current version", is_at).await;
    }
    assert!(events.counts().lost >= 8, "{:?}", events.counts());
    operator.terminate(&case.world.channels).await;
}

async fn a_deletion_is_told_at_once_and_so_is_its_end(case: Case) {
    let (told, operator) = Told::start(&case).await;
    let region = case.own_region();
    let good = data(&case.secret("app").await);
    region.delete(&case.entry("e"), 7).unwrap();
    let status: Value = case.failing("app", "MarkedForDeletion").await;
    let message = condition(&status, "Synced")["message"].to_string();
    assert!(message.contains("Last good value kept."), "{message}");
    region.restore(&case.entry("e")).unwrap();
    case.synced("app").await;
    told.is_idle().await;
    told.nothing_more("deleted and restored").await;
    assert!(data(&case.secret("app").await) == good);
    operator.terminate(&case.world.channels).await;
}
