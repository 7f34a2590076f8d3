//! The verdict on a rollout that is under way: how far it is, and whether it is still ours.

use std::time::Duration;

use jiff::Timestamp;

use super::{cause::Failing, health::Health, marker, workload::Workload};
use crate::{
    api::{
        binding::OnFailure,
        status::{RolloutState, RolloutStatus},
    },
    core::duration,
};

/// Ends what a workload says that goes back, and what it says when it is there.
pub(super) const BEING_RESTORED: &str = "the previous value is being restored";
const WAS_RESTORED: &str = "the previous value was restored";

/// The verdict on an entry whose marker is out.
pub(super) struct Verdict<'a> {
    pub workload: &'a Workload,
    pub health: &'a Health,
    /// The template does not carry what was delivered.
    pub marker_lost: bool,
    /// For the message.
    pub timeout: Duration,
    /// `timeout` has passed without progress.
    pub expired: bool,
    /// What its pods said; None: they were not listed.
    pub failing: Option<&'a Failing>,
    /// What the binding wants.
    pub on_failure: OnFailure,
    /// So do all others that roll this workload.
    pub may_go_back: bool,
    /// See [`Workload::caution`].
    pub caution: &'a str,
    /// For how long it took.
    pub now: Timestamp,
}

impl Verdict<'_> {
    /// Moves `entry` to the state it is in now. True: it has failed, and the pods must be listed to tell why.
    pub(super) fn pass(&self, entry: &mut RolloutStatus) -> bool {
        if self.workload.opted_out {
            if let Health::Skipped(reason) = self.health {
                set(entry, RolloutState::Skipped, reason.clone());
            }
            return false;
        }
        match entry.state {
            // Complete: what happens to the pods from now on is not the rollout's.
            RolloutState::Healthy
            | RolloutState::RolledBack
            | RolloutState::NextRun
            | RolloutState::NotFound => {}
            _ if self.undone(entry) => self.set_undone(entry),
            _ if *self.health == Health::Healthy => self.complete(entry),
            RolloutState::AlreadyUnhealthy
            | RolloutState::Superseded
            | RolloutState::RollbackFailed => {}
            _ if self.changed(entry) => set(entry, RolloutState::Superseded, self.superseded()),
            RolloutState::Held => {}
            _ => return self.open(entry),
        }
        false
    }

    fn complete(&self, entry: &mut RolloutStatus) {
        if entry.failed_revision.is_empty() {
            set(entry, RolloutState::Healthy, self.lasting_note());
            return;
        }
        let message = entry.message.replace(BEING_RESTORED, WAS_RESTORED);
        set(entry, RolloutState::RolledBack, message);
    }

    fn open(&self, entry: &mut RolloutStatus) -> bool {
        let reason = match self.health {
            Health::Skipped(reason) => {
                set(entry, RolloutState::Skipped, reason.clone());
                return false;
            }
            Health::Failed(reason) => reason.clone(),
            Health::Progressing { .. } if self.expired => {
                format!("no progress in {}", duration::human(self.timeout))
            }
            _ if entry.state == RolloutState::RollingBack => return false,
            _ => {
                let note = self.workload.note();
                set(entry, RolloutState::Progressing, note);
                return false;
            }
        };
        let Some(failing) = self.failing else {
            return true;
        };
        let reason = format!("{reason}; {}", failing.said);
        if entry.state == RolloutState::RollingBack {
            set(
                entry,
                RolloutState::RollbackFailed,
                self.back_failed(&reason),
            );
        } else if self.on_failure == OnFailure::Rollback && self.may_go_back && failing.by_value {
            let message = self.going_back(entry, &failing.said);
            marker::revision_of(&entry.wanted).clone_into(&mut entry.failed_revision);
            set(entry, RolloutState::RollingBack, message);
        } else {
            let message = self.held(&reason, self.why_not_back(failing));
            set(entry, RolloutState::Held, message);
        }
        false
    }

    /// Why a binding that asks for a rollback gets none.
    fn why_not_back(&self, failing: &Failing) -> &'static str {
        if self.on_failure == OnFailure::Hold {
            return "Nothing was undone.";
        }
        match failing.by_value {
            false => "Not rolled back: the value is not the cause.",
            true => {
                "Not rolled back: another binding that rolls this workload says onFailure: Hold."
            }
        }
    }

    fn going_back(&self, entry: &RolloutStatus, said: &str) -> String {
        let took = entry.started_at.as_ref().map(|at| {
            let took = Duration::try_from(self.now.duration_since(at.0)).unwrap_or_default();
            format!(" in {}", duration::human(took))
        });
        format!(
            "{} did not become healthy{} ({said}); {BEING_RESTORED}.",
            self.workload.label(),
            took.unwrap_or_default()
        )
    }

    fn back_failed(&self, reason: &str) -> String {
        let w = self.workload;
        format!(
            "{} did not become healthy with the previous value either ({reason}). The Secret holds the previous value; nothing more is tried. Look at: kubectl describe {}. Repair the pods, or put a new value; we notice at once.",
            w.label(),
            w.for_kubectl()
        )
    }

    fn changed(&self, entry: &RolloutStatus) -> bool {
        !entry.template_hash.is_empty() && entry.template_hash != self.workload.template_hash
    }

    /// Our marker was taken off an otherwise equal template in the middle of the rollout: pods of
    /// before may have come back, so health proves nothing.
    fn undone(&self, entry: &RolloutStatus) -> bool {
        self.marker_lost && !entry.template_hash.is_empty() && !self.changed(entry)
    }

    fn set_undone(&self, entry: &mut RolloutStatus) {
        let (label, w) = (self.workload.label(), self.workload);
        let message = format!(
            "Somebody undid the restart of {label} before it was complete: some pods may still run with the previous value. Restart them with: kubectl rollout restart {}. The next change restarts them too.",
            w.for_kubectl()
        );
        set(entry, RolloutState::Superseded, message);
    }

    fn superseded(&self) -> String {
        format!(
            "The pod template of {} was changed during the restart; its outcome is that change's. Healthy as soon as all pods are.",
            self.workload.label()
        )
    }

    fn held(&self, reason: &str, undone: &str) -> String {
        let w = self.workload;
        let n = &w.numbers;
        format!(
            "{} did not become healthy ({reason}): {} of {} pods updated, {} available. {undone} Look at: kubectl describe {}. Put a corrected value, or repair the pods; we notice at once.",
            w.label(),
            n.updated,
            w.wanted,
            n.available,
            w.for_kubectl()
        )
    }

    /// What a person should know also when all is well.
    fn lasting_note(&self) -> String {
        match self.workload.partition {
            0 => self.caution.to_owned(),
            _ => self.workload.note(),
        }
    }
}

/// State and message always move together.
pub(super) fn set(entry: &mut RolloutStatus, state: RolloutState, message: String) {
    entry.state = state;
    entry.message = message;
}
