#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::{super::testing::*, *};

fn recipe(targets: Vec<WorkloadSelection>) -> RolloutRecipe {
    RolloutRecipe {
        targets,
        timeout: Duration::from_secs(600),
        order: Default::default(),
        on_failure: Default::default(),
        min_interval: Duration::ZERO,
        windows: vec![],
    }
}

fn names(found: &[Consumer<'_>]) -> Vec<String> {
    found
        .iter()
        .map(|c| format!("{}/{}", c.key().0, c.key().1))
        .collect()
}

#[test]
fn without_targets_those_that_use_the_secret_by_kind_then_name() {
    let mut stranger = workload(Kind::Deployment, "a-stranger");
    stranger.secrets = ["other".to_owned()].into();
    let all = [
        workload(Kind::StatefulSet, "db"),
        workload(Kind::Deployment, "web"),
        workload(Kind::Deployment, "ai"),
        workload(Kind::DaemonSet, "log"),
        stranger,
    ];
    let recipe = recipe(vec![]);
    let found = select(&recipe, "ai", &all).unwrap();
    assert_eq!(
        names(&found),
        [
            "DaemonSet/log",
            "Deployment/ai",
            "Deployment/web",
            "StatefulSet/db"
        ]
    );
    assert!(found.iter().all(|c| matches!(c, Consumer::Rolled(_))));
}

#[test]
fn cron_jobs_and_jobs_take_the_value_at_their_next_run_and_only_in_discovery() {
    let mut of_cron = workload(Kind::Job, "etl-1");
    of_cron.controlled = true;
    let mut ended = workload(Kind::Job, "migrate-old");
    ended.finished = true;
    let all = [
        workload(Kind::CronJob, "etl"),
        workload(Kind::Job, "migrate"),
        of_cron,
        ended,
    ];
    let discovery = recipe(vec![]);
    let found = select(&discovery, "ai", &all).unwrap();
    assert_eq!(names(&found), ["CronJob/etl", "Job/migrate"]);
    assert!(found.iter().all(|c| matches!(c, Consumer::NextRun(_))));

    let named = recipe(vec![WorkloadSelection::Labelled(
        WorkloadKind::Deployment,
        BTreeMap::new(),
    )]);
    assert!(select(&named, "ai", &all).unwrap().is_empty());
}

#[test]
fn targets_by_name_and_selector_in_their_order_each_once() {
    let mut web = workload(Kind::Deployment, "web");
    web.labels = [("tier".to_owned(), "api".to_owned())].into();
    // Named targets need not use the Secret.
    web.secrets.clear();
    let mut api = web.clone();
    api.name = "api".into();
    let all = [
        web,
        api,
        workload(Kind::Deployment, "ai"),
        workload(Kind::StatefulSet, "web"),
    ];
    let labels = BTreeMap::from([("tier".to_owned(), "api".to_owned())]);
    let recipe = recipe(vec![
        WorkloadSelection::Named(WorkloadKind::Deployment, "web".into()),
        WorkloadSelection::Labelled(WorkloadKind::Deployment, labels),
        WorkloadSelection::Named(WorkloadKind::StatefulSet, "web".into()),
    ]);
    let found = select(&recipe, "ai", &all).unwrap();
    assert_eq!(
        names(&found),
        ["Deployment/web", "Deployment/api", "StatefulSet/web"]
    );
}

#[test]
fn a_named_target_that_does_not_exist_is_told() {
    let recipe = recipe(vec![WorkloadSelection::Named(
        WorkloadKind::StatefulSet,
        "db".into(),
    )]);
    let found = select(&recipe, "ai", &[]).unwrap();
    assert_eq!(found, [Consumer::Missing(Kind::StatefulSet, "db")]);
}

#[test]
fn an_opted_out_workload_stays_in_the_list_to_be_skipped() {
    let mut ignored = deployment();
    ignored.opted_out = true;
    let all = [ignored];
    let recipe = recipe(vec![]);
    let found = select(&recipe, "ai", &all).unwrap();
    assert_eq!(names(&found), ["Deployment/ai"]);
}

#[test]
fn more_than_500_are_too_many() {
    let mut all: Vec<_> = (0..500)
        .map(|i| workload(Kind::Deployment, &format!("w{i}")))
        .collect();
    let recipe = recipe(vec![]);
    assert_eq!(select(&recipe, "ai", &all).unwrap().len(), 500);
    all.push(workload(Kind::CronJob, "one-more"));
    let too_many = select(&recipe, "ai", &all).unwrap_err();
    assert_eq!(too_many.count, 501);
    let finding = too_many.finding("ai");
    assert_eq!(finding.reason, Reason::TooManyTargets);
    assert!(finding.fact.contains("501 workloads use Secret \"ai\""));
    assert!(!finding.cure.is_empty());
}
