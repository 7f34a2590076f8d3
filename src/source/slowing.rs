//! How a budget slows down when AWS asks for it, and comes back. Pure: the time comes in, counted from any
//! fixed moment.

use std::time::Duration;

/// However many answers ask to slow down: one halving a second. They are answers to calls that were sent
/// before the first of them could be heeded.
const HALVE_EVERY: Duration = Duration::from_secs(1);
/// So long without such an answer, and the rate doubles.
const DOUBLE_EVERY: Duration = Duration::from_secs(5);
/// Calls a second that are left at the slowest, so that the end of the trouble is noticed.
const FLOOR: f64 = 1.0;

/// What the answers so far have done. Default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Slowing {
    /// Halvings in force at `since`.
    halvings: u32,
    /// Recovery counts from here.
    since: Duration,
    halved: Option<Duration>,
    paused_until: Duration,
}

impl Slowing {
    /// After an answer that asks to slow down, at `now`. `most`: see [`most_halvings`].
    pub fn throttled(self, now: Duration, retry_after: Option<Duration>, most: u32) -> Self {
        let halve = self
            .halved
            .is_none_or(|at| now.saturating_sub(at) >= HALVE_EVERY);
        let asked = now.saturating_add(retry_after.unwrap_or_default());
        let paused_until = self.paused_until.max(asked);
        Self {
            halvings: (self.halvings(now) + u32::from(halve)).min(most),
            // Nothing is learnt in a pause, so it is no recovery.
            since: paused_until.max(now),
            halved: if halve { Some(now) } else { self.halved },
            paused_until,
        }
    }

    /// Halvings in force.
    pub fn halvings(self, now: Duration) -> u32 {
        let quiet = now.saturating_sub(self.since);
        let doublings = quiet.as_secs() / DOUBLE_EVERY.as_secs();
        self.halvings
            .saturating_sub(u32::try_from(doublings).unwrap_or(u32::MAX))
    }

    /// How long nothing may be sent.
    pub fn pause(self, now: Duration) -> Duration {
        self.paused_until.saturating_sub(now)
    }
}

/// Calls a second that are left of `full`.
pub(super) fn slowed(full: f64, halvings: u32) -> f64 {
    (full / 2_f64.powf(f64::from(halvings))).max(full.min(FLOOR))
}

/// Halvings after which `full` is at the floor: more would only make the way back longer.
pub(super) fn most_halvings(full: f64) -> u32 {
    (0..64)
        .find(|n| slowed(full, *n) <= full.min(FLOOR))
        .unwrap_or(64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn answers_halve_once_a_second_and_silence_doubles_every_five() {
        // (throttle answers at, looked at, halvings then), of at most 4
        let table: [(&[u64], u64, u32); 12] = [
            (&[], 1_000_000, 0),
            (&[0], 0, 1),
            (&[0, 1, 500, 999], 999, 1),
            (&[0, 999, 1000], 1000, 2),
            (&[0, 600, 1200, 1800], 1800, 2),
            (&[0, 1000, 2000, 3000, 4000, 5000], 5000, 4),
            (&[0, 1000, 2000], 6999, 3),
            (&[0, 1000, 2000], 7000, 2),
            (&[0, 1000, 2000], 12_000, 1),
            (&[0, 1000, 2000], 17_000, 0),
            // One in the midst of recovery: from where it is, not from where it was.
            (&[0, 1000, 2000, 12_000], 12_000, 2),
            (&[0, 1000, 2000, 12_000], 16_999, 2),
        ];
        for (answers, now, wanted) in table {
            let slowing = answers.iter().fold(Slowing::default(), |state, at| {
                state.throttled(ms(*at), None, 4)
            });
            assert_eq!(slowing.halvings(ms(now)), wanted, "{answers:?} at {now}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_the_longest_asked_and_is_no_recovery() {
        let state = Slowing::default()
            .throttled(ms(0), Some(ms(60_000)), 4)
            .throttled(ms(1000), Some(ms(2000)), 4)
            .throttled(ms(1000), None, 4);
        for (now, pause, halvings) in [
            (1000, 59_000, 2),
            (59_999, 1, 2),
            (60_000, 0, 2),
            (64_999, 0, 2),
            (65_000, 0, 1),
            (70_000, 0, 0),
        ] {
            assert_eq!(state.pause(ms(now)), ms(pause), "{now}");
            assert_eq!(state.halvings(ms(now)), halvings, "{now}");
        }
    }

    #[test]
    fn no_rate_falls_below_the_floor_nor_rises_to_it() {
        for (full, halvings, left) in [
            (2000.0, 0, 2000.0),
            (2000.0, 1, 1000.0),
            (2000.0, 10, 1.953_125),
            (2000.0, 11, 1.0),
            (2000.0, 64, 1.0),
            (0.25, 3, 0.25),
        ] {
            assert!(
                (slowed(full, halvings) - left).abs() < 1e-9,
                "{full} after {halvings}"
            );
        }
        for (full, most) in [(2000.0, 11), (8.0, 3), (9.0, 4), (1.0, 0), (0.25, 0)] {
            assert_eq!(most_halvings(full), most, "{full}");
        }
    }
}
