//! From a Job and its pod to the verdict on a candidate, or the reason why there is none.

use std::time::Duration;

use super::{NO_POD, START_FAILURES};
use crate::api::preflight::PreflightOutcome as Outcome;
use crate::core::SecretValue;

/// A pod that is not made within this time is not waited for: quota and admission refuse for longer.
const POD_PATIENCE: Duration = Duration::from_secs(15);
/// Time beyond the timeout after which nobody can be expected to end the Job any more: no job controller,
/// or a node that is lost.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// States of a container that is about to start (source: kubelet).
const STARTING: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];

/// What is known of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSeen {
    /// It has ended well, or is about to be told so.
    pub complete: bool,
    /// It has failed, or is about to be told so: the reason.
    pub failed: Option<String>,
}

/// How far a container has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// Not started: why, as the kubelet says.
    Waiting(String),
    /// The program runs.
    Running,
    /// It has ended.
    Ended {
        /// Exit code.
        code: i32,
        /// The kubelet's word.
        reason: String,
    },
}

/// What is known of its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// It is being deleted, by the Job's deadline or by somebody.
    pub deleting: bool,
    /// It was taken off its node: evicted, preempted, drained.
    pub disrupted: bool,
    /// `status.reason`, as the kubelet gives it to pods that it ends by itself.
    pub reason: String,
    /// No node takes it.
    pub unschedulable: bool,
    /// Its container.
    pub run: Run,
    /// What the program said at its end: may hold values.
    pub message: SecretValue,
}

/// A Job with its youngest pod.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The Job.
    pub job: JobSeen,
    /// Its pod.
    pub pod: Option<PodSeen>,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What came of it; Pending or Running: not over.
    pub outcome: Outcome,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// Why.
    pub reason: String,
}

impl Judged {
    fn new(outcome: Outcome, reason: &str) -> Self {
        Self {
            outcome,
            exit_code: None,
            reason: word(reason),
        }
    }

    fn unavailable(reason: &str) -> Self {
        Self::new(Outcome::Unavailable, reason)
    }
}

/// Judges what is seen; `ran`: the program was seen running before, `waited`: since when it is looked at.
pub fn judge(seen: &Seen, ran: bool, waited: Duration, timeout: Duration) -> Judged {
    let deadline = seen.job.failed.as_deref() == Some("DeadlineExceeded");
    let ended = seen.pod.as_ref().and_then(|pod| ended(pod, deadline));
    if let Some(judged) = ended {
        return judged;
    }
    let running = seen.pod.as_ref().is_some_and(|pod| pod.run == Run::Running);
    if deadline {
        return match ran || running || seen.pod.as_ref().is_some_and(was_started) {
            true => Judged::new(Outcome::Failed, "DeadlineExceeded"),
            false => Judged::unavailable(waiting(seen).unwrap_or("NotStarted")),
        };
    }
    if seen.job.complete {
        return Judged::new(Outcome::Passed, "Completed");
    }
    if seen.job.failed.is_some() {
        return Judged::unavailable("PodLost");
    }
    if waited >= timeout + END_PATIENCE {
        return Judged::unavailable(waiting(seen).unwrap_or("NotEnded"));
    }
    let Some(pod) = &seen.pod else {
        return match waited >= POD_PATIENCE {
            true => Judged::unavailable(NO_POD),
            false => Judged::new(Outcome::Pending, ""),
        };
    };
    match (&pod.run, waiting(seen)) {
        (Run::Waiting(reason), _) if !STARTING.contains(&reason.as_str()) => {
            Judged::unavailable(reason)
        }
        (Run::Waiting(_), reason) => Judged::new(Outcome::Pending, reason.unwrap_or_default()),
        _ => Judged::new(Outcome::Running, ""),
    }
}

/// The verdict of a container that has ended by itself, or why its end is none.
fn ended(pod: &PodSeen, deadline: bool) -> Option<Judged> {
    // What is being ended from outside says nothing by its exit code; the deadline does.
    if deadline && pod.deleting {
        return None;
    }
    if pod.disrupted || !matches!(pod.reason.as_str(), "" | "DeadlineExceeded") {
        let reason = match pod.reason.as_str() {
            "" => "Disrupted",
            reason => reason,
        };
        return Some(Judged::unavailable(reason));
    }
    if pod.deleting {
        return Some(Judged::unavailable("PodDeleted"));
    }
    let Run::Ended { code, reason } = &pod.run else {
        return None;
    };
    if START_FAILURES.contains(&reason.as_str()) {
        return Some(Judged::unavailable(reason));
    }
    let outcome = match code {
        0 => Outcome::Passed,
        _ => Outcome::Failed,
    };
    Some(Judged {
        exit_code: Some(*code),
        ..Judged::new(outcome, reason)
    })
}

fn was_started(pod: &PodSeen) -> bool {
    match &pod.run {
        Run::Ended { reason, .. } => !START_FAILURES.contains(&reason.as_str()),
        Run::Running => true,
        Run::Waiting(_) => false,
    }
}

/// Why the program does not start, if that is known.
fn waiting(seen: &Seen) -> Option<&str> {
    let pod = seen.pod.as_ref()?;
    match &pod.run {
        _ if pod.unschedulable => Some("Unschedulable"),
        Run::Waiting(reason) if !reason.is_empty() => Some(reason),
        _ => None,
    }
}

/// A reason as Kubernetes writes it; nothing else is taken over.
fn word(text: &str) -> String {
    let is_word = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_word { text } else { "Unknown" }.to_owned()
}

#[cfg(test)]
#[path = "verdict_test.rs"]
mod tests;
