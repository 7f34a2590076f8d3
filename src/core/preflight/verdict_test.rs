#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const TIMEOUT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(1);

fn pod(run: Run) -> PodSeen {
    PodSeen {
        deleting: false,
        disrupted: false,
        reason: String::new(),
        unschedulable: false,
        run,
        message: SecretValue::new(Vec::new()),
    }
}

fn ended(code: i32, reason: &str) -> PodSeen {
    pod(Run::Ended {
        code,
        reason: reason.to_owned(),
    })
}

fn waits(reason: &str) -> PodSeen {
    pod(Run::Waiting(reason.to_owned()))
}

fn deleted(pod: PodSeen) -> PodSeen {
    PodSeen {
        deleting: true,
        ..pod
    }
}

fn disrupted(pod: PodSeen) -> PodSeen {
    PodSeen {
        disrupted: true,
        ..pod
    }
}

fn because(reason: &str, pod: PodSeen) -> PodSeen {
    PodSeen {
        reason: reason.to_owned(),
        ..pod
    }
}

fn unschedulable() -> PodSeen {
    PodSeen {
        unschedulable: true,
        ..waits("")
    }
}

fn at(
    job: JobSeen,
    pod: Option<PodSeen>,
    ran: bool,
    waited: Duration,
) -> (Outcome, Option<i32>, String) {
    let judged = judge(&Seen { job, pod }, ran, waited, TIMEOUT);
    (judged.outcome, judged.exit_code, judged.reason)
}

fn open() -> JobSeen {
    JobSeen::default()
}

fn failed(reason: &str) -> JobSeen {
    JobSeen {
        complete: false,
        failed: Some(reason.to_owned()),
    }
}

fn complete() -> JobSeen {
    JobSeen {
        complete: true,
        failed: None,
    }
}

#[test]
fn only_a_program_that_ran_gives_a_verdict() {
    use Outcome as O;
    let deadline = || failed("DeadlineExceeded");
    let table = [
        (
            open(),
            ended(0, "Completed"),
            O::Passed,
            Some(0),
            "Completed",
        ),
        (
            complete(),
            ended(0, "Completed"),
            O::Passed,
            Some(0),
            "Completed",
        ),
        (open(), ended(2, "Error"), O::Failed, Some(2), "Error"),
        (
            failed("BackoffLimitExceeded"),
            ended(2, "Error"),
            O::Failed,
            Some(2),
            "Error",
        ),
        (
            open(),
            ended(137, "OOMKilled"),
            O::Failed,
            Some(137),
            "OOMKilled",
        ),
        // Never started.
        (
            open(),
            ended(128, "StartError"),
            O::Unavailable,
            None,
            "StartError",
        ),
        (
            open(),
            ended(127, "ContainerCannotRun"),
            O::Unavailable,
            None,
            "ContainerCannotRun",
        ),
        (
            open(),
            waits("ErrImagePull"),
            O::Unavailable,
            None,
            "ErrImagePull",
        ),
        (
            open(),
            waits("ImagePullBackOff"),
            O::Unavailable,
            None,
            "ImagePullBackOff",
        ),
        (
            open(),
            waits("InvalidImageName"),
            O::Unavailable,
            None,
            "InvalidImageName",
        ),
        (
            open(),
            waits("CreateContainerConfigError"),
            O::Unavailable,
            None,
            "CreateContainerConfigError",
        ),
        // About to start.
        (open(), waits(""), O::Pending, None, ""),
        (
            open(),
            waits("ContainerCreating"),
            O::Pending,
            None,
            "ContainerCreating",
        ),
        (open(), unschedulable(), O::Pending, None, "Unschedulable"),
        (open(), pod(Run::Running), O::Running, None, ""),
        // Ended from outside: no verdict, whatever the exit code says.
        (
            open(),
            because("Evicted", ended(137, "Error")),
            O::Unavailable,
            None,
            "Evicted",
        ),
        (
            open(),
            because("NodeShutdown", ended(0, "Completed")),
            O::Unavailable,
            None,
            "NodeShutdown",
        ),
        (
            open(),
            disrupted(ended(143, "Error")),
            O::Unavailable,
            None,
            "Disrupted",
        ),
        (
            open(),
            deleted(ended(143, "Error")),
            O::Unavailable,
            None,
            "PodDeleted",
        ),
        (
            open(),
            deleted(pod(Run::Running)),
            O::Unavailable,
            None,
            "PodDeleted",
        ),
        // The deadline: a verdict if the program ran.
        (
            deadline(),
            deleted(pod(Run::Running)),
            O::Failed,
            None,
            "DeadlineExceeded",
        ),
        (
            deadline(),
            deleted(ended(143, "Error")),
            O::Failed,
            None,
            "DeadlineExceeded",
        ),
        (
            deadline(),
            deleted(ended(0, "Completed")),
            O::Failed,
            None,
            "DeadlineExceeded",
        ),
        (
            deadline(),
            deleted(waits("ContainerCreating")),
            O::Unavailable,
            None,
            "ContainerCreating",
        ),
        (
            deadline(),
            unschedulable(),
            O::Unavailable,
            None,
            "Unschedulable",
        ),
        (
            deadline(),
            ended(0, "Completed"),
            O::Passed,
            Some(0),
            "Completed",
        ),
        (
            open(),
            waits("not a word: hunter2"),
            O::Unavailable,
            None,
            "Unknown",
        ),
    ];
    for (job, pod, outcome, code, reason) in table {
        let shown = format!("{job:?} {pod:?}");
        let wanted = (outcome, code, reason.to_owned());
        assert_eq!(at(job, Some(pod), false, SOON), wanted, "{shown}");
    }
}

#[test]
fn without_a_pod_the_job_and_what_was_seen_before_tell() {
    use Outcome as O;
    let deadline = || failed("DeadlineExceeded");
    let late = POD_PATIENCE;
    let table = [
        (open(), false, SOON, O::Pending, ""),
        (open(), false, late, O::Unavailable, NO_POD),
        (complete(), false, SOON, O::Passed, "Completed"),
        (
            failed("BackoffLimitExceeded"),
            true,
            SOON,
            O::Unavailable,
            "PodLost",
        ),
        (deadline(), true, SOON, O::Failed, "DeadlineExceeded"),
        (deadline(), false, SOON, O::Unavailable, "NotStarted"),
    ];
    for (job, ran, waited, outcome, reason) in table {
        let shown = format!("{job:?} {ran}");
        let (got, code, why) = at(job, None, ran, waited);
        assert_eq!(
            (got, code, why.as_str()),
            (outcome, None, reason),
            "{shown}"
        );
    }
}

#[test]
fn what_nobody_ends_is_given_up() {
    let late = TIMEOUT + END_PATIENCE;
    for (pod, reason) in [
        (pod(Run::Running), "NotEnded"),
        (waits("ContainerCreating"), "ContainerCreating"),
    ] {
        let before = at(open(), Some(pod.clone()), true, late - SOON).0;
        assert!(matches!(before, Outcome::Running | Outcome::Pending));
        let after = at(open(), Some(pod), true, late);
        assert_eq!(after, (Outcome::Unavailable, None, reason.to_owned()));
    }
}
