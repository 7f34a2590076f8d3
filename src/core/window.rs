//! Windows: the times in which existing bytes may be replaced by newer ones.
//!
//! A schedule is read in its own time zone. Where a clock is put forward over an opening, the window opens with
//! the first moment after the gap; where it is put back, an opening at a fixed time happens once (croner's rules,
//! which are those of vixie cron).

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

/// A time that comes again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    schedule: Cron,
    /// How long it stays open.
    duration: Duration,
    zone: TimeZone,
}

fn schedule(text: &str) -> Result<Cron, WindowError> {
    if !has_five_fields(text) {
        return Err(WindowError::Schedule);
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(text).map_err(|_| WindowError::Schedule)
}

/// The shape that the API server asks for. The parser would also take nicknames, `?` and any white space: what
/// passes here must pass there.
fn has_five_fields(text: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"*/,#-".contains(&byte);
    let fields: Vec<&str> = text.split(' ').collect();
    fields.len() == 5
        && fields
            .iter()
            .all(|field| !field.is_empty() && field.bytes().all(may))
}

/// Why a window cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The schedule.
    #[error(
        "must be five fields of cron: minute, hour, day of month, month, day of week; for example `0 2 * * *`"
    )]
    Schedule,
    /// A schedule that comes never, such as the 30th of February.
    #[error("never comes")]
    Never,
    /// The time zone.
    #[error("must be the IANA name of a time zone, for example Asia/Seoul")]
    Zone,
}

impl WindowError {
    /// The field it speaks of.
    pub fn field(self) -> &'static str {
        match self {
            Self::Schedule | Self::Never => "schedule",
            Self::Zone => "timeZone",
        }
    }
}

impl Window {
    /// A window that opens at each time of `cron`, in the time zone of that IANA name.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn new(cron: &str, duration: Duration, zone: &str) -> Result<Self, WindowError> {
        let window = Self {
            schedule: schedule(cron)?,
            duration,
            zone: TimeZone::get(zone).map_err(|_| WindowError::Zone)?,
        };
        let soon = window.next(Timestamp::UNIX_EPOCH, true);
        soon.map(|_| window).ok_or(WindowError::Never)
    }

    fn next(&self, from: Timestamp, inclusive: bool) -> Option<Timestamp> {
        let from = from.to_zoned(self.zone.clone());
        let next = self.schedule.find_next_occurrence(&from, inclusive).ok()?;
        Some(next.timestamp())
    }

    fn is_open(&self, now: Timestamp) -> bool {
        // Open from the first moment to just before `duration` later.
        let Ok(earliest) = now.checked_sub(self.duration) else {
            return false;
        };
        self.next(earliest, false).is_some_and(|start| start <= now)
    }
}

/// When the first of the windows opens. None: one is open, or there is none at all, which means always.
pub fn opens(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    if windows.iter().any(|window| window.is_open(now)) {
        return None;
    }
    // A schedule that ended can be no reason to wait for ever.
    let next = windows.iter().filter_map(|window| window.next(now, false));
    next.min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn window(schedule: &str, minutes: u64, zone: &str) -> Window {
        Window::new(schedule, Duration::from_secs(minutes * 60), zone).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Time, what is expected: None for open.
    fn table(windows: &[Window], rows: &[(&str, Option<&str>)]) {
        for (now, opens) in rows {
            assert_eq!(super::opens(windows, at(now)), opens.map(at), "at {now}");
        }
    }

    #[test]
    fn a_window_is_open_from_its_first_second_to_the_one_before_its_last() {
        table(
            &[window("0 2 * * *", 120, "Asia/Seoul")],
            &[
                ("2026-11-22T16:59:59Z", Some("2026-11-22T17:00:00Z")),
                ("2026-11-22T17:00:00Z", None),
                ("2026-11-22T18:59:59Z", None),
                ("2026-11-22T19:00:00Z", Some("2026-11-23T17:00:00Z")),
            ],
        );
        table(&[], &[("2026-11-22T00:00:00Z", None)]);
    }

    #[test]
    fn the_soonest_of_several_counts_and_they_may_overlap_or_run_past_midnight() {
        let windows = [
            window("0 22 * * 5", 240, "UTC"),
            window("30 23 * * 5", 60, "UTC"),
            window("0 12 1 * *", 1, "UTC"),
        ];
        table(
            &windows,
            &[
                ("2026-11-27T21:00:00Z", Some("2026-11-27T22:00:00Z")),
                ("2026-11-27T23:45:00Z", None),
                ("2026-11-28T01:59:00Z", None),
                ("2026-11-28T02:00:00Z", Some("2026-12-01T12:00:00Z")),
            ],
        );
        // Open all the time: it begins again before it ends.
        let always = [window("0 * * * *", 90, "UTC")];
        table(&always, &[("2026-11-27T21:59:59Z", None)]);
    }

    #[test]
    fn clocks_that_are_put_forward_and_back() {
        // New York, 2026-03-08: 02:00 becomes 03:00. An opening at 02:30 happens with the first moment after.
        let spring = [window("30 2 * * *", 30, "America/New_York")];
        table(
            &spring,
            &[
                ("2026-03-08T06:59:59Z", Some("2026-03-08T07:00:00Z")),
                ("2026-03-08T07:00:00Z", None),
                ("2026-03-08T07:30:00Z", Some("2026-03-09T06:30:00Z")),
            ],
        );
        // 2026-11-01: 02:00 becomes 01:00. An opening at 01:30 happens once, the first time.
        let autumn = [window("30 1 * * *", 30, "America/New_York")];
        table(
            &autumn,
            &[
                ("2026-11-01T05:29:59Z", Some("2026-11-01T05:30:00Z")),
                ("2026-11-01T05:45:00Z", None),
                ("2026-11-01T06:00:00Z", Some("2026-11-02T06:30:00Z")),
                ("2026-11-01T06:30:00Z", Some("2026-11-02T06:30:00Z")),
            ],
        );
        // Its length is time that passes, not what clocks show.
        let long = [window("0 1 * * *", 180, "America/New_York")];
        table(
            &long,
            &[
                ("2026-03-08T08:59:59Z", None),
                ("2026-03-08T09:00:00Z", Some("2026-03-09T05:00:00Z")),
            ],
        );
    }

    #[test]
    fn what_cannot_be_a_window_is_refused() {
        let minute = Duration::from_secs(60);
        for schedule in [
            "",
            "0 2 * *",
            "0 0 2 * * *",
            "61 2 * * *",
            "0 2 * * 9",
            "@daily",
            "@daily x",
            "0  2 * * *",
            "0\t2 * * *",
            " 0 2 * * *",
            "0 2 ? * *",
            "0 2 * * * 2026",
        ] {
            let refused = Window::new(schedule, minute, "UTC");
            assert_eq!(refused, Err(WindowError::Schedule), "{schedule}");
        }
        assert_eq!(
            Window::new("0 2 30 2 *", minute, "UTC"),
            Err(WindowError::Never)
        );
        assert_eq!(
            Window::new("0 2 * * *", minute, "Asia/Soul"),
            Err(WindowError::Zone)
        );
    }
}
