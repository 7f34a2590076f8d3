//! The verdict on a rollout that is under way: how far it is, and whether it is still ours.

use std::time::Duration;

use super::{health::Health, workload::Workload};
use crate::{
    api::status::{RolloutState, RolloutStatus},
    core::duration,
};

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
}

impl Verdict<'_> {
    /// Moves `entry` to the state it is in now.
    pub(super) fn pass(&self, entry: &mut RolloutStatus) {
        if self.workload.opted_out {
            if let Health::Skipped(reason) = self.health {
                set(entry, RolloutState::Skipped, reason.clone());
            }
            return;
        }
        match entry.state {
            // Complete: what happens to the pods from now on is not the rollout's.
            RolloutState::Healthy | RolloutState::NextRun | RolloutState::NotFound => {}
            _ if self.undone(entry) => self.set_undone(entry),
            _ if *self.health == Health::Healthy => {
                set(entry, RolloutState::Healthy, self.partition_note());
            }
            RolloutState::AlreadyUnhealthy | RolloutState::Superseded => {}
            _ if self.changed(entry) => set(entry, RolloutState::Superseded, self.superseded()),
            RolloutState::Held => {}
            _ => self.open(entry),
        }
    }

    fn open(&self, entry: &mut RolloutStatus) {
        match self.health {
            Health::Skipped(reason) => set(entry, RolloutState::Skipped, reason.clone()),
            Health::Failed(reason) => set(entry, RolloutState::Held, self.held(reason)),
            Health::Progressing { .. } if self.expired => {
                let reason = format!("no progress in {}", duration::human(self.timeout));
                set(entry, RolloutState::Held, self.held(&reason));
            }
            _ => {
                let note = self.workload.note();
                set(entry, RolloutState::Progressing, note);
            }
        }
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
            "Somebody undid the restart of {label} before it was complete: some pods may still run with the previous value. Restart them with: kubectl rollout restart {}/{} -n {}. The next change restarts them too.",
            w.kind.as_str().to_lowercase(),
            w.name,
            w.namespace
        );
        set(entry, RolloutState::Superseded, message);
    }

    fn superseded(&self) -> String {
        format!(
            "The pod template of {} was changed during the restart; its outcome is that change's. Healthy as soon as all pods are.",
            self.workload.label()
        )
    }

    fn held(&self, reason: &str) -> String {
        let w = self.workload;
        let n = &w.numbers;
        format!(
            "{} did not become healthy ({reason}): {} of {} pods updated, {} available. Nothing was undone. Look at: kubectl describe {}/{} -n {}. Put a corrected value, or repair the pods; we notice at once.",
            w.label(),
            n.updated,
            w.wanted,
            n.available,
            w.kind.as_str().to_lowercase(),
            w.name,
            w.namespace
        )
    }

    fn partition_note(&self) -> String {
        match self.workload.partition {
            0 => String::new(),
            _ => self.workload.note(),
        }
    }
}

/// State and message always move together.
pub(super) fn set(entry: &mut RolloutStatus, state: RolloutState, message: String) {
    entry.state = state;
    entry.message = message;
}
