//! Durations as Go writes them.

use std::time::Duration;

/// Units of Go's `time.ParseDuration`, in nanoseconds; none of them begins one behind it.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

/// `1h0m0s`, `1.5h`, `0`; None for anything else. One below zero is none at all, as External Secrets takes it.
pub(super) fn of_go(text: &str) -> Option<Duration> {
    let (below_zero, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c| !number(c))?;
        let (number, after) = rest.split_at(end);
        let (behind, unit) = UNITS
            .iter()
            .find_map(|(unit, size)| Some((after.strip_prefix(unit)?, size)))?;
        nanoseconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    let duration = Duration::try_from_secs_f64(nanoseconds / 1e9).ok()?;
    Some(if below_zero { Duration::ZERO } else { duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, millis) in [
            ("1h0m0s", 3_600_000),
            ("1.5h", 5_400_000),
            ("90s", 90_000),
            ("250ms", 250),
            ("0", 0),
            ("0s", 0),
            ("-1m", 0),
        ] {
            assert_eq!(of_go(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "1", "h", "1d", "1h 2m", "."] {
            assert_eq!(of_go(text), None, "{text}");
        }
    }
}
