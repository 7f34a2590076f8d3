//! Which markers are due, and what they wait for: the bytes, their turn, others about the same workload, a pause, the
//! windows of other bindings, somebody else's rollout.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    COALESCING, Health, LONGEST_COALESCING, Scene, Turn, duration, is_rolling, marker, set, sooner,
    whole_seconds,
};
use crate::api::status::RolloutState;

impl Scene<'_> {
    /// Entries whose marker is due.
    pub(super) fn send(&mut self) {
        if self.needs_pods || self.reworded {
            return;
        }
        let due: Vec<usize> = (0..self.claims.len()).filter(|&i| self.is_due(i)).collect();
        if due.is_empty() {
            return;
        }
        if let Health::Skipped(reason) = &self.health {
            let reason = reason.clone();
            self.set_all(&due, RolloutState::Skipped, &reason);
            return;
        }
        let (back, on): (Vec<usize>, Vec<usize>) = due
            .into_iter()
            .partition(|&i| self.claims[i].turn == Turn::Back);
        // The Secret must hold the bytes before pods are told to read them.
        let back = self.with_bytes(&back);
        if !back.is_empty() {
            let unwell = self.health != Health::Healthy && self.was_unwell(&back);
            self.set(
                &back,
                match unwell {
                    true => RolloutState::AlreadyUnhealthy,
                    false => RolloutState::Progressing,
                },
            );
            return;
        }
        let on = self.whose_turn_it_is(on);
        let ready = self.with_bytes(&on);
        let Some(oldest) = ready.iter().map(|&i| self.claims[i].seen_at).min() else {
            return;
        };
        if let Some(wait) = self.coalescing_left(&on, oldest) {
            self.requeue = sooner(self.requeue, Some(wait));
            return;
        }
        if let Some((wait, message)) = self.held_off(&ready) {
            self.put_off(&ready, &message);
            self.requeue = sooner(self.requeue, Some(wait));
            return;
        }
        match self.state_before(&ready, oldest) {
            Before::SomebodyElses(wait) => self.wait(&ready, wait),
            Before::Well => self.set(&ready, RolloutState::Progressing),
            Before::Unwell => self.set(&ready, RolloutState::AlreadyUnhealthy),
        }
    }

    fn with_bytes(&self, which: &[usize]) -> Vec<usize> {
        let holds = |i: &usize| self.claims[*i].secret_holds_wanted;
        which.iter().copied().filter(holds).collect()
    }

    /// Those that may be restarted as far as their binding's other workloads go; the others say what they wait for.
    fn whose_turn_it_is(&mut self, due: Vec<usize>) -> Vec<usize> {
        let mut now = Vec::new();
        let label = self.workload.label();
        for i in due {
            let message = match &self.claims[i].turn {
                Turn::Now | Turn::Back => {
                    now.push(i);
                    continue;
                }
                Turn::After(other) => {
                    format!("{label} is restarted when {other} is healthy.")
                }
                Turn::Stopped(other) => format!(
                    "{label} is not restarted: {other} did not become healthy with this value."
                ),
            };
            self.put_off(&[i], &message);
        }
        now
    }

    /// What waits for its marker says why. In the middle of our own rollout it stays in the middle of it.
    fn put_off(&mut self, which: &[usize], message: &str) {
        for &i in which {
            if let Some(entry) = self.entries[i].as_mut() {
                let own = matches!(
                    entry.state,
                    RolloutState::Progressing | RolloutState::Held | RolloutState::AlreadyUnhealthy
                );
                let state = if own {
                    entry.state
                } else {
                    RolloutState::Pending
                };
                set(entry, state, message.to_owned());
            }
        }
    }

    /// Back to pods that still run, in the middle of our own rollout: nothing is restarted by that.
    fn turns_back(&self, i: usize) -> bool {
        self.entries[i].as_ref().is_some_and(|entry| {
            entry.state == RolloutState::Progressing
                && marker::expected(&entry.baseline, &entry.wanted).is_none()
        })
    }

    /// How long the markers of `ready` must wait for a pause between restarts, or for the window of another
    /// binding that rolls this workload; and what to say meanwhile. A binding's own window was open when its bytes
    /// were written: what has begun is brought to its end.
    fn held_off(&self, ready: &[usize]) -> Option<(Duration, String)> {
        let others = (0..self.claims.len()).filter(|i| !ready.contains(i));
        let closed = others.filter_map(|i| Some((self.claims[i].opens?, self.claims[i].binding)));
        let label = self.workload.label();
        if let Some((opens, binding)) = closed.max() {
            let wait = Duration::try_from(opens.duration_since(self.now)).unwrap_or_default();
            let message = format!(
                "{label} is restarted when the window of binding \"{binding}\" opens, at {opens}."
            );
            return Some((wait.max(Duration::from_secs(1)), message));
        }
        if ready.iter().all(|&i| self.turns_back(i)) {
            return None;
        }
        let started = self.entries.iter().flatten();
        let last = started
            .filter_map(|e| e.started_at.as_ref())
            .map(|t| t.0)
            .max()?;
        let pause = self.claims.iter().map(|c| c.min_interval).max()?;
        // A clock that was put back must not make it wait longer than once.
        let passed = Duration::try_from(self.now.duration_since(last)).unwrap_or(pause);
        let wait = pause.checked_sub(passed).filter(|left| !left.is_zero())?;
        let message = format!(
            "{label} was restarted less than {} ago (minInterval); it is restarted again after that.",
            duration::human(pause)
        );
        Some((wait, message))
    }

    fn is_due(&self, i: usize) -> bool {
        self.entries[i]
            .as_ref()
            .is_some_and(|e| e.delivered != e.wanted && !e.wanted.is_empty())
    }

    fn coalescing_left(&self, due: &[usize], oldest: Timestamp) -> Option<Duration> {
        let newest = due
            .iter()
            .map(|&i| self.claims[i].seen_at)
            .max()
            .unwrap_or(oldest);
        let left = COALESCING.checked_sub(since(newest, self.now))?;
        let most = LONGEST_COALESCING.checked_sub(since(oldest, self.now))?;
        Some(left.min(most)).filter(|wait| !wait.is_zero())
    }

    /// Health before the change: a workload in the middle of our own rollout moves on at once.
    fn state_before(&self, ready: &[usize], oldest: Timestamp) -> Before {
        let any = |state| self.entries.iter().flatten().any(|e| e.state == state);
        let unwell = self.was_unwell(ready);
        let timeout = self.timeout();
        match () {
            () if self.health == Health::Healthy => Before::Well,
            () if unwell => Before::Unwell,
            () if any(RolloutState::Progressing) || any(RolloutState::Held) => Before::Well,
            () if !is_rolling(self.workload) => Before::Unwell,
            () => match timeout.checked_sub(since(oldest, self.now)) {
                Some(left) if !left.is_zero() => Before::SomebodyElses(left),
                _ => Before::Unwell,
            },
        }
    }

    /// It was unhealthy before the change that is under way.
    fn was_unwell(&self, which: &[usize]) -> bool {
        let entries = which.iter().filter_map(|&i| self.entries[i].as_ref());
        let mut states = entries.map(|entry| entry.state);
        states.any(|state| state == RolloutState::AlreadyUnhealthy)
    }

    fn wait(&mut self, ready: &[usize], left: Duration) {
        let message = format!(
            "{} is in the middle of another rollout; it is restarted after that, at the latest {} after the change.",
            self.workload.label(),
            duration::human(self.timeout())
        );
        self.set_all(ready, RolloutState::Pending, &message);
        self.requeue = sooner(self.requeue, Some(left));
    }

    fn set_all(&mut self, which: &[usize], state: RolloutState, message: &str) {
        for &i in which {
            if let Some(entry) = self.entries[i].as_mut() {
                set(entry, state, message.to_owned());
            }
        }
    }

    /// One apply with the complete set: markers that are not due stay as they are, also those of
    /// bindings that are gone (to take one off would restart the pods).
    fn set(&mut self, ready: &[usize], state: RolloutState) {
        let mut markers = self.workload.markers.clone();
        let message = match &state {
            RolloutState::AlreadyUnhealthy => format!(
                "{} was unhealthy before the change; it was restarted all the same.",
                self.workload.label()
            ),
            _ => self.workload.note(),
        };
        for &i in ready {
            let Some(entry) = self.entries[i].as_mut() else {
                continue;
            };
            let key = self.claims[i].key;
            match marker::expected(&entry.baseline, &entry.wanted) {
                Some(text) => markers.insert(key.to_owned(), text.to_owned()),
                None => markers.remove(key),
            };
            entry.delivered.clone_from(&entry.wanted);
            entry.started_at = Some(whole_seconds(self.now));
            entry.template_hash.clone_from(&self.workload.template_hash);
            // One that failed says so until its pods are back.
            if entry.state != RolloutState::RollingBack {
                set(entry, state, message.clone());
            }
        }
        self.apply = (markers != self.workload.markers).then_some(markers);
        self.requeue = sooner(self.requeue, Some(self.timeout()));
    }
}

enum Before {
    Well,
    Unwell,
    SomebodyElses(Duration),
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}
