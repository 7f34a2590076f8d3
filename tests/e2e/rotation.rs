//! New versions: what changes, what restarts, and what does not.

use std::time::Duration;

use keyferry_testkit::node::{Rule, Target, When};
use kube::ResourceExt;
use serde_json::json;

use crate::{
    case::{Case, assert_holds, revision},
    workload::Uses,
};

crate::tests![tests:
    a_new_version_gives_the_same_object_new_bytes_a_new_revision_and_one_rollout,
    a_new_version_with_equal_bytes_changes_neither_data_nor_revision_nor_pods,
    a_version_moved_back_after_a_rollout_gives_the_old_revision_and_the_same_pod_template_hash,
    a_version_moved_back_in_the_middle_of_a_rollout_leaves_the_old_pods_running,
    two_bindings_that_change_together_cause_one_rollout,
    a_property_that_a_new_version_lacks_goes_away_with_an_event,
    each_new_revision_has_an_event_of_its_own_and_a_repeated_one_is_counted_up,
];

async fn a_new_version_gives_the_same_object_new_bytes_a_new_revision_and_one_rollout(case: Case) {
    let (one, two) = (case.value(), case.value());
    case.put("db", &one);
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 2, &[Uses::EnvFrom("app")]).await;
    let other = case.deploy("bystander", 1, &[]).await;
    case.rolled_out("app", "True", "Synced").await;
    let old = case.secret("app").await;

    let version = case.put("db", &two);
    case.refresh("app").await;
    let status = case.rolled_out_at("app", &version).await;
    let new = case.secret("app").await;
    assert_eq!(new.uid(), old.uid(), "the same object");
    assert_holds(&new, &[("PASSWORD", &two)]);
    assert_ne!(revision(&new), revision(&old));
    assert_eq!(status["sources"][0]["versionId"], json!(version));
    let after = case.settled("web").await;
    assert_eq!(
        after.generation,
        before.generation + 1,
        "one change of the template"
    );
    assert_eq!(
        after.replica_sets.len(),
        before.replica_sets.len() + 1,
        "one rollout"
    );
    assert!(after.pods.is_disjoint(&before.pods), "all pods are new");
    assert!(
        case.all_captured("web", "PASSWORD", &two),
        "every pod runs with the new bytes"
    );
    assert_eq!(
        case.moment("bystander").await,
        other,
        "who does not use the Secret stays"
    );
    for (reason, about) in [("Progressing", "web"), ("Synced", "written: revision")] {
        let told = || {
            let mut events = case.events("app").into_iter();
            events.find(|(kind, word, note)| {
                (kind.as_str(), word.as_str()) == ("Normal", reason) && note.contains(about)
            })
        };
        let told = case.world.events.until(crate::case::PATIENCE, told).await;
        assert!(told.is_ok(), "{reason} is told: {:?}", case.events("app"));
    }
}

async fn a_new_version_with_equal_bytes_changes_neither_data_nor_revision_nor_pods(case: Case) {
    let value = case.value();
    case.put("db", &value);
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 1, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let old = case.secret("app").await;

    let version = case.put("db", &value);
    case.refresh("app").await;
    let at =
        |object: &serde_json::Value| object["status"]["sources"][0]["versionId"] == json!(version);
    case.until("app", "at the new version", at).await;
    let new = case.secret("app").await;
    assert_eq!(new.uid(), old.uid());
    assert_holds(&new, &[("PASSWORD", &value)]);
    assert_eq!(revision(&new), revision(&old));
    assert_eq!(case.settled("web").await, before, "no rollout");
}

async fn a_version_moved_back_after_a_rollout_gives_the_old_revision_and_the_same_pod_template_hash(
    case: Case,
) {
    let (one, two) = (case.value(), case.value());
    let first = case.put("db", &one);
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 2, &[Uses::Env("app", "PASSWORD")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let original = revision(&case.secret("app").await);
    let second = case.put("db", &two);
    case.refresh("app").await;
    case.rolled_out_at("app", &second).await;
    let between = case.settled("web").await;

    case.world
        .entries()
        .move_label(&case.entry("db"), "AWSCURRENT", &first)
        .unwrap();
    case.refresh("app").await;
    case.rolled_out_at("app", &first).await;
    let after = case.settled("web").await;
    assert_eq!(
        revision(&case.secret("app").await),
        original,
        "the old revision"
    );
    assert_eq!(after.generation, between.generation + 1, "one rollout");
    assert_eq!(
        after.hash, before.hash,
        "the same pod-template-hash as before"
    );
    assert_eq!(
        after.replica_sets, between.replica_sets,
        "no new ReplicaSet"
    );
    assert!(case.all_captured("web", "PASSWORD", &one));
}

async fn a_version_moved_back_in_the_middle_of_a_rollout_leaves_the_old_pods_running(case: Case) {
    let (one, two) = (case.value(), case.value());
    let first = case.put("db", &one);
    case.rolling("app", "PASSWORD", "db").await;
    let before = case.deploy("web", 3, &[Uses::EnvFrom("app")]).await;
    case.rolled_out("app", "True", "Synced").await;
    let target = || Target::deployment("web");
    case.world
        .nodes
        .set_rule(&case.namespace, target(), Rule::not_ready(When::NewPod(1)));
    // Container starts are told in whole seconds: one of the write's own second might have read
    // either value.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = case.put("db", &two);
    case.refresh("app").await;
    case.rolled_out("app", "Unknown", "Progressing").await;
    assert!(case.synced("app").await["sources"][0]["versionId"] == json!(second));
    case.until_new_pod("web", &before.pods).await;

    case.world
        .entries()
        .move_label(&case.entry("db"), "AWSCURRENT", &first)
        .unwrap();
    case.refresh("app").await;
    case.rolled_out_at("app", &first).await;
    let after = case.settled("web").await;
    assert_eq!(after.pods, before.pods, "the old pods never restarted");
    assert_eq!(after.hash, before.hash);
    assert!(case.all_captured("web", "PASSWORD", &one));
    let restarts = case.world.nodes.pods(&case.namespace, &[("app", "web")]);
    assert!(
        restarts
            .iter()
            .flat_map(|pod| &pod.containers)
            .all(|c| c.restarts == 0)
    );
}

async fn two_bindings_that_change_together_cause_one_rollout(case: Case) {
    case.put("a", &case.value());
    case.put("b", &case.value());
    case.rolling("one", "A", "a").await;
    case.rolling("two", "B", "b").await;
    let before = case
        .deploy("web", 2, &[Uses::EnvFrom("one"), Uses::EnvFrom("two")])
        .await;
    case.rolled_out("one", "True", "Synced").await;
    case.rolled_out("two", "True", "Synced").await;

    let (a, b) = (case.value(), case.value());
    let versions = [case.put("a", &a), case.put("b", &b)];
    tokio::join!(case.refresh("one"), case.refresh("two"));
    case.rolled_out_at("one", &versions[0]).await;
    case.rolled_out_at("two", &versions[1]).await;
    let after = case.settled("web").await;
    assert_eq!(
        after.generation,
        before.generation + 1,
        "one change of the template"
    );
    assert_eq!(after.replica_sets.len(), 2, "one rollout");
    assert!(case.all_captured("web", "A", &a) && case.all_captured("web", "B", &b));
}

async fn a_property_that_a_new_version_lacks_goes_away_with_an_event(case: Case) {
    let (a, b) = (case.value(), case.value());
    case.put("json", &json!({"stays": a, "leaves": b}).to_string());
    case.binding("app", json!({"dataFrom": [{"secret": case.entry("json")}]}))
        .await;
    case.synced("app").await;
    case.put("json", &json!({"stays": a}).to_string());
    case.refresh("app").await;
    case.synced("app").await;
    assert_holds(&case.secret("app").await, &[("stays", &a)]);
    let named = || {
        case.events("app")
            .into_iter()
            .find(|(_, _, note)| note.contains("leaves"))
    };
    let event = case.world.events.until(crate::case::PATIENCE, named).await;
    assert!(
        event.is_ok(),
        "an event names the key that left: {:?}",
        case.events("app")
    );
}

async fn each_new_revision_has_an_event_of_its_own_and_a_repeated_one_is_counted_up(case: Case) {
    let values = [case.value(), case.value()];
    case.put("db", &values[0]);
    case.bind_one("app", "K", "db").await;
    case.synced("app").await;
    let mut revisions = vec![revision(&case.secret("app").await)];
    assert_eq!(case.changes("app"), [], "a first success is no event");
    // Forth, back, and forth again.
    for value in [&values[1], &values[0], &values[1]] {
        case.put("db", value);
        case.refresh("app").await;
        revisions.push(revision(&case.secret("app").await));
        let (from, to) = (
            &revisions[revisions.len() - 2],
            &revisions[revisions.len() - 1],
        );
        let told = || {
            case.changes("app")
                .into_iter()
                .find(|(note, _)| note.contains(&format!("{} -> {}", &from[..6], &to[..6])))
        };
        let event = case.world.events.until(crate::case::PATIENCE, told).await;
        assert!(event.is_ok(), "{from} -> {to}: {:?}", case.changes("app"));
    }
    let twice = || {
        case.changes("app")
            .into_iter()
            .find(|(_, count)| *count == 2)
    };
    let counted = case.world.events.until(crate::case::PATIENCE, twice).await;
    assert!(counted.unwrap().0.contains(&revisions[1][..6]));
    assert_eq!(case.changes("app").len(), 2, "one event a text");
}

impl Case {
    /// The events about new bytes of a binding's Secret: the note, and how often it was told.
    fn changes(&self, binding: &str) -> Vec<(String, u64)> {
        let all = self.world.events.all(&self.namespace);
        let of = all.iter().filter(|event| {
            event["regarding"]["name"] == json!(binding) && event["action"] == json!("Write")
        });
        of.map(|event| {
            let note = event["note"].as_str().unwrap_or_default().to_owned();
            (note, event["series"]["count"].as_u64().unwrap_or(1))
        })
        .collect()
    }
}
