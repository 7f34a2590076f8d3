//! Preflight: whether a candidate has to be tried, by which Job, and what came of it. Pure.
//!
//! Owns the decisions; requests are sent by `cluster::jobs`, in the order of `controllers::binding`.

mod job;
mod message;
mod verdict;

pub use job::{JobPlan, job};
pub use message::shown;
pub use verdict::{JobSeen, Judged, PodSeen, Run, Seen, judge};

use std::time::Duration;

use super::{Finding, InstallKey, duration, recipe::PreflightRecipe, revision};
use crate::api::{
    Reason, names,
    preflight::{PreflightOutcome as Outcome, PreflightStatus},
};

/// Characters of the word that stands for candidate and program: 50 bits.
const WORD: usize = 10;
/// Room for the binding's name: a Job's name becomes the value of a label, of at most 63 characters.
const NAME: usize = 40;
/// What stands between the two in a Job's name.
const INFIX: &str = "-preflight-";

/// The name of the Job that tries a candidate: another one for other bytes, another program and another
/// binding, and the same one for the same.
pub fn job_name(
    key: &InstallKey,
    binding: &str,
    uid: &str,
    candidate: &str,
    recipe: &PreflightRecipe,
) -> String {
    let program = serde_json::to_string(recipe).unwrap_or_default();
    let word = key.word("preflight", &[uid, candidate, &program], WORD);
    let room = binding.get(..NAME).unwrap_or(binding);
    let name = room.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{name}{INFIX}{word}")
}

/// True for the name of a Job of ours.
pub fn is_job(name: &str) -> bool {
    name.contains(INFIX)
}

/// The name of the Secret that holds the candidate for `target`.
pub fn candidate_name(target: &str) -> String {
    format!("{target}{}", names::SUFFIX_CANDIDATE)
}

/// True while the program has not come to an end.
pub fn is_open(record: &PreflightStatus) -> bool {
    matches!(record.outcome, Outcome::Pending | Outcome::Running)
}

/// What is to be done about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has passed: it may be written.
    Write,
    /// It was refused: nothing is run or written.
    Refuse,
    /// The program is to be started.
    Start,
    /// Its end is waited for.
    Wait,
}

/// Decides from the record of the last preflight; `job` is the Job of this candidate, `refresh` a refresh
/// that was asked for and not answered yet, `there` whether the Job of an open record exists.
pub fn next(
    record: Option<&PreflightStatus>,
    job: &str,
    refresh: Option<&str>,
    there: bool,
) -> Next {
    let Some(record) = record.filter(|record| record.job == job) else {
        return Next::Start;
    };
    let asked_anew = refresh.is_some() && record.refresh.as_deref() != refresh;
    match record.outcome {
        Outcome::Passed => Next::Write,
        Outcome::Failed if !asked_anew => Next::Refuse,
        Outcome::Pending | Outcome::Running if there => Next::Wait,
        _ => Next::Start,
    }
}

/// Why the candidate of a record was refused, for a person.
pub fn refused(record: &PreflightStatus, timeout: Duration) -> Finding {
    let what = match record.exit_code {
        Some(code) => format!("exit code {code} ({})", record.reason),
        None => format!("no end within {}", duration::human(timeout)),
    };
    let candidate = revision::shown(&record.candidate);
    Finding::new(
        Reason::PreflightFailed,
        format!(
            "Preflight refused the candidate (revision {candidate}): {what}. Nothing was written."
        ),
        "Put a correct value; or try this one again with the annotation keyferry.dev/refresh.",
    )
}

/// Why a program could not run, for a person. `image` is the program's.
pub fn unavailable(record: &PreflightStatus, namespace: &str, image: &str) -> Finding {
    let reason = record.reason.as_str();
    let cure = match reason {
        NO_POD => format!(
            "Look at quotas and admission rules: kubectl get events -n {namespace}. It is tried again."
        ),
        "Unschedulable" => {
            "No node takes its pod: look at spec.validate.preflight.resources. It is tried again."
                .to_owned()
        }
        _ if reason.contains("Image") => format!(
            "Check image {image}, and the pull secrets of ServiceAccount default. It is tried again."
        ),
        _ if reason.starts_with("Create") || START_FAILURES.contains(&reason) => {
            "Check command and image of spec.validate.preflight. It is tried again.".to_owned()
        }
        _ => "It is tried again.".to_owned(),
    };
    let candidate = revision::shown(&record.candidate);
    Finding::new(
        Reason::PreflightUnavailable,
        format!(
            "Preflight of the candidate (revision {candidate}) could not run: {reason}. That is no verdict on the value; nothing was written."
        ),
        cure,
    )
}

/// The API server made no Job, or no Secret for it: `why` in its words.
pub fn not_made(why: &str, namespace: &str) -> Finding {
    Finding::new(
        Reason::PreflightUnavailable,
        format!(
            "Preflight could not be started in namespace {namespace}: {why}. That is no verdict on the value; nothing was written."
        ),
        "Look at quotas and admission rules, and at spec.validate.preflight. It is tried again.",
    )
}

/// The install does not allow preflight.
pub fn not_allowed() -> Finding {
    Finding::new(
        Reason::PreflightUnavailable,
        "This install does not run preflight programs. Nothing is written without the one that the binding asks for.",
        "A cluster admin can allow it with --allow-preflight (chart value allowPreflight); or leave spec.validate.preflight out.",
    )
}

/// What a person is told while a program runs, or waits to.
pub fn under_way(record: &PreflightStatus, namespace: &str, timeout: Duration) -> String {
    let candidate = revision::shown(&record.candidate);
    let does = match (record.outcome, record.reason.as_str()) {
        (Outcome::Running, _) => "runs".to_owned(),
        (_, "") => "is being started".to_owned(),
        (_, reason) => format!("waits ({reason})"),
    };
    format!(
        "Preflight of the candidate (revision {candidate}) {does}: Job {namespace}/{}, at most {}.",
        record.job,
        duration::human(timeout)
    )
}

/// When an open preflight is looked at again: soon at first, more rarely later.
pub fn look_again(waited: Duration) -> Duration {
    match waited.as_secs() {
        0..30 => Duration::from_secs(1),
        30..120 => Duration::from_secs(2),
        _ => Duration::from_secs(5),
    }
}

/// The reason of a Job whose pod is not made: quota, admission, no controller.
const NO_POD: &str = "NoPod";
/// Reasons of containers whose program was never started (source: containerd and CRI-O, kubelet).
const START_FAILURES: [&str; 2] = ["StartError", "ContainerCannotRun"];

#[cfg(test)]
#[path = "mod_test.rs"]
mod tests;
