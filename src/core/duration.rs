//! Durations as users write and read them: `90s`, `5m`, `1h30m`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 90s, 5m or 1h30m")]
pub struct DurationError;

/// Parses hours, minutes and seconds, each at most once and in this order; nothing else.
///
/// # Errors
/// [`DurationError`] for any other text, also for one too large to count in seconds.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut total: u64 = 0;
    for (unit, seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let Some(after_unit) = after.strip_prefix(unit) else {
            continue;
        };
        let amount: u64 = number.parse().map_err(|_| DurationError)?;
        total = amount
            .checked_mul(seconds)
            .and_then(|s| total.checked_add(s))
            .ok_or(DurationError)?;
        rest = after_unit;
    }
    if text.is_empty() || !rest.is_empty() {
        return Err(DurationError);
    }
    Ok(Duration::from_secs(total))
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
    fn hours_minutes_and_seconds_in_order() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("1h5s", 3605),
            ("24h", 86_400),
            ("0s", 0),
            ("1h2m3s", 3723),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "5m1h",
            "1m1m",
            "-5m",
            "+5m",
            "1.5h",
            "5ms",
            "1d",
            "5M",
            "５m",
            "5m ",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn human_is_short_and_parses_back() {
        for (seconds, text) in [
            (0, "0s"),
            (80, "1m20s"),
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
