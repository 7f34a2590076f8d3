//! The rollouts of a binding in one phrase and one condition.

use super::{consumers::TooManyTargets, forbidden::is_refused};
use crate::api::{
    Reason,
    status::{RolloutState, RolloutStatus},
};

/// The condition `RolledOut`; transition time and generation are added where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledOut {
    /// Some(true): every workload runs with the Secret's bytes; None: Unknown.
    pub status: Option<bool>,
    /// The reason.
    pub reason: Reason,
    /// The message.
    pub message: String,
}

impl RolledOut {
    /// The status as the API spells it.
    pub fn status_word(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Column and condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// `status.rolloutSummary`, for example `Healthy 2/2`: the most important state, then how many of
    /// the restarted workloads are healthy. `Off` without `rollout`.
    pub text: String,
    /// None without `rollout`: the condition is absent.
    pub rolled_out: Option<RolledOut>,
}

impl Summary {
    /// Of a binding without `rollout`.
    pub fn off() -> Self {
        Self {
            text: "Off".to_owned(),
            rolled_out: None,
        }
    }
}

/// States from the most to the least important, the word for each, and what it makes of the
/// condition. States that are missing here count as done.
const ORDER: [(RolloutState, &str, Option<bool>, Reason); 9] = [
    (
        RolloutState::RollbackFailed,
        "RollbackFailed",
        Some(false),
        Reason::RollbackFailed,
    ),
    (
        RolloutState::RollingBack,
        "RollingBack",
        None,
        Reason::Progressing,
    ),
    (RolloutState::Held, "Held", Some(false), Reason::Held),
    (
        RolloutState::RolledBack,
        "RolledBack",
        Some(false),
        Reason::RolledBack,
    ),
    (
        RolloutState::NotFound,
        "NotFound",
        Some(false),
        Reason::TargetNotFound,
    ),
    (
        RolloutState::Progressing,
        "Progressing",
        None,
        Reason::Progressing,
    ),
    // Before those that wait for it.
    (
        RolloutState::Superseded,
        "Superseded",
        None,
        Reason::Superseded,
    ),
    (RolloutState::Pending, "Pending", None, Reason::Progressing),
    (
        RolloutState::AlreadyUnhealthy,
        "AlreadyUnhealthy",
        None,
        Reason::AlreadyUnhealthy,
    ),
];

/// Sums up the entries of a binding whose rollout is on. `secret` is the Secret's name; with
/// `too_many` there are no entries.
pub fn summarize(
    secret: &str,
    entries: &[RolloutStatus],
    too_many: Option<TooManyTargets>,
) -> Summary {
    if let Some(too_many) = too_many {
        return Summary {
            text: format!("TooManyTargets {}", too_many.count),
            rolled_out: Some(RolledOut {
                status: Some(false),
                reason: Reason::TooManyTargets,
                message: too_many.finding(secret).to_string(),
            }),
        };
    }
    let healthy = count(entries, RolloutState::Healthy);
    let told_only = count(entries, RolloutState::NextRun) + count(entries, RolloutState::Skipped);
    let all = entries.len() - told_only;
    let worst = ORDER.iter().find(|(state, ..)| count(entries, *state) > 0);
    let (word, rolled_out) = match worst {
        Some((state, word, status, reason)) => (
            *word,
            RolledOut {
                status: *status,
                reason: *reason,
                message: open_message(entries, *state, healthy, all),
            },
        ),
        None => (
            "Healthy",
            RolledOut {
                status: Some(true),
                reason: Reason::Synced,
                message: done_message(secret, entries, healthy),
            },
        ),
    };
    Summary {
        text: format!("{word} {healthy}/{all}"),
        rolled_out: Some(refused(entries, healthy, all).unwrap_or(rolled_out)),
    }
}

/// A right that is missing is more important than how far the workload is.
fn refused(entries: &[RolloutStatus], healthy: usize, all: usize) -> Option<RolledOut> {
    let first = entries.iter().find(|entry| is_refused(entry))?;
    Some(RolledOut {
        status: Some(false),
        reason: Reason::OperatorForbidden,
        message: format!(
            "{} {healthy} of {all} workloads run with the current value.",
            first.message
        ),
    })
}

fn count(entries: &[RolloutStatus], state: RolloutState) -> usize {
    entries.iter().filter(|e| e.state == state).count()
}

/// The first entry in that state speaks; how many others there are is said.
fn open_message(
    entries: &[RolloutStatus],
    state: RolloutState,
    healthy: usize,
    all: usize,
) -> String {
    let mut of_state = entries.iter().filter(|e| e.state == state);
    let Some(first) = of_state.next() else {
        return String::new();
    };
    let label = format!("{}/{}", first.kind, first.name);
    let fact = match state {
        RolloutState::Progressing => format!("{label} is replacing its pods."),
        RolloutState::Pending if first.message.is_empty() => {
            format!("{label} is about to be restarted.")
        }
        _ => first.message.clone(),
    };
    let others = match of_state.count() {
        0 => String::new(),
        n => format!(" So with {n} more."),
    };
    format!("{fact}{others} {healthy} of {all} workloads run with the current value.")
}

fn done_message(secret: &str, entries: &[RolloutStatus], healthy: usize) -> String {
    let told = |state, what: &str| match count(entries, state) {
        0 => String::new(),
        n => format!(" {n} {what}."),
    };
    let fact = match healthy {
        0 => format!("No workload is restarted for Secret \"{secret}\"."),
        1 => format!("1 workload runs with the bytes of Secret \"{secret}\"."),
        n => format!("{n} workloads run with the bytes of Secret \"{secret}\"."),
    };
    let next_run = told(
        RolloutState::NextRun,
        "CronJob or Job takes them at the next run",
    );
    let skipped = told(RolloutState::Skipped, "skipped, see status.rollouts");
    format!("{fact}{next_run}{skipped}")
}

#[cfg(test)]
#[path = "summary_test.rs"]
mod tests;
