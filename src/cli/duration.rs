//! Durations on the command line: `90s`, `5m`, `1h`, `250ms`.
//!
//! The one place of the command line that knows the units, so that it can be swapped for the
//! parser of the bindings' own fields.

use std::time::Duration;

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`. Zero is `0s`.
///
/// # Errors
/// A sentence for the user when the text is no such duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is no duration; write a whole number and ms, s, m or h, for example 90s or 5m"
        )
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn whole_numbers_with_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h", 3_600),
            ("0s", 0),
            ("24h", 86_400),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "1.5h",
            "-5m",
            "1h30m",
            "5M",
            "5d",
            "18446744073709551615h",
            "٣s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
