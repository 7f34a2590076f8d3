//! Durations as users write and read them: `90s`, `5m`, `1h30m`; on the command line also `250ms`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 90s, 5m or 1h30m")]
pub struct DurationError;

/// Most digits of one part, as the API's rules say; there are at most as many parts as units.
const MAX_DIGITS: usize = 6;
/// What the API takes, in milliseconds. None of them begins another.
const UNITS: [(&str, u64); 3] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
/// What the command line takes: `ms` is tried before `m`.
const FINE_UNITS: [(&str, u64); 4] = [("ms", 1), UNITS[0], UNITS[1], UNITS[2]];

/// Parses one to three parts of hours, minutes or seconds, which add up, as the API's rules do.
///
/// # Errors
/// [`DurationError`] for any other text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    read(text, &UNITS).ok_or(DurationError)
}

/// The same with milliseconds, for the command line.
///
/// # Errors
/// [`DurationError`] for any other text.
pub fn parse_fine(text: &str) -> Result<Duration, DurationError> {
    read(text, &FINE_UNITS).ok_or(DurationError)
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<Duration> {
    let (mut rest, mut parts, mut total) = (text, 0, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok().filter(|_| digits <= MAX_DIGITS)?;
        let unit = |(unit, millis): &(&str, u64)| Some((after.strip_prefix(unit)?, *millis));
        let (behind, millis) = units.iter().find_map(unit)?;
        total += number * millis;
        parts += 1;
        rest = behind;
    }
    (1..=units.len())
        .contains(&parts)
        .then(|| Duration::from_millis(total))
}

/// The shortest exact way to write whole seconds: `1m20s`, `24h`, `0s`. Parts of a second are dropped.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let parts = [
        (seconds / 3600, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    parts
        .iter()
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{amount}{unit}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_minutes_and_seconds_add_up() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("1h5s", 3605),
            ("24h", 86_400),
            ("0s", 0),
            ("1h2m3s", 3723),
            ("5m1h", 3900),
            ("1m1m", 120),
            ("999999h", 3_599_996_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "", "5", "m", "5 m", "1s1s1s1s", "-5m", "+5m", "1.5h", "5ms", "1d", "5M", "５m", "5m ",
            "1000000s",
        ] {
            assert_eq!(parse(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn the_command_line_also_takes_milliseconds() {
        for (text, millis) in [
            ("250ms", 250),
            ("1s5ms", 1_005),
            ("5m", 300_000),
            ("1h1m1s1ms", 3_661_001),
        ] {
            assert_eq!(
                parse_fine(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "ms", "5", "5M", "5d", "1.5h", "1m1m1m1m1m", "٣s"] {
            assert_eq!(parse_fine(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn human_is_short_and_parses_back() {
        for (seconds, text) in [
            (0, "0s"),
            (48, "48s"),
            (80, "1m20s"),
            (600, "10m"),
            (630, "10m30s"),
            (86_400, "24h"),
            (5400, "1h30m"),
            (3601, "1h1s"),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(human(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
    }
}
