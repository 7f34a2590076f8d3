//! From the outcome of a pass to the status a person reads: one pure function for each loop's part.
//!
//! The table of states stands in the design's section 2. Nothing here is written when nothing
//! changed: equal input gives an equal status, and times move only when a condition flips.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    Finding, duration, preflight, revision,
    rollout::Summary,
    schedule::{self, GRACE},
};
use crate::api::{
    Reason,
    preflight::{PreflightOutcome, PreflightStatus},
    status::{
        ExternalSecretBindingStatus as Status, FailoverStatus, SecretStatus, SourceStatus,
        condition,
    },
};

/// What one pass over a binding came to.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// The Secret holds what the sources say.
    InSync(InSync),
    /// A read or a write failed.
    Failed(&'a Finding),
    /// The gate refused the candidate; nothing was written.
    Rejected(&'a Finding),
    /// `spec.suspend` is true.
    Suspended,
}

/// The facts of a pass that succeeded.
#[derive(Clone, Debug)]
pub struct InSync {
    /// ARN of the caller.
    pub identity: String,
    /// The Secret as it is now.
    pub secret: SecretStatus,
    /// The versions it was made from, sorted.
    pub sources: Vec<SourceStatus>,
    /// What a person should know all the same (an interval that was raised); may be empty.
    pub note: String,
    /// The region that stands in for the binding's own.
    pub failover: Option<String>,
}

/// One pass, for the status.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// The binding's generation that was looked at.
    pub generation: i64,
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Now, in whole seconds.
    pub now: Timestamp,
    /// The binding's `staleAfter`.
    pub stale_after: Duration,
    /// When it is tried again, before jitter; `None`: only after a change.
    pub next_try: Option<Duration>,
    /// The value of the refresh annotation that this pass answered.
    pub refresh: Option<String>,
    /// The value of the rollback annotation that this pass answered.
    pub rollback: Option<String>,
}

/// The binding loop's part: `previous` as it is after `pass`.
pub fn after_pass(previous: &Status, pass: &Pass<'_>) -> Status {
    let mut next = previous.clone();
    let realised = is_realised(previous, pass.generation);
    next.observed_generation = Some(pass.generation);
    if let Some(token) = &pass.refresh {
        next.last_handled_refresh = Some(token.clone());
    }
    if let Some(asked) = &pass.rollback {
        next.last_handled_rollback = Some(asked.clone());
    }
    match &pass.outcome {
        Outcome::InSync(facts) => in_sync(&mut next, previous, pass, facts),
        Outcome::Failed(finding) => failed(&mut next, previous, pass, finding, realised),
        Outcome::Rejected(finding) => rejected(&mut next, previous, pass, finding, realised),
        Outcome::Suspended => suspended(&mut next, previous, pass),
    }
    ready_follows_rollouts(&mut next);
    sort(&mut next.conditions);
    next
}

/// The workload loop's part: condition `RolledOut`, the column, and Ready's reason that follows from it.
pub fn with_rollouts(previous: &Status, summary: &Summary, now: Timestamp) -> Status {
    let mut next = previous.clone();
    let generation = previous.observed_generation.unwrap_or_default();
    next.rollout_summary = Some(summary.text.clone());
    match &summary.rolled_out {
        None => next.conditions.retain(|c| c.type_ != condition::ROLLED_OUT),
        Some(part) => {
            let set = Set {
                generation,
                now,
                previous,
            };
            set.condition(
                &mut next,
                condition::ROLLED_OUT,
                part.status_word(),
                part.reason,
                &part.message,
            );
        }
    }
    ready_follows_rollouts(&mut next);
    sort(&mut next.conditions);
    next
}

/// The same after `rollout` was taken out of the spec, whatever a pass came to: nothing is rolled any more.
pub fn taken_out(previous: &Status, now: Timestamp) -> Status {
    let rolled = previous.rollout_summary.as_ref();
    match rolled.is_none_or(|summary| *summary == Summary::off().text) {
        true => previous.clone(),
        false => without_rollouts(previous, now),
    }
}

/// The same without `rollout` in the spec.
pub fn without_rollouts(previous: &Status, now: Timestamp) -> Status {
    let mut next = previous.clone();
    next.rollouts.clear();
    with_rollouts(&next, &Summary::off(), now)
}

/// The preflight's part: its record and, while it is open, `Synced`, which `says` what is under way. Ready
/// stays as it is: the Secret that there is serves on.
pub fn with_preflight(
    previous: &Status,
    record: &PreflightStatus,
    says: &str,
    generation: i64,
    now: Timestamp,
) -> Status {
    let mut next = previous.clone();
    next.preflight = Some(record.clone());
    let synced = previous
        .conditions
        .iter()
        .find(|c| c.type_ == condition::SYNCED);
    let tried_again = synced.is_some_and(|c| c.reason == Reason::PreflightUnavailable.as_str());
    // A program that could not run says so until it runs: trying again is no news.
    let still = tried_again && record.outcome == PreflightOutcome::Pending;
    if preflight::is_open(record) && !still {
        let set = Set {
            generation,
            now,
            previous,
        };
        let reason = Reason::Progressing;
        set.condition(&mut next, condition::SYNCED, "False", reason, says);
        sort(&mut next.conditions);
    }
    next
}

/// The same after a preflight that was ended before its verdict.
pub fn without_preflight(previous: &Status) -> Status {
    let mut next = previous.clone();
    next.preflight = None;
    for synced in &mut next.conditions {
        if synced.type_ == condition::SYNCED && synced.reason == Reason::Progressing.as_str() {
            synced.message = "The preflight was ended before its verdict.".to_owned();
        }
    }
    next
}

/// Ready says `RolloutFailed` while the Secret is in sync and its workloads are not.
fn ready_follows_rollouts(next: &mut Status) {
    let find = |kind: &str| next.conditions.iter().position(|c| c.type_ == kind);
    let failed = find(condition::ROLLED_OUT).map(|at| &next.conditions[at]);
    let failed = failed
        .filter(|c| c.status == "False")
        .map(|c| c.message.clone());
    let failover = next.failover.as_ref();
    let in_sync = next.secret.as_ref().map(|secret| serving(secret, failover));
    let Some(at) = find(condition::READY) else {
        return;
    };
    let ready = &mut next.conditions[at];
    let says = |reason: Reason| ready.reason == reason.as_str();
    match failed {
        Some(message)
            if ready.status == "True" && (says(Reason::Synced) || says(Reason::RolloutFailed)) =>
        {
            ready.reason = Reason::RolloutFailed.as_str().to_owned();
            ready.message = message;
        }
        None if says(Reason::RolloutFailed) => {
            ready.reason = Reason::Synced.as_str().to_owned();
            ready.message = in_sync.unwrap_or_default();
        }
        _ => {}
    }
}

/// True when this generation has been in sync once. Read from the status itself: an unrealised one
/// carries Reconciling, or Stalled for another reason than age.
pub fn is_realised(previous: &Status, generation: i64) -> bool {
    let carries = |kind: &str| previous.conditions.iter().find(|c| c.type_ == kind);
    previous.secret.is_some()
        && previous.observed_generation == Some(generation)
        && carries(condition::RECONCILING).is_none()
        && carries(condition::STALLED).is_none_or(|c| c.reason == Reason::Stale.as_str())
}

fn in_sync(next: &mut Status, previous: &Status, pass: &Pass<'_>, facts: &InSync) {
    let changed = previous.secret.as_ref().map(|s| &s.revision) != Some(&facts.secret.revision);
    if changed {
        next.last_change_time = Some(Time(pass.now));
    }
    next.failing_since = None;
    next.identity = Some(facts.identity.clone());
    next.secret = Some(facts.secret.clone());
    next.sources.clone_from(&facts.sources);
    next.failover = facts
        .failover
        .as_ref()
        .map(|region| stands_in(previous, region, pass.now));
    next.conditions
        .retain(|c| c.type_ != condition::RECONCILING && c.type_ != condition::STALLED);
    let set = Set {
        generation: pass.generation,
        now: pass.now,
        previous,
    };
    set.condition(
        next,
        condition::READY,
        "True",
        Reason::Synced,
        &serving(&facts.secret, next.failover.clone().as_ref()),
    );
    let versions = match facts.sources.len() {
        0 => "No source gave a value.".to_owned(),
        1 => "Its source is at the version that was asked for.".to_owned(),
        n => format!("All {n} sources are at the versions that were asked for."),
    };
    let message = join(&versions, &facts.note);
    set.condition(next, condition::SYNCED, "True", Reason::Synced, &message);
}

fn serving(secret: &SecretStatus, failover: Option<&FailoverStatus>) -> String {
    let keys = if secret.key_count == 1 { "key" } else { "keys" };
    let holds = format!(
        "Secret {} holds {} {keys} at revision {}.",
        secret.name,
        secret.key_count,
        revision::shown(&secret.revision)
    );
    let served = failover.map(|by| format!("Served by {} since {}.", by.region, by.since.0));
    join(&holds, &served.unwrap_or_default())
}

/// The time stays while the region does: no write for a clock.
fn stands_in(previous: &Status, region: &str, now: Timestamp) -> FailoverStatus {
    let known = previous.failover.as_ref();
    let known = known.filter(|failover| failover.region == region);
    known.cloned().unwrap_or_else(|| FailoverStatus {
        region: region.to_owned(),
        since: Time(now),
    })
}

fn failed(
    next: &mut Status,
    previous: &Status,
    pass: &Pass<'_>,
    finding: &Finding,
    realised: bool,
) {
    let since = next.failing_since.get_or_insert(Time(pass.now)).0;
    let failing = since_until(since, pass.now);
    let reason = finding.reason;
    let message = full_message(finding, previous, pass.next_try);
    let set = Set {
        generation: pass.generation,
        now: pass.now,
        previous,
    };
    set.condition(next, condition::SYNCED, "False", reason, &message);
    next.conditions
        .retain(|c| c.type_ != condition::RECONCILING && c.type_ != condition::STALLED);
    if realised && failing >= pass.stale_after {
        let stale = format!(
            "The last good value is older than {}: {message}",
            duration::human(pass.stale_after)
        );
        set.condition(next, condition::READY, "False", Reason::Stale, &stale);
        set.condition(next, condition::STALLED, "True", Reason::Stale, &stale);
    } else {
        let ready = ready_status(previous, realised);
        set.condition(next, condition::READY, ready, reason, &message);
        if !realised {
            unrealised(next, &set, reason, &message, failing);
        }
    }
}

fn rejected(
    next: &mut Status,
    previous: &Status,
    pass: &Pass<'_>,
    finding: &Finding,
    realised: bool,
) {
    let message = full_message(finding, previous, pass.next_try);
    let set = Set {
        generation: pass.generation,
        now: pass.now,
        previous,
    };
    set.condition(next, condition::SYNCED, "False", finding.reason, &message);
    next.conditions
        .retain(|c| c.type_ != condition::RECONCILING && c.type_ != condition::STALLED);
    let summary = match finding.reason {
        _ if previous.secret.is_none() => finding.reason,
        Reason::RolledBack | Reason::WaitingForWindow => finding.reason,
        _ => Reason::CandidateRejected,
    };
    set.condition(
        next,
        condition::READY,
        ready_status(previous, realised),
        summary,
        &message,
    );
    if realised {
        // Reads work and the last good value is known to be the newest good one: it does not age.
        next.failing_since = None;
    } else {
        let since = next.failing_since.get_or_insert(Time(pass.now)).0;
        unrealised(
            next,
            &set,
            finding.reason,
            &message,
            since_until(since, pass.now),
        );
    }
}

fn suspended(next: &mut Status, previous: &Status, pass: &Pass<'_>) {
    next.conditions
        .retain(|c| c.type_ != condition::RECONCILING && c.type_ != condition::STALLED);
    let ready = previous
        .conditions
        .iter()
        .find(|c| c.type_ == condition::READY);
    if let Some(ready) = ready {
        let set = Set {
            generation: pass.generation,
            now: pass.now,
            previous,
        };
        let status = ready.status.clone();
        let message =
            "Suspended by spec.suspend: nothing is read or written until it is taken out.";
        set.condition(next, condition::READY, &status, Reason::Suspended, message);
    }
}

/// Reconciling while it may still come right by itself, Stalled once a person must act.
fn unrealised(next: &mut Status, set: &Set<'_>, reason: Reason, message: &str, failing: Duration) {
    let stalled = schedule::needs_a_person(reason) && failing >= GRACE;
    let kind = if stalled {
        condition::STALLED
    } else {
        condition::RECONCILING
    };
    set.condition(next, kind, "True", reason, message);
}

fn ready_status(previous: &Status, realised: bool) -> &'static str {
    let was = previous
        .conditions
        .iter()
        .find(|c| c.type_ == condition::READY);
    let was_true = was.is_some_and(|c| c.status == "True");
    let was_stale = was.is_some_and(|c| c.reason == Reason::Stale.as_str());
    // A gate's refusal after an outage: reads work again, so the last good value is good again.
    if was_true || (realised && was_stale) {
        "True"
    } else {
        "False"
    }
}

/// The five parts: what, on which object, why, cure; what became of the last good value; next try.
fn full_message(finding: &Finding, previous: &Status, next_try: Option<Duration>) -> String {
    let mut message = finding.to_string();
    if previous.secret.is_some() {
        message.push_str(" Last good value kept.");
    }
    if let Some(delay) = next_try {
        message.push_str(" Next try in ");
        message.push_str(&duration::human(delay));
        message.push('.');
    }
    message
}

fn since_until(since: Timestamp, now: Timestamp) -> Duration {
    // A clock that jumped back counts as no time at all.
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn join(a: &str, b: &str) -> String {
    if b.is_empty() {
        a.to_owned()
    } else {
        format!("{a} {b}")
    }
}

fn sort(conditions: &mut [Condition]) {
    let place = |c: &Condition| condition::ORDER.iter().position(|t| *t == c.type_);
    conditions.sort_by_key(|c| place(c).unwrap_or(condition::ORDER.len()));
}

/// What every condition of one status has in common.
struct Set<'a> {
    generation: i64,
    now: Timestamp,
    previous: &'a Status,
}

impl Set<'_> {
    fn condition(
        &self,
        next: &mut Status,
        kind: &str,
        status: &str,
        reason: Reason,
        message: &str,
    ) {
        let before = self.previous.conditions.iter().find(|c| c.type_ == kind);
        let since = before
            .filter(|c| c.status == status)
            .map(|c| c.last_transition_time.clone());
        let condition = Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since.unwrap_or(Time(self.now)),
        };
        match next.conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(slot) => *slot = condition,
            None => next.conditions.push(condition),
        }
    }
}

#[cfg(test)]
mod tests;
