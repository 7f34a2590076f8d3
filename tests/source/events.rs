//! The consumer of the events queue against the fake SQS. Tests decide what becomes of each hint.

use std::time::Duration;

use keyferry::source::{
    Operation, Outcome, SourceEvent,
    events::{
        EventOutcome, Handled, Hint, HintId, HintKind, Ignored, QueueAddress, matches, parse,
    },
};
use keyferry_testkit::aws::{EventKinds, Fault, Queue};
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::kit::*;

/// Longer than the queue's visibility timeout.
const HIDDEN: Duration = Duration::from_secs(31);

/// A consumer whose handler asks the test.
struct Consumer {
    stop: CancellationToken,
    task: JoinHandle<()>,
    hints: mpsc::UnboundedReceiver<Asked>,
}

/// A hint, and where its outcome goes.
struct Asked {
    hint: Hint,
    answer: oneshot::Sender<Handled>,
}

impl Asked {
    fn name(&self) -> &str {
        match &self.hint.secret {
            HintId::Name(name) => name,
            HintId::Arn(arn) | HintId::TypedArn(arn) => &arn.resource,
        }
    }

    fn is(self, handled: Handled) {
        self.answer.send(handled).unwrap();
    }
}

impl Consumer {
    fn start(bed: &Bed, url: &str) -> Self {
        let address = QueueAddress::parse(url).unwrap();
        let queue = bed.sources.events_queue(&address).unwrap();
        let stop = CancellationToken::new();
        let (sender, hints) = mpsc::unbounded_channel();
        let task = tokio::spawn(queue.run(stop.clone(), move |hint| {
            let (answer, answered) = oneshot::channel();
            sender.send(Asked { hint, answer }).unwrap();
            async move { answered.await.unwrap_or(Handled::Failed) }
        }));
        Self { stop, task, hints }
    }

    async fn hint(&mut self) -> Asked {
        tokio::time::timeout(Duration::from_secs(30), self.hints.recv())
            .await
            .expect("a hint")
            .expect("a consumer")
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn queue(bed: &Bed) -> Queue {
    bed.region().create_queue("keyferry")
}

/// A native event without an ARN: its hint has the name.
fn moved(name: &str, version: &str) -> String {
    json!({
        "detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "account": ACCOUNT, "region": REGION,
        "detail": {"name": name, "labelUpdated": "AWSCURRENT", "versionId": version},
    })
    .to_string()
}

fn outcomes(bed: &Bed, outcome: EventOutcome) -> usize {
    bed.counted(|event| *event == SourceEvent::Event(outcome))
}

fn refused(bed: &Bed, operation: Operation, outcome: Outcome) -> usize {
    bed.counted(|event| {
        matches!(event, SourceEvent::Request { operation: o, outcome: w, .. } if (*o, *w) == (operation, outcome))
    })
}

#[tokio::test]
async fn a_message_is_deleted_when_its_hint_had_an_outcome_and_not_before() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    queue.send_raw(&moved("prod/ai", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    let asked = consumer.hint().await;
    assert_eq!(asked.hint.account, ACCOUNT);
    assert_eq!(asked.hint.region, REGION);
    assert_eq!(
        (asked.name(), asked.hint.version_id.as_deref()),
        ("prod/ai", Some("v1"))
    );
    // What means nothing goes at once, also while a hint is under way.
    queue.send_raw("not JSON");
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    assert_eq!(queue.stats().in_flight, 1);
    asked.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 2).await.unwrap();
    assert!(queue.is_empty());
    assert_eq!(
        outcomes(&bed, EventOutcome::Handled(HintKind::Moved, Handled::Done)),
        1
    );
    assert_eq!(outcomes(&bed, EventOutcome::Ignored(Ignored::NotJson)), 1);
    assert_eq!(
        bed.counted(|event| matches!(event, SourceEvent::EventLag(_))),
        2
    );
    consumer.end().await;
}

#[tokio::test]
async fn messages_that_mean_nothing_are_deleted_ten_at_a_time_and_reach_nobody() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    let mut foreign: serde_json::Value = serde_json::from_str(&moved("a", "v1")).unwrap();
    foreign["source"] = json!("aws.s3");
    let large = "x".repeat(1 << 20);
    for n in 0..25 {
        match n % 5 {
            0 => queue.send_raw(&large),
            1 => queue.send_raw(&"[".repeat(1_000)),
            _ => queue.send_raw(&foreign.to_string()),
        };
    }
    let mut consumer = Consumer::start(&bed, &queue.url());
    queue.wait_for(|stats| stats.deleted == 25).await.unwrap();
    assert_eq!(bed.aws.count("DeleteMessageBatch"), 3);
    assert!(consumer.hints.try_recv().is_err());
    assert_eq!(outcomes(&bed, EventOutcome::Ignored(Ignored::TooLarge)), 5);
    assert_eq!(outcomes(&bed, EventOutcome::Ignored(Ignored::Foreign)), 15);
    consumer.end().await;
}

#[tokio::test]
async fn a_hint_that_nobody_asks_for_is_deleted() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    queue.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    consumer.hint().await.is(Handled::Unknown);
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    let unknown = EventOutcome::Handled(HintKind::Moved, Handled::Unknown);
    assert_eq!(outcomes(&bed, unknown), 1);
    consumer.end().await;
}

#[tokio::test]
async fn a_failed_hint_comes_back_five_times_and_then_its_message_goes() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    queue.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    let failed = EventOutcome::Handled(HintKind::Moved, Handled::Failed);
    for time in 1..=5 {
        consumer.hint().await.is(Handled::Failed);
        until(|| outcomes(&bed, failed) == time).await;
        assert_eq!(queue.deleted(), 0, "{time}");
        bed.aws.advance(HIDDEN);
    }
    consumer.hint().await.is(Handled::Failed);
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    assert_eq!(outcomes(&bed, EventOutcome::GivenUp(HintKind::Moved)), 1);
    assert_eq!(outcomes(&bed, failed), 5);
    consumer.end().await;
}

#[tokio::test]
async fn a_slow_hint_holds_nothing_up_and_is_not_begun_again() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    queue.send_raw(&moved("slow", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    let slow = consumer.hint().await;
    // Delivered again while it is under way.
    bed.aws.advance(HIDDEN);
    for n in 0..5 {
        let name = format!("quick-{n}");
        queue.send_raw(&moved(&name, "v1"));
        let quick = consumer.hint().await;
        assert_eq!(quick.name(), name);
        quick.is(Handled::Done);
    }
    queue.wait_for(|stats| stats.deleted == 5).await.unwrap();
    until(|| outcomes(&bed, EventOutcome::Joined(HintKind::Moved)) > 0).await;
    slow.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 6).await.unwrap();
    assert!(queue.is_empty());
    consumer.end().await;
}

#[tokio::test]
async fn repeated_messages_of_one_version_are_one_hint() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    for _ in 0..3 {
        queue.send_raw(&moved("a", "v1"));
    }
    queue.send_raw(&moved("a", "v2"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    let (first, second) = (consumer.hint().await, consumer.hint().await);
    let versions = [&first, &second].map(|asked| asked.hint.version_id.clone().unwrap());
    assert!(
        versions.contains(&"v1".into()) && versions.contains(&"v2".into()),
        "{versions:?}"
    );
    queue.wait_for(|stats| stats.in_flight == 4).await.unwrap();
    first.is(Handled::Done);
    second.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 4).await.unwrap();
    assert!(consumer.hints.try_recv().is_err());
    assert_eq!(outcomes(&bed, EventOutcome::Joined(HintKind::Moved)), 2);
    consumer.end().await;
}

#[tokio::test]
async fn so_many_hints_under_way_are_enough() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    for n in 0..300 {
        queue.send_raw(&moved(&format!("e{n}"), "v1"));
    }
    let mut consumer = Consumer::start(&bed, &queue.url());
    let mut under_way = Vec::new();
    for _ in 0..256 {
        under_way.push(consumer.hint().await);
    }
    let receives = bed.aws.count("ReceiveMessage");
    assert_eq!(receives, 26);
    assert_eq!(queue.stats().visible, 44);
    under_way.pop().unwrap().is(Handled::Done);
    under_way.push(consumer.hint().await);
    assert_eq!(
        (bed.aws.count("ReceiveMessage"), queue.stats().visible),
        (27, 43)
    );
    for asked in under_way {
        asked.is(Handled::Done);
    }
    for _ in 0..43 {
        consumer.hint().await.is(Handled::Done);
    }
    queue.wait_for(|stats| stats.deleted == 300).await.unwrap();
    consumer.end().await;
}

#[tokio::test]
async fn a_queue_that_is_denied_or_missing_is_asked_again_until_it_is_there() {
    let bed = Bed::start().await;
    bed.aws
        .put_role(operator_role().allow(&["secretsmanager:*"], &["*"]));
    let url = queue(&bed).url();
    queue(&bed).delete();
    let mut consumer = Consumer::start(&bed, &url);
    let denied = || refused(&bed, Operation::ReceiveMessage, Outcome::Denied);
    let missing = || refused(&bed, Operation::ReceiveMessage, Outcome::NotFound);
    until(|| denied() >= 2).await;
    // The pauses have begun to grow: without them this would be time for hundreds.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(denied(), 2);
    bed.aws.put_role(operator_role().allow(&["*"], &["*"]));
    until(|| missing() > 0).await;
    let queue = queue(&bed);
    queue.send_raw(&moved("a", "v1"));
    consumer.hint().await.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    let errors = bed.counted(|event| *event == SourceEvent::EventsUnreceived);
    assert_eq!(errors, denied() + missing());
    consumer.end().await;
}

#[tokio::test]
async fn without_the_right_to_delete_messages_come_back() {
    let bed = Bed::start().await;
    let role = operator_role().allow(&["*"], &["*"]);
    bed.aws.put_role(role.deny(&["sqs:DeleteMessage"], &["*"]));
    let queue = queue(&bed);
    queue.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    for time in 1..=2 {
        consumer.hint().await.is(Handled::Done);
        until(|| refused(&bed, Operation::DeleteMessageBatch, Outcome::Denied) == time).await;
        assert_eq!(queue.deleted(), 0);
        bed.aws.advance(HIDDEN);
    }
    bed.aws.put_role(operator_role().allow(&["*"], &["*"]));
    consumer.hint().await.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    consumer.end().await;
}

#[tokio::test]
async fn credentials_that_aws_no_longer_accepts_are_got_anew() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    let mut consumer = Consumer::start(&bed, &queue.url());
    for version in ["v1", "v2", "v3"] {
        queue.send_raw(&moved("a", version));
        consumer.hint().await.is(Handled::Done);
        bed.aws.expire_sessions();
    }
    queue.wait_for(|stats| stats.deleted == 3).await.unwrap();
    assert!(bed.counted(|event| *event == SourceEvent::CredentialsRebuilt) > 0);
    consumer.end().await;
}

#[tokio::test]
async fn a_fault_of_sqs_is_no_end() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    let fault = Fault::error(500, "InternalFailure")
        .on("ReceiveMessage")
        .times(2);
    bed.aws.fault(fault);
    queue.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    consumer.hint().await.is(Handled::Done);
    queue.wait_for(|stats| stats.deleted == 1).await.unwrap();
    consumer.end().await;
}

#[tokio::test]
async fn the_urls_region_is_asked_and_its_host_only_where_it_says_more() {
    let bed = Bed::start().await;
    let elsewhere = bed
        .aws
        .account(ACCOUNT)
        .region("us-west-2")
        .create_queue("keyferry");
    let address = QueueAddress::parse(&elsewhere.aws_url()).unwrap();
    let arn = bed.sources.events_queue(&address).unwrap().arn().to_owned();
    assert_eq!(arn, elsewhere.arn());
    elsewhere.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &elsewhere.aws_url());
    consumer.hint().await.is(Handled::Done);
    elsewhere
        .wait_for(|stats| stats.deleted == 1)
        .await
        .unwrap();
    consumer.end().await;
}

#[tokio::test]
async fn at_the_end_hints_under_way_end_and_nothing_more_is_received() {
    let bed = Bed::start().await;
    let queue = queue(&bed);
    queue.send_raw(&moved("a", "v1"));
    let mut consumer = Consumer::start(&bed, &queue.url());
    let asked = consumer.hint().await;
    consumer.stop.cancel();
    // Time to hear of it, and then to take what it should not.
    tokio::time::sleep(Duration::from_millis(50)).await;
    queue.send_raw(&moved("b", "v1"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    asked.is(Handled::Done);
    consumer.task.await.unwrap();
    assert_eq!(queue.deleted(), 1);
    assert!(consumer.hints.try_recv().is_err());
}

#[tokio::test]
async fn the_events_of_changes_are_about_every_spelling_of_their_entry() {
    let bed = Bed::start().await;
    let region = bed.region();
    let queue = queue(&bed);
    for kinds in [EventKinds::native(), EventKinds::native().in_sns()] {
        queue.subscribe(&region, kinds);
    }
    let full = region.create("prod/ai", "1").unwrap();
    let first = region.current_version("prod/ai").unwrap();
    let second = region.put("prod/ai", "2").unwrap();
    region.move_label("prod/ai", "AWSCURRENT", &first).unwrap();
    let mut told = Vec::new();
    for body in queue.bodies() {
        let hint = parse(&body).unwrap();
        assert_eq!(hint.kind, HintKind::Moved);
        let about = |ask| matches(&hint, &ask, Some(ACCOUNT), REGION);
        assert!(about(name("prod/ai")) && about(arn(&full)) && about(own_arn("prod/ai")));
        assert!(!about(name("prod/a")) && !about(own_arn("prod/ai-GhIjKl")));
        told.push(hint.version_id.unwrap());
    }
    let wanted = [&first, &first, &second, &second, &first, &first];
    assert_eq!(told.iter().collect::<Vec<_>>(), wanted);
}
