#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn start() -> ContainerStart {
    let variables = [("PASSWORD".to_owned(), "good".to_owned())].into();
    ContainerStart {
        namespace: "estate".into(),
        pod: "ai-1".into(),
        pod_uid: "u".into(),
        labels: [("app".to_owned(), "ai".to_owned())].into(),
        workload: Some(("Deployment".into(), "ai".into())),
        nth: 2,
        arrival: 5,
        container: "app".into(),
        init: false,
        endless: true,
        restarts: 0,
        environment: Environment::new(variables),
        started_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn rules_apply_by_namespace_target_container_and_condition() {
    let ai = || Target::deployment("ai");
    let labels = |value: &str| Target::Labels([("app".into(), value.into())].into());
    let unready = |when| Rule::not_ready(when);
    let cases = [
        ("estate", ai(), unready(When::Always), true),
        ("other", ai(), unready(When::Always), false),
        (
            "estate",
            Target::deployment("etl"),
            unready(When::Always),
            false,
        ),
        (
            "estate",
            Target::workload("Job", "ai"),
            unready(When::Always),
            false,
        ),
        ("estate", labels("ai"), unready(When::Always), true),
        ("estate", labels("etl"), unready(When::Always), false),
        (
            "estate",
            Target::Pod("ai-1".into()),
            unready(When::Always),
            true,
        ),
        ("estate", ai(), unready(When::Always).container("app"), true),
        (
            "estate",
            ai(),
            unready(When::Always).container("init"),
            false,
        ),
        (
            "estate",
            ai(),
            unready(When::equals("PASSWORD", "good")),
            true,
        ),
        (
            "estate",
            ai(),
            unready(When::equals("PASSWORD", "bad")),
            false,
        ),
        (
            "estate",
            ai(),
            unready(When::differs("PASSWORD", "good")),
            false,
        ),
        (
            "estate",
            ai(),
            unready(When::differs("PASSWORD", "bad")),
            true,
        ),
        ("estate", ai(), unready(When::equals("NONE", "")), false),
        ("estate", ai(), unready(When::differs("NONE", "")), true),
        ("estate", ai(), unready(When::NewPod(2)), true),
        ("estate", ai(), unready(When::NewPod(3)), false),
    ];
    for (index, (namespace, target, rule, applies)) in cases.into_iter().enumerate() {
        let mut book = RuleBook::default();
        book.set(namespace, target.clone(), vec![rule], 4);
        let outcome = book.outcome(&start());
        assert_eq!(outcome.is_some(), applies, "case {index}");
        book.set(namespace, target, vec![], 4);
        assert_eq!(book.outcome(&start()), None, "case {index} cleared");
    }
}

#[test]
fn a_rule_about_new_pods_spares_those_that_were_there_before_it() {
    let mut book = RuleBook::default();
    let rule = Rule::not_ready(When::NewPod(1));
    book.set("estate", Target::deployment("ai"), vec![rule], 5);
    assert_eq!(book.outcome(&start()), None);
}

#[test]
fn init_containers_obey_only_rules_that_name_them() {
    let mut init = start();
    init.init = true;
    let mut book = RuleBook::default();
    let target = || Target::deployment("ai");
    book.set("estate", target(), vec![Rule::crash(When::Always, 1)], 0);
    assert_eq!(book.outcome(&init), None);
    let named = Rule::crash(When::Always, 1).container("app");
    book.set("estate", target(), vec![named], 0);
    assert_eq!(book.outcome(&init), Some(Outcome::exit(1)));
}

#[test]
fn values_do_not_show_in_debug_output() {
    let shown = format!("{:?}", start());
    assert!(
        shown.contains("PASSWORD") && !shown.contains("good"),
        "{shown}"
    );
}
