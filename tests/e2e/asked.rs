//! A person asks for earlier bytes, by the annotation `keyferry.dev/rollback`.

use keyferry_testkit::{aws::Fault, node::Rule};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, assert_holds, condition, holds, is, revision},
    rotating::{KEY, Kind, Scene, sequential, spec},
    workload::Uses,
};

crate::tests![tests:
    earlier_bytes_come_back_and_the_later_ones_wait_to_be_asked_for,
    versions_before_the_last_and_entries_that_joined_are_walked_back,
    a_held_rollout_is_taken_back_without_aws,
    what_cannot_be_taken_back_is_said_once_and_changes_nothing,
];

async fn earlier_bytes_come_back_and_the_later_ones_wait_to_be_asked_for(case: Case) {
    let (one, two, three) = (case.plain(), case.plain(), case.plain());
    let first = case.put("db", &one);
    case.binding("app", spec(&case, json!({"minInterval": "0s"})))
        .await;
    case.synced("app").await;
    let before = case.deploy("web", 2, &[Uses::EnvFrom("app")]).await;
    case.rolled_out_at("app", &first).await;
    let earlier = revision(&case.secret("app").await);
    let second = case.put("db", &two);
    case.refresh("app").await;
    case.rolled_out_at("app", &second).await;

    // Six characters are what messages show.
    case.ask_rollback("app", &format!("{}/one", &earlier[..6]))
        .await;
    let back = |o: &Value| {
        o["status"]["lastHandledRollback"] == json!(format!("{}/one", &earlier[..6]))
            && is(o, "Synced", "False", "RolledBack")
            && is(o, "RolledOut", "True", "Synced")
    };
    let status = case.until("app", "taken back", back).await["status"].clone();
    let secret = case.secret("app").await;
    assert_holds(&secret, &[(KEY, &one)]);
    assert_eq!(revision(&secret), earlier);
    assert_eq!(status["sources"][0]["versionId"], json!(first));
    let message = condition(&status, "Ready")["message"].to_string();
    assert!(is(&status, "Ready", "True", "RolledBack"), "{status:#}");
    for part in [
        &second[..8],
        "keyferry.dev/rollback asked for it",
        &earlier[..6],
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        case.settled("web").await.hash,
        before.hash,
        "the template of before"
    );
    assert!(case.all_captured("web", KEY, &one));
    let previous = case.until_secret("app-keyferry-previous", "is gone", |s| s.is_none());
    previous.await;

    // Nothing brings the later version back but a person, or a newer one.
    case.until_read_again(&["db"]).await;
    let edit = json!({"spec": {"refreshInterval": "11s"}});
    case.patch_binding("app", edit).await;
    case.failing("app", "RolledBack").await;
    case.until_read_again(&["db"]).await;
    assert_eq!(
        case.secret("app").await.metadata,
        secret.metadata,
        "not written again"
    );
    case.refresh("app").await;
    case.rolled_out_at("app", &second).await;
    assert_holds(&case.secret("app").await, &[(KEY, &two)]);
    case.ask_rollback("app", &format!("{earlier}/two")).await;
    case.until_secret("app", "is taken back again", |s| holds(s, KEY, &one))
        .await;
    let third = case.put("db", &three);
    case.rolled_out_at("app", &third).await;
    assert_holds(&case.secret("app").await, &[(KEY, &three)]);
}

async fn versions_before_the_last_and_entries_that_joined_are_walked_back(case: Case) {
    let values: Vec<String> = (0..3).map(|_| case.plain()).collect();
    let prefix = case.entry("many/");
    case.put("many/a", &values[0]);
    case.binding("app", json!({"dataFrom": [{"prefix": prefix}]}))
        .await;
    case.synced("app").await;
    let earlier = revision(&case.secret("app").await);
    case.put("many/a", &values[1]);
    case.refresh("app").await;
    case.put("many/b", &values[2]);
    case.refresh("app").await;
    case.until_secret("app", "has the member that joined", |s| {
        s.is_some_and(|s| s.data.as_ref().is_some_and(|d| d.len() == 2))
    })
    .await;

    case.ask_rollback("app", &format!("{earlier}/x")).await;
    case.failing("app", "RolledBack").await;
    let secret = case.secret("app").await;
    assert_eq!(revision(&secret), earlier);
    assert_holds(&secret, &[("a", &values[0])]);
}

async fn a_held_rollout_is_taken_back_without_aws(case: Case) {
    let scene = Scene::start(&case, Kind::StatefulSet, sequential("Hold")).await;
    let (bad, version) = scene.put_bad(Rule::not_ready);
    case.rolled_out("app", "False", "Held").await;
    case.fault("db", Fault::error(500, "InternalServiceError"));
    case.ask_rollback("app", &format!("{}/x", scene.revision))
        .await;
    let status = case.rolled_out("app", "False", "RolledBack").await;
    scene.as_before(&bad).await;
    let said = condition(&status, "RolledOut")["message"].to_string();
    assert!(said.contains("keyferry.dev/rollback asked for"), "{said}");
    case.mend("db");
    let status = scene.taken_back(&bad, &version).await;
    let said = condition(&status, "Synced")["message"].to_string();
    assert!(
        said.contains("keyferry.dev/rollback asked for it"),
        "{said}"
    );
    scene.next_good_goes_out().await;
    scene.always_ready_enough().await;
}

async fn what_cannot_be_taken_back_is_said_once_and_changes_nothing(case: Case) {
    let (one, two) = (case.plain(), case.plain());
    case.put("db", &one);
    case.bind_one("app", KEY, "db").await;
    case.synced("app").await;
    let earlier = revision(&case.secret("app").await);
    case.put("db", &two);
    case.refresh("app").await;
    let secret = case.secret("app").await;
    let serving = revision(&secret);
    let edited = json!({"spec": {"data": [
        {"key": KEY, "from": {"secret": case.entry("db")}},
        {"key": "MORE", "from": {"secret": case.entry("db")}},
    ]}});
    for (asked, said) in [
        ("Password!/1".to_owned(), "a revision, a slash and a word"),
        ("zzzzzz/1".to_owned(), earlier.as_str()),
        (format!("{serving}/1"), "already"),
    ] {
        case.refused("app", &asked, said).await;
        let now = case.secret("app").await;
        assert_eq!(now.metadata, secret.metadata, "{asked}");
    }
    case.patch_binding("app", edited).await;
    case.until_secret("app", "has another key", |s| holds(s, "MORE", &two))
        .await;
    case.synced("app").await;
    case.refused("app", &format!("{earlier}/2"), "was edited since")
        .await;
    assert_holds(&case.secret("app").await, &[(KEY, &two), ("MORE", &two)]);
    // Without the annotation nothing is said of it any more.
    case.ask("app", "keyferry.dev/rollback", Value::Null).await;
    let silent = |o: &Value| {
        !condition(o, "Synced")["message"]
            .to_string()
            .contains("rollback")
    };
    case.refresh("app").await;
    case.until("app", "says no more of it", silent).await;
}

impl Case {
    async fn ask_rollback(&self, name: &str, asked: &str) {
        self.ask(name, "keyferry.dev/rollback", json!(asked)).await;
    }

    async fn ask(&self, name: &str, annotation: &str, value: Value) {
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        let api: Api<DynamicObject> = self.dynamic("ExternalSecretBinding");
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        api.patch(name, &params, &patch).await.unwrap();
    }

    /// The request is answered, the binding is in sync all the same, and says why nothing was done.
    async fn refused(&self, name: &str, asked: &str, why: &str) {
        self.ask_rollback(name, asked).await;
        let said = |o: &Value| {
            let message = condition(o, "Synced")["message"].to_string();
            o["status"]["lastHandledRollback"] == json!(asked)
                && is(o, "Synced", "True", "Synced")
                && message.contains("was not done")
                && message.contains(why)
        };
        self.until(name, &format!("refused: {why}"), said).await;
        let told = || {
            let events = self.events(name);
            let mut fitting = events.into_iter().filter(|(kind, word, note)| {
                kind == "Warning" && word == "RollbackFailed" && note.contains(why)
            });
            fitting.next().map(|(_, _, note)| note)
        };
        let note = self
            .world
            .events
            .until(PATIENCE, told)
            .await
            .expect("an event");
        assert!(!note.contains("Password"), "{note}");
    }
}
