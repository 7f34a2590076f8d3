//! Durations as users write and read them: `90s`, `5m`, `1h30m`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 90s, 5m or 1h30m")]
pub struct DurationError;

/// Most parts of one duration, and digits of one part (the API's own limits).
const MAX_PARTS: usize = 3;
const MAX_DIGITS: usize = 6;

/// Parses one to three parts of hours, minutes or seconds, which add up, as the API's rules do.
///
/// # Errors
/// [`DurationError`] for any other text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut total = 0;
    let mut parts = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let unit: u64 = match after.bytes().next() {
            Some(b'h') => 3600,
            Some(b'm') => 60,
            Some(b's') => 1,
            _ => return Err(DurationError),
        };
        if !(1..=MAX_DIGITS).contains(&digits) {
            return Err(DurationError);
        }
        total += unit * number.parse::<u64>().map_err(|_| DurationError)?;
        parts += 1;
        rest = &after[1..];
    }
    if (1..=MAX_PARTS).contains(&parts) {
        Ok(Duration::from_secs(total))
    } else {
        Err(DurationError)
    }
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
