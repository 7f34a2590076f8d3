//! Why the pods of a rollout do not become healthy: what they said, and whether the value can be the cause.
//!
//! Only waiting reasons, exit codes and counts are kept: never what a program wrote.

use super::{intent::PodInfo, workload::Workload};

/// A container of a pod in the middle of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// Why it is not running, as kubelet says it; empty: it is, or has ended.
    pub waiting: String,
    /// How it ended last, if it did.
    pub exit_code: Option<i32>,
    /// How often it was started again.
    pub restarts: i32,
    /// It runs now.
    pub running: bool,
    /// It is ready; of an init container: it has completed.
    pub ready: bool,
}

/// What is known of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Pods started with the value and failed. False: the value was not even tried, or all who tried it are well.
    pub by_value: bool,
    /// What the pods said, for people.
    pub said: String,
}

/// Reads what the pods of the workload's template say.
pub fn failing(pods: &[PodInfo], workload: &Workload) -> Failing {
    let new: Vec<&PodInfo> = pods
        .iter()
        .filter(|pod| pod.markers == workload.markers && !pod.leaving)
        .collect();
    let elsewhere = |said: String| Failing {
        by_value: false,
        said,
    };
    let quota = &workload.numbers.used_up;
    let quota = (!quota.is_empty())
        .then(|| format!("no new pod could be made: quota \"{quota}\" is used up"));
    if new.is_empty() {
        let unknown = || "no new pod could be made: a quota or an admission rule".to_owned();
        return elsewhere(quota.unwrap_or_else(unknown));
    }
    let mut containers = new.iter().flat_map(|pod| &pod.containers);
    if let Some(container) = containers.find(|c| c.blames_value()) {
        return Failing {
            by_value: true,
            said: container.in_words(),
        };
    }
    if let Some(pod) = new.iter().find(|pod| !pod.unscheduled.is_empty()) {
        return elsewhere(format!("no node takes a new pod ({})", pod.unscheduled));
    }
    let stuck = new.iter().flat_map(|pod| &pod.containers);
    match stuck.into_iter().find(|c| !c.ready) {
        Some(container) => elsewhere(container.in_words()),
        None => elsewhere(
            quota.unwrap_or_else(|| "the new pods are ready; others are not replaced".to_owned()),
        ),
    }
}

impl ContainerReport {
    /// The program had the value, and ended or is not ready; or the value lacks what the pod asks for.
    fn blames_value(&self) -> bool {
        if self.ready {
            return false;
        }
        match self.waiting.as_str() {
            "" => self.running || self.exit_code.is_some_and(|code| code != 0),
            "CrashLoopBackOff" | "CreateContainerConfigError" => true,
            // Between two starts, or the image cannot be had.
            _ => self.exit_code.is_some_and(|code| code != 0),
        }
    }

    fn in_words(&self) -> String {
        let state = match (self.waiting.as_str(), self.running) {
            ("", true) => "runs and is not ready".to_owned(),
            ("", false) => "ended".to_owned(),
            (reason, _) => reason.to_owned(),
        };
        let code = self
            .exit_code
            .map_or(String::new(), |code| format!(", exit code {code}"));
        let restarts = match self.restarts {
            0 => String::new(),
            1 => ", 1 restart".to_owned(),
            n => format!(", {n} restarts"),
        };
        format!("container {} {state}{code}{restarts}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{testing::marked, workload::Markers},
        *,
    };

    fn markers(text: &str) -> Markers {
        [("rollout.keyferry.dev/ai".to_owned(), text.to_owned())].into()
    }

    fn pod(container: ContainerReport) -> PodInfo {
        PodInfo {
            name: "pod".into(),
            markers: markers("b"),
            containers: vec![ContainerReport {
                name: "app".into(),
                ..container
            }],
            ..PodInfo::default()
        }
    }

    fn waiting(reason: &str, exit_code: Option<i32>, restarts: i32) -> PodInfo {
        pod(ContainerReport {
            waiting: reason.into(),
            exit_code,
            restarts,
            ..ContainerReport::default()
        })
    }

    fn verdict(pods: &[PodInfo]) -> (bool, String) {
        verdict_of(
            pods,
            &Workload {
                markers: markers("b"),
                ..marked("b")
            },
        )
    }

    fn verdict_of(pods: &[PodInfo], workload: &Workload) -> (bool, String) {
        let failing = failing(pods, workload);
        (failing.by_value, failing.said)
    }

    #[test]
    fn a_program_that_ended_or_is_not_ready_with_the_value_blames_it() {
        let running = pod(ContainerReport {
            running: true,
            ..ContainerReport::default()
        });
        let ended = waiting("", Some(2), 0);
        for (report, said) in [
            (
                waiting("CrashLoopBackOff", Some(1), 3),
                "container app CrashLoopBackOff, exit code 1, 3 restarts",
            ),
            (
                waiting("CreateContainerConfigError", None, 0),
                "container app CreateContainerConfigError",
            ),
            (
                waiting("PodInitializing", Some(1), 1),
                "container app PodInitializing, exit code 1, 1 restart",
            ),
            (running, "container app runs and is not ready"),
            (ended, "container app ended, exit code 2"),
        ] {
            assert_eq!(verdict(&[report]), (true, said.to_owned()));
        }
    }

    #[test]
    fn what_never_had_the_value_does_not_blame_it() {
        let mut full = waiting("", None, 0);
        full.unscheduled = "Unschedulable".into();
        let ready = pod(ContainerReport {
            running: true,
            ready: true,
            ..ContainerReport::default()
        });
        let old = PodInfo {
            markers: markers("a"),
            ..waiting("CrashLoopBackOff", Some(1), 9)
        };
        let leaving = PodInfo {
            leaving: true,
            ..waiting("CrashLoopBackOff", Some(1), 9)
        };
        for (pods, said) in [
            (
                vec![],
                "no new pod could be made: a quota or an admission rule",
            ),
            (
                vec![old.clone(), leaving],
                "no new pod could be made: a quota or an admission rule",
            ),
            (vec![full], "no node takes a new pod (Unschedulable)"),
            (
                vec![waiting("ImagePullBackOff", None, 0), old],
                "container app ImagePullBackOff",
            ),
            (
                vec![waiting("ContainerCreating", None, 0)],
                "container app ContainerCreating",
            ),
            (
                vec![ready],
                "the new pods are ready; others are not replaced",
            ),
        ] {
            assert_eq!(verdict(&pods), (false, said.to_owned()));
        }
    }

    #[test]
    fn a_quota_that_lets_no_pod_be_made_is_named_unless_a_pod_says_more() {
        let mut workload = marked("b");
        workload.numbers.used_up = "small".into();
        let named = "no new pod could be made: quota \"small\" is used up";
        let ready = pod(ContainerReport {
            running: true,
            ready: true,
            ..ContainerReport::default()
        });
        let pulling = waiting("ImagePullBackOff", None, 0);
        for (pods, said) in [
            (vec![], named),
            (vec![ready], named),
            (vec![pulling], "container app ImagePullBackOff"),
        ] {
            assert_eq!(verdict_of(&pods, &workload), (false, said.to_owned()));
        }
        let crashing = waiting("CrashLoopBackOff", Some(1), 2);
        assert!(verdict_of(&[crashing], &workload).0);
    }

    #[test]
    fn one_pod_that_blames_the_value_is_enough() {
        let mut full = waiting("", None, 0);
        full.unscheduled = "Unschedulable".into();
        let crashing = waiting("CrashLoopBackOff", Some(1), 2);
        assert!(verdict(&[full, crashing]).0);
    }
}
