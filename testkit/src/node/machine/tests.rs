#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::node::rules::Environment;
use serde_json::json;

const BACK_OFF: BackOff = BackOff {
    first: Duration::from_secs(10),
    most: Duration::from_secs(60),
};

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
}

struct Bench {
    machine: Machine,
    now: Now,
}

impl Bench {
    fn new(spec: serde_json::Value) -> Self {
        let now = Now {
            instant: Instant::now(),
            timestamp: Timestamp::UNIX_EPOCH,
        };
        Self {
            machine: Machine::new(&pod(spec), BACK_OFF, now.instant),
            now,
        }
    }

    /// Starts all that may start and returns their names.
    fn start(&mut self, outcome: impl Fn(&str) -> Outcome) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(index) = self.machine.next_start(self.now.instant) {
            let name = self.machine.containers[index].spec.name.clone();
            let start = ContainerStart {
                namespace: "n".into(),
                pod: "p".into(),
                pod_uid: "u".into(),
                labels: BTreeMap::new(),
                workload: None,
                nth: 1,
                arrival: 1,
                container: name.clone(),
                init: false,
                endless: false,
                restarts: self.machine.containers[index].starts,
                environment: Environment::default(),
                started_at: self.now.timestamp,
            };
            let outcome = outcome(&name);
            self.machine
                .started(index, start, outcome, self.now.instant);
            names.push(name);
        }
        names
    }

    /// Lets time pass until the machine wants to be looked at.
    fn pass(&mut self, outcome: Outcome) -> Duration {
        let at = self.machine.deadline().unwrap();
        let waited = at.saturating_duration_since(self.now.instant);
        self.now.instant = at;
        self.machine.advance(self.now, |_| outcome);
        waited
    }
}

#[test]
fn init_containers_run_one_after_the_other_and_before_all_others() {
    let mut bench = Bench::new(json!({
        "initContainers": [{"name": "one"}, {"name": "two"}],
        "containers": [{"name": "a"}, {"name": "b"}],
    }));
    let exit = |_: &str| Outcome::exit(0);
    assert_eq!(bench.start(exit), ["one"]);
    assert_eq!(bench.machine.phase(), Phase::Pending);
    bench.pass(Outcome::exit(0));
    assert_eq!(bench.start(exit), ["two"]);
    bench.pass(Outcome::exit(0));
    assert!(bench.machine.initialized());
    assert_eq!(bench.start(|_| Outcome::Ready), ["a", "b"]);
    assert!(bench.machine.ready());
    assert_eq!(bench.machine.phase(), Phase::Running);
    assert!(bench.machine.deadline().is_none());
}

#[test]
fn a_sidecar_does_not_hold_back_the_containers_after_it() {
    let mut bench = Bench::new(json!({
        "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "two"}],
        "containers": [{"name": "a"}],
    }));
    assert_eq!(bench.start(|_| Outcome::Ready), ["proxy", "two"]);
}

#[test]
fn a_failing_init_container_restarts_alone() {
    let mut bench = Bench::new(json!({
        "initContainers": [{"name": "one"}], "containers": [{"name": "a"}],
    }));
    for _ in 0..3 {
        assert_eq!(bench.start(|_| Outcome::exit(1)), ["one"]);
        bench.pass(Outcome::exit(1));
        assert!(bench.start(|_| Outcome::exit(1)).is_empty());
        bench.pass(Outcome::exit(1));
    }
    assert_eq!(bench.machine.phase(), Phase::Pending);
}

#[test]
fn a_crash_loop_backs_off_twice_as_long_each_time_up_to_the_limit() {
    let mut bench = Bench::new(json!({"containers": [{"name": "a"}]}));
    let crash = Outcome::exit(3);
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_eq!(bench.start(|_| crash), ["a"]);
        bench.pass(crash);
        waits.push(bench.pass(crash).as_secs());
    }
    assert_eq!(waits, [0, 10, 20, 40, 60, 60]);
    let container = &bench.machine.containers[0];
    assert_eq!(container.restarts(), 5);
    assert_eq!(container.last.as_ref().unwrap().code, 3);
    assert!(matches!(
        container.state,
        State::Waiting {
            reason: "CrashLoopBackOff",
            ..
        }
    ));
    assert!(!bench.machine.ready());
}

#[test]
fn restart_policies_decide_what_an_exit_code_means() {
    let cases = [
        ("Never", 0, Some(Phase::Succeeded)),
        ("Never", 1, Some(Phase::Failed)),
        ("OnFailure", 0, Some(Phase::Succeeded)),
        ("OnFailure", 1, None),
        ("Always", 0, None),
    ];
    for (policy, code, end) in cases {
        let mut bench = Bench::new(json!({"restartPolicy": policy, "containers": [{"name": "a"}]}));
        bench.start(|_| Outcome::exit(code));
        bench.pass(Outcome::exit(code));
        assert_eq!(
            bench.machine.phase(),
            end.unwrap_or(Phase::Running),
            "{policy} {code}"
        );
        assert_eq!(
            bench.machine.deadline().is_none(),
            end.is_some(),
            "{policy} {code}"
        );
    }
}

#[test]
fn a_rule_set_later_changes_what_runs_and_one_taken_back_too() {
    let mut bench = Bench::new(json!({"containers": [{"name": "a"}]}));
    bench.start(|_| Outcome::Ready);
    for (outcome, ready) in [(Outcome::NotReady, false), (Outcome::Ready, true)] {
        bench.machine.advance(bench.now, |_| outcome);
        assert_eq!(bench.machine.ready(), ready);
    }
    assert_eq!(bench.machine.containers[0].starts, 1);
}

#[test]
fn deletion_ends_everything_for_good() {
    let mut bench = Bench::new(json!({"containers": [{"name": "a"}]}));
    bench.start(|_| Outcome::Ready);
    bench.machine.end_all(bench.now);
    assert_eq!(bench.machine.phase(), Phase::Failed);
    assert!(bench.machine.deadline().is_none());
    assert!(bench.start(|_| Outcome::Ready).is_empty());
}
