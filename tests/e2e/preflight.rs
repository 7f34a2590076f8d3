//! Preflight: a program tries each candidate before it is written, in Jobs of the real job controller.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, ResourceQuota},
};
use keyferry_testkit::node::{Outcome, Rule, Target, When};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, condition, data, holds, is, is_current},
    operators::Running,
    reasons::assert_says,
    rotating::{Kind, PODS, sequential},
    workload::Uses,
};

crate::tests![own:
    a_candidate_is_written_once_its_program_has_passed,
    a_refused_candidate_is_never_written_and_never_run_twice,
    workloads_that_mount_the_secret_never_see_what_their_program_refuses,
    a_program_that_does_not_end_in_time_refuses,
    an_image_that_is_missing_is_no_verdict,
    a_quota_is_no_verdict,
    a_killed_operator_goes_on_with_the_run_that_it_finds,
    a_verdict_that_came_while_the_operator_was_down_is_found,
    what_a_program_says_is_shown_unless_it_holds_a_value,
    a_newer_candidate_takes_the_place_of_the_one_that_is_tried,
    what_is_taken_back_in_the_middle_leaves_nothing,
    a_binding_that_goes_takes_its_run_along,
    an_install_that_does_not_allow_it_writes_nothing,
];

const ALLOWED: &[&str] = &["--allow-preflight"];

/// A binding of one entry `e` to one key `K`, with a program.
fn tried(case: &Case) -> Value {
    let mut spec = case.one("K", "e");
    spec["refreshInterval"] = json!("10s");
    spec["validate"] = json!({"preflight": {"image": "psql:1", "command": ["psql", "$(K)"]}});
    spec
}

fn program() -> Target {
    Target::Labels([("keyferry.dev/part-of".to_owned(), "app".to_owned())].into())
}

impl Case {
    /// Nothing but what keeps to the restricted Pod Security Standard runs here.
    async fn restricted(&self) {
        let label = "pod-security.kubernetes.io/enforce=restricted";
        let args = ["label", "namespace", &self.namespace, label];
        assert!(self.kubectl(&args, None).await.status.success());
    }

    /// The Job that runs holds no value and no right; the candidate's Secret is one that no other watches.
    async fn is_closed(&self, value: &str) {
        let jobs = self
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        let [job] = jobs.as_slice() else {
            panic!("{} Jobs", jobs.len());
        };
        let text = serde_json::to_string(job).unwrap();
        assert!(!text.contains(value), "the value is in the Job");
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        for pod in &pods {
            let spec = pod.spec.clone().unwrap();
            assert_eq!(spec.automount_service_account_token, Some(false));
            assert_eq!(spec.volumes.unwrap_or_default(), []);
        }
        assert_eq!(pods.len(), 1);
        let candidate = self.secret("app-keyferry-candidate").await;
        assert!(holds(Some(&candidate), "K", value));
        let labels: Vec<_> = candidate.labels().keys().collect();
        assert_eq!(labels, ["keyferry.dev/part-of"]);
        for owners in [job.owner_references(), candidate.owner_references()] {
            assert_eq!(owners[0].name, "app");
        }
    }

    /// The programs that started with that value.
    fn runs(&self, value: &str) -> usize {
        let starts = self.world.nodes.starts(&self.namespace);
        let ours = starts.iter().filter(|s| s.container == "preflight");
        let with = ours.filter(|s| s.environment.get("K") == Some(value));
        with.count()
    }

    fn program(&self, rules: impl IntoIterator<Item = Rule>) {
        let nodes = &self.world.nodes;
        nodes.set_rules(&self.namespace, program(), rules);
    }

    /// Jobs, their pods and candidates that are there.
    async fn left(&self) -> BTreeSet<String> {
        let all = ListParams::default();
        let ours = ListParams::default().labels("keyferry.dev/part-of");
        let jobs = self.api::<Job>().list(&all).await.unwrap().items;
        let pods = self.api::<Pod>().list(&ours).await.unwrap().items;
        let secrets = self.api::<k8s_openapi::api::core::v1::Secret>();
        let secrets = secrets.list(&ours).await.unwrap().items;
        let named = |kind: &str, name: String| format!("{kind} {name}");
        jobs.iter()
            .map(|job| named("Job", job.name_any()))
            .chain(pods.iter().map(|pod| named("Pod", pod.name_any())))
            .chain(secrets.iter().map(|s| named("Secret", s.name_any())))
            .collect()
    }

    /// Waits until nothing is left of any preflight.
    async fn nothing_left(&self) {
        let gone = self.poll(|| async { self.left().await.is_empty().then_some(()) });
        if gone.await.is_none() {
            panic!("left in {}: {:?}", self.namespace, self.left().await);
        }
    }

    /// Waits until the preflight's record has that outcome; returns the status.
    async fn tried_to(&self, outcome: &str) -> Value {
        let fits = |object: &Value| object["status"]["preflight"]["outcome"] == json!(outcome);
        let what = format!("preflight {outcome}");
        self.until("app", &what, fits).await["status"].clone()
    }

    /// An operator that allows preflight, and a binding whose first value has passed.
    async fn passed(&self, spec: Value) -> (Running, String) {
        let operator = self.operator(ALLOWED).await;
        let good = self.value();
        self.put("e", &good);
        self.binding("app", spec).await;
        self.synced("app").await;
        (operator, good)
    }

    async fn still_holds(&self, value: &str) {
        let secret = self.secret("app").await;
        assert!(holds(Some(&secret), "K", value), "the last good bytes");
    }

    async fn end(&self, operator: Running) {
        self.nothing_left().await;
        operator.terminate(&self.world.channels).await;
    }
}

async fn a_candidate_is_written_once_its_program_has_passed(case: Case) {
    case.restricted().await;
    let (operator, good) = case.passed(tried(&case)).await;
    case.still_holds(&good).await;
    assert_eq!(case.runs(&good), 1, "also before the first write");
    let next = case.value();
    case.put("e", &next);
    case.until_secret("app", "is written", |s| holds(s, "K", &next))
        .await;
    let status = case.synced("app").await;
    let record = &status["preflight"];
    assert_eq!(
        (&record["outcome"], &record["exitCode"]),
        (&json!("Passed"), &json!(0))
    );
    assert_eq!(record["candidate"], status["secret"]["revision"]);
    case.refresh("app").await;
    assert_eq!(
        (case.runs(&good), case.runs(&next)),
        (1, 1),
        "bytes that are there are not tried"
    );
    // Only ever this order: the program, then the Secret.
    let seen = case.statuses("app");
    let running = |s: &Value| is(&json!({"status": s}), "Synced", "False", "Progressing");
    assert!(seen.iter().any(running), "what is under way is told");
    let warnings = case.events("app");
    assert!(
        warnings.iter().all(|(kind, ..)| kind == "Normal"),
        "{warnings:?}"
    );
    case.end(operator).await;
}

async fn a_refused_candidate_is_never_written_and_never_run_twice(case: Case) {
    let bad = case.value();
    let refuses = || Rule::crash(When::equals("K", &bad), 3);
    case.program([refuses()]);
    let operator = case.operator(ALLOWED).await;
    case.put("e", &bad);
    let mut spec = tried(&case);
    case.binding("app", spec.clone()).await;
    let status = case.failing("app", "PreflightFailed").await;
    let ready = condition(&status, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("PreflightFailed"))
    );
    assert!(
        case.find_secret("app").await.is_none(),
        "a bad first value is not written"
    );
    let good = case.value();
    case.put("e", &good);
    case.synced("app").await;
    let version = case.secret("app").await.resource_version();

    case.put("e", &bad);
    let status = case.failing("app", "PreflightFailed").await;
    let ready = condition(&status, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("CandidateRejected"))
    );
    let says = [
        "exit code 3 (Error)",
        "Nothing was written.",
        "keyferry.dev/refresh",
        "Last good value kept.",
    ];
    assert_says(&case, &condition(&status, "Synced"), &says);
    assert_eq!(status["preflight"]["exitCode"], 3);
    assert_eq!(
        status["preflight"].get("message"),
        None,
        "only with showMessage"
    );
    assert_eq!(
        case.runs(&bad),
        2,
        "once before the good value, once after it"
    );

    // Another generation that changes nothing about candidate and program; then the program; then a refresh.
    spec["staleAfter"] = json!("2h");
    case.binding("app", spec.clone()).await;
    case.failing("app", "PreflightFailed").await;
    assert_eq!(case.runs(&bad), 2);
    spec["validate"]["preflight"]["args"] = json!(["-1"]);
    case.binding("app", spec).await;
    case.failing("app", "PreflightFailed").await;
    assert_eq!(case.runs(&bad), 3, "another program tries it");
    case.refresh("app").await;
    case.failing("app", "PreflightFailed").await;
    assert_eq!(case.runs(&bad), 4, "a refresh tries it again, once");
    assert_eq!(case.secret("app").await.resource_version(), version);
    case.still_holds(&good).await;
    case.end(operator).await;
}

/// Files of a mounted Secret change in running pods: there is no canary, and nothing could be taken back.
async fn workloads_that_mount_the_secret_never_see_what_their_program_refuses(case: Case) {
    let (bad, next) = (case.plain(), case.plain());
    case.program([Rule::crash(When::equals("K", &bad), 1)]);
    let mut spec = tried(&case);
    spec["rollout"] = sequential("Rollback");
    let (operator, good) = case.passed(spec).await;
    let kinds = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];
    let name = |kind: Kind| format!("by-{}", kind.word().to_lowercase());
    let mut before = Vec::new();
    for kind in kinds {
        case.apply(kind.manifest(&name(kind), PODS, &[Uses::Volume("app")]))
            .await;
    }
    for kind in kinds {
        let stand = case.stands(kind, &name(kind)).await;
        before.push((kind, stand, case.ready(&name(kind)).await));
    }
    let known = |o: &Value| o["status"]["rollouts"].as_array().map(Vec::len) == Some(3);
    case.until("app", "knows all three", known).await;
    let secrets = case.record_secrets();
    case.put("e", &bad);
    let status = case.failing("app", "PreflightFailed").await;
    assert!(is(&status, "RolledOut", "True", "Synced"), "{status:#}");
    for (kind, stand, _) in &before {
        assert_eq!(case.stands(*kind, &name(*kind)).await, *stand);
    }
    let version = case.put("e", &next);
    case.rolled_out_at("app", &version).await;
    for (kind, stand, ready) in before {
        let now = case.stands(kind, &name(kind)).await;
        assert_eq!(now.generation, stand.generation + 1, "one restart");
        let (least, steps) = (ready.minimum().await.unwrap(), ready.steps());
        assert!(
            least >= kind.least_ready(PODS),
            "{}: {steps:?}",
            kind.word()
        );
    }
    let steps = case.steps(&secrets, "app", "K", &[&good, &bad, &next]);
    assert_eq!(steps, [Some(0), Some(2)], "what was there to be mounted");
    case.end(operator).await;
}

async fn a_program_that_does_not_end_in_time_refuses(case: Case) {
    let mut spec = tried(&case);
    spec["validate"]["preflight"]["timeout"] = json!("10s");
    let (operator, good) = case.passed(spec).await;
    let hangs = case.plain();
    case.program([Rule::new(When::equals("K", &hangs), Outcome::Ready)]);
    case.put("e", &hangs);
    let status = case.tried_to("Running").await;
    let says = ["runs: Job {ns}/app-preflight-", "at most 10s"];
    assert_says(&case, &condition(&status, "Synced"), &says);
    case.is_closed(&hangs).await;
    case.still_holds(&good).await;
    let status = case.failing("app", "PreflightFailed").await;
    assert_says(&case, &condition(&status, "Synced"), &["no end within 10s"]);
    assert_eq!(status["preflight"]["reason"], "DeadlineExceeded");
    case.still_holds(&good).await;
    assert_eq!(case.runs(&hangs), 1);
    case.end(operator).await;
}

async fn an_image_that_is_missing_is_no_verdict(case: Case) {
    let (operator, good) = case.passed(tried(&case)).await;
    let next = case.value();
    case.program([Rule::new(When::Always, Outcome::NoImage)]);
    case.put("e", &next);
    let status = case.failing("app", "PreflightUnavailable").await;
    let ready = condition(&status, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("PreflightUnavailable"))
    );
    let says = ["ErrImagePull", "psql:1", "no verdict", "Next try in"];
    assert_says(&case, &condition(&status, "Synced"), &says);
    case.still_holds(&good).await;
    case.program([]);
    case.until_secret("app", "is written", |s| holds(s, "K", &next))
        .await;
    case.synced("app").await;
    assert_eq!(case.runs(&next), 1);
    case.end(operator).await;
}

/// Of Jobs, which the API server refuses, and of pods, which the job controller waits for in silence.
async fn a_quota_is_no_verdict(case: Case) {
    let (operator, mut good) = case.passed(tried(&case)).await;
    case.nothing_left().await;
    for (limited, says) in [("count/jobs.batch", "exceeded quota"), ("pods", "NoPod")] {
        case.quota(limited).await;
        let next = case.value();
        case.put("e", &next);
        let status = case.failing("app", "PreflightUnavailable").await;
        assert_says(&case, &condition(&status, "Synced"), &[says, "no verdict"]);
        case.still_holds(&good).await;
        assert_eq!(case.runs(&next), 0);
        let quotas = case.api::<ResourceQuota>();
        quotas
            .delete("none", &DeleteParams::default())
            .await
            .unwrap();
        case.until_secret("app", "is written", |s| holds(s, "K", &next))
            .await;
        case.synced("app").await;
        case.nothing_left().await;
        good = next;
    }
    case.end(operator).await;
}

impl Case {
    /// A quota of nothing, in force.
    async fn quota(&self, limited: &str) {
        let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {limited: "0"}}});
        let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
        let quotas = self.api::<ResourceQuota>();
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        let counted = self.poll(|| async {
            let status = quotas.get("none").await.unwrap().status?;
            status
                .used
                .filter(|used| used.contains_key(limited))
                .map(drop)
        });
        assert!(counted.await.is_some(), "the quota is not counted");
    }
}

async fn a_killed_operator_goes_on_with_the_run_that_it_finds(case: Case) {
    let (first, good) = case.passed(tried(&case)).await;
    let next = case.value();
    case.program([Rule::new(When::equals("K", &next), Outcome::Ready)]);
    case.put("e", &next);
    case.tried_to("Running").await;
    first.crash(&case.world.channels).await;
    case.still_holds(&good).await;
    let second = case.operator(ALLOWED).await;
    // It is still running: the operator waits for its end.
    case.program([]);
    case.until_secret("app", "is written", |s| holds(s, "K", &next))
        .await;
    case.synced("app").await;
    assert_eq!(case.runs(&next), 1, "one run for one candidate");
    case.end(second).await;
}

async fn a_verdict_that_came_while_the_operator_was_down_is_found(case: Case) {
    let (first, good) = case.passed(tried(&case)).await;
    let bad = case.value();
    case.program([Rule::new(When::equals("K", &bad), Outcome::Ready)]);
    case.put("e", &bad);
    case.tried_to("Running").await;
    first.crash(&case.world.channels).await;
    case.program([Rule::crash(When::equals("K", &bad), 4)]);
    let jobs = case.api::<Job>();
    let failed = case.poll(|| async {
        let jobs = jobs.list(&ListParams::default()).await.unwrap().items;
        let status = jobs.into_iter().next()?.status?;
        status.failed.filter(|failed| *failed == 1)
    });
    assert!(failed.await.is_some(), "the program has ended");
    let second = case.operator(ALLOWED).await;
    let status = case.failing("app", "PreflightFailed").await;
    assert_eq!(status["preflight"]["exitCode"], 4);
    assert_eq!(case.runs(&bad), 1);
    case.still_holds(&good).await;
    case.end(second).await;
}

async fn what_a_program_says_is_shown_unless_it_holds_a_value(case: Case) {
    let mut spec = tried(&case);
    spec["validate"]["preflight"]["showMessage"] = json!(true);
    let (operator, good) = case.passed(spec).await;
    for (says, shown) in [
        ("FATAL: no\n  such user", "FATAL: no such user"),
        (
            "wrong password $(K)!",
            "(not shown: it holds a value of the candidate)",
        ),
    ] {
        let bad = case.value();
        case.program([Rule::crash(When::equals("K", &bad), 2).saying(says)]);
        let version = case.put("e", &bad);
        let told = |object: &Value| {
            is_current(object)
                && is(object, "Synced", "False", "PreflightFailed")
                && object["status"]["preflight"]["message"] == json!(shown)
        };
        case.until("app", &format!("says {shown} of {version}"), told)
            .await;
        assert_eq!(case.runs(&bad), 1);
    }
    case.still_holds(&good).await;
    case.end(operator).await;
}

/// By a refresh, and by the sweep.
async fn a_newer_candidate_takes_the_place_of_the_one_that_is_tried(case: Case) {
    let (operator, _) = case.passed(tried(&case)).await;
    let (one, two, next) = (case.value(), case.value(), case.value());
    let hangs = |value: &str| Rule::new(When::equals("K", value), Outcome::Ready);
    case.program([hangs(&one), hangs(&two)]);
    case.put("e", &one);
    let tried = case.tried_to("Running").await["preflight"]["candidate"].clone();
    case.put("e", &two);
    case.ask_refresh("app", "newer").await;
    let other = |object: &Value| {
        let record = &object["status"]["preflight"];
        record["candidate"] != tried && record["outcome"] == "Running"
    };
    case.until("app", "tries the newer one", other).await;
    case.put("e", &next);
    case.until_secret("app", "is written", |s| holds(s, "K", &next))
        .await;
    let status = case.synced("app").await;
    assert_eq!(status["lastHandledRefresh"], "newer");
    assert_eq!([&one, &two, &next].map(|value| case.runs(value)), [1, 1, 1]);
    case.end(operator).await;
}

async fn what_is_taken_back_in_the_middle_leaves_nothing(case: Case) {
    let (operator, good) = case.passed(tried(&case)).await;
    let hangs = case.value();
    case.program([Rule::new(When::equals("K", &hangs), Outcome::Ready)]);
    case.put("e", &hangs);
    case.tried_to("Running").await;
    // The binding is suspended.
    let mut spec = tried(&case);
    spec["suspend"] = json!(true);
    case.binding("app", spec).await;
    case.nothing_left().await;
    case.still_holds(&good).await;
    // It goes on, and its target gets another name.
    let mut spec = tried(&case);
    case.binding("app", spec.clone()).await;
    case.tried_to("Running").await;
    spec["target"] = json!({"name": "other"});
    case.binding("app", spec.clone()).await;
    let renamed = case.poll(|| async {
        let left = case.left().await;
        let candidates: Vec<_> = left.iter().filter(|l| l.starts_with("Secret")).collect();
        (candidates == ["Secret other-keyferry-candidate"]).then_some(())
    });
    assert!(renamed.await.is_some(), "{:?}", case.left().await);
    // The program is taken out.
    spec["validate"] = json!({});
    case.binding("app", spec).await;
    let status = case.synced("app").await;
    assert_eq!(status.get("preflight"), None);
    let secret = case.secret("other").await;
    assert!(data(&secret)["K"] == hangs.as_bytes());
    case.end(operator).await;
}

async fn a_binding_that_goes_takes_its_run_along(case: Case) {
    let (operator, _) = case.passed(tried(&case)).await;
    let hangs = case.value();
    case.program([Rule::new(When::equals("K", &hangs), Outcome::Ready)]);
    case.put("e", &hangs);
    case.tried_to("Running").await;
    case.delete_binding("app").await;
    case.end(operator).await;
}

async fn an_install_that_does_not_allow_it_writes_nothing(case: Case) {
    let operator = case.operator(&[]).await;
    case.put("e", &case.value());
    case.binding("app", tried(&case)).await;
    let status = case.failing("app", "PreflightUnavailable").await;
    assert_says(&case, &condition(&status, "Synced"), &["--allow-preflight"]);
    assert!(case.find_secret("app").await.is_none());
    case.end(operator).await;
}
