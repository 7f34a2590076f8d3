//! Every reason: when it shows, what it says, that the last good Secret stays, and that it clears.

use std::pin::Pin;

use k8s_openapi::api::core::v1::Secret;
use keyferry::api::Reason;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    case::{Case, PATIENCE, Test, condition, data, is, is_current},
    reasons_cases,
};

type Done = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a walk does with its namespace.
pub type Act = Box<dyn Fn(Case) -> Done + Send + Sync>;

/// An act that waits for nothing.
pub fn act(what: impl Fn(&Case) + Send + Sync + 'static) -> Act {
    Box::new(move |case| {
        what(&case);
        Box::pin(std::future::ready(()))
    })
}

/// An act that talks to the API server.
pub fn later<F: Future<Output = ()> + Send + 'static>(
    what: impl Fn(Case) -> F + Send + Sync + 'static,
) -> Act {
    Box::new(move |case| Box::pin(what(case)))
}

/// One reason, from good over bad to good again. The binding is called `app`.
pub struct Walk {
    /// Makes entries and whatever else the binding needs.
    pub good: Act,
    /// The binding's spec.
    pub spec: fn(&Case) -> Value,
    /// Makes it fail.
    pub broken: Act,
    /// Cures it; nothing else is done then.
    pub cured: Act,
    /// Words of the message: what, on which object, why and the cure. `{ns}` is the namespace.
    pub says: &'static [&'static str],
}

/// Where a reason is tested.
pub enum Tested {
    /// Here, by a walk.
    Walk(Walk),
    /// In a test of that name, which looks at the message too.
    By(&'static str),
    /// Not reachable before that issue is done, which removes this line.
    Issue(u8),
}

pub fn tests() -> Vec<Test> {
    let complete = |_| async { every_reason_has_a_case_or_an_issue() };
    let mut tests = vec![Test::new(
        module_path!(),
        "every_reason_has_a_case_or_an_issue",
        complete,
    )];
    for reason in Reason::ALL {
        if matches!(reasons_cases::tested(*reason), Tested::Walk(_)) {
            let name = format!("{reason}_tells_keeps_the_last_good_secret_and_clears_once_cured");
            tests.push(Test::new(module_path!(), &name, |case| walk(case, *reason)));
        }
    }
    tests
}

fn every_reason_has_a_case_or_an_issue() {
    let known: Vec<String> = crate::phases(1)
        .into_iter()
        .flat_map(|phase| phase.tests)
        .map(|test| test.name)
        .collect();
    for reason in Reason::ALL {
        match reasons_cases::tested(*reason) {
            Tested::Walk(walk) => assert!(walk.says.len() >= 2, "{reason}: message and cure"),
            Tested::By(name) => {
                assert!(known.iter().any(|n| n == name), "{reason}: no test {name}")
            }
            Tested::Issue(number) => assert!((4..=6).contains(&number), "{reason}: issue {number}"),
        }
    }
}

async fn walk(case: Case, reason: Reason) {
    let Tested::Walk(walk) = reasons_cases::tested(reason) else {
        unreachable!("only walks are listed as tests");
    };
    (walk.good)(case.clone()).await;
    let mut spec = (walk.spec)(&case);
    spec["refreshInterval"] = json!("10s");
    case.binding("app", spec).await;
    let status = case.synced("app").await;
    let name = status["secret"]["name"].as_str().unwrap().to_owned();
    let good = case.secret(&name).await;
    (walk.broken)(case.clone()).await;
    let status = case.failing("app", reason.as_str()).await;
    assert_says(&case, &condition(&status, "Synced"), walk.says);
    let ready = condition(&status, "Ready");
    assert_eq!(
        ready["status"], "True",
        "the last good value serves on: {ready}"
    );
    let message = condition(&status, "Synced")["message"].to_string();
    assert!(message.contains("Last good value kept."), "{message}");
    case.assert_kept(&good).await;
    case.assert_told(reason).await;
    (walk.cured)(case.clone()).await;
    case.cleared().await;
}

/// What every reason promises about the binding `app`.
impl Case {
    /// Fails unless the Secret is the object it was, with the bytes it had.
    pub async fn assert_kept(&self, good: &Secret) {
        let kept = self.secret(&good.name_any()).await;
        assert!(
            kept.uid() == good.uid() && data(&kept) == data(good),
            "the last good Secret stays"
        );
    }

    /// Waits for a warning with that word.
    pub async fn assert_told(&self, reason: Reason) {
        let told = || {
            self.events("app")
                .iter()
                .any(|(kind, word, _)| kind == "Warning" && word == reason.as_str())
                .then_some(())
        };
        let told = self.world.events.until(PATIENCE, told).await;
        assert!(told.is_ok(), "an event tells: {:?}", self.events("app"));
    }

    /// Waits until all is well again; asks for nothing. Returns the status.
    pub async fn cleared(&self) -> Value {
        let fine = |o: &Value| {
            is_current(o) && is(o, "Synced", "True", "Synced") && is(o, "Ready", "True", "Synced")
        };
        let object = self.until("app", "clears by itself once cured", fine).await;
        assert!(object["status"]["failingSince"].is_null());
        object["status"].clone()
    }
}

/// Fails when a message lacks one of the words.
pub fn assert_says(case: &Case, condition: &Value, words: &[&str]) {
    let message = condition["message"].as_str().unwrap_or_default();
    for word in words {
        let word = word.replace("{ns}", &case.namespace);
        assert!(
            message.contains(&word),
            "the message lacks `{word}`: {message}"
        );
    }
}
